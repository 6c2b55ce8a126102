"""Any value in any key of bulkhead.toml: it is taken, or a sentence names the file and the key; never a traceback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.config.routes import Routes
from runner.config.settings import Settings
from runner.errors import ConfigError

ODD = (
    "[" * 500 + "]" * 500, "[" * 5000 + "]" * 5000, "{a=" * 300 + "1" + "}" * 300, "9" * 5000, "-" + "9" * 5000,
    "0x" + "f" * 6000, "9" * 30, "-1", "0", "1e999", "nan", "-inf", "true", "1.5", "2020-01-01", "00:00:00",
    "9999-12-31T23:59:59-23:59", "''", "' '", '"\\u0000"', '"\\u001b[31m"', '"a\\nb"', '"\\U0010ffff"',
    "'" + "x" * 100_000 + "'", "'~nosuchuser/x'", "'s3://'", "'s3://b/\\'", "'dynamodb://x'", "'sqlite:///'",
    "'http://[::1'", "'http://a:99999'", "'" + "a/" * 3000 + "'", "[]", "{}", "[1,'a',{}]", "['[', '{']",
    "['" + "{a," * 500 + "']", "['*" + "*a" * 500 + "']", "[[1]]", "{a=1}", "[{}]", "[{match=1}]",
    "[{match='*',schema_id=2020-01-01}]", "[{match='*',schema_id='x',user={id=1}}]",
    "[{match='*',fields=" + "[" * 300 + "]" * 300 + "}]", "[{match='*',schema_id='x',settings={a=nan,b=0xfffffff}}]",
    "[{match='*',schema_id='x',settings=\"\\u0000\"}]", "'20/60s'", "'1/0s'", "'99999999999999999999/1s'", "'5%'",
    "'1" + "0" * 400 + "'", "'1" + "0" * 400 + "T'", "'1" + "0" * 400 + "d'", "'1" + "0" * 400 + "%'",
)  # fmt: skip
KEYS = sorted(Settings.model_fields)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="'"), max_size=20).map("'{}'".format)
SCALARS = st.one_of(
    TEXTS,
    st.integers().map(str),
    st.floats().map(lambda number: str(number).replace("+", "")),
    st.booleans().map(lambda yes: str(yes).lower()),
    st.dates().map(str),
    st.datetimes().map(lambda instant: instant.isoformat()),
)
VALUES = st.sampled_from(ODD) | st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: f"[{', '.join(parts)}]")
        | st.dictionaries(st.sampled_from(("a", "match", "schema_id", "fields", "settings")), inner, max_size=4).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        )
    ),
    max_leaves=8,
)


def refusal(directory: Path, key: str, value: str) -> str | None:
    """Return why a bulkhead.toml is refused, None if it is taken."""
    (directory / "bulkhead.toml").write_text(f"\n{key} = {value}\n", "utf-8")
    try:
        loaded = Settings.load({}, environ={}, cwd=directory)
        loaded.masked()
        [place.exists() for place in (loaded.settings.quota_store, loaded.settings.own_directory)]
        assert loaded.settings.ledger_is_there in (True, False)
        if key in ("routes", "schema_id"):
            Routes.of(loaded)
    except ConfigError as error:
        return str(error)
    return None


def check(directory: Path, key: str, value: str) -> None:
    said = refusal(directory, key, value)
    if said is not None:
        named = key if key != "routes" else "route"
        assert ("bulkhead.toml" in said, named in said, len(said) < 1000) == (True, True, True), said


@pytest.mark.parametrize("key", KEYS)
def test_known_odd_values_of_a_key_are_taken_or_named(key: str, tmp_path: Path) -> None:
    for value in ODD:
        check(tmp_path, key, value)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("odd")


def few(count: int) -> Any:
    return settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow])


@few(100)
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_of_any_key_is_taken_or_named(directory: Path, key: str, value: str) -> None:
    check(directory, key, value)


@pytest.mark.slow
@few(5000)
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_of_any_key_is_taken_or_named_in_many_examples(directory: Path, key: str, value: str) -> None:
    check(directory, key, value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("uploads = 1\nledger = " + "[" * 5000, "line 2, ledger is nested too deeply"),
        ("uploads = " + "9" * 5000, "line 1, uploads has a number with too many digits"),
        ("include = [\n'a',\n" + "9" * 5000 + "\n]", "include has a number with too many digits"),
        ("uploads = 99999999999999999999", "uploads has a number that is too large"),
        ("ledger = '~nosuchuser/x'", "a user that this machine does not have"),
        ("out = '" + "x" * 300 + "'", "the path is too long"),
        ("ledger = 5", "write the path of a file"),
    ],
)
def test_what_is_odd_is_said(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "bulkhead.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=named):
        Settings.load({}, environ={}, cwd=tmp_path)


def test_a_path_of_bytes_that_are_not_text_is_a_path(tmp_path: Path) -> None:
    out = os.fsdecode(b"/tmp/\xff")
    assert Settings.load({"out": out}, environ={}, cwd=tmp_path).settings.out == out

"""The validators against plain implementations of their meaning, on random tables."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.engine.reading import text as text_reading
from tests.support.engine import marks, run

CELLS = st.sampled_from(["", " ", "x", "X", "xy", " x", "1", "y\n", "😀", "ß", "ss"])
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8)
PATTERNS = ["^x", "x$", "^[a-z]+$", "\\d", "y|1", "^.{2}$"]
WANTED = st.dictionaries(st.sampled_from("bc"), st.sampled_from(["", "x", "X", "1"]), min_size=1)


def is_empty(text):
    return not text.strip()


def naive(rule, rows):
    """The rows whose first cell breaks the rule."""
    name = rule["validate"]
    judge = _ALONE.get(name)
    if judge is not None:
        return [at for at, row in enumerate(rows) if judge(rule, row)]
    fold = str.lower if name == "unique_case_insensitive" else str
    counts = Counter(fold(row[0]) for row in rows if not is_empty(row[0]))
    return [at for at, row in enumerate(rows) if not is_empty(row[0]) and counts[fold(row[0])] > 1]


def _present(quantifier, *, filled):
    def broken(rule, row):
        cells = [row["abc".index(key)] for key in rule["fields"]]
        return is_empty(row[0]) and quantifier((not is_empty(cell)) == filled for cell in cells)

    return broken


def _valued(quantifier, *, equal):
    def broken(rule, row):
        pairs = [(row["abc".index(key)], wanted) for key, wanted in rule["fieldValues"].items()]
        return is_empty(row[0]) and quantifier((cell == wanted) == equal for cell, wanted in pairs)

    return broken


def _long(rule, row):
    return not is_empty(row[0]) and not rule["min"] <= len(row[0].encode("utf-16-le")) // 2 <= rule["max"]


_ALONE = {
    "required": lambda _, row: is_empty(row[0]),
    "alphabetical": lambda _, row: not is_empty(row[0]) and not re.fullmatch("[a-zA-Z]+", row[0]),
    "length": _long,
    "require_with": _present(any, filled=True),
    "require_without": _present(any, filled=False),
    "require_with_all": _present(all, filled=True),
    "require_without_all": _present(all, filled=False),
    "require_with_values": _valued(any, equal=True),
    "require_without_values": _valued(any, equal=False),
    "require_with_all_values": _valued(all, equal=True),
    "require_without_all_values": _valued(all, equal=False),
}
RULES = st.one_of(
    st.sampled_from(["required", "unique", "unique_case_insensitive", "alphabetical"]).map(
        lambda name: {"validate": name}
    ),
    st.builds(
        lambda least, more: {"validate": "length", "min": least, "max": least + more},
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    st.builds(
        lambda name, fields: {"validate": name, "fields": fields},
        st.sampled_from([name for name in _ALONE if name.startswith("require_") and not name.endswith("values")]),
        st.lists(st.sampled_from("bc"), min_size=1, max_size=2),
    ),
    st.builds(
        lambda name, wanted: {"validate": name, "fieldValues": wanted},
        st.sampled_from([name for name in _ALONE if name.endswith("values")]),
        WANTED,
    ),
)


def marked(rule, rows):
    fields = [{"key": "a", "validators": [rule]}, {"key": "b"}, {"key": "c"}]
    return [row for row, _ in marks(run([list(row) for row in rows], *fields))]


@settings(max_examples=300, deadline=None)
@given(RULES, TABLES)
def test_a_validator_marks_what_its_meaning_says(rule, rows):
    if rule["validate"].endswith("values"):  # blanks alone have no value here, and blanks around one are its own
        rows = [tuple("" if is_empty(cell) else cell for cell in row) for row in rows]
    assert marked(rule, rows) == naive(rule, rows)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PATTERNS), st.lists(st.sampled_from(["", " ", "x", "xy", "ax", "1", "y", "Xy"]), max_size=8))
def test_a_pattern_marks_what_it_does_not_find(pattern, texts):
    rows = [(text, "", "") for text in texts]
    found = [at for at, text in enumerate(texts) if not is_empty(text) and not re.search(pattern, text)]
    assert marked({"validate": "regex_match", "regex": pattern}, rows) == found
    kept = [at for at, text in enumerate(texts) if not is_empty(text) and re.search(pattern, text)]
    assert marked({"validate": "regex_exclude", "regex": pattern}, rows) == kept


@settings(max_examples=100, deadline=None)
@given(TABLES)
def test_unique_with_marks_every_member_of_a_combination_that_recurs(rows):
    group = {"validate": "unique_with", "uniqueKey": "k"}
    outcome = run([list(row) for row in rows], {"key": "a", "validators": [group]}, {"key": "b", "validators": [group]})
    pairs = [tuple("" if is_empty(cell) else cell for cell in row[:2]) for row in rows]
    counts = Counter(pairs)
    wrong = [at for at, pair in enumerate(pairs) if any(pair) and counts[pair] > 1]
    assert marks(outcome) == [(at, key) for at in wrong for key in "ab"]


@pytest.mark.parametrize("rule", ["unique", "unique_case_insensitive"])
def test_uniqueness_is_the_same_in_a_stream(rule, tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    values = [f"v{n % 997}" if n % 3 else f"w{n}" for n in range(3000)]
    path.write_text("a,b\n" + "".join(f"{value},{n}\n" for n, value in enumerate(values)))
    fields = [{"key": "a", "validators": [{"validate": rule}]}, {"key": "b"}]
    held = marks(run(path, *fields))
    monkeypatch.setattr(text_reading, "HELD_MAX_BYTES", 0)
    assert held == marks(run(path, *fields))
    assert [row for row, _ in held] == naive({"validate": rule}, [(value,) for value in values])

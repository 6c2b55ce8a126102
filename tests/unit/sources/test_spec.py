"""What a source was asked to be: read from the command line, kept with the batch, read again."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ConfigError, ItemRejected, SourceNotFound
from runner.models import MAX_FILE_BYTES, MAX_JSON_BYTES, ItemKind
from runner.protocols import SourceEntry
from runner.sources import SourceSpec, open_source, rank_of, source_spec
from runner.sources.file_types import kind_of, rejection_of, suffix_of

PATHS = st.binary(min_size=1, max_size=20).filter(lambda raw: b"\0" not in raw).map(lambda raw: os.fsdecode(b"/" + raw))


@given(
    path=PATHS, list_path=st.none() | PATHS, left_out=st.lists(PATHS, max_size=2), globs=st.lists(st.text(max_size=4))
)
def test_a_spec_survives_json_whatever_bytes_its_paths_hold(
    path: str, list_path: str | None, left_out: list[str], globs: list[str]
) -> None:
    spec = SourceSpec(
        kind="list",
        path=path,
        files_from=list_path,
        leave_out=tuple(left_out),
        include=tuple(g.encode("utf-8", "replace").decode() for g in globs),
        min_age_s=1.5,
        order_by="mtime",
    )
    assert SourceSpec.from_json(orjson.loads(orjson.dumps(spec.to_json()))) == spec


def test_a_damaged_record_of_a_spec_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="record of its source"):
        SourceSpec.from_json({"kind": "directory"})


def test_the_kind_follows_from_what_is_there(tmp_path: Path) -> None:
    file, names = tmp_path / "a.csv", tmp_path / "names.txt"
    file.write_text("a")
    names.write_text("a.csv")
    assert source_spec(str(tmp_path)).kind == "directory"
    assert source_spec(str(file)).kind == "file"
    spec = source_spec(str(tmp_path), files_from=str(names))
    assert (spec.kind, spec.files_from) == ("list", str(names))


def test_a_source_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="gone"):
        source_spec(str(tmp_path / "gone"))
    with pytest.raises(SourceNotFound, match="list file"):
        source_spec(str(tmp_path), files_from=str(tmp_path / "gone.txt"))


@pytest.mark.parametrize("target", ["gs://bucket/prefix", "https://example.com/a.csv"])
def test_a_source_that_is_not_local_is_refused_by_name(target: str) -> None:
    scheme = target.partition(":")[0]
    with pytest.raises(ConfigError, match=f"{scheme}:// sources are not supported"):
        source_spec(target)
    with pytest.raises(ConfigError, match=f"{scheme}:// sources are not supported"):
        open_source(SourceSpec(kind="directory", path=target), now=datetime.now(UTC))


def test_no_source_at_all_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="nothing to import"):
        source_spec(None)


def test_a_list_needs_a_directory_to_start_from(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a")
    with pytest.raises(ConfigError, match="must be a directory"):
        source_spec(str(tmp_path / "a.csv"), files_from=str(tmp_path / "a.csv"))


def test_a_list_on_stdin_is_kept_under_a_name_made_of_its_content(tmp_path: Path) -> None:
    first, again, other = (
        source_spec(str(tmp_path), files_from="-", stdin=io.BytesIO(text), keep_lists_in=tmp_path / "lists")
        for text in (b"a.csv\n", b"a.csv\n", b"b.csv\n")
    )
    assert first == again != other
    assert first.files_from
    assert Path(first.files_from).read_bytes() == b"a.csv\n"
    assert len(list((tmp_path / "lists").iterdir())) == 2


def test_stdin_without_a_place_to_keep_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="standard input"):
        source_spec(str(tmp_path), files_from="-")


def test_rank_orders_by_size_or_age_and_leaves_names_to_the_key() -> None:
    entry = SourceEntry(source="a.csv", uri="file:///a.csv", size_bytes=7, version="", modified_ns=1767323045678901234)
    assert [rank_of(entry, order) for order in ("name", "size", "mtime")] == [0, 7, 1767323045678]


def test_rank_of_a_refused_entry_is_zero() -> None:
    rejection = ItemRejected("unreadable", "it cannot be read")
    entry = SourceEntry(source="a", uri="file:///a", size_bytes=None, version="", modified_ns=None, rejection=rejection)
    assert [rank_of(entry, order) for order in ("name", "size", "mtime")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.CSV", ".csv"), ("x.y/a", ""), (".csv", ""), ("d/.csv", ""), ("a.tar.gz", ".gz"), ("a.", ".")],
)
def test_the_suffix_is_that_of_the_base_name(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


@pytest.mark.parametrize(
    ("name", "size", "code"),
    [
        ("a.csv", 0, "empty"),
        ("a.csv", MAX_FILE_BYTES, None),
        ("a.xlsx", MAX_FILE_BYTES + 1, "too_large"),
        ("a.json", 0, "empty"),
        ("a.json", MAX_JSON_BYTES, None),
        ("a.JSON", MAX_JSON_BYTES + 1, "json_too_large"),
        ("a.ndjson", MAX_JSON_BYTES + 1, None),
        ("a.ndjson", 2 * MAX_JSON_BYTES + 1, "json_too_large"),
        ("a.pdf", 0, "unsupported_type"),
        ("x.csv/README", 5, "unsupported_type"),
    ],
)
def test_name_and_size_decide_what_is_refused(name: str, size: int, code: str | None) -> None:
    rejection = rejection_of(name, size)
    assert (rejection.code if rejection else None) == code


def test_a_blank_or_invisible_character_in_a_suffix_is_shown() -> None:
    for name, shown in (("data.csv ", '".csv "'), ("data.c\u200bsv", r'".c\u200bsv"'), ("data.pdf", ".pdf")):
        rejection = rejection_of(name, 5)
        assert rejection is not None
        assert str(rejection).startswith(f"{shown} is not a file type")


def test_json_suffixes_go_as_rows_and_all_others_as_files() -> None:
    assert {kind_of(name) for name in ("a.json", "a.NDJSON", "a.jsonl")} == {ItemKind.JSON}
    assert {kind_of(name) for name in ("a.csv", "a.XLSX", "a.ods", "a.txt")} == {ItemKind.FILE}

"""JSON inputs: what becomes the rows of a create, and what is refused without showing content."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ItemRejected
from runner.models import MAX_JSON_BYTES
from runner.sources.json_rows import rows_of

CELLS = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
OBJECTS = st.lists(st.dictionaries(st.sampled_from(["name", "qty", "é"]), CELLS), min_size=1, max_size=5)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])


def code_of(name: str, raw: bytes) -> str:
    with pytest.raises(ItemRejected) as caught:
        rows_of(name, raw)
    return caught.value.code


def test_an_array_stays_as_it_was_written_so_that_numbers_keep_their_digits() -> None:
    raw = b'[{"price": 1.10, "id": 123456789012345678901234567890, "e": 1e2}]'
    assert rows_of("a.json", b"\xef\xbb\xbf \n" + raw + b"\n") == raw


def test_lines_become_one_array_with_their_text_kept() -> None:
    assert rows_of("a.ndjson", b'{"a":1.10}\r\n\n  {"a": 2}  \n') == b'[{"a":1.10},{"a": 2}]'
    assert rows_of("A.JSONL", b"[1,2]\n[3,4]") == b"[[1,2],[3,4]]"


@given(rows=OBJECTS, encoding=ENCODINGS)
def test_the_rows_survive_any_unicode_encoding(rows: list[dict[str, object]], encoding: str) -> None:
    text = json.dumps(rows, ensure_ascii=False)
    assert json.loads(rows_of("a.json", text.encode(encoding))) == rows


@given(rows=OBJECTS)
def test_lines_hold_the_same_rows_as_the_array(rows: list[dict[str, object]]) -> None:
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    assert json.loads(rows_of("a.jsonl", lines)) == rows


@given(raw=st.binary(max_size=40), name=st.sampled_from(["a.json", "a.ndjson"]))
def test_any_bytes_are_either_rows_or_refused(raw: bytes, name: str) -> None:
    try:
        kinds = {type(row) for row in orjson.loads(rows_of(name, raw))}
        outcome = " and ".join(kind.__name__ for kind in kinds)
    except ItemRejected as rejection:
        outcome = rejection.code
    assert outcome in {"dict", "list", "invalid_json", "empty"}


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("a.json", b"[]", "empty"),
        ("a.json", b" \n ", "empty"),
        ("a.ndjson", b"\n\n", "empty"),
        ("a.json", b'{"a": 1}', "invalid_json"),
        ("a.json", b"[1, 2]", "invalid_json"),
        ("a.json", b'[{"a": 1}, [2]]', "invalid_json"),
        ("a.json", b'[{"a": NaN}]', "invalid_json"),
        ("a.json", b'[{"a": 1}] x', "invalid_json"),
        ("a.json", b'[{"a": "\xff"}]', "invalid_json"),
        ("a.json", b"[" * 5000 + b"]" * 5000, "invalid_json"),
        ("a.ndjson", b'{"a": 1}\n3', "invalid_json"),
        ("a.json", b"\xff\xfe[", "invalid_json"),
    ],
)
def test_rows_that_cannot_be_sent_are_refused(name: str, raw: bytes, code: str) -> None:
    assert code_of(name, raw) == code


@pytest.mark.parametrize("rows", [b'[{"a":1},{"a":2}]', b"[[1,2],[3,4]]", b'[{"a":1}]'])
def test_an_array_of_rows_on_the_only_line_is_read_as_rows(rows: bytes) -> None:
    assert rows_of("a.jsonl", b"\n" + rows + b"\n\n") == rows


def test_a_single_line_of_plain_values_is_one_row() -> None:
    assert rows_of("a.jsonl", b'["Ida", ["x", "y"]]') == b'[["Ida", ["x", "y"]]]'


def test_arrays_of_objects_on_several_lines_are_refused_with_the_line() -> None:
    with pytest.raises(ItemRejected, match="line 2 is an array of objects"):
        rows_of("a.jsonl", b'["x"]\n[{"a":1},{"a":2}]\n')
    with pytest.raises(ItemRejected, match="line 1 is an array of objects"):
        rows_of("a.jsonl", b'[{"a":1}]\n[{"a":2}]\n')


@pytest.mark.parametrize(
    ("name", "raw", "place"),
    [
        ("a.json", b'[{"name":"Jos\xe9"}]', "line 1, column 14"),
        ("a.json", b'[\n {"n":"\xc3\xa9\xe9"}]', "line 2, column 9"),
        ("a.jsonl", b'{"n":1}\n{"n":"\xe9"}', "line 2, column 7"),
    ],
)
def test_bytes_that_are_not_utf_8_are_named_with_their_place(name: str, raw: bytes, place: str) -> None:
    with pytest.raises(ItemRejected, match=f"{place}: it is not UTF-8"):
        rows_of(name, raw)


@pytest.mark.parametrize("raw", [b'{"name":"Ida"}', b'{"data":[{"name":"Ida"}]}', b'"x"'])
def test_a_document_that_is_no_array_is_refused_with_its_place(raw: bytes) -> None:
    with pytest.raises(ItemRejected, match="line 1, column 1: it must be an array"):
        rows_of("a.json", raw)


def test_a_parse_error_names_line_and_column_and_no_content() -> None:
    with pytest.raises(ItemRejected, match="line 2, column") as caught:
        rows_of("a.json", b'[{"secret": "hunter2"},\n {"secret": hunter2}]')
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ItemRejected, match="line 3, column"):
        rows_of("a.ndjson", b'{"a":1}\n\n{"a":x}\n')


def test_rows_over_the_limit_are_refused_and_those_at_the_limit_are_not() -> None:
    row = b'{"a":"' + b"x" * 990 + b'"}'
    count = (MAX_JSON_BYTES - 1) // (len(row) + 1)
    fits = b"\r\n".join([row] * count)
    assert len(fits) > len(rows_of("a.ndjson", fits))
    assert code_of("a.ndjson", b"\n".join([row] * (count + 2))) == "json_too_large"

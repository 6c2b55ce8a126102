"""Rows of JSON inputs: one array for the create, with the text of each row unchanged."""

from __future__ import annotations

import codecs

import orjson

from runner.errors import ItemRejected
from runner.models import MAX_JSON_BYTES
from runner.sources.file_types import LINES_SUFFIXES, empty, json_too_large, suffix_of

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def rows_of(name: str, raw: bytes) -> bytes:
    """Return the JSON text of one array of objects or one array of arrays, UTF-8, at most MAX_JSON_BYTES.

    `.ndjson` and `.jsonl` have one row per line, or all rows as one array on a single line. The text of each row stays
    as it is, so that numbers keep their digits. Raises ItemRejected: `invalid_json` (with line and column, never
    content), `empty`, `json_too_large`.
    """
    text = _utf8(raw)
    rows = _joined_lines(text) if suffix_of(name) in LINES_SUFFIXES else _checked_array(text)
    if len(rows) > MAX_JSON_BYTES:
        raise json_too_large(len(rows))
    return rows


def _utf8(raw: bytes) -> bytes:
    """Strip a byte order mark, and convert UTF-16 and UTF-32 to UTF-8, with a mark or if they are evident without."""
    for bom, encoding in _BOMS:
        if raw.startswith(bom):
            body = raw[len(bom) :]
            return body if encoding == "utf-8" else _recoded(body, encoding)
    if raw[:1] == b"\0":
        return _recoded(raw, "utf-16-be")
    if raw[1:2] == b"\0":
        return _recoded(raw, "utf-16-le")
    return raw


def _recoded(body: bytes, encoding: str) -> bytes:
    try:
        return body.decode(encoding).encode()
    except UnicodeError:
        raise _invalid(f"it is not valid {encoding.upper()}") from None


def _checked_array(text: bytes) -> bytes:
    text = text.strip(b" \t\r\n")
    if not text:
        raise empty("the file has only white space")
    _check_shape(_parsed(text))
    return text


def _check_shape(value: object) -> None:
    if not isinstance(value, list):
        raise _invalid("line 1, column 1: it must be an array of objects, or an array of arrays")
    if not value:
        raise empty("the array has no rows")
    kind = type(value[0])
    for number, row in enumerate(value, start=1):
        _check_row(row, kind, where=f"row {number}")


def _check_row(row: object, kind: type, *, where: str) -> None:
    if not isinstance(row, dict | list):
        raise _invalid(f"{where} is neither an object nor an array")
    if type(row) is not kind:
        raise _invalid(f"{where} is an {_word(type(row))}, but the first is an {_word(kind)}; they must not be mixed")


def _word(kind: type) -> str:
    return "object" if kind is dict else "array"


def _joined_lines(text: bytes) -> bytes:
    numbered = [(number, line.strip(b" \t\r")) for number, line in enumerate(text.split(b"\n"), start=1)]
    lines = [(number, line) for number, line in numbered if line]
    if not lines:
        raise empty("the file has no rows")
    first = _parsed(lines[0][1], line=lines[0][0])
    if len(lines) == 1 and isinstance(first, list) and all(isinstance(row, dict | list) for row in first):
        return _checked_array(lines[0][1])
    for number, line in lines:
        row = _parsed(line, line=number)
        _check_row(row, type(first), where=f"line {number}")
        if isinstance(row, list) and row and all(isinstance(cell, dict) for cell in row):
            raise _invalid(f"line {number} is an array of objects; write each row on its own line, without brackets")
    return b"[" + b",".join(line for _, line in lines) + b"]"


def _parsed(text: bytes, *, line: int | None = None) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _check_utf8(text, line=line)
        where = f"line {line or error.lineno}, column {error.colno}"
        raise _invalid(f"{where}: {error.msg}") from None


def _check_utf8(text: bytes, *, line: int | None) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        number = line or text.count(b"\n", 0, error.start) + 1
        before = text[: error.start].rpartition(b"\n")[2].decode()
        raise _invalid(f"line {number}, column {len(before) + 1}: it is not UTF-8; save it as UTF-8") from None


def _invalid(why: str) -> ItemRejected:
    return ItemRejected("invalid_json", f"not usable JSON: {why}")

"""From a file's bytes to its non-blank rows of text cells."""

import codecs
import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

# An optional dependency: without it every workbook ends FAILED.
calamine = import_module("python_calamine") if find_spec("python_calamine") else None

DELIMITERS = (",", "\t", ";", "|")
CELL_MAX_CHARS = 1 << 20
_SAMPLE_BYTES = 64 * 1024
_CHUNK_BYTES = 1 << 20
_WORKBOOK_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


class UnreadableFileError(Exception):
    """The file cannot be read; the text is a sentence for the import's errors."""


@dataclass(frozen=True)
class Sheet:
    """The non-blank rows of a file and how they were read (None where it does not apply)."""

    rows: list[list[str]]
    encoding: str | None = None
    delimiter: str | None = None
    name: str | None = None


def read_sheet(source: bytes | Path, *, delimiter: str | None = None) -> Sheet:
    """Read a workbook's first visible sheet, or delimited text. Goes by the content, not by the file's name.

    Raises UnreadableFileError.
    """
    head = _head(source)
    if head.startswith(_WORKBOOK_MAGIC):
        return _workbook(source)
    encoding = _encoding(source, head)
    sample = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    if "\0" in sample:
        raise UnreadableFileError("The file is neither text nor a workbook that can be read.")
    announced, text_start = _announced_delimiter(sample)
    chosen = delimiter or announced or guess_delimiter(sample[text_start:])
    with _text(source, encoding) as stream:
        stream.read(text_start)
        rows = [row for row in _csv_rows(stream, delimiter=chosen) if not is_blank(row)]
    return Sheet(rows, encoding=encoding, delimiter=chosen)


def is_blank(row: list[str]) -> bool:
    return not any(cell.strip() for cell in row)


def guess_delimiter(sample: str) -> str:
    """The delimiter that cuts most rows to one width, wide rows preferred; a comma where none cuts anything."""
    return max(DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


def _evenness(sample: str, delimiter: str) -> float:
    try:
        rows = [row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if not is_blank(row)]
    except csv.Error:
        return 0.0
    if not rows:
        return 0.0
    complete = rows[:-1] if len(sample) >= _SAMPLE_BYTES and len(rows) > 1 else rows
    count, width = max((count, width) for width, count in Counter(map(len, complete)).items())
    return float((count / len(complete)) ** 2 * math.log2(width))


def _csv_rows(stream: TextIO, *, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(CELL_MAX_CHARS)
    row_count = 0
    try:
        for row in csv.reader(stream, delimiter=delimiter):
            row_count += 1
            yield row
    except csv.Error:
        raise UnreadableFileError(f"unclosed quote near row {row_count + 1}") from None


def _announced_delimiter(sample: str) -> tuple[str | None, int]:
    """The delimiter of a leading `sep=;` line, and the characters that line takes."""
    line = sample[:8].splitlines(keepends=True)[:1]
    text = line[0] if line else ""
    if text.startswith("sep=") and len(text.rstrip("\r\n")) == len("sep=;"):
        return text[4], len(text)
    return None, 0


def _encoding(source: bytes | Path, head: bytes) -> str:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(source):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _head(source: bytes | Path) -> bytes:
    return source[:_SAMPLE_BYTES] if isinstance(source, bytes) else next(_chunks(source), b"")[:_SAMPLE_BYTES]


def _chunks(source: bytes | Path) -> Iterator[bytes]:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _text(source: bytes | Path, encoding: str) -> AbstractContextManager[TextIO]:
    binary = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    return io.TextIOWrapper(binary, encoding=encoding, errors="replace", newline="")


def _workbook(source: bytes | Path) -> Sheet:
    if calamine is None:
        raise UnreadableFileError("This sandbox reads workbooks only where python-calamine is installed.")
    try:
        opened = calamine.load_workbook(io.BytesIO(source) if isinstance(source, bytes) else source)
        visible = [sheet for sheet in opened.sheets_metadata if sheet.visible == calamine.SheetVisibleEnum.Visible]
        if not visible:
            return Sheet([])
        cells = opened.get_sheet_by_name(visible[0].name).to_python(skip_empty_area=False)
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise UnreadableFileError("The workbook is damaged and cannot be read.") from error
    rows = [[cell_text(cell) for cell in row] for row in cells]
    return Sheet([row for row in rows if not is_blank(row)], name=visible[0].name)


def cell_text(value: Any) -> str:
    """A workbook's or JSON document's cell as text: shortest numbers, ISO dates, TRUE and FALSE."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def json_text(value: Any) -> str:
    """A JSON value as JavaScript's String() writes it; null is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, list):
        return ",".join(json_text(item) for item in value)
    return cell_text(value)


def widths(rows: Iterable[list[str]]) -> list[int]:
    """How many non-empty cells each row has."""
    return [sum(1 for cell in row if cell.strip()) for row in rows]

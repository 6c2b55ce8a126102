"""A member: one small file of delimited text, read as an import reads it, with nothing left to guess.

Its rows are parsed and written again, so that files that differ in delimiter, quotes, or line ends fit into one pack.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from runner.packing.cells import date_order, unique_keys
from runner.packing.marker import MarkerColumn
from runner.packing.refusals import Refusal, Refused
from runner.packing.rules import DELIMITERS, HeaderRules, PackRules
from runner.problems.header_names import is_name, plain_name

MEMBER_BYTES_MAX = 1_000_000
"""A larger file is not small (choice): it gains little in a pack."""

CELL_CHARS_MAX = 100_000
COLUMNS_MAX = 1_000
"""Longer cells and wider tables travel alone (choice)."""

HEADER_SEARCH_ROWS = 20
"""Rows that an import may search for the header (choice of the engine)."""

MARKER_BYTES_MAX = 24
"""At most so many bytes are a marker and its delimiter."""

_LINE_END = "\r\n"
_SENTINEL = "\ue000"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_JSON = re.compile(r'\s*(?:\[\s*)*(?:\{\s*["}]|\[\s*\])')
_DOCUMENT = re.compile(r"\s*(?:[<{%]|ID;P|MIME-Version:|BEGIN:V|TABLE\r?\n0,1\r?\n)", re.IGNORECASE)

Row = Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file that can be in a pack.

    `lines` are its rows as the pack has them, without their markers and with their line ends; `size_bytes` is what
    they take in a pack, at most. Files in one pack have the same `header` and `date_order`, and no `unique_keys` in
    common: 8 bytes per value.
    """

    header: tuple[str, ...]
    marker: MarkerColumn
    delimiter: str
    lines: tuple[str, ...]
    size_bytes: int
    date_order: str
    unique_keys: bytes

    @property
    def row_count(self) -> int:
        return len(self.lines)


def read_member(raw: bytes, rules: PackRules, *, max_bytes: int = MEMBER_BYTES_MAX) -> Member | Refusal:
    """Read a file's bytes as they would be uploaded, or return why the file travels alone.

    A byte order mark of UTF-8 is left out. Never raises for bad data.
    """
    try:
        return _member(raw, rules, max_bytes)
    except Refused as refused:
        return refused.refusal


def _member(raw: bytes, rules: PackRules, max_bytes: int) -> Member:
    text = _text(raw, max_bytes)
    delimiter = rules.delimiter or _delimiter(text, rules)
    rows = _rows(text, delimiter)
    if rules.delimiter is None:
        _refuse_rival_delimiters(text, delimiter, width=len(rows[0]))
    of_header = _of_header(rules, rows)
    _refuse_shape(rows)
    _refuse_other_header(rows, rules, of_header)
    data = rows[1:]
    orders = [date_order((row[at] for row in data), field=field) for at, field in of_header.date_columns]
    keys = unique_keys(data, of_header.unique) if of_header.unique else b""
    written = rules.delimiter or ","
    lines = lines_of(data, written)
    if rules.delimiter is None:
        marked = "".join(f"x{written}{line}" for line in (*lines_of(rows[:1], written), *lines))
        _refuse_rival_delimiters(marked, written, width=len(rows[0]) + 1)
    return Member(
        header=of_header.header,
        marker=of_header.marker,
        delimiter=written,
        lines=lines,
        size_bytes=len("".join(lines).encode()) + len(lines) * MARKER_BYTES_MAX,
        date_order="".join(orders),
        unique_keys=keys,
    )


def _text(raw: bytes, max_bytes: int) -> str:
    if len(raw) > max_bytes:
        raise Refused.of("too_large")
    if raw.startswith(_WORKBOOKS):
        raise Refused.of("workbook")
    if raw.startswith(_WIDE_MARKS):
        raise Refused.of("not_utf8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused.of("not_utf8") from None
    if _CONTROLS.search(text):
        raise Refused.of("control_characters")
    if _JSON.match(text):
        raise Refused.of("json")
    if _DOCUMENT.match(text):
        raise Refused.of("other_format")
    if text[:4].lower() == "sep=":
        raise Refused.of("separator_line")
    return text


def _delimiter(text: str, rules: PackRules) -> str:
    """Return the one delimiter in the first line; a comma for a text without any."""
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    found = [each for each in DELIMITERS if each in first]
    if len(found) == 1:
        return found[0]
    others = [each for each in DELIMITERS if each in text]
    if not others:
        return ","
    below = chain.from_iterable(_first_rows(text, each)[1:] for each in others if not found)
    raise Refused.of("preamble" if any(map(rules.names_all_fields, below)) else "delimiter_unclear")


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    try:
        return list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), HEADER_SEARCH_ROWS))
    except csv.Error:
        return []


def _rows(text: str, delimiter: str) -> list[list[str]]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise Refused.of("too_large" if "field limit" in str(error) else "quotes_unclear") from None
    if not rows:
        raise Refused.of("no_rows")
    return rows


def _refuse_rival_delimiters(text: str, delimiter: str, *, width: int) -> None:
    """Refuse a text of which another delimiter makes a row that is wider than the header, or a cell without an end."""
    for rival in DELIMITERS:
        if rival == delimiter or rival not in text:
            continue
        try:
            rows = list(csv.reader(io.StringIO(f"{_ended(text)}{_SENTINEL}", newline=""), delimiter=rival))
        except csv.Error:
            raise Refused.of("delimiter_unclear") from None
        if rows[-1] != [_SENTINEL] or max(map(len, rows)) > width:
            raise Refused.of("delimiter_unclear")


def _ended(text: str) -> str:
    return text if text.endswith(("\n", "\r")) else f"{text}\n"


def _of_header(rules: PackRules, rows: Sequence[Row]) -> HeaderRules:
    """Return the rules of the first row as the header."""
    found = rules.of_header(rows[0])
    if not isinstance(found, Refusal):
        return found
    raise Refused.of("preamble") if any(map(rules.names_all_fields, rows[1:HEADER_SEARCH_ROWS])) else Refused(found)


def _refuse_shape(rows: Sequence[Row]) -> None:
    width = len(rows[0])
    if len(rows) == 1:
        raise Refused.of("no_rows")
    if not all(any(map(str.strip, row)) for row in rows):
        raise Refused.of("blank_rows")
    if any(len(row) != width for row in rows):
        raise Refused.of("ragged_rows")
    if width > COLUMNS_MAX or any(len(cell) > CELL_CHARS_MAX for row in rows for cell in row):
        raise Refused.of("too_large")


def _refuse_other_header(rows: Sequence[Row], rules: PackRules, header: HeaderRules) -> None:
    """Refuse a file if a row below has more names of fields than the header, or if the header is not sure to be found.

    It is found by at least two names, or by names in half of the cells, the marker's included; or else by cells that
    all look like names.
    """
    width, count = len(header.header) + 1, header.known_count
    is_found = count >= 2 or count * 2 >= width or all(map(_is_title, header.header))
    first = rows[1:HEADER_SEARCH_ROWS]
    if not is_found or any(_name_count(row, rules.known_names) > count for row in _suspects(first, rules, count)):
        raise Refused.of("header_unclear")


def _is_title(cell: str) -> bool:
    return is_name(cell) and "@" not in cell


def _suspects(rows: Sequence[Row], rules: PackRules, count: int) -> Iterable[Row]:
    """Return the rows if all of them together have more than `count` names; usually, they have not."""
    joined = plain_name("\0".join(cell for row in rows for cell in row))
    return rows if sum(name in joined for name in rules.known_names) > count else ()


def _name_count(row: Row, names: frozenset[str]) -> int:
    return len(names.intersection(map(plain_name, row)))


def lines_of(rows: Iterable[Row], delimiter: str) -> tuple[str, ...]:
    """Return each row as a line of delimited text; a cell may have line ends."""
    lines = _Lines()
    csv.writer(lines, delimiter=delimiter, lineterminator=_LINE_END).writerows(rows)
    return tuple(lines)


class _Lines(list[str]):
    """Takes what a writer of rows writes: one text per row."""

    write = list[str].append

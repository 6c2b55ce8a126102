"""Delimited text: its delimiter, and its rows as a stream that needs constant memory."""

import codecs
import csv
import io
import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import BinaryIO, TextIO

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.encoding import Encoding, find_encoding
from sandbox.engine.reading.other_forms import refuse_by_text
from sandbox.engine.reading.sheet import BATCH_ROWS, CELL_MAX_CHARS, HEADER_SEARCH_ROWS, Row, Sheet, check_widths
from sandbox.engine.reading.source import Source, opened, size_bytes
from sandbox.engine.reading.text_watch import END_MARKS, TextWatch
from sandbox.engine.warning import FileWarnings

LINE_MAX_BYTES = 8 << 20
HELD_MAX_BYTES = 8 << 20
DELIMITERS = (",", "\t", ";", "|")
SAMPLE_CHARS = 64 * 1024
ONE_COLUMN = "\ue001"
"""The delimiter of a text with one column: a character that no text has."""

_END = "\ue000\ue002\ue000"
"""A last line that is added to each text: in a quoted cell that is still open, it becomes a part of the cell."""

_ANNOUNCEMENT = "sep="
_ROWS_AFTER_MARKS = 2
_FIRST_LINES_CHARS = 4096
_CHUNK_BYTES = 1 << 20
_BINARY_SHARE = 0.02
_NULS_SHARE = 0.3
_CONTROL_NAMES_MIN = 2
_ESCAPED = re.compile(rb'\\"[^,;\t|\r\n"]')
_CONTROLS = re.compile("[\x01-\x08\x0e-\x19\x1c-\x1f]")


@dataclass(frozen=True)
class TextFile:
    """A text's bytes or path, its encoding and delimiter; iterating reads it from its start.

    `watch` looks at its rows; None for a text that this package wrote itself. `has_escapes` says that backslashes stand
    before quotes.
    """

    source: Source
    encoding: str
    delimiter: str
    skipped_chars: int = 0
    watch: TextWatch | None = None
    has_escapes: bool = False

    def __iter__(self) -> Iterator[Row]:
        return chain.from_iterable(self.chunks())

    def chunks(self) -> Iterator[list[Row]]:
        """Yield the rows, some thousand at a time. Raises UnreadableFileError, for example for an unclosed quote."""
        csv.field_size_limit(CELL_MAX_CHARS)
        number = line_count = 0
        try:
            with _text(self.source, self.encoding) as stream:
                stream.read(self.skipped_chars)
                reader = csv.reader(chain(stream, (_END,)), delimiter=self.delimiter)
                while chunk := _up_to_an_error(reader):
                    line_ends, line_count = reader.line_num - line_count - len(chunk), reader.line_num
                    is_last = _is_ended(chunk)
                    if self.watch is not None:
                        chunk = self._watched(self.watch, chunk, number, line_ends=line_ends, is_last=is_last)
                    if chunk:
                        check_widths(chunk, number)
                        number += len(chunk)
                        yield chunk
        except _RowError as error:
            raise UnreadableFileError(f"unclosed quote near row {number + error.row_count + 1}") from None
        except OSError:
            raise UnreadableFileError("The file cannot be read.") from None
        except UnicodeError:
            raise UnreadableFileError("The file is not text in the encoding its first bytes announce.") from None

    def _watched(self, watch: TextWatch, rows: list[Row], at: int, *, line_ends: int, is_last: bool) -> list[Row]:
        """Return the rows, the first of which is row `at`, without marks at the end; `line_ends` are in their cells."""
        if line_ends and rows:
            watch.see_spanning(rows, at, line_ends=line_ends)
        if self.has_escapes:
            watch.see_escapes(rows, at)
        return watch.without_end_marks(rows, at) if is_last else rows


def read_text(
    source: Source,
    head: bytes,
    *,
    delimiter: str | None,
    is_name: Callable[[str], bool],
    warnings: FileWarnings,
) -> Sheet:
    """Read a delimited text whose first bytes are `head`; `is_name` knows the names of fields.

    Raises UnreadableFileError.
    """
    with opened(source) as stream:
        look = ByteLook()
        chunks = look.through(_measured(_chunks(stream)))
        found = find_encoding(head, chunks, lambda: _from_start(source))
        deque(chunks, maxlen=0)
    sample = codecs.getincrementaldecoder(found.name)("replace").decode(head)[:SAMPLE_CHARS]
    refuse_by_text(sample)
    announced, skipped_chars = announced_delimiter(sample)
    chosen = delimiter or announced or _guessed(sample[skipped_chars:], is_name)
    if len(chosen) != 1 or chosen in '"\r\n':
        raise UnreadableFileError("The delimiter must be one character other than a quote or a line's end.")
    if _is_binary(sample, delimiter=chosen):
        control = _control_delimiter(sample, is_name)
        text = f'The cells are separated by "\\u{ord(control):04x}", which no setting names' if control else ""
        raise UnreadableFileError(f"{text or 'The file is neither text nor a workbook that can be read'}.")
    rows = TextFile(source, found.name, chosen, skipped_chars)
    _warn_of_encoding(found, rows, warnings)
    shown = None if chosen == ONE_COLUMN else chosen
    rows = replace(rows, watch=TextWatch(chosen, warnings), has_escapes=look.has_escapes)
    held = size_bytes(source) <= HELD_MAX_BYTES
    return Sheet(
        list(rows) if held else rows,
        is_held=held,
        encoding=found.name,
        delimiter=shown,
        warnings=warnings,
        has_plus=look.has_plus,
    )


def _warn_of_encoding(found: Encoding, rows: Iterable[Row], warnings: FileWarnings) -> None:
    if found.bad_count:
        form = "UTF-8" if found.name.startswith("utf-8") else found.name
        text = f"{found.bad_count} byte sequences are not valid {form} and were replaced."
        warnings.add("bad_bytes", count=found.bad_count, message=text)
    if found.other is not None:
        text = f"encoding unclear: {found.name} or {found.other}; the file is read as {found.name}."
        places = (number for number, row in enumerate(rows) if not "".join(row).isascii())
        warnings.add("encoding_unclear", row=_first(places), sample=found.sample, message=text)


def _first(places: Iterator[int]) -> int | None:
    """Return the first place, None if the file ends before one, or cannot be read so far."""
    try:
        return next(places, None)
    except UnreadableFileError:
        return None


class _RowError(Exception):
    def __init__(self, row_count: int) -> None:
        super().__init__()
        self.row_count = row_count


def _up_to_an_error(reader: Iterator[Row]) -> list[Row]:
    """Return the next rows. A row that ends with marks is not the last one, so that the end of the file follows it."""
    rows: list[Row] = []
    try:
        rows.extend(islice(reader, BATCH_ROWS))
        if rows and rows[-1] and rows[-1][-1].endswith(tuple(END_MARKS)):
            rows.extend(islice(reader, _ROWS_AFTER_MARKS))
    except csv.Error:
        raise _RowError(len(rows)) from None
    return rows


def _is_ended(rows: list[Row]) -> bool:
    """Remove the added last row, and return whether it was there. Raises _RowError if a quoted cell has taken it."""
    if not rows[-1] or not rows[-1][-1].endswith(_END):
        return False
    if rows.pop() != [_END]:
        raise _RowError(len(rows))
    return True


class ByteLook:
    """Looks in passing bytes for what few texts have, so that their cells need no look.

    `has_escapes` tells of quotes that a backslash is meant to escape; one before a delimiter ends its cell. `has_plus`
    tells of plus signs.
    """

    def __init__(self) -> None:
        self.has_escapes = self.has_plus = False

    def through(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks unchanged."""
        for chunk in chunks:
            self.has_plus = self.has_plus or b"+" in chunk
            if not self.has_escapes and b'\\"' in chunk:
                self.has_escapes = _ESCAPED.search(chunk) is not None
            yield chunk


def _measured(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks unchanged. Raises UnreadableFileError for a line that is too long for a table."""
    line_bytes = 0
    for chunk in chunks:
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        line_bytes = line_bytes + len(chunk) if end < 0 else len(chunk) - end
        if line_bytes > LINE_MAX_BYTES:
            raise UnreadableFileError(f"A line is longer than {LINE_MAX_BYTES >> 20} MB.")
        yield chunk


def _is_binary(sample: str, *, delimiter: str) -> bool:
    ended = sample.rstrip(END_MARKS)
    text = ended.replace(delimiter, "")
    controls, nuls = len(_CONTROLS.findall(text)), text.count("\0")
    return controls > len(text) * _BINARY_SHARE or nuls > len(text) * _NULS_SHARE or bool(sample and not ended)


def _control_delimiter(sample: str, is_name: Callable[[str], bool]) -> str:
    """Return the control character that splits the first line into names of fields; "" if there is none."""
    first = re.split(r"[\r\n]", sample, maxsplit=1)[0]
    found = (char for char in _CONTROLS.findall(first) if not _is_binary(sample, delimiter=char))
    return next((char for char in found if sum(map(is_name, first.split(char))) >= _CONTROL_NAMES_MIN), "")


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _from_start(source: Source) -> Iterator[bytes]:
    with opened(source) as stream:
        yield from _chunks(stream)


def _text(source: Source, encoding: str) -> AbstractContextManager[TextIO]:
    return io.TextIOWrapper(opened(source), encoding=encoding, errors="replace", newline="")


def guess_delimiter(sample: str) -> str:
    """Return the delimiter that splits most rows to one width, wide rows preferred; a comma if none splits anything."""
    return max(DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


def _guessed(sample: str, is_name: Callable[[str], bool]) -> str:
    """Guess the delimiter; there is none if the row with most names of fields is one cell without a delimiter."""
    best = guess_delimiter(sample)
    return ONE_COLUMN if _is_one_column(sample, best, is_name) else best


def _is_one_column(sample: str, delimiter: str, is_name: Callable[[str], bool]) -> bool:
    if all(delimiter in line for line in sample[:_FIRST_LINES_CHARS].splitlines()[:HEADER_SEARCH_ROWS]):
        return False
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    try:
        rows = list(islice((row for row in reader if any(map(str.strip, row))), HEADER_SEARCH_ROWS))
    except csv.Error:
        return False
    if len({len(row) == 1 for row in rows}) < 2:
        return False
    header = max(rows, key=lambda row: sum(map(is_name, row)))
    return len(header) == 1 and is_name(header[0]) and not any(each in header[0] for each in DELIMITERS)


def announced_delimiter(sample: str) -> tuple[str | None, int]:
    """Return the delimiter of a leading `sep=;` line, and the number of characters in that line."""
    line = sample[:8].splitlines(keepends=True)[:1]
    text = line[0] if line else ""
    bare = text.rstrip("\r\n")
    if text.lower().startswith(_ANNOUNCEMENT) and len(bare) == len("sep=;") and bare[-1] not in '"\r\n':
        return bare[-1], len(text)
    return None, 0


def _evenness(sample: str, delimiter: str) -> float:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    try:
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error:
        return 0.0
    if not rows:
        return 0.0
    complete = rows[:-1] if len(sample) >= SAMPLE_CHARS and len(rows) > 1 else rows
    count, width = max((count, width) for width, count in Counter(map(len, complete)).items())
    return float((count / len(complete)) ** 2 * math.log2(width))

"""Delimited text: its delimiter, and its rows as a stream that needs constant memory."""

import codecs
import csv
import io
import math
import re
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, TextIO

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.encoding import find_encoding
from sandbox.engine.reading.sheet import BATCH_ROWS, CELL_MAX_CHARS, Row, Sheet, check_widths
from sandbox.engine.reading.source import Source, opened, size_bytes

LINE_MAX_BYTES = 8 << 20
HELD_MAX_BYTES = 8 << 20
DELIMITERS = (",", "\t", ";", "|")
SAMPLE_CHARS = 64 * 1024
_ANNOUNCEMENT = "sep="
_CHUNK_BYTES = 1 << 20
_BINARY_SHARE = 0.02
_NULS_SHARE = 0.3
_CONTROLS = re.compile("[\x01-\x08\x0e-\x19\x1c-\x1f]")
_OTHER_FORMS = (
    (re.compile(r"\s*<(?:!doctype|html|head|body|table|meta)\b", re.IGNORECASE), "a web page"),
    (re.compile(r"\s*<\?xml\b|\s*<Workbook\b", re.IGNORECASE), "XML"),
    (re.compile(r"\{\\rtf\d"), "formatted text (RTF)"),
    (re.compile(r"%PDF-"), "a PDF"),
)


@dataclass(frozen=True)
class TextFile:
    """A text's bytes or path, its encoding and delimiter; iterating reads it from its start."""

    source: Source
    encoding: str
    delimiter: str
    skipped_chars: int = 0

    def __iter__(self) -> Iterator[Row]:
        return chain.from_iterable(self.chunks())

    def chunks(self) -> Iterator[list[Row]]:
        """Yield the rows, some thousand at a time. Raises UnreadableFileError, for example for an unclosed quote."""
        csv.field_size_limit(CELL_MAX_CHARS)
        number = 0
        try:
            with _text(self.source, self.encoding) as stream:
                stream.read(self.skipped_chars)
                reader = csv.reader(stream, delimiter=self.delimiter)
                while chunk := _up_to_an_error(reader):
                    check_widths(chunk, number)
                    number += len(chunk)
                    yield chunk
        except _RowError as error:
            raise UnreadableFileError(f"unclosed quote near row {number + error.row_count + 1}") from None
        except OSError:
            raise UnreadableFileError("The file cannot be read.") from None
        except UnicodeError:
            raise UnreadableFileError("The file is not text in the encoding its first bytes announce.") from None


def read_text(source: Source, head: bytes, *, delimiter: str | None) -> Sheet:
    """Read a delimited text whose first bytes are `head`. Raises UnreadableFileError."""
    with opened(source) as stream:
        chunks = _measured(_chunks(stream))
        found = find_encoding(head, chunks)
        deque(chunks, maxlen=0)
    sample = codecs.getincrementaldecoder(found.name)("replace").decode(head)[:SAMPLE_CHARS]
    for form, name in _OTHER_FORMS:
        if form.match(sample):
            raise UnreadableFileError(f"The file is {name}, which cannot be imported.")
    if _is_binary(sample):
        raise UnreadableFileError("The file is neither text nor a workbook that can be read.")
    announced, skipped_chars = announced_delimiter(sample)
    chosen = delimiter or announced or guess_delimiter(sample[skipped_chars:])
    if len(chosen) != 1 or chosen in '"\r\n':
        raise UnreadableFileError("The delimiter must be one character other than a quote or a line's end.")
    rows = TextFile(source, found.name, chosen, skipped_chars)
    held = size_bytes(source) <= HELD_MAX_BYTES
    warnings = [f"{found.bad_count} byte sequences are not valid UTF-8 and were replaced."] if found.bad_count else []
    return Sheet(list(rows) if held else rows, is_held=held, encoding=found.name, delimiter=chosen, warnings=warnings)


class _RowError(Exception):
    def __init__(self, row_count: int) -> None:
        super().__init__()
        self.row_count = row_count


def _up_to_an_error(reader: Iterator[Row]) -> list[Row]:
    rows: list[Row] = []
    try:
        rows.extend(islice(reader, BATCH_ROWS))
    except csv.Error:
        raise _RowError(len(rows)) from None
    return rows


def _measured(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks unchanged. Raises UnreadableFileError for a line that is too long for a table."""
    line_bytes = 0
    for chunk in chunks:
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        line_bytes = line_bytes + len(chunk) if end < 0 else len(chunk) - end
        if line_bytes > LINE_MAX_BYTES:
            raise UnreadableFileError(f"A line is longer than {LINE_MAX_BYTES >> 20} MB.")
        yield chunk


def _is_binary(sample: str) -> bool:
    controls, nuls = len(_CONTROLS.findall(sample)), sample.count("\0")
    return controls > len(sample) * _BINARY_SHARE or nuls > len(sample) * _NULS_SHARE


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _text(source: Source, encoding: str) -> AbstractContextManager[TextIO]:
    return io.TextIOWrapper(opened(source), encoding=encoding, errors="replace", newline="")


def guess_delimiter(sample: str) -> str:
    """Return the delimiter that splits most rows to one width, wide rows preferred; a comma if none splits anything."""
    return max(DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


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

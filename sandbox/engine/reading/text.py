"""Delimited text: a stream of rows that costs no more memory the longer the file is."""

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.dialect import SAMPLE_CHARS, announced_delimiter, guess_delimiter
from sandbox.engine.reading.encoding import SAMPLE_BYTES, find_encoding
from sandbox.engine.reading.sheet import COLUMNS_MAX_COUNT, Row, Sheet, check_width

CELL_MAX_CHARS = 1 << 20
LINE_MAX_CHARS = 1 << 23
HELD_MAX_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
_BINARY_SHARE = 0.02
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\x0b\x0c\r\x1b\x1a"))


@dataclass(frozen=True)
class TextFile:
    """A text's bytes or path, its encoding and delimiter; iterating reads it from its start."""

    source: bytes | Path
    encoding: str
    delimiter: str
    skipped_chars: int = 0

    def __iter__(self) -> Iterator[Row]:
        """Raises UnreadableFileError for a quote that never closes, and for lines or rows beyond all measure."""
        csv.field_size_limit(CELL_MAX_CHARS)
        number = 0
        try:
            with _text(self.source, self.encoding) as stream:
                stream.read(self.skipped_chars)
                for row in csv.reader(_lines(stream), delimiter=self.delimiter):
                    number += 1
                    if len(row) > COLUMNS_MAX_COUNT:
                        check_width(row, number)
                    yield row
        except csv.Error:
            raise UnreadableFileError(f"unclosed quote near row {number + 1}") from None
        except OSError:
            raise UnreadableFileError("The file cannot be read.") from None
        except UnicodeError:
            raise UnreadableFileError("The file is not text in the encoding its first bytes announce.") from None


def read_text(source: bytes | Path, head: bytes, *, delimiter: str | None) -> Sheet:
    """The rows of a delimited text whose first bytes are `head`. Raises UnreadableFileError."""
    with _binary(source) as stream:
        found = find_encoding(head, _chunks(stream))
    sample = codecs.getincrementaldecoder(found.name)("replace").decode(head)[:SAMPLE_CHARS]
    if _is_binary(sample):
        raise UnreadableFileError("The file is neither text nor a workbook that can be read.")
    announced, skipped_chars = announced_delimiter(sample)
    chosen = delimiter or announced or guess_delimiter(sample[skipped_chars:])
    if len(chosen) != 1 or chosen in '"\r\n':
        raise UnreadableFileError("The delimiter must be one character other than a quote or a line's end.")
    rows = TextFile(source, found.name, chosen, skipped_chars)
    held = size_bytes(source) <= HELD_MAX_BYTES
    warnings = [f"{found.bad_count} byte sequences are no valid UTF-8 and were replaced."] if found.bad_count else []
    return Sheet(list(rows) if held else rows, is_held=held, encoding=found.name, delimiter=chosen, warnings=warnings)


def size_bytes(source: bytes | Path) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def head_of(source: bytes | Path) -> bytes:
    """The first bytes of the file, as many as a sample takes."""
    with _binary(source) as stream:
        return stream.read(SAMPLE_BYTES)


def _lines(stream: TextIO) -> Iterator[str]:
    while line := stream.readline(LINE_MAX_CHARS):
        if len(line) >= LINE_MAX_CHARS and line[-1] not in "\r\n":
            raise UnreadableFileError(f"A line is longer than {LINE_MAX_CHARS} characters.")
        yield line


def _is_binary(sample: str) -> bool:
    controls = sum(1 for char in sample if ord(char) in _CONTROLS)
    return controls > len(sample) * _BINARY_SHARE


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _binary(source: bytes | Path) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _text(source: bytes | Path, encoding: str) -> AbstractContextManager[TextIO]:
    return io.TextIOWrapper(_binary(source), encoding=encoding, errors="replace", newline="")

"""Result bytes on their way: the check that they are one complete JSON array, and chunks that are worth a write."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NoReturn

from runner.errors import ResultInvalid

MAX_ROW_CHARS = 64 << 20
"""A single row above this is refused, so that memory stays bounded for any input (choice)."""

_BLANK = re.compile(r"[ \t\n\r]*")
_AFTER_ROW = re.compile(r"[ \t\n\r]*([,\]])")


class _Expect(Enum):
    ARRAY = auto()
    ROW_OR_END = auto()
    ROW = auto()
    NOTHING = auto()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_raw_decode = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=len, parse_float=len).raw_decode
"""Numbers are checked but not converted, so large ones cost nothing."""


class ResultArray:
    """Fed with the bytes as they come; `row_count` is the number of top-level elements seen so far.

    Strict JSON in strict UTF-8: no byte order mark, NaN, Infinity, trailing comma, or anything after the array. `see`
    gets each element: decoded, but with a meaningless number for each number; and its text.
    """

    def __init__(self, see: Callable[[object, str], None] | None = None) -> None:
        self.row_count = 0
        self._see = see
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._expect = _Expect.ARRAY
        self._text = ""
        self._try_at_chars = 1

    def feed(self, data: bytes) -> None:
        """Check the next bytes. Raises ResultInvalid, never with content of the result in it."""
        self._read(data, final=False)

    def finish(self) -> None:
        """Declare the end of the stream. Raises ResultInvalid if the array is not complete."""
        self._read(b"", final=True)
        if self._text or self._expect is not _Expect.NOTHING:
            self._refuse("breaks off or is not valid JSON")

    def _read(self, data: bytes, *, final: bool) -> None:
        try:
            self._text += self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self._refuse("is not UTF-8")
        if final or len(self._text) >= self._try_at_chars:
            self._consume()
        if len(self._text) > MAX_ROW_CHARS:
            self._refuse("is not valid JSON, or has a row that is too large,")

    def _consume(self) -> None:
        """Drop the complete pieces; an incomplete one is tried again when twice as much has arrived."""
        text, position = self._text, 0
        while (end := self._next_end(text, _skip_blank(text, position))) is not None:
            position = end
        self._text = text[_skip_blank(text, position) :]
        self._try_at_chars = 2 * len(self._text) + 1

    def _next_end(self, text: str, start: int) -> int | None:
        """Return where the piece at `start` ends, None if it is not complete yet."""
        if start == len(text):
            return None
        if self._expect is _Expect.NOTHING:
            self._refuse("is followed by something else")
        if self._expect is _Expect.ARRAY:
            return self._bracket(text, start)
        if self._expect is _Expect.ROW_OR_END and text[start] == "]":
            self._expect = _Expect.NOTHING
            return start + 1
        return self._row(text, start)

    def _bracket(self, text: str, start: int) -> int:
        if text[start] != "[":
            self._refuse("does not begin with [")
        self._expect = _Expect.ROW_OR_END
        return start + 1

    def _row(self, text: str, start: int) -> int | None:
        try:
            value, end = _raw_decode(text, start)
        except (ValueError, RecursionError):
            return None
        after = _AFTER_ROW.match(text, end)
        if after is None:
            return None
        self.row_count += 1
        if self._see is not None:
            self._see(value, text[start:end])
        self._expect = _Expect.ROW if after[1] == "," else _Expect.NOTHING
        return after.end()

    def _refuse(self, why: str) -> NoReturn:
        self._text = ""
        raise ResultInvalid(
            f"the result is not one complete JSON array: it {why} (after {self.row_count} rows)"
        ) from None


def _skip_blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


class Chunks:
    """Gathers pieces into chunks of about `size_bytes`, in their order."""

    def __init__(self, size_bytes: int, *first: bytes) -> None:
        self._most_bytes = size_bytes
        self._pending = list(first)
        self._size_bytes = sum(map(len, first))

    def add(self, piece: bytes) -> bytes:
        """Take a piece; returns a chunk once there is enough for one, else nothing."""
        self._pending.append(piece)
        self._size_bytes += len(piece)
        return self.rest() if self._size_bytes >= self._most_bytes else b""

    def rest(self) -> bytes:
        """Return what has been gathered since the last chunk."""
        rest = b"".join(self._pending)
        self._pending, self._size_bytes = [], 0
        return rest

"""A survey of a text without a mark that is not valid UTF-8: what its bytes above 127 are likely to be."""

import codecs
import re
from typing import Any

from sandbox.engine.libraries import is_installed, library
from sandbox.engine.reading.code_pages import DOUBT, Guess, guesses

REPLACED = "\ufffd"
PIECES_MAX = 100
_PIECES_MAX_BYTES = 8 * 1024
_PIECE_MAX_BYTES = 2 * 1024
_PLAIN_MAX = 40
_SAMPLE_BYTES = 16 * 1024
_ALIKE = 10.0
_MOSTLY = 4
_MOSTLY_MIN = 8
_REPLACED_UTF8 = REPLACED.encode()
_FOREIGN = re.compile(b"[\x80-\xff]")

_BORDERS = bytes(range(0x30)) + bytes(range(0x3A, 0x40))
"""Bytes that are no part of a longer character in any code page."""

_TO_BLANKS = bytes(0x20 if byte in _BORDERS else byte for byte in range(256))
_SAME_AS = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-8": "cp1255", "iso8859-11": "cp874",
    "tis_620": "cp874", "gb2312": "gb18030", "gbk": "gb18030", "big5hkscs": "big5", "cp950": "big5", "euc_kr": "cp949",
    "johab": "cp949", "shift_jis": "cp932", "shift_jis_2004": "cp932", "shift_jisx0213": "cp932",
    "euc_jis_2004": "euc_jp", "euc_jisx0213": "euc_jp",
}  # fmt: skip
"""The code page that stands for one that it contains or resembles, by the names of Python's codecs."""


class Survey:
    """Collects parts of a file from the first bytes on that are not valid UTF-8.

    `foreign` is an earlier part of the file with longer characters of UTF-8, if there is one, and `longer_count` about
    their number.
    """

    def __init__(self, foreign: bytes, longer_count: int) -> None:
        self.bad_count = 0
        self._longer_count = longer_count
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pieces: dict[bytes, None] = {}
        self._pieces_bytes = 0
        self._plain: dict[bytes, None] = {}
        self._unseen = [bytes([byte]) for byte in range(0x80, 0x100)]
        self._rest = b""
        self._sample = b""
        self._take(foreign, most=PIECES_MAX // 2)
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        """Look at the next part of the file."""
        text = self._decoder.decode(chunk)
        replaced_count = text.count(REPLACED)
        self.bad_count += replaced_count - chunk.count(_REPLACED_UTF8)
        self._longer_count += len(text) - len(text.encode("ascii", "ignore")) - replaced_count
        if chunk.isascii() and not self._rest:
            return
        self._unseen = [byte for byte in self._unseen if byte not in chunk]
        if not self._sample and (found := _FOREIGN.search(chunk)):
            self._sample = _lines_around(chunk, found.start())
        self._take(chunk, most=PIECES_MAX)

    @property
    def is_mostly_utf8(self) -> bool:
        """Return whether the file has many more characters of UTF-8 than other bytes."""
        return self._longer_count >= _MOSTLY_MIN and self._longer_count >= _MOSTLY * self.bad_count

    def guesses(self) -> tuple[Guess, Guess | None]:
        """Return the best guess; and, if that is doubtful, the next one that reads the file differently."""
        if self._rest:
            self._take(b"\n", most=PIECES_MAX + 1)
        pieces = list(self._pieces) or [b""]
        seen = bytes(byte for byte in range(0x80, 0x100) if bytes([byte]) not in self._unseen)
        plain = [word.decode("ascii") for word in self._plain]
        found = guesses(pieces, plain, seen=seen, hint=_hint(self._sample), or_utf8=self._longer_count > 0)
        alike = [guess for guess in found if guess.texts == found[0].texts and guess.cost < found[0].cost + _ALIKE]
        other = next((guess for guess in found if guess.texts != found[0].texts), None)
        is_doubtful = other is not None and other.cost < found[0].cost + DOUBT
        return min(alike, key=lambda guess: guess.rarity), other if is_doubtful else None

    def _take(self, chunk: bytes, *, most: int) -> None:
        """Keep the pieces of a chunk that have bytes above 127, each once, and some of the others."""
        if len(self._pieces) >= most or self._pieces_bytes >= _PIECES_MAX_BYTES:
            self._rest = b""
            return
        *whole, self._rest = (self._rest + chunk).translate(_TO_BLANKS).split(b" ")
        for piece in whole:
            if piece.isascii():
                if len(self._plain) < _PLAIN_MAX:
                    self._plain[piece] = None
            elif piece not in self._pieces:
                self._pieces[piece[:_PIECE_MAX_BYTES]] = None
                self._pieces_bytes += len(piece)
                if len(self._pieces) >= most or self._pieces_bytes >= _PIECES_MAX_BYTES:
                    return


def _lines_around(chunk: bytes, at: int) -> bytes:
    """Return whole lines around a place, of SAMPLE_BYTES at most if they are not longer."""
    start = max(at - _SAMPLE_BYTES // 2, 0)
    start = chunk.rfind(b"\n", 0, start) + 1 if start else 0
    return chunk[start : start + _SAMPLE_BYTES]


def _hint(sample: bytes) -> str | None:
    """Return the codec that chardet names, None without chardet."""
    if not is_installed("chardet"):
        return None
    chardet: Any = library("chardet", package="chardet", purpose="guesses encodings")
    try:
        name = codecs.lookup(chardet.detect(sample).get("encoding") or "ascii").name
    except LookupError:
        return None
    return _SAME_AS.get(name, name)

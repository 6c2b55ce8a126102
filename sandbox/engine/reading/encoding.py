"""The encoding of a text file: byte order marks and zeros first, then strict UTF-8, then a guess from a sample."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.engine.libraries import is_installed, library

FALLBACK_ENCODING = "cp1252"
SAMPLE_BYTES = 64 * 1024
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_ZERO_SHARE = 0.7


@dataclass(frozen=True)
class Encoding:
    """A codec's name, and how many sequences of the file it cannot decode."""

    name: str
    bad_count: int = 0


def find_encoding(head: bytes, chunks: Iterator[bytes]) -> Encoding:
    """Return the encoding of a file from its first bytes, `head`, and all of its bytes, `chunks`."""
    for bom, name in _BOMS:
        if head.startswith(bom):
            return Encoding(name)
    if wide := _wide_by_zeros(head):
        return Encoding(wide)
    return _strict_utf8(head, chunks)


def _wide_by_zeros(head: bytes) -> str | None:
    """Detect UTF-16 without a mark: in Western texts, every second byte is zero."""
    sample = head[: len(head) & ~1]
    if not sample:
        return None
    half = len(sample) / 2
    if sample[1::2].count(0) >= half * _ZERO_SHARE and sample[::2].count(0) < half * 0.1:
        return "utf-16-le"
    if sample[::2].count(0) >= half * _ZERO_SHARE and sample[1::2].count(0) < half * 0.1:
        return "utf-16-be"
    return None


def _strict_utf8(head: bytes, chunks: Iterator[bytes]) -> Encoding:
    decoder = codecs.getincrementaldecoder("utf-8")()
    window = b""
    try:
        for window in chunks:
            decoder.decode(window)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if not head.isascii() and _is_utf8(head):
            return Encoding("utf-8", _bad_count(window, chunks))
        at = max(min(error.start, len(window)) - SAMPLE_BYTES // 2, 0)
        return Encoding(_guessed(head if not head.isascii() else window[at : at + SAMPLE_BYTES]))
    return Encoding("utf-8")


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _bad_count(window: bytes, chunks: Iterator[bytes]) -> int:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    count = decoder.decode(window).count("\ufffd")
    count += sum(decoder.decode(chunk).count("\ufffd") for chunk in chunks)
    return count + decoder.decode(b"", final=True).count("\ufffd")


def _guessed(sample: bytes) -> str:
    if not is_installed("chardet"):
        return FALLBACK_ENCODING
    chardet: Any = library("chardet", package="chardet", purpose="guesses encodings")
    name = (chardet.detect(sample).get("encoding") or FALLBACK_ENCODING).lower()
    if name in ("ascii", "utf-8"):
        return FALLBACK_ENCODING
    try:
        return codecs.lookup(name).name
    except LookupError:
        return FALLBACK_ENCODING

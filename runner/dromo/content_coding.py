"""Decoding of compressed downloads, piece by piece, so that memory does not grow with what they unpack to."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runner.errors import Unavailable
from runner.masking import FORMS

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

PIECE_BYTES = 256 * 1024
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_SHOWN_CHARS = 40


class Decoder:
    """Undoes one content coding; this one is `identity`, which leaves the bytes as they are."""

    def decoded(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk unpacks to, in pieces of at most 256 KiB if it is compressed. Raises Unavailable."""
        yield chunk

    def end(self) -> None:
        """Raise Unavailable if the data ended too early."""


class _Inflater(Decoder):
    """Undoes `gzip`, also of several members, and `deflate`, with and without the header that some servers omit."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._inflater: zlib._Decompress | None = None
        self._begun = False

    def decoded(self, chunk: bytes) -> Iterator[bytes]:
        piece = b""
        while chunk or len(piece) == PIECE_BYTES:
            if self._inflater is None:
                if self._begun and not (chunk := chunk.lstrip(b"\0")):
                    return
                self._inflater, self._begun = zlib.decompressobj(self._window_of(chunk)), True
            piece = self._inflated(self._inflater, chunk)
            chunk = self._inflater.unconsumed_tail
            if self._inflater.eof:
                chunk, self._inflater = self._inflater.unused_data, None
            if piece:
                yield piece

    def _inflated(self, inflater: zlib._Decompress, chunk: bytes) -> bytes:
        try:
            return inflater.decompress(chunk, PIECE_BYTES)
        except zlib.error:
            pass
        raise Unavailable(f"the download is damaged: it is not {self._coding}, as storage says")

    def end(self) -> None:
        if self._inflater is not None or not self._begun:
            raise Unavailable("the download was cut: its compressed data has no end")

    def _window_of(self, chunk: bytes) -> int:
        if self._coding == "gzip":
            return _GZIP
        return _ZLIB if chunk[0] & 0x0F == zlib.DEFLATED else _RAW


def decoder_for(headers: CIMultiDictProxy[str]) -> Decoder:
    """Return a decoder for the `Content-Encoding` of an answer. Raises Unavailable if it is not one of three."""
    named = ",".join(headers.getall("Content-Encoding", []))
    codings = [word for part in named.split(",") if (word := part.strip().lower()) not in ("", "identity")]
    if not codings:
        return Decoder()
    if len(codings) == 1 and codings[0] in ("gzip", "x-gzip", "deflate"):
        return _Inflater(codings[0].removeprefix("x-"))
    shown = "".join(char if char.isprintable() else "?" for char in FORMS(named[: 2 * _SHOWN_CHARS])[:_SHOWN_CHARS])
    raise Unavailable(f"storage sent data with the Content-Encoding {shown!r}, which cannot be decoded")

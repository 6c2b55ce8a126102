"""RecodedBody: a file in a named encoding, sent as UTF-8 without ever being in memory as a whole."""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.errors import ItemRejected
from runner.models import MAX_FILE_BYTES

if TYPE_CHECKING:
    from runner.protocols import Body, Prepared

NOT_IN_ENCODING = "not_in_encoding"
"""Error code of a file that has bytes which its route's encoding does not know."""

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARK_MAX_BYTES = 8


async def in_utf8(prepared: Prepared, encoding: str | None) -> Prepared:
    """Return a prepared input whose body is UTF-8, although its file is in `encoding`.

    What needs no change is returned as it is: without an encoding, JSON, workbooks, and files with the byte order mark
    of UTF-8. Another mark decides instead of `encoding`. The whole file is read once, for the length of the UTF-8;
    fingerprint and size stay those of the file. Raises ItemRejected, and as `Body.chunks`.
    """
    body = prepared.body
    if encoding is None or body is None:
        return prepared
    head = await _head_of(body)
    if head.startswith((codecs.BOM_UTF8, *_WORKBOOKS)):
        return prepared
    name = next((marked for mark, marked in _MARKS if head.startswith(mark)), encoding)
    size_bytes, watch = 0, _Utf8Watch()
    async with aclosing(_recoded(body, name, see=watch.see)) as chunks:
        async for chunk in chunks:
            size_bytes += len(chunk)
    if size_bytes > MAX_FILE_BYTES:
        raise ItemRejected(
            "too_large", f"{size_bytes:,} bytes as UTF-8; the limit is {MAX_FILE_BYTES:,} (1 GiB). Split it"
        )
    return replace(prepared, body=RecodedBody(body, name, size_bytes=size_bytes, is_utf8=watch.is_utf8))


class RecodedBody:
    """The UTF-8 of a file in another encoding; implements `Body`. Every pass over it yields the same bytes."""

    def __init__(self, body: Body, encoding: str, *, size_bytes: int, is_utf8: bool = False) -> None:
        """`size_bytes` is the length of the UTF-8; `is_utf8`: the file is UTF-8 beyond ASCII before it is recoded."""
        self.encoding = encoding
        self.is_utf8 = is_utf8
        self._body = body
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes that `chunks` yields."""
        return self._size_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the UTF-8. Raises as the chunks of the file, and ItemRejected."""
        async with aclosing(_recoded(self._body, self.encoding)) as chunks:
            async for chunk in chunks:
                yield chunk


async def _head_of(body: Body) -> bytes:
    head = b""
    async with aclosing(_chunks_of(body)) as chunks:
        async for chunk in chunks:
            head += chunk
            if len(head) >= _MARK_MAX_BYTES:
                break
    return head


async def _recoded(
    body: Body, name: str, *, see: Callable[[bytes], None] = lambda _: None
) -> AsyncGenerator[bytes, None]:
    """Yield the chunks as UTF-8. The last one comes only after the body has verified what it is made of.

    `see` gets each chunk of the file.
    """
    decoder = _Decoder(name)
    async with aclosing(_chunks_of(body)) as chunks:
        async for chunk in chunks:
            see(chunk)
            if text := decoder.decode(chunk):
                yield text.encode()
    if text := decoder.decode(b"", final=True):
        yield text.encode()


async def _chunks_of(body: Body) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a body, and close it if not all of them are taken."""
    chunks = body.chunks()
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


class _Utf8Watch:
    """Tells whether what it has seen is UTF-8 and not only ASCII."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_valid = True
        self._is_ascii = True

    def see(self, chunk: bytes) -> None:
        if not self._is_valid:
            return
        self._is_ascii = self._is_ascii and chunk.isascii()
        try:
            self._decoder.decode(chunk)
        except UnicodeDecodeError:
            self._is_valid = False

    @property
    def is_utf8(self) -> bool:
        is_cut = bool(self._decoder.getstate()[0])
        return self._is_valid and not self._is_ascii and not is_cut


class _Decoder:
    """A strict decoder that says where a byte is that it does not know."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder = codecs.getincrementaldecoder(name)()
        self._read_bytes = 0
        self._line_ends = self._returns = 0

    def decode(self, chunk: bytes, *, final: bool = False) -> str:
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            raise self._rejection(error, chunk) from None
        except UnicodeError:
            raise self._without_mark() from None
        self._read_bytes += len(chunk)
        self._count(text)
        return text

    def _count(self, text: str) -> None:
        self._line_ends += text.count("\n")
        self._returns += text.count("\r")

    def _without_mark(self) -> ItemRejected:
        """Return the error of an encoding that needs a byte order mark, of a file that begins with none."""
        return ItemRejected(
            NOT_IN_ENCODING,
            f"it is not in {self._name}: it does not begin with a byte order mark; name {self._name}-le or "
            f"{self._name}-be, or another encoding",
        )

    def _rejection(self, error: UnicodeDecodeError, chunk: bytes) -> ItemRejected:
        carried = len(error.object) - len(chunk)
        offset = self._read_bytes - carried + error.start
        self._count(error.object[: error.start].decode(self._name, "ignore"))
        line = max(self._line_ends, self._returns) + 1
        return ItemRejected(
            NOT_IN_ENCODING,
            f"it is not in {self._name}: the byte 0x{error.object[error.start]:02x} at offset {offset:,}, in line "
            f"{line:,}, has no meaning there; name another encoding, or export the file as UTF-8",
        )

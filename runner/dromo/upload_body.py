"""UploadPayload: the body of one upload, sent completely or not at all, with a stall timeout and a bandwidth limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from runner.errors import SourceChanged

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

    from runner.protocols import Body

PIECE_BYTES = 64 * 1024


async def spend(bwlimit: AsyncLimiter | None, count: int) -> None:
    """Wait until `count` bytes are within the bandwidth; a count above the limiter's capacity is taken in parts."""
    if bwlimit is None:
        return
    capacity = max(1, int(bwlimit.max_rate))
    while count > 0:
        await bwlimit.acquire(min(count, capacity))
        count -= capacity


class UploadPayload(aiohttp.Payload):
    """Sends a `Body` once.

    The last chunk is held back until the body has ended with exactly its size, so that storage never gets a complete
    object of anything else; on any failure the connection is cut at once. `failure` is what the body raised; `on_sent`
    is called once the last byte was sent.
    """

    _default_content_type = "application/octet-stream"

    def __init__(
        self,
        body: Body,
        *,
        stall_s: float,
        bwlimit: AsyncLimiter | None = None,
        on_sent: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(body)
        self._on_sent = on_sent
        self._body = body
        self._stall_s = stall_s
        self._bwlimit = bwlimit
        self._transport: asyncio.WriteTransport | None = None
        self._is_held_up = False
        self.failure: Exception | None = None
        self.complete = False

    @property
    def size(self) -> int:
        """Return the number of bytes that will be sent, the Content-Length."""
        return self._body.size_bytes

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        """Refuse: a body is sent once and is never text. Raises TypeError."""
        raise TypeError("an upload has no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the whole body. Raises TimeoutError if it stalls, and the errors of the body."""
        self._transport = writer.transport
        try:
            async with asyncio.timeout(self._stall_s) as deadline:
                with _watched(deadline, moved=lambda: self._moved(writer), stall_s=self._stall_s):
                    await self._write_whole(writer)
        except BaseException:
            self.abandon()
            raise
        self.complete = True
        self._on_sent()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002
        """Send the whole body; nothing is clipped, since its length is verified here."""
        await self.write(writer)

    def abandon(self) -> None:
        """Cut the connection; buffered bytes are dropped."""
        if self._transport is not None:
            self._transport.abort()

    def _moved(self, writer: AbstractStreamWriter) -> int | None:
        """Return how many bytes the connection has taken, None while they are held up by the bandwidth."""
        if self._is_held_up or self._transport is None:
            return None
        return writer.output_size - self._transport.get_write_buffer_size()

    async def _write_whole(self, writer: AbstractStreamWriter) -> None:
        held = b""
        async with aclosing(self._verified()) as chunks:
            async for chunk in chunks:
                await self._write_chunk(writer, held)
                held = chunk
        await self._write_chunk(writer, held)

    async def _write_chunk(self, writer: AbstractStreamWriter, chunk: bytes) -> None:
        """Write a chunk at once, which is fastest, or in pieces as the bandwidth allows."""
        if self._bwlimit is None:
            await writer.write(chunk)
            return
        view = memoryview(chunk)
        for start in range(0, len(view), PIECE_BYTES):
            piece = view[start : start + PIECE_BYTES]
            self._is_held_up = True
            await spend(self._bwlimit, len(piece))
            self._is_held_up = False
            await writer.write(piece)

    async def _verified(self) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(_exactly(self._body)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Exception as error:
            self.failure = error
            raise


@contextmanager
def _watched(deadline: asyncio.Timeout, *, moved: Callable[[], int | None], stall_s: float) -> Iterator[None]:
    """Extend the deadline while at least 64 KiB move in `stall_s`; checks four times in that period."""
    loop = asyncio.get_running_loop()
    mark = 0
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal mark, timer
        if deadline.expired():
            return
        count = moved()
        if count is None or count - mark >= PIECE_BYTES:
            mark = mark if count is None else count
            deadline.reschedule(loop.time() + stall_s)
        timer = loop.call_later(stall_s / 4, look)

    look()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


async def _exactly(body: Body) -> AsyncGenerator[bytes, None]:
    """Yield the body's chunks. Raises SourceChanged if they are more or fewer bytes than its size."""
    left = body.size_bytes
    chunks = body.chunks()
    try:
        async for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    if left != 0:
        raise SourceChanged

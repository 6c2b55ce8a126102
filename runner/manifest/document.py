"""Document: text on its way to a sink, in chunks of about 64 KiB, a few at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.errors import BulkheadError
from runner.sinks.result_array import Chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.protocols import Sink

CHUNK_BYTES = 64 << 10


class Document:
    """What one side adds and the other writes: `add` waits while two chunks are not written yet."""

    def __init__(self, *first: bytes) -> None:
        self._gathered = Chunks(CHUNK_BYTES, *first)
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=2)
        self._is_read = False

    async def add(self, rendered: bytes) -> None:
        if chunk := self._gathered.add(rendered):
            await self._queue.put(chunk)

    async def end(self) -> None:
        await self._queue.put(self._gathered.rest())
        await self._queue.put(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self._is_read:
            chunk = await self._queue.get()
            self._is_read = chunk is None
            if chunk is not None:
                yield chunk

    async def try_to_store(self, sink: Sink, name: str) -> BulkheadError | None:
        """Write the document; if the sink cannot, return why, once everything was added."""
        try:
            await sink.write(name, self.chunks())
        except BulkheadError as error:
            async for _ in self.chunks():
                pass
            return error
        return None

"""Bodies for uploads: bytes in memory whose declared size may be wrong, or that fail midway."""

from __future__ import annotations

from collections.abc import AsyncIterator


class FakeBody:
    """Yields `chunks_given`, then raises `error` if there is one; `size_bytes` is the declared size."""

    def __init__(
        self, chunks_given: list[bytes], *, size_bytes: int | None = None, error: Exception | None = None
    ) -> None:
        self._chunks = chunks_given
        self._size_bytes = sum(map(len, chunks_given)) if size_bytes is None else size_bytes
        self._error = error
        self.closed_count = 0

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self._chunks:
                yield chunk
            if self._error is not None:
                raise self._error
        finally:
            self.closed_count += 1

"""A local file's bytes on their way to storage, proven to be those prepared before the last of them leaves."""

from __future__ import annotations

import asyncio
import os
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from io import FileIO

from runner.errors import SourceChanged
from runner.sources.opened import BLOCK_BYTES, from_os_error, opened, version_of


class FileBody:
    """A file to be sent once; implements `ports.Body`. The file is opened when the first chunk is asked for.

    A file that was written to meanwhile is noticed by its size, its modification time and the CRC-32 of what is sent.
    SHA-256 identifies the content; computed a second time while sending it would halve the speed.
    """

    def __init__(self, path: str, *, size_bytes: int, version: str, crc32: int, threaded: bool = True) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._version = version
        self._crc32 = crc32
        self._threaded = threaded

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes that `chunks` yields."""
        return self._size_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield 1 MiB at a time; the next chunk is read while one is being sent.

        Raises SourceChanged, ItemRejected.
        """
        reader = _Reader(self._path, self._size_bytes, version=self._version, crc32=self._crc32)
        start = _in_thread if self._threaded else _inline
        coming = start(reader.next_chunk)
        try:
            while chunk := await coming:
                coming = start(reader.next_chunk)
                yield chunk
        finally:
            reader.close()
            coming.add_done_callback(_forget)


class _Reader:
    """Reads and checks in the same call; one call at a time."""

    def __init__(self, path: str, size_bytes: int, *, version: str, crc32: int) -> None:
        self._path = path
        self._left = size_bytes
        self._version = version
        self._crc32 = crc32
        self._crc32_so_far = 0
        self._open = ExitStack()
        self._file: FileIO | None = None
        self._reading = threading.Lock()
        self._closed = False

    def next_chunk(self) -> bytes:
        """Return the next chunk, the last one only if the whole is what was prepared; nothing at the end."""
        try:
            with self._reading:
                return self._read() if self._left and not self._closed else b""
        finally:
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the file without waiting: where a thread is reading, that thread closes it."""
        self._closed = True
        if self._reading.acquire(blocking=False):
            try:
                self._open.close()
            finally:
                self._reading.release()

    def _read(self) -> bytes:
        file = self._file or self._opened()
        chunk = _read_some(file, min(BLOCK_BYTES, self._left))
        if not chunk:
            raise SourceChanged
        self._left -= len(chunk)
        self._crc32_so_far = zlib.crc32(chunk, self._crc32_so_far)
        if self._left == 0:
            self._verify(file)
        return chunk

    def _opened(self) -> FileIO:
        self._file, info = self._open.enter_context(opened(self._path))
        if version_of(info) != self._version:
            raise SourceChanged
        return self._file

    def _verify(self, file: FileIO) -> None:
        same = version_of(os.fstat(file.fileno())) == self._version
        if not same or self._crc32_so_far != self._crc32:
            raise SourceChanged


def _in_thread(read: Callable[[], bytes]) -> asyncio.Future[bytes]:
    return asyncio.get_running_loop().run_in_executor(None, read)


def _inline(read: Callable[[], bytes]) -> asyncio.Future[bytes]:
    done = asyncio.get_running_loop().create_future()
    try:
        done.set_result(read())
    except Exception as error:  # noqa: BLE001 - the future carries it to whoever awaits the chunk
        done.set_exception(error)
    return done


def _forget(done: asyncio.Future[bytes]) -> None:
    """Take note of the error of a chunk that nobody awaits any more."""
    if not done.cancelled():
        done.exception()


def _read_some(file: FileIO, size_bytes: int) -> bytes:
    try:
        return file.read(size_bytes) or b""
    except OSError as error:
        raise from_os_error(error) from error

"""FileBody: a local file's bytes for an upload, verified before the last of them is sent."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import FileIO
from pathlib import Path

from runner.concurrency import QUICK_BYTES, in_thread
from runner.errors import SourceChanged
from runner.sources.file_open import BLOCK_BYTES, Stamp, from_os_error, opened, stat_of
from runner.sources.file_path import FilePath

HASHED_BYTES = 16 << 20
"""Files up to this size are hashed again while they are sent; for larger files that would halve the speed."""


OPEN_FILES = Path("/proc/self/fd")
"""Where Linux has the open files of this process; each can be opened again, and is then read from its start."""


class FileBody:
    """A file to be sent once; implements `Body`. The file is opened when the first chunk is requested.

    Inode, size, modification time, and change time tell whether it is still the file that was prepared, at the start
    and before the last chunk is sent. Those times have a resolution of some milliseconds, within which a small file
    can be read and written again; so a small file is also hashed.
    """

    def __init__(self, path: FilePath, *, stamp: Stamp, sha256: str, threaded: bool = True) -> None:
        self._path = path
        self._stamp = stamp
        self._sha256 = sha256 if stamp.size_bytes <= HASHED_BYTES else None
        self._threaded = threaded

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes that `chunks` yields."""
        return self._stamp.size_bytes

    @contextmanager
    def held(self) -> Iterator[Path]:
        """Yield a path, below OPEN_FILES, to the file that was prepared, whatever its name leads to in the meantime.

        Raises SourceChanged, ItemRejected, FileUnavailable.
        """
        with opened(self._path) as (file, info):
            if Stamp.of(info) != self._stamp:
                raise SourceChanged
            yield OPEN_FILES / str(file.fileno())

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield chunks of 1 MiB; the next chunk is read while one is being sent.

        Raises SourceChanged, ItemRejected, FileUnavailable.
        """
        reader = _Reader(self._path, self._stamp, sha256=self._sha256)
        start = partial(in_thread, is_quick=self.size_bytes <= QUICK_BYTES) if self._threaded else _inline
        coming = start(reader.next_chunk)
        try:
            while chunk := await coming:
                coming = (_inline if reader.is_at_end else start)(reader.next_chunk)
                yield chunk
        finally:
            reader.close()
            coming.add_done_callback(_forget)


class _Reader:
    """Reads and checks in the same call; one call at a time."""

    def __init__(self, path: FilePath, stamp: Stamp, *, sha256: str | None) -> None:
        self._path = path
        self._left = stamp.size_bytes
        self._stamp = stamp
        self._sha256 = sha256
        self._digest = hashlib.sha256() if sha256 else None
        self._open = ExitStack()
        self._file: FileIO | None = None
        self._reading = threading.Lock()
        self._closed = False

    @property
    def is_at_end(self) -> bool:
        """Return whether every chunk was read, so that nothing is left to wait for."""
        return self._left == 0

    def next_chunk(self) -> bytes:
        """Return the next chunk, the last one only if the file is the one that was prepared; empty at the end."""
        try:
            with self._reading:
                return self._read() if self._left and not self._closed else b""
        finally:
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the file without waiting: if a thread is reading, that thread closes it."""
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
        if self._digest is not None:
            self._digest.update(chunk)
        if self._left == 0:
            self._verify(file)
        return chunk

    def _opened(self) -> FileIO:
        self._file, info = self._open.enter_context(opened(self._path))
        if Stamp.of(info) != self._stamp:
            raise SourceChanged
        return self._file

    def _verify(self, file: FileIO) -> None:
        same = Stamp.of(stat_of(file.fileno())) == self._stamp
        if not same or (self._digest is not None and self._digest.hexdigest() != self._sha256):
            raise SourceChanged


def _inline(read: Callable[[], bytes]) -> asyncio.Future[bytes]:
    done = asyncio.get_running_loop().create_future()
    try:
        done.set_result(read())
    except Exception as error:  # noqa: BLE001 - the future carries it to the caller that awaits the chunk
        done.set_exception(error)
    return done


def _forget(done: asyncio.Future[bytes]) -> None:
    """Retrieve the error of a chunk that is no longer awaited, so that asyncio does not log it."""
    if not done.cancelled():
        done.exception()


def _read_some(file: FileIO, size_bytes: int) -> bytes:
    try:
        return file.read(size_bytes) or b""
    except OSError as error:
        raise from_os_error(error) from error

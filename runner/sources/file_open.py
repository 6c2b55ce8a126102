"""Opening local inputs: only regular files are read, and never a different file than intended."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO

from runner.errors import FileUnavailable, ItemRejected, SourceChanged
from runner.sources.file_path import FilePath

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
BLOCK_BYTES = 1 << 20

_TOO_MANY_OPEN = frozenset({errno.EMFILE, errno.ENFILE})
_OF_THE_MOMENT = _TOO_MANY_OPEN | {
    errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ETIMEDOUT, errno.ENETDOWN,
    errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN,
    errno.ENODEV,
}  # fmt: skip
"""A disk or network share that fails for now, or too few resources of this machine."""


def version_of(info: os.stat_result) -> str:
    """Return a text that changes with the file: its size and its modification time in nanoseconds."""
    return f"{info.st_size}-{info.st_mtime_ns:x}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """Values that the system changes with every write to a file, even if its modification time is set back."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        return cls(info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def not_a_file() -> ItemRejected:
    """Return the rejection of a directory, pipe, socket or device."""
    return ItemRejected("not_a_file", "not a regular file (a directory, pipe, socket or device); it was not opened")


def is_of_the_moment(error: OSError) -> bool:
    """Return whether a failure to list, open or read says nothing about the file itself, and may pass."""
    return error.errno in _OF_THE_MOMENT


def from_os_error(error: OSError) -> ItemRejected | FileUnavailable:
    """Translate a failure to open or read: `not_found`, `not_a_file`, `unreadable`, or FileUnavailable."""
    if is_of_the_moment(error):
        hint = "raise the limit of open files (ulimit -n)" if error.errno in _TOO_MANY_OPEN else None
        return FileUnavailable(f"it cannot be read at the moment: {error.strerror}", hint=hint)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ItemRejected("not_found", "there is no such file")
    if error.errno in (errno.ENXIO, errno.EISDIR):
        return not_a_file()
    return ItemRejected("unreadable", f"it cannot be read: {error.strerror or type(error).__name__}")


def stat_of(descriptor: int) -> os.stat_result:
    """Return the stat of an open file. Raises ItemRejected, FileUnavailable."""
    try:
        return os.fstat(descriptor)
    except OSError as error:
        raise from_os_error(error) from error


@contextmanager
def opened(path: FilePath) -> Iterator[tuple[FileIO, os.stat_result]]:
    """Open a regular file, but no symbolic link, and yield it with its stat. Raises ItemRejected, FileUnavailable."""
    try:
        with path.parent() as (folder, name):
            if not stat.S_ISREG(os.lstat(name, dir_fd=folder).st_mode):
                raise not_a_file()
            descriptor = os.open(name, _FLAGS | _NO_FOLLOW, dir_fd=folder)
    except OSError as error:
        raise from_os_error(error) from error
    except ValueError as error:
        raise ItemRejected("not_found", "there is no such file") from error
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor has no path
        info = stat_of(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise not_a_file()
        yield file, info


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was read to its end: its stat, its sha256 in hex, and its bytes if they were kept."""

    info: os.stat_result
    sha256: str
    content: bytes


def read_once(path: FilePath, *, check: Callable[[int], ItemRejected | None], keep: bool) -> ReadFile:
    """Read a file to its end.

    `check` tells before the first byte whether a size is rejected. Raises ItemRejected, SourceChanged if the file
    changed while it was read, and FileUnavailable.
    """
    digest = hashlib.sha256()
    kept: list[bytes] = []
    with opened(path) as (file, before):
        if rejection := check(before.st_size):
            raise rejection
        for block in _blocks(file, limit=before.st_size + 1):
            digest.update(block)
            if keep:
                kept.append(block)
        after = stat_of(file.fileno())
        read_bytes = file.tell()
    if Stamp.of(after) != Stamp.of(before) or read_bytes != before.st_size:
        raise SourceChanged
    return ReadFile(before, digest.hexdigest(), b"".join(kept))


def _blocks(file: FileIO, *, limit: int) -> Iterator[bytes]:
    """Yield the file's bytes up to `limit`, so that a growing file ends. Raises ItemRejected."""
    left = limit
    while left > 0:
        try:
            block = file.read(min(BLOCK_BYTES, left))
        except OSError as error:
            raise from_os_error(error) from error
        if not block:
            return
        left -= len(block)
        yield block

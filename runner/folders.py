"""Folders: directories that are opened within their parents, so that no link below a root is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

OPEN_COUNT = 32
"""Directories that a Descent keeps open; it opens those above them again on the way back (choice)."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_WAY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""For a directory that only leads to others, which on Linux needs no permission to read it."""


def open_root(path: str | os.PathLike[str]) -> int:
    """Open a directory by its path, which may be a link. Raises OSError."""
    return os.open(path, _FOLDER)


def open_folder(name: str | bytes, *, within: int) -> int:
    """Open a directory within another. Raises OSError, also if it is a link."""
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=within)


def open_way(root: str | os.PathLike[str], names: Iterable[str | bytes]) -> int:
    """Open a directory below a root as a starting point for names in it. Raises OSError, also if it is a link."""
    folder = os.open(root, _WAY)
    for name in names:
        try:
            deeper = os.open(name, _WAY | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        folder = deeper
    return folder


def open_below(root: str | os.PathLike[str], names: Iterable[str | bytes]) -> int:
    """Open a directory below a root, to list it. Raises OSError, also if it is a link."""
    way = open_way(root, names)
    try:
        return open_folder(".", within=way)
    finally:
        os.close(way)


def is_link(name: str | bytes, *, within: int | None = None) -> bool:
    """Return whether a name is a link; False if there is nothing."""
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=within).st_mode)
    except (OSError, ValueError):
        return False


class Descent:
    """The way from a root down to one directory at a time, however deep."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._names: list[bytes] = []
        self._open = [-1]

    def folder(self) -> int:
        """Return the open directory that the way has come to. Raises OSError."""
        if self._open[-1] < 0:
            self._open[-1] = open_below(self._root, self._names)
        return self._open[-1]

    def enter(self, name: bytes) -> None:
        """Go down into a directory. Raises OSError, also if it is a link."""
        self._open.append(open_folder(name, within=self.folder()))
        self._names.append(name)
        if len(self._open) > OPEN_COUNT:
            self._close(-OPEN_COUNT - 1)

    def leave(self) -> None:
        """Go up again."""
        self._close(-1)
        self._open.pop()
        self._names.pop()

    def close(self) -> None:
        """Close every directory."""
        for level in range(len(self._open)):
            self._close(level)

    def _close(self, level: int) -> None:
        if self._open[level] >= 0:
            os.close(self._open[level])
            self._open[level] = -1

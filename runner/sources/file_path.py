"""FilePath: a file on this machine, and how it is reached."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runner.errors import ItemRejected
from runner.folders import is_link, open_way
from runner.sources.spec import printable


@dataclass(frozen=True, slots=True)
class FilePath:
    """A file below a root, on a way without links; without a root, a path as somebody named it.

    The root itself may be a link.
    """

    path: str
    root: str | None = None

    def __str__(self) -> str:
        return self.path if self.root is None else os.path.join(self.root, self.path)  # noqa: PTH118 - Path() normalizes

    def lstat(self) -> os.stat_result:
        """Return the stat of what is there, a link included. Raises OSError, ValueError, ItemRejected."""
        with self.parent() as (folder, name):
            return os.lstat(name, dir_fd=folder)

    @contextmanager
    def parent(self) -> Iterator[tuple[int | None, str]]:
        """Yield the open directory of the file, and its name there. Raises OSError, ItemRejected."""
        if self.root is None:
            yield None, self.path
            return
        *folders, name = self.path.split("/")
        folder = _opened(self.root, folders)
        try:
            yield folder, name
        finally:
            os.close(folder)


def _opened(root: str, names: list[str]) -> int:
    try:
        return open_way(root, names)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and (link := _first_link(root, names)):
            raise linked_directory(link) from error
        raise


def _first_link(root: str, names: list[str]) -> str | None:
    paths = ("/".join(names[: depth + 1]) for depth in range(len(names)))
    return next((path for path in paths if is_link(f"{root}/{path}")), None)


def linked_directory(path: str) -> ItemRejected:
    """Return the rejection of a file behind a link that has replaced a directory."""
    return ItemRejected("linked_directory", f"the directory {printable(path)} is a link now; it was not followed")

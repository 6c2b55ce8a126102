"""Permissions: who may read the files that Bulkhead makes, whatever the umask."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Permissions:
    """The mode of files; those who can read the files can also enter the directories."""

    file: int = 0o600

    def __str__(self) -> str:
        return f"{self.file:04o}"

    @property
    def folder(self) -> int:
        return self.file | (self.file & 0o444) >> 2

    def open(self, path: Path, flags: int) -> int:
        """Open a file, and create it with this mode if it is missing. Raises OSError."""
        flags |= os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags | os.O_EXCL, self.file)
        except FileExistsError:
            return os.open(path, flags, self.file)
        self.give(descriptor)
        return descriptor

    def create(self, path: Path) -> None:
        """Create an empty file, unless something has its name. Raises OSError."""
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self.file)
            self.give(descriptor)
            os.close(descriptor)

    def give(self, descriptor: int) -> None:
        """Give an open file or directory its mode; on a file system without modes, nothing happens."""
        mode = self.folder if stat.S_ISDIR(os.fstat(descriptor).st_mode) else self.file
        with suppress(OSError):
            os.fchmod(descriptor, mode)

    def write(self, path: Path, content: bytes) -> None:
        """Write a file; an existing one keeps its mode. Raises OSError."""
        with os.fdopen(self.open(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            file.write(content)

    def make_folder(self, path: Path) -> None:
        """Create a directory and its missing parents; existing ones keep their mode. Raises OSError."""
        missing = [place for place in (path, *path.parents) if not place.exists()]
        for place in reversed(missing):
            with suppress(FileExistsError):
                place.mkdir(self.folder)
                with suppress(OSError):
                    place.chmod(self.folder)

    def closing(self, paths: Iterable[Path]) -> str | None:
        """Return the command that takes from others what these permissions do not allow, None if there is nothing."""
        wide: dict[int, list[str]] = {}
        for path in paths:
            with suppress(OSError):
                found = path.stat().st_mode
                allowed = self.folder if stat.S_ISDIR(found) else self.file
                if found & 0o077 & ~allowed:
                    wide.setdefault(allowed, []).append(shlex.quote(str(path)))
        return " && ".join(f"chmod {mode:04o} {' '.join(names)}" for mode, names in wide.items()) or None


PRIVATE = Permissions()

"""Files of the sandbox, which only their owner can read, whatever the umask."""

import contextlib
import os
import shlex
from pathlib import Path
from typing import BinaryIO

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_OF_OTHERS = 0o077


def make_folder(path: Path) -> None:
    """Create a directory and its missing parents; existing ones keep their mode. Raises OSError."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(_FOLDER_MODE, exist_ok=True)


def create(path: Path) -> None:
    """Create an empty file for SQLite, which gives its mode to those beside it, unless it exists. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE))


def open_new(path: Path) -> BinaryIO:
    """Open a new file for writing. Raises OSError, also if it exists."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE), "wb")


def command_to_close(directory: Path) -> str | None:
    """Return the command that keeps others out of a directory and its files, None if they cannot read any."""
    if not any(path.stat().st_mode & _OF_OTHERS for path in (directory, *directory.iterdir())):
        return None
    return f"chmod -R go-rwx {shlex.quote(str(directory))}"

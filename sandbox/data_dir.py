"""A sandbox's directory: only one process uses it, and what killed processes left is removed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sandbox.private_files import make_folder

TEMPORARY_PREFIX = "sandbox-"
LOCK_NAME = "owner.lock"


@contextlib.contextmanager
def locked_data_dir(directory: Path) -> Iterator[Path]:
    """Hold `directory` for this process alone, created if it is missing. Raises OSError if another process holds it."""
    if directory.exists() and not directory.is_dir():
        raise OSError(f"{directory} is not a directory; --data names one")
    try:
        make_folder(directory)
    except OSError as error:
        raise OSError(f"{directory} cannot be used: {error.strerror}; --data names another") from error
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(descriptor):
            raise OSError(f"another sandbox uses {directory}; --data names another")
        yield directory
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_data_dir(*, parent: Path | None = None) -> Iterator[Path]:
    """Make a directory for the block; first, remove those whose process is gone. Raises OSError."""
    place = parent or Path(tempfile.gettempdir())
    remove_abandoned(place)
    directory = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=place))
    # The lock is taken before the file gets its name, so that it is never free while its owner lives.
    unnamed = directory / f"{LOCK_NAME}.new"
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unnamed.rename(directory / LOCK_NAME)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(parent: Path) -> None:
    """Remove the temporary directories in `parent` whose lock no process holds; one without a lock is not ours."""
    for lock in parent.glob(f"{TEMPORARY_PREFIX}*/{LOCK_NAME}"):
        with contextlib.suppress(OSError):
            _remove_if_free(lock)


def _remove_if_free(lock: Path) -> None:
    if lock.parent.is_symlink() or lock.parent.stat().st_uid != os.getuid():
        return
    descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if _locked(descriptor):
            shutil.rmtree(lock.parent, ignore_errors=True)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""The lock file that allows one writer per ledger, and the file systems whose locks cannot be trusted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runner.errors import LedgerError, LedgerLocked
from runner.models import iso
from runner.permissions import PRIVATE, Permissions

_MOUNTS = Path("/proc/mounts")
_NETWORK_TYPES = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "fuse.sshfs"})
_WSL_TYPES = frozenset({"9p", "virtiofs"})
_CHECK_S = 0.05
_OCTAL = re.compile(r"\\([0-7]{3})")


class LockFile:
    """A file next to the ledger, locked by the process that writes; the kernel releases it when that process ends."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor: int | None = descriptor
        self._path = path

    @classmethod
    def take(cls, path: Path, *, ledger: Path, now: datetime, permissions: Permissions = PRIVATE) -> LockFile:
        """Lock `path` and write who holds it. Raises LedgerLocked, or OSError if it cannot be opened or locked."""
        descriptor = permissions.open(path, os.O_RDWR)
        try:
            lock_now(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()}, since {iso(now)}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("ascii", "replace").strip() or "just starting"
            os.close(descriptor)
            raise LedgerLocked(
                f"another run ({holder}) holds the ledger {ledger}",
                hint="`bulkhead status` shows its progress; `bulkhead resume --wait` waits until it ends",
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        return cls(descriptor, path)

    @property
    def is_in_place(self) -> bool:
        """Return whether another process that wants the lock finds this file."""
        return self._descriptor is None or is_in_place(self._descriptor, self._path)

    def release(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def lock_path(ledger: Path) -> Path:
    """Return the path of a ledger's lock file."""
    return ledger.with_name(f"{ledger.name}.lock")


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock file; True if that cannot be determined."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock_now(descriptor: int) -> None:
    """Take the lock; `is_locked` in another process may hold it for a moment. Raises BlockingIOError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_CHECK_S)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_in_place(descriptor: int, path: Path) -> bool:
    """Return whether a path still leads to the file that is open; True if that cannot be determined."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return os.path.samestat(found, os.fstat(descriptor))


def refuse_network_file_system(path: Path, *, mounts: Path = _MOUNTS) -> None:
    """Raise LedgerError if `path` is on a network file system or a Windows drive, as far as this system shows."""
    try:
        table = mounts.read_text("utf-8", "surrogateescape")
    except OSError:
        return
    mount = _mount_of(path.resolve(), table)
    if mount.is_windows_drive:
        raise LedgerError(
            f"the ledger {path} is on a Windows drive ({mount.kind}), where locks cannot be trusted",
            hint="keep it on the disk of WSL: --ledger ~/bulkhead/ledger.db; files to import can stay where they are",
        )
    if mount.is_network:
        raise LedgerError(
            f"the ledger {path} is on a network file system ({mount.kind}), where locks cannot be trusted",
            hint="keep it on a local disk: --ledger /path/on/a/local/disk/ledger.db",
        )


@dataclass(frozen=True, slots=True)
class _Mount:
    """A line of the mount table. Drives of Windows are mounted by drvfs, which WSL 2 reaches over 9p or virtiofs."""

    device: str = ""
    folder: str = ""
    kind: str = ""
    options: str = ""

    @property
    def is_windows_drive(self) -> bool:
        return self.kind == "drvfs" or (
            self.kind in _WSL_TYPES and (self.device.startswith("drvfs") or "aname=drvfs" in self.options)
        )

    @property
    def is_network(self) -> bool:
        """Return whether another machine serves the files; 9p over a descriptor is served by a process of this one."""
        return self.kind in _NETWORK_TYPES or (self.kind == "9p" and "trans=fd" not in self.options.split(","))


def _mount_of(path: Path, table: str) -> _Mount:
    deepest = _Mount()
    for line in table.splitlines():
        parts = [_OCTAL.sub(lambda code: chr(int(code[1], 8)), part) for part in line.split(" ")]
        mount = _Mount(*parts[:4])
        if path.is_relative_to(mount.folder) and len(mount.folder) >= len(deepest.folder):
            deepest = mount
    return deepest

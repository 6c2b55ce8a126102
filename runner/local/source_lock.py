"""SourceLock: allows one run at a time on a source of an account, whichever ledger files the runs use.

The locks of an account are files in one directory beside the quota store. A run that is in progress holds a lock of the
operating system on its own file, which says what it imports; the kernel releases it when the process ends, however it
ends. Another file remembers which ledger each source was last imported with.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runner.errors import LedgerReplaced, SourceLocked
from runner.events import Notice
from runner.ledger.sqlite.database import explained
from runner.ledger.sqlite.lockfile import is_in_place, lock_now
from runner.models import iso
from runner.permissions import PRIVATE, Permissions
from runner.sources.roots import SourceRoot

if TYPE_CHECKING:
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.models import Batch

REMEMBERED_SOURCES = 1000
"""Sources of an account whose last ledger is remembered (choice)."""

_LONGEST_WAIT_S = 10.0
"""Runs hold the registry for milliseconds (choice)."""

_LOOK_AGAIN_S = 0.02
_REGISTRY = "registry"
_LAST_RUNS = "last-runs.json"
_ELSEWHERE = "BULKHEAD_QUOTA_STORE names another file, and the locks are beside it"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The newest run that ended or began before on a source or a part of it: its root, ledger, and batch."""

    root: SourceRoot
    ledger: str
    batch_id: str
    at: str


class SourceLock:
    """The lock that a run holds on its source; `last_run` is what the run before it left behind."""

    def __init__(
        self, directory: Path, root: SourceRoot, *, ledger: Path, now: datetime, permissions: Permissions = PRIVATE
    ) -> None:
        self.root = root
        self._permissions = permissions
        self.ledger = ledger
        self.last_run: LastRun | None = None
        self._directory = directory
        self._since = now
        self._path = directory / f"{os.getpid()}-{secrets.token_hex(4)}.lock"
        self._descriptor: int | None = None

    @classmethod
    async def take(
        cls, directory: Path, root: SourceRoot, *, ledger: Path, now: datetime, permissions: Permissions = PRIVATE
    ) -> Self:
        """Lock a source. Raises SourceLocked, LedgerError, StorageFull."""
        lock = cls(directory, root, ledger=ledger, now=now, permissions=permissions)
        async with _registry(directory, permissions):
            for held in _held(directory, permissions):
                lock._refuse(held)
            lock._write()
            lock.last_run = _newest(_last_runs(directory), root)
        return lock

    async def introduce(self, batch: Batch, ledger: Ledger, emit: EventHook, *, tagged: bool) -> None:
        """Say if the run before this one used another ledger, and record that this run uses its own.

        `tagged`: whether names of files carry tags. Raises LedgerError, StorageFull.
        """
        last = self.last_run
        if last is not None and await ledger.batch(last.batch_id) is None:
            emit(Notice(code="other_ledger", message=_sentence(last, self.ledger, tagged=tagged)))
        await self._remember(batch.batch_id)

    async def _remember(self, batch_id: str) -> None:
        own = LastRun(
            root=replace(self.root, inodes=()), ledger=str(self.ledger), batch_id=batch_id, at=iso(self._since) or ""
        )
        async with _registry(self._directory, self._permissions):
            others = [run for run in _last_runs(self._directory) if run.root.parts != own.root.parts]
            _save_last_runs(self._directory, [*others[1 - REMEMBERED_SOURCES :], own], self._permissions)

    def check(self) -> None:
        """Raise LedgerReplaced if the lock's file was deleted: another run would not see it."""
        if self._descriptor is not None and not is_in_place(self._descriptor, self._path):
            raise LedgerReplaced(f"the lock of this run, {self._path}, was deleted")

    def release(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def _refuse(self, held: dict[str, Any]) -> None:
        """Raise SourceLocked if another run, as described in its file, may import a file of this source."""
        try:
            other, ledger, pid = SourceRoot.from_json(held["root"]), str(held["ledger"]), int(held["pid"])
        except (KeyError, TypeError, ValueError):
            raise SourceLocked("another run of this account is just starting", hint="run the command again") from None
        if not self.root.overlaps(other):
            return
        what = str(other) if other.parts == self.root.parts else f"{other}, which overlaps with {self.root},"
        raise SourceLocked(
            f"another run (pid {pid}, since {held['since']}) imports {what} with the ledger {ledger}",
            hint=f"`bulkhead status --ledger {shlex.quote(ledger)}` shows its progress; run this command again when it "
            "has ended",
        )

    def _write(self) -> None:
        held = {
            "pid": os.getpid(), "since": iso(self._since), "ledger": str(self.ledger), "root": self.root.to_json()
        }  # fmt: skip
        self._descriptor = self._permissions.open(self._path, os.O_RDWR | os.O_EXCL)
        try:
            lock_now(self._descriptor)
            os.pwrite(self._descriptor, json.dumps(held).encode("ascii"), 0)
        except BaseException:
            self.release()
            raise


def _sentence(last: LastRun, ledger: Path, *, tagged: bool) -> str:
    said = f"the last run of {last.root} used another ledger: {last.ledger} (batch {last.batch_id})"
    if last.ledger == str(ledger):
        said = f"the ledger {ledger} is not the one of the last run of {last.root}: it has no batch {last.batch_id}"
    if tagged:
        return f"{said}; files that it sent are recognized by the tags in their names"
    return f"{said}; without tags in their names, files that it sent are sent again"


@asynccontextmanager
async def _registry(directory: Path, permissions: Permissions) -> AsyncIterator[None]:
    """Keep the other runs of the account from changing the directory while the block runs.

    Raises SourceLocked, LedgerError, StorageFull.
    """
    with explained(directory, elsewhere=_ELSEWHERE):
        for _ in range(int(_LONGEST_WAIT_S / _LOOK_AGAIN_S)):
            with _locked(directory / _REGISTRY, permissions) as is_locked:
                if is_locked:
                    yield
                    return
            await asyncio.sleep(_LOOK_AGAIN_S)
    raise SourceLocked(f"another run does not release {directory / _REGISTRY}", hint="run the command again")


@contextmanager
def _locked(path: Path, permissions: Permissions) -> Iterator[bool]:
    """Lock a file while the block runs; False if another process has locked or deleted it."""
    permissions.make_folder(path.parent)
    descriptor = permissions.open(path, os.O_RDWR)
    try:
        yield _is_locked_now(descriptor) and is_in_place(descriptor, path)
    finally:
        os.close(descriptor)


def _is_locked_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held(directory: Path, permissions: Permissions) -> Iterator[dict[str, Any]]:
    """Yield what the files of runs in progress say; those of processes that have ended are deleted."""
    for path in sorted(directory.glob("*.lock")):
        with _locked(path, permissions) as is_free:
            if is_free:
                path.unlink()
            elif path.exists():
                yield _read(path)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}


def _last_runs(directory: Path) -> list[LastRun]:
    """Return what is remembered, oldest first; nothing if it cannot be read."""
    found = _read(directory / _LAST_RUNS)
    try:
        return [LastRun(**{**run, "root": SourceRoot.from_json(run["root"])}) for run in found.get("runs", ())]
    except (AttributeError, KeyError, TypeError, IndexError):
        return []


def _save_last_runs(directory: Path, runs: list[LastRun], permissions: Permissions) -> None:
    raw = [{"root": run.root.to_json(), "ledger": run.ledger, "batch_id": run.batch_id, "at": run.at} for run in runs]
    draft = directory / f"{_LAST_RUNS}.tmp"
    permissions.write(draft, json.dumps({"runs": raw}).encode("ascii"))
    draft.replace(directory / _LAST_RUNS)


def _newest(runs: list[LastRun], root: SourceRoot) -> LastRun | None:
    return next((run for run in reversed(runs) if run.root.overlaps(root)), None)

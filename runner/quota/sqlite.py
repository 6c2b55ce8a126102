"""The create slots of one machine: a small SQLite file that all its processes share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from runner.clock import system_now, system_ticks
from runner.errors import BulkheadError, LedgerCorrupt, LedgerLocked, LedgerUnavailable
from runner.formatting import lasting
from runner.ledger import rules
from runner.ledger.sqlite.database import Schema, bring_up, connect, explained, rolled_back, sibling
from runner.permissions import PRIVATE, Permissions
from runner.quota.slots import Slot, Turn

logger = logging.getLogger(__name__)

MAX_WAIT_AFTER_BOOT_S = 120.0
"""Longest wait for a slot of an earlier boot, or one whose clocks contradict each other."""

BUSY_TIMEOUT_S = 0.05
"""How long a call blocks its process while another one writes, which takes milliseconds."""

BUSY_PAUSE_S = 0.2
LONGEST_BUSY_S = 300.0
"""How long a run waits for a program that holds the file, such as a backup (choice)."""

_ELSEWHERE = "BULKHEAD_QUOTA_STORE names another file"
_IF_DAMAGED = f"if nothing else uses it, delete it: it has only the pace of creates; otherwise, {_ELSEWHERE}"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_T = TypeVar("_T")
_SCHEMA = Schema(
    application_id=0x426B7174,  # "Bkqt"
    version=1,
    script="""
-- A slot is busy until `busy_until`, seconds on the clock of the boot `boot_id`; `wall_until` is the same instant in
-- milliseconds since 1970 UTC, for use after a reboot. Slot -1 is the hold: nobody creates before it ends.
CREATE TABLE slots (
  quota_key TEXT NOT NULL,
  number INTEGER NOT NULL,
  busy_until REAL NOT NULL,
  token TEXT NOT NULL,
  wall_until INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  PRIMARY KEY (quota_key, number)
) WITHOUT ROWID;
""",
)
_MAGIC = b"SQLite format 3\0"
_HEAD_BYTES = 72
"""The head of an SQLite file as far as the application id."""

_INDEX = "CREATE INDEX IF NOT EXISTS slots_by_end ON slots (quota_key, boot_id, busy_until)"
"""Earlier versions neither need the index nor mind it, so the version of the file stays."""

_OF_PARENTS: list[sqlite3.Connection] = []
"""Connections that a fork inherited, so that they are not closed as garbage."""

_HOLD = -1
_UPSERT = "INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?, ?)"
_COLUMNS = "SELECT number, busy_until, token, wall_until, boot_id FROM slots WHERE quota_key = ?"
_ONE = f"{_COLUMNS} AND number = ?"
_OTHER_BOOT = f"{_COLUMNS} AND boot_id < ? UNION ALL {_COLUMNS} AND boot_id > ?"
_HIGHEST = "SELECT MAX(number) FROM slots WHERE quota_key = ? AND number < ?"
_EARLIEST = f"""{_COLUMNS.replace("slots", "slots INDEXED BY slots_by_end")}
AND boot_id = ? AND number BETWEEN 0 AND ? ORDER BY busy_until LIMIT 1"""
_BUSY = """SELECT COUNT(*) FROM slots INDEXED BY slots_by_end
WHERE quota_key = ? AND boot_id = ? AND busy_until > ? AND number BETWEEN 0 AND ?"""
_Row = tuple[int, float, str, int, str]


def system_boot_id() -> str:
    """Return the id of this boot, or an empty text if the system has none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


class SqliteSlots:
    """A SlotStore in a file, over one connection; a fork, and a file in another's place, get a connection of their own.

    A lost or damaged file costs at most a refused create. Every method may raise LedgerError, LedgerUnavailable, or
    StorageFull.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        now: Callable[[], datetime] = system_now,
        ticks: Callable[[], float] = system_ticks,
        boot_id: str | None = None,
        permissions: Permissions = PRIVATE,
    ) -> None:
        self._path = Path(path)
        self._permissions = permissions
        self._now = now
        self._ticks = ticks
        self._boot_id = system_boot_id() if boot_id is None else boot_id
        self._open: _OpenFile | None = None
        self._adopted: set[str] = set()
        """The quota keys whose slots of earlier boots were converted over the open connection."""

    async def first(self, quota_key: str, *, count: int) -> Turn:
        def work(db: sqlite3.Connection) -> Turn:
            self._adopt(db, quota_key)
            not_before = self._known(db, quota_key, _HOLD).until
            highest = db.execute(_HIGHEST, (quota_key, count)).fetchone()[0]
            never_used = 0 if highest is None else max(highest, _HOLD) + 1
            if never_used < count:
                return Turn(never_used, Slot(), due_at=not_before)
            row = db.execute(_EARLIEST, (quota_key, self._boot_id, count - 1)).fetchone()
            slot = self._slot(db, quota_key, row)
            return Turn(row[0], slot, due_at=max(not_before, slot.until))

        return await self._in_turn(work)

    async def free(self, quota_key: str, *, count: int, now: float) -> int:
        def work(db: sqlite3.Connection) -> int:
            self._adopt(db, quota_key)
            if self._known(db, quota_key, _HOLD).until > now:
                return 0
            busy: int = db.execute(_BUSY, (quota_key, self._boot_id, now, count - 1)).fetchone()[0]
            return count - busy

        return await self._in_turn(work)

    async def swap(self, quota_key: str, number: int, *, seen: Slot, new: Slot) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if self._known(db, quota_key, number) != seen:
                return False
            self._put(db, quota_key, number, new)
            return True

        return await self._in_turn(work)

    async def hold(self, quota_key: str, *, until: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            if until > self._known(db, quota_key, _HOLD).until:
                self._put(db, quota_key, _HOLD, Slot(until=until))

        await self._in_turn(work)

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._drop()

    def _adopt(self, db: sqlite3.Connection, quota_key: str) -> None:
        """Convert the slots of other boots, so that all that are left count on the same clock.

        Without boot ids this is asked once for each connection: no process outlives a boot.
        """
        others = db.execute(_OTHER_BOOT, (quota_key, self._boot_id) * 2).fetchall() if self._boot_id else []
        if not self._boot_id and quota_key not in self._adopted:
            others = db.execute(_COLUMNS, (quota_key,)).fetchall()
        for row in others:
            self._slot(db, quota_key, row)
        self._adopted.add(quota_key)

    def _known(self, db: sqlite3.Connection, quota_key: str, number: int) -> Slot:
        row = db.execute(_ONE, (quota_key, number)).fetchone()
        return Slot() if row is None else self._slot(db, quota_key, row)

    def _slot(self, db: sqlite3.Connection, quota_key: str, row: _Row) -> Slot:
        """Return the slot of a row; one of an earlier boot is converted to this boot's clock."""
        number, until, token, wall_until, boot_id = row
        wall_left = (rules.from_ms(wall_until) - self._now()).total_seconds()
        if self._is_of_this_boot(boot_id, ticks_left=until - self._ticks(), wall_left=wall_left):
            return Slot(until=until, token=token)
        slot = Slot(until=self._ticks() + min(max(wall_left, 0.0), MAX_WAIT_AFTER_BOOT_S), token=token)
        self._put(db, quota_key, number, slot)
        return slot

    def _is_of_this_boot(self, boot_id: str, *, ticks_left: float, wall_left: float) -> bool:
        """Without boot ids, a wait far longer than by the wall clock shows that the ticks restarted."""
        return boot_id == self._boot_id and (boot_id != "" or ticks_left <= max(wall_left, 0.0) + MAX_WAIT_AFTER_BOOT_S)

    def _put(self, db: sqlite3.Connection, quota_key: str, number: int, slot: Slot) -> None:
        wall_until = rules.to_ms(self._now() + timedelta(seconds=slot.until - self._ticks()))
        db.execute(_UPSERT, (quota_key, number, slot.until, slot.token, wall_until, self._boot_id))

    async def _in_turn(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do the work once other processes leave the file free for a moment. Raises LedgerUnavailable if none does."""
        waited_s = 0.0
        while True:
            try:
                return self._transact(work)
            except LedgerLocked as error:
                if waited_s >= LONGEST_BUSY_S:
                    raise LedgerUnavailable(
                        f"another program has held {self._path} for {lasting(waited_s)}",
                        hint=f"close that program, or use another file: {_ELSEWHERE}",
                    ) from error
                if waited_s == 0.0:
                    logger.warning("the file with the quota is busy; waiting", extra={"path": str(self._path)})
            await asyncio.sleep(BUSY_PAUSE_S)
            waited_s += BUSY_PAUSE_S

    def _transact(self, work: Callable[[sqlite3.Connection], _T], *, may_begin_again: bool = True) -> _T:
        try:
            with explained(self._path, elsewhere=_ELSEWHERE):
                db = self._connection()
                with rolled_back(db):
                    db.execute("BEGIN IMMEDIATE")
                    result = work(db)
                    db.execute("COMMIT")
                    return result
        except BulkheadError as error:
            was_open = self._open
            self._drop()
            if not isinstance(error, LedgerCorrupt):
                raise
            if may_begin_again and self._is_replaced(was_open):
                return self._transact(work, may_begin_again=False)
            raise LedgerCorrupt(str(error), hint=_IF_DAMAGED) from error

    def _is_replaced(self, opened: _OpenFile | None) -> bool:
        """Move a quota store away that is damaged; return False if the file may be anything else.

        A power failure can damage it, because nothing waits for the disk.
        """
        if opened is not None and not opened.is_of(self._path):
            return True
        try:
            with self._path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
            if not head.startswith(_MAGIC) or head[-4:] != _SCHEMA.application_id.to_bytes(4, "big"):
                return False
            self._path.replace(sibling(self._path, ".damaged"))
            sibling(self._path, "-journal").unlink(missing_ok=True)
        except OSError:
            return False
        logger.warning("the file with the quota was damaged, and begins again", extra={"path": str(self._path)})
        return True

    def _connection(self) -> sqlite3.Connection:
        """Return the connection to the file that is in place now."""
        if self._open is not None and self._open.is_of(self._path):
            return self._open.connection
        self._drop()
        self._permissions.make_folder(self._path.parent)
        self._permissions.create(self._path)
        self._open = _OpenFile.at(self._path)
        return self._open.connection

    def _drop(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = None
        self._adopted.clear()


@dataclass(frozen=True, slots=True)
class _OpenFile:
    """A connection, the process that opened it, and the device and number of its file."""

    connection: sqlite3.Connection
    process: int
    identity: tuple[int, int]

    @classmethod
    def at(cls, path: Path) -> _OpenFile:
        with contextlib.ExitStack() as undo:
            connection = connect(path, mode="rw", busy_timeout_s=BUSY_TIMEOUT_S)
            undo.callback(connection.close)
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -500")
            bring_up(connection, _SCHEMA, path)
            connection.execute(_INDEX)
            opened = cls(connection, os.getpid(), _identity_of(path))
            undo.pop_all()
        return opened

    def is_of(self, path: Path) -> bool:
        """Return whether this process opened the connection, and its file is still at `path`."""
        try:
            return self.process == os.getpid() and self.identity == _identity_of(path)
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the connection; one that another process opened must never be closed in this one."""
        if self.process == os.getpid():
            self.connection.close()
        else:
            _OF_PARENTS.append(self.connection)


def _identity_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino

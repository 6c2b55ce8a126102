"""The create slots of one machine: a small SQLite file that all its processes share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from runner.clock import system_now, system_ticks
from runner.errors import LedgerLocked, LedgerUnavailable
from runner.formatting import lasting
from runner.ledger import rules
from runner.ledger.sqlite.database import Schema, bring_up, connect, explained, rolled_back
from runner.permissions import PRIVATE, Permissions
from runner.quota.slots import Quota, Slot

logger = logging.getLogger(__name__)

MAX_WAIT_AFTER_BOOT_S = 120.0
"""Longest wait for a slot of an earlier boot, or one whose clocks contradict each other."""

BUSY_TIMEOUT_S = 0.05
"""How long a call blocks its process while another one writes, which takes milliseconds."""

BUSY_PAUSE_S = 0.2
LONGEST_BUSY_S = 300.0
"""How long a run waits for a program that holds the file, such as a backup (choice)."""

_ELSEWHERE = "BULKHEAD_QUOTA_STORE names another file"
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
_HOLD = -1
_UPSERT = "INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?, ?)"


def system_boot_id() -> str:
    """Return the id of this boot, or an empty text if the system has none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


class SqliteSlots:
    """A SlotStore in a file; each call opens the file, so the object survives a fork and keeps nothing open.

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

    async def read(self, quota_key: str, *, count: int) -> Quota:
        def work(db: sqlite3.Connection) -> Quota:
            known = self._slots(db, quota_key)
            slots = tuple(known.get(number, Slot()) for number in range(count))
            return Quota(slots=slots, not_before=known.get(_HOLD, Slot()).until)

        return await self._in_turn(work)

    async def swap(self, quota_key: str, number: int, *, seen: Slot, new: Slot) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if self._slots(db, quota_key).get(number, Slot()) != seen:
                return False
            self._put(db, quota_key, number, new)
            return True

        return await self._in_turn(work)

    async def hold(self, quota_key: str, *, until: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            if until > self._slots(db, quota_key).get(_HOLD, Slot()).until:
                self._put(db, quota_key, _HOLD, Slot(until=until))

        await self._in_turn(work)

    async def close(self) -> None:
        """Release nothing: every call closes its connection."""

    def _slots(self, db: sqlite3.Connection, quota_key: str) -> dict[int, Slot]:
        """Return the stored slots; those of an earlier boot are converted to this boot's clock."""
        rows = db.execute(
            "SELECT number, busy_until, token, wall_until, boot_id FROM slots WHERE quota_key = ?", (quota_key,)
        ).fetchall()
        slots = {}
        for number, until, token, wall_until, boot_id in rows:
            wall_left = (rules.from_ms(wall_until) - self._now()).total_seconds()
            if self._is_of_this_boot(boot_id, ticks_left=until - self._ticks(), wall_left=wall_left):
                slots[number] = Slot(until=until, token=token)
            else:
                left = min(max(wall_left, 0.0), MAX_WAIT_AFTER_BOOT_S)
                slots[number] = Slot(until=self._ticks() + left, token=token)
                self._put(db, quota_key, number, slots[number])
        return slots

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

    def _transact(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with explained(self._path, elsewhere=_ELSEWHERE):
            self._permissions.make_folder(self._path.parent)
            self._permissions.create(self._path)
            with (
                contextlib.closing(connect(self._path, mode="rw", busy_timeout_s=BUSY_TIMEOUT_S)) as db,
                rolled_back(db),
            ):
                db.execute("PRAGMA synchronous = NORMAL")
                bring_up(db, _SCHEMA, self._path)
                db.execute("BEGIN IMMEDIATE")
                result = work(db)
                db.execute("COMMIT")
                return result

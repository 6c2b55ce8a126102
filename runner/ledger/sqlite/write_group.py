"""WriteGroup: writes of tasks that run at the same time, in one durable transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from runner.errors import BulkheadError
from runner.ledger.sqlite.database import Database

MOST_WRITES = 64
LEAST_S = 0.001
LONGEST_S = 0.005
"""How long a group waits for others: as long as the last commit took, within these bounds."""

Work = Callable[[sqlite3.Connection], Any]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    work: Work
    outcome: asyncio.Future[Any]


class WriteGroup:
    """Each write is visible and durable when `write` returns, and one that fails changes nothing.

    The works of a group run one after the other when the group closes, as if each had a transaction of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Write] = []
        self._closing: asyncio.TimerHandle | None = None
        self._last_commit_s = 0.0

    async def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what `work` returns once it is committed; a caller that is cancelled before has written nothing.

        Raises what `work` raises, LedgerError, StorageFull.
        """
        loop = asyncio.get_running_loop()
        write = _Write(work, loop.create_future())
        self._waiting.append(write)
        if len(self._waiting) >= MOST_WRITES:
            self.commit()
        elif self._closing is None:
            self._closing = loop.call_later(min(LONGEST_S, max(LEAST_S, self._last_commit_s)), self.commit)
        found: _T = await write.outcome
        return found

    def commit(self) -> None:
        """Run what waits, in one transaction, and tell each caller."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        writes = [write for write in self._waiting if not write.outcome.cancelled()]
        self._waiting = []
        if not writes:
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            outcomes = self._database.write(partial(_run, [write.work for write in writes]))
        except Exception as error:  # noqa: BLE001 - each caller raises it
            outcomes = [error] * len(writes)
        self._last_commit_s = clock() - began
        for write, outcome in zip(writes, outcomes, strict=True):
            _tell(write.outcome, outcome)


def _run(works: list[Work], db: sqlite3.Connection) -> list[Any]:
    """Return what each work returns, or the error that it raises. Raises the errors of SQLite: they end the group."""
    if len(works) == 1:
        return [works[0](db)]
    return [_run_one(work, db) for work in works]


def _run_one(work: Work, db: sqlite3.Connection) -> Any:
    db.execute("SAVEPOINT one")
    try:
        outcome = work(db)
    except BulkheadError as error:
        db.execute("ROLLBACK TO one")
        outcome = error
    db.execute("RELEASE one")
    return outcome


def _tell(future: asyncio.Future[Any], outcome: Any) -> None:
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

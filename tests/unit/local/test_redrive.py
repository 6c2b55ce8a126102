"""Queuing many items again: in a few transactions of the ledger file, and each item by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.events import ignore
from runner.ledger.sqlite.database import Database
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.local.redrive import Redrive
from runner.models import Item, ItemState
from runner.stages.transitions import Transitions
from tests.support.listed import AT, StillClock, batch

ITEMS = 300


async def test_hundreds_of_items_are_queued_again_in_a_few_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = SqliteLedger.open(tmp_path / "ledger.db", now=lambda: AT)
    await ledger.start_batch(batch())
    await ledger.add([Item(batch_id="b", source=f"{n:03}", state=ItemState.REJECTED) for n in range(ITEMS)])
    transactions: list[object] = []
    write = Database.write

    def counted(database: Database, work: Callable[[sqlite3.Connection], Any]) -> Any:
        transactions.append(work)
        return write(database, work)

    async def no_api() -> Any:
        raise AssertionError("the vendor is not asked about rejected files")

    redrive = Redrive(ledger, Transitions(ledger, clock=StillClock(), emit=ignore, by_state={}), no_api)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", counted)
        count = await redrive.batch("b", states={ItemState.REJECTED}, match=None, again=False)
    assert (count, await ledger.counts("b")) == (ITEMS, {ItemState.QUEUED: ITEMS})
    assert len(transactions) < ITEMS / 20
    await ledger.close()

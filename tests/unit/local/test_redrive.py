"""Queuing many items again: in a few transactions of the ledger file, and each item by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.events import Event, Notice, ignore
from runner.ledger.memory import MemoryLedger
from runner.ledger.sqlite.database import Database
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.local.gone_results import GoneResults
from runner.local.redrive import Redrive
from runner.models import Item, ItemKind, ItemState, RemoteImport, batch_of_packs
from runner.stages.transitions import Transitions
from tests.support.bench import MemorySink
from tests.support.listed import AT, StillClock, batch

ITEMS = 300
S = ItemState


class Table:
    """A ledger of which a part is missing, like a DynamoDB ledger: packs cannot be at work in it."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        if name in ("advance_all", "members"):
            raise AttributeError(name)
        return getattr(self._ledger, name)


async def table_with_a_pack(**member: Any) -> Any:
    """Return a table to which two files were copied that came with a pack."""
    ledger = MemoryLedger(now=lambda: AT)
    await ledger.start_batch(batch())
    await ledger.start_batch(replace(batch(), batch_id=batch_of_packs("b")))
    await ledger.add(
        [Item(batch_id=batch_of_packs("b"), source="tag", kind=ItemKind.PACK, state=S.FAILED, import_id="imp")]
    )
    came = {"pack": "tag", "pack_import_id": "imp", **member}
    await ledger.add([Item(batch_id="b", source=source, **came) for source in ("1.csv", "2.csv")])
    return Table(ledger)


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


def said(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


async def test_files_of_a_pack_that_are_held_in_a_table_stay_and_a_notice_says_what_to_do() -> None:
    table, events = await table_with_a_pack(state=S.FAILED, error_code="pack_unaccounted"), list[Event]()

    class Api:
        async def retrieve(self, import_id: str) -> RemoteImport:
            return RemoteImport(import_id=import_id, status="SUCCESSFUL")

    async def api() -> Any:
        return Api()

    redrive = Redrive(table, Transitions(table, clock=StillClock(), emit=ignore, by_state={}), api)
    assert await redrive.batch("b", states={S.FAILED}, match=None, again=False, emit=events.append) == 0
    (message,) = said(events)
    assert message.startswith("1.csv and 1 other file came with a pack: only a ledger in a file can fetch its result")
    assert "bulkhead ledger copy" in message
    assert await table.counts("b") == {S.FAILED: 2}


async def test_a_gone_result_of_a_pack_in_a_table_stays_gone_and_a_notice_says_what_to_do() -> None:
    table, events = await table_with_a_pack(state=S.COLLECTED, result="results/x.json"), list[Event]()
    transitions = Transitions(table, clock=StillClock(), emit=ignore, by_state={})
    gone = GoneResults(table, batch(), MemorySink(), transitions=transitions, emit=events.append)
    assert await gone.fetch_again(None) == 0
    assert [message.partition(" came with a pack")[0] for message in said(events)] == ["1.csv", "2.csv"]
    assert await table.counts("b") == {S.COLLECTED: 2}

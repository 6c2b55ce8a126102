"""A ledger that was restored from records has the rows that the recorded one has, counts and imports included."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.errors import ImportIdTaken
from runner.ledger import rules
from runner.ledger.protocol import Recorded
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.models import Batch, HistoryEntry, Item, ItemState

START = datetime(2026, 7, 23, 10, 15, tzinfo=UTC)
BATCH = Batch(batch_id="b", source_uri="file:///in", account="a", out="o", config="{}", started_at=START)
S = ItemState


class Ledgers:
    """A ledger with items of all kinds, and an empty one; each reading of the clock is a second later."""

    def __init__(self, folder: Path) -> None:
        self._at = START
        self.paths = folder / "old.db", folder / "new.db"
        self.old, self.new = (SqliteLedger.open(path, now=self.now) for path in self.paths)

    def now(self) -> datetime:
        self._at += timedelta(seconds=1)
        return self._at

    async def fill(self) -> None:
        for ledger in (self.old, self.new):
            await ledger.start_batch(BATCH)
        names = ["queued", "bound", "rebound", "released", "again"]
        await self.old.add([Item(batch_id="b", source=name, version="v") for name in names])
        await self.old.add([Item(batch_id="b", source="imported", state=S.COLLECTED, import_id="i-added")])
        await self.move("bound", (S.CREATING, None), (S.CREATED, "i-bound"), (S.PROCESSING, "i-bound"))
        await self.move("rebound", (S.CREATING, None), (S.CREATED, "i-1"), (S.QUEUED, None), (S.CREATING, None))
        await self.move("rebound", (S.CREATED, "i-2"), (S.PROCESSING, "i-2"), (S.SUCCEEDED, "i-2"))
        await self.move("released", (S.CREATING, None), (S.CREATED, "i-released"), (S.QUEUED, None))
        await self.move("again", (S.CREATING, None), (S.CREATED, "i-over"), (S.CREATED, "i-other"))

    async def move(self, source: str, *steps: tuple[ItemState, str | None]) -> None:
        for state, import_id in steps:
            item = await self.old.item("b", source)
            assert item is not None
            await self.old.advance(item, state, reason=f"to {state}", import_id=import_id)

    async def restore(self) -> int:
        return sum([await self.new.restore(page) async for page in self.old.recorded("b")])

    def rows(self, number: int, table: str) -> list[Any]:
        with sqlite3.connect(self.paths[number]) as database:
            rows = database.execute(f"SELECT * FROM {table}").fetchall()
        return sorted((row for row in rows if table != "tallies" or row[-1]), key=repr)


@pytest.fixture
async def ledgers(tmp_path: Path) -> AsyncIterator[Ledgers]:
    both = Ledgers(tmp_path)
    yield both
    await both.old.close()
    await both.new.close()


@pytest.mark.parametrize("table", ["items", "history", "imports", "tallies"])
async def test_a_restored_ledger_has_the_same_rows(ledgers: Ledgers, table: str) -> None:
    await ledgers.fill()
    assert await ledgers.restore() == 6
    rows = [ledgers.rows(number, table) for number in (0, 1)]
    assert len(rows[0]) >= 4
    assert rows[1] == rows[0]


async def test_what_is_restored_twice_is_there_once(ledgers: Ledgers) -> None:
    await ledgers.fill()
    await ledgers.restore()
    assert await ledgers.restore() == 0
    assert ledgers.rows(1, "tallies") == ledgers.rows(0, "tallies")
    assert await ledgers.new.restore([]) == 0


async def test_an_import_that_another_item_has_is_not_restored(ledgers: Ledgers) -> None:
    await ledgers.fill()
    await ledgers.new.add([Item(batch_id="b", source="other", state=S.PROCESSING, import_id="i-bound")])
    with pytest.raises(ImportIdTaken):
        await ledgers.restore()
    assert await ledgers.new.counts("b") == {S.PROCESSING: 1}


async def test_an_import_that_no_entry_of_the_history_names_is_bound_since_the_first(ledgers: Ledgers) -> None:
    await ledgers.fill()
    steps = [
        HistoryEntry(at=START + timedelta(hours=hour), state=S.QUEUED, reason="x", attempts=0, import_id=None)
        for hour in range(3)
    ]
    item = Item(batch_id="b", source="old", state=S.CREATED, import_id="i-unnamed", revision=2)
    assert await ledgers.new.restore([Recorded(item, steps)]) == 1
    (row,) = ledgers.rows(1, "imports")
    assert row[-2:] == (rules.to_ms(START), None)


async def test_imports_are_released_when_their_items_leave_them(ledgers: Ledgers) -> None:
    await ledgers.fill()
    released = {row[0]: row[-1] is not None for row in ledgers.rows(0, "imports")}
    assert released == {
        "i-added": False,
        "i-bound": False,
        "i-1": True,
        "i-2": False,
        "i-released": True,
        "i-over": True,
        "i-other": False,
    }

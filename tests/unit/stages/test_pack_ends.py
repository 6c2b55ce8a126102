"""What becomes of the files of a pack that has ended without a result for each of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from runner.config.routes import Route, Routes
from runner.events import Event, Notice
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Move
from runner.models import Batch, Item, ItemKind, ItemState, batch_of_packs
from runner.packing.marker import MarkerColumn
from runner.stages.absence import Absence
from runner.stages.pack_ends import PackEnds
from runner.stages.pack_making import PackMaker
from runner.stages.pack_recipe import PackRecipe
from runner.stages.transitions import Transitions
from tests.support.scripted import LoopClock, ScriptedVendor

pytestmark = pytest.mark.virtual_time

START = datetime(2026, 7, 23, tzinfo=UTC)
S = ItemState
ROUTE = Route(name="people", schema_id="s")
BATCH = Batch(batch_id="b", source_uri="inbox", account="a", out="out", config="{}", started_at=START)


class Bench:
    """A pack of two files in a ledger, and what ends it."""

    def __init__(self) -> None:
        clock = LoopClock()
        self.ledger = MemoryLedger(now=clock.now)
        self.said: list[str] = []
        transitions = Transitions(self.ledger, clock=clock, emit=self.take, by_state={})
        maker = PackMaker(self.ledger, transitions, BATCH, endpoint="e", again=False, clock=clock)
        vendor = ScriptedVendor(clock)
        self.ends = PackEnds(
            ledger=self.ledger,
            api=vendor,
            routes=Routes([ROUTE]),
            maker=maker,
            transitions=transitions,
            absence=Absence(api=vendor, transitions=transitions),
            emit=self.take,
        )

    def take(self, event: Event) -> None:
        self.said += [event.message] if isinstance(event, Notice) else []

    async def pack(self, state: ItemState, **changes: Any) -> Item:
        """Return the pack, moved to a state; its members are still packed."""
        recipe = PackRecipe(
            binding=ROUTE.binding, column=MarkerColumn("m"), keeps_unmapped=False, behavior="REMOVE_INVALID_ROWS"
        )
        await self.ledger.start_batch(BATCH)
        packs = Batch(**{**{name: getattr(BATCH, name) for name in ("source_uri", "account", "out", "config")},
                         "batch_id": batch_of_packs("b"), "started_at": START})  # fmt: skip
        await self.ledger.start_batch(packs)
        pack = Item(batch_id=batch_of_packs("b"), source="p", kind=ItemKind.PACK, version=recipe.text)
        items = [Item(batch_id="b", source=name) for name in ("1.csv", "2.csv")]
        await self.ledger.add(items)
        moves = [
            Move(
                item=one,
                state=S.PACKED,
                reason="x",
                changes={"tag": one.source, "pack": "p", "pack_row": at, "pack_rows": 1},
            )
            for at, one in enumerate(items, start=1)
        ]
        await self.ledger.advance_all(moves, add=[pack])
        return await self.ledger.advance(pack, state, reason="x", **changes)

    async def members(self) -> list[Item]:
        return [item async for item in self.ledger.items("b")]


async def test_files_whose_rows_do_not_add_up_are_held_and_the_run_says_that_packing_stops() -> None:
    bench = Bench()
    pack = await bench.pack(S.FAILED, error_code="pack_unaccounted", error_message="a row is lost", status="SUCCESSFUL")
    end = await bench.ends.settle(pack)
    assert end.stops_packing
    assert [(one.state, one.error_code, one.is_held) for one in await bench.members()] == [
        (S.FAILED, "pack_unaccounted", True)
    ] * 2
    assert bench.said == ["packing of route people stops: a row is lost"]


@pytest.mark.parametrize("state", [S.REJECTED, S.SKIPPED])
async def test_files_of_a_pack_that_was_not_sent_travel_alone(state: ItemState) -> None:
    bench = Bench()
    end = await bench.ends.settle(await bench.pack(state))
    assert not end.stops_packing
    assert [(one.state, one.pack, one.tag) for one in await bench.members()] == [(S.QUEUED, None, None)] * 2


async def test_files_of_a_small_pack_that_failed_travel_alone() -> None:
    bench = Bench()
    end = await bench.ends.settle(await bench.pack(S.FAILED, error_code="import_failed", error_message="no"))
    assert (end.new_packs, end.stops_packing) == ((), False)
    assert {one.state for one in await bench.members()} == {S.QUEUED}

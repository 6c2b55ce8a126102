"""A new pack: which items join it, in which order and with which rows, and when none is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.config.routes import Route, Routes
from runner.ledger.protocol import Move
from runner.models import BatchState, Item, ItemState
from runner.packing.marker import MarkerColumn
from runner.packing.planner import PlannedPack
from runner.stages.pack_making import PackMaker
from runner.stages.pack_planning import PackPlan, PlannedFile
from runner.stages.pack_recipe import PackRecipe
from runner.stages.packing_setup import RulesOfRoutes
from runner.stages.transitions import Transitions
from tests.support.lost_packs import BATCH, ROUTE, LostPackBench
from tests.support.scripted import EPOCH, LoopClock

pytestmark = pytest.mark.virtual_time

S = ItemState
ROWS = {"a.csv": 2, "b.csv": 1, "c.csv": 3}
TAGS = tuple(f"tag of {name}" for name in ROWS)


async def no_schema(_: str) -> dict[str, Any]:
    raise AssertionError("inline fields need no saved schema")


class Making:
    """Three queued files of two rows, one row, and three rows, and a plan of one pack of them."""

    def __init__(self, out: Path, *, again: bool = False) -> None:
        self.bench = LostPackBench(out, *ROWS)
        self.ledger = self.bench.ledger
        clock = LoopClock()
        transitions = Transitions(self.ledger, clock=clock, emit=lambda _: None, by_state={})
        self.maker = PackMaker(self.ledger, transitions, BATCH, endpoint="e", again=again, clock=clock)

    async def start(self) -> None:
        await self.ledger.start_batch(BATCH)
        await self.ledger.add([Item(batch_id="b", source=name) for name in ROWS])

    async def make(
        self, *names: str, route: Route = ROUTE, is_canary: bool = False, binding: str = ROUTE.binding
    ) -> Item | None:
        """Make the planned pack of these files, or of all."""
        tags = tuple(f"tag of {name}" for name in names or ROWS)
        planned = PlannedPack(
            route=ROUTE.name, binding=binding, tags=tags, row_count=6, size_bytes=9, is_canary=is_canary
        )
        files = {
            f"tag of {name}": PlannedFile(name, f"content of {name}", rows, 9, MarkerColumn(f"of {name}"))
            for name, rows in ROWS.items()
        }
        plan = PackPlan([planned], files)
        assert self.maker.tags_of(plan) == {self.maker.tag_of(tags, binding)}
        return await self.maker.make_planned(planned, plan, Routes([route]), RulesOfRoutes(no_schema))

    async def members(self) -> list[Item]:
        return [item async for item in self.ledger.items("b")]

    async def move(self, name: str, state: ItemState, **changes: Any) -> None:
        item = await self.ledger.item("b", name)
        assert item is not None
        await self.ledger.advance_all([Move(item=item, state=state, reason="x", changes=changes)])  # type: ignore[arg-type]


@pytest.fixture
async def making(tmp_path: Path) -> Making:
    made = Making(tmp_path)
    await made.start()
    return made


@pytest.mark.parametrize("is_canary", [False, True])
async def test_a_planned_pack_has_its_files_in_their_order_each_with_its_rows(making: Making, is_canary: bool) -> None:
    pack = await making.make(is_canary=is_canary)
    assert pack is not None
    recipe = PackRecipe.of(pack)
    assert recipe.members == (("tag of a.csv", 2), ("tag of b.csv", 1), ("tag of c.csv", 3))
    assert (recipe.is_canary, recipe.is_adopted, recipe.instead_of) == (is_canary, False, "")
    assert (recipe.binding, recipe.column) == (ROUTE.binding, MarkerColumn("of a.csv"))
    assert [(one.state, one.pack, one.tag, one.pack_row, one.pack_rows) for one in await making.members()] == [
        (S.PACKED, pack.source, "tag of a.csv", 1, 2),
        (S.PACKED, pack.source, "tag of b.csv", 3, 1),
        (S.PACKED, pack.source, "tag of c.csv", 4, 3),
    ]
    assert [(one.fingerprint, one.binding) for one in await making.members()] == [
        (f"content of {name}", ROUTE.binding) for name in ROWS
    ]
    assert all(one.intent_at is not None and one.intent_at >= EPOCH for one in await making.members())


async def test_the_first_pack_of_a_batch_begins_the_batch_of_its_packs_and_later_ones_leave_it(making: Making) -> None:
    assert await making.ledger.batch("b.packs") is None
    await making.make("a.csv", "b.csv")
    batch = await making.ledger.batch("b.packs")
    assert batch is not None
    assert (batch.state, batch.listed, batch.source_uri) == (BatchState.COMPLETE, True, BATCH.source_uri)
    await making.maker.start()
    assert await making.ledger.batch("b.packs") == batch


async def test_a_file_that_was_taken_otherwise_since_it_was_planned_is_left_out_and_one_file_is_no_pack(
    making: Making,
) -> None:
    await making.move("b.csv", S.SKIPPED)
    pack = await making.make()
    assert pack is not None
    assert PackRecipe.of(pack).members == (("tag of a.csv", 2), ("tag of c.csv", 3))
    assert await making.make("b.csv", "c.csv") is None
    assert [one.state for one in await making.members()] == [S.PACKED, S.SKIPPED, S.PACKED]


async def test_one_file_that_is_left_is_no_pack(making: Making) -> None:
    await making.move("b.csv", S.SKIPPED)
    assert await making.make("a.csv", "b.csv") is None
    assert (await making.members())[0].state is S.QUEUED


async def test_no_pack_is_made_if_no_route_has_the_binding_or_its_schema_allows_none(making: Making) -> None:
    assert await making.make(binding="another") is None
    refusing = Route(name="people", fields=({"key": "name", "label": "Name", "type": "no such type"},))
    assert await making.make(route=refusing, binding=refusing.binding) is None
    assert {one.state for one in await making.members()} == {S.QUEUED}


async def test_a_pack_that_the_ledger_has_had_is_not_made_again(making: Making) -> None:
    pack = await making.make()
    assert pack is not None
    for name in ROWS:
        await making.move(name, S.QUEUED, tag=None)
    assert await making.make() is None
    assert {one.state for one in await making.members()} == {S.QUEUED}


@pytest.mark.parametrize(("again", "is_made"), [(False, False), (True, True)])
async def test_no_pack_is_made_of_content_that_is_sent_as_another_item_unless_everything_is_sent_again(
    tmp_path: Path, again: bool, is_made: bool
) -> None:
    making = Making(tmp_path, again=again)
    await making.start()
    await making.ledger.start_batch(replace(BATCH, batch_id="earlier"))
    earlier = Item(batch_id="earlier", source="x")
    await making.ledger.add([earlier])
    await making.ledger.advance(earlier, S.CREATING, reason="x", attempts=1, tag="tag of b.csv")
    assert (await making.make() is not None) == is_made
    assert {one.state for one in await making.members()} == {S.PACKED if is_made else S.QUEUED}

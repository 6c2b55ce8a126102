"""What a run packs after a canary that does not show that packing works: another canary, or nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from runner.ledger.memory import MemoryLedger
from runner.local.feeder import Feeder, InFlight
from runner.local.packing import Packing
from runner.models import Item, ItemKind, ItemState, batch_of_packs
from runner.packing.marker import MarkerColumn
from runner.packing.planner import PackLimits, PlannedPack
from runner.stages.lost_packs import Adoption
from runner.stages.pack_ends import PackEnd
from runner.stages.pack_planning import PackPlan, PlannedFile
from runner.stages.pack_recipe import PackRecipe
from runner.stages.packs import Packs
from runner.stages.transitions import Transitions
from runner.stop import StopSignal
from tests.support.pack_bench import BATCH, ROUTE
from tests.support.scripted import LoopClock

pytestmark = pytest.mark.virtual_time

S = ItemState
COLLECTED = (S.COLLECTED, None)
NOT_COMPARED = (S.COLLECTED, "pack_not_compared")
CHANGED = (S.REJECTED, "member_changed")
NOT_MADE = (S.QUEUED, "not made")
LEFT = (S.QUEUED, "left")


class NothingUnsent:
    """Has no packs of earlier runs."""

    async def settle(self, *_: object) -> list[str]:
        return []


class ScriptedPacks:
    """Packs of files named by two letters, planned as a canary of `aa` and `ab`, and larger ones.

    `ends` is how canaries end, in their order: as NOT_MADE, LEFT to a later run, or in a state with an error code.
    """

    can_plan = True
    batch_id = batch_of_packs(BATCH.batch_id)

    def __init__(self, *ends: tuple[S, str | None], others: tuple[str, ...] = ("ba bb bc bd be bf",)) -> None:
        self.canaries: list[str] = []
        self.others: list[str] = []
        self.said: list[str] = []
        self._ends = list(ends)
        clock = LoopClock()
        self.ledger = MemoryLedger(now=clock.now)
        self.lost = self.planner = self.maker = self.adopter = self.dissolved = self.ends = self.collector = self
        self.unsent = NothingUnsent()
        files = ("aa ab", *others)
        packs = [_planned(tuple(tags.split()), is_canary=at == 0) for at, tags in enumerate(files)]
        column = MarkerColumn("m")
        self._plan = PackPlan(packs, {tag: PlannedFile(tag, "f", 1, 9, column) for one in packs for tag in one.tags})
        inflight, stop = InFlight(), StopSignal()
        self.packing = Packing(
            BATCH,
            cast("Packs", self),
            transitions=Transitions(self.ledger, clock=clock, emit=lambda _: None, by_state={}),
            inflight=inflight,
            feeder=Feeder(
                batch_id="b", ledger=self.ledger, inflight=inflight, queue=asyncio.Queue(), discovered=asyncio.Event(),
                skip=lambda _: False, list_first=False,
            ),
            route=self._end,
            on_fatal=lambda error: pytest.fail(str(error)),
            stop=stop,
            emit=lambda _: None,
        )  # fmt: skip

    async def run(self) -> None:
        """Plan the packs, and make them until nothing is left to make."""
        await self.ledger.start_batch(BATCH)
        discovered = asyncio.Event()
        discovered.set()
        await self.packing.start(discovered, skip=lambda _: False)
        async with asyncio.timeout(60.0):
            await self.packing.run()

    async def _end(self, pack: Item) -> None:
        """Bring a pack to its end at once, as the stages do after a while."""
        state, code = self._ends.pop(0) if PackRecipe.of(pack).is_canary else COLLECTED
        if (state, code) == LEFT:
            self.packing.deferred(pack, "no create succeeded")
        else:
            await self.packing.finish(replace(pack, state=state, error_code=code))

    async def make(self, planned: PlannedPack, _plan: PackPlan) -> Item | None:
        if planned.is_canary and self._ends[0] == NOT_MADE:
            self._ends.pop(0)
            return None
        (self.canaries if planned.is_canary else self.others).append(" ".join(planned.tags))
        recipe = PackRecipe(
            binding=planned.binding, column=MarkerColumn("m"), keeps_unmapped=False, behavior="",
            is_canary=planned.is_canary,
        )  # fmt: skip
        source = self.tag_of(planned.tags, planned.binding)
        return Item(batch_id=self.batch_id, source=source, kind=ItemKind.PACK, version=recipe.text)

    def with_canary(self, planned: PlannedPack, plan: PackPlan) -> list[PlannedPack]:
        return plan.with_canary(planned, PackLimits(canary_members=2))

    def say_stopped(self, _pack: Item, why: str) -> None:
        self.said.append(why)

    async def plan(self, _pages: AsyncIterator[list[Item]], *, proven: set[str]) -> PackPlan:
        assert not proven
        return self._plan

    def tags_of(self, plan: PackPlan) -> set[str]:
        return {self.tag_of(one.tags, one.binding) for one in plan.packs}

    def tag_of(self, tags: tuple[str, ...], _binding: str) -> str:
        return "-".join(tags)

    async def found(self) -> dict[str, Any]:
        return {}

    of_other_sources = found

    async def adopt(self, *_: object) -> Adoption:
        return Adoption()

    async def settle(self, _pack: Item | None = None) -> PackEnd:
        return PackEnd()


def _planned(tags: tuple[str, ...], *, is_canary: bool) -> PlannedPack:
    return PlannedPack(
        route=ROUTE.name, binding=ROUTE.binding, tags=tags, row_count=len(tags), size_bytes=9, is_canary=is_canary
    )


async def test_all_packs_are_made_after_a_canary_as_predicted() -> None:
    packs = ScriptedPacks(COLLECTED)
    await packs.run()
    assert (packs.canaries, packs.others, packs.said) == (["aa ab"], ["ba bb bc bd be bf"], [])


@pytest.mark.parametrize("end", [CHANGED, (S.SKIPPED, "same"), NOT_MADE, NOT_COMPARED])
async def test_a_canary_that_says_nothing_about_packing_is_followed_by_one_of_other_files(
    end: tuple[S, str | None],
) -> None:
    packs = ScriptedPacks(end, COLLECTED)
    await packs.run()
    assert packs.canaries == ["aa ab", "ba bb"][end == NOT_MADE :]
    assert (packs.others, packs.said) == (["bc bd be bf"], [])


async def test_files_that_keep_changing_before_they_are_sent_are_tried_in_small_packs_until_none_is_left() -> None:
    packs = ScriptedPacks(*[CHANGED] * 4)
    await packs.run()
    assert (packs.canaries, packs.others) == (["aa ab", "ba bb", "bc bd", "be bf"], [])


async def test_packing_stops_with_a_notice_after_three_canaries_that_cannot_be_compared() -> None:
    packs = ScriptedPacks(*[NOT_COMPARED] * 3, others=("ba bb bc bd be bf", "ca cb"))
    await packs.run()
    assert (packs.canaries, packs.others) == (["aa ab", "ba bb", "bc bd"], [])
    assert packs.said == ["none of its first 3 packs can be compared with its prediction"]
    assert not any(packs.packing.is_planned(Item(batch_id="b", source=name)) for name in ("be", "bf", "ca", "cb"))


@pytest.mark.parametrize("end", [(S.COLLECTED, "pack_differs"), (S.FAILED, "import_failed")])
async def test_no_more_packs_are_made_after_a_canary_that_fails_or_differs(end: tuple[S, str | None]) -> None:
    packs = ScriptedPacks(end)
    await packs.run()
    assert (packs.canaries, packs.others) == (["aa ab"], [])


async def test_a_canary_that_is_left_to_a_later_run_stops_packing_with_a_notice() -> None:
    packs = ScriptedPacks(LEFT)
    await packs.run()
    assert (packs.canaries, packs.others) == (["aa ab"], [])
    assert packs.said == ["its first pack is left to a later run: no create succeeded"]

"""What a run packs after a canary that does not show that packing works: another canary, or nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from runner.config.routes import Routes
from runner.errors import (
    BulkheadError,
    FileUnavailable,
    LedgerUnavailable,
    NotYet,
    RequestInvalid,
    Unavailable,
)
from runner.events import Notice
from runner.local.deferrals import DeferredItems
from runner.local.feeder import Feeder, InFlight
from runner.local.packing import Packing
from runner.models import Item, ItemKind, ItemState
from runner.packing.canary import PredictImport
from runner.packing.marker import MarkerColumn
from runner.packing.planner import PackLimits, PlannedPack
from runner.stages.factory import Stages
from runner.stages.pack_planning import PackPlan, PlannedFile
from runner.stages.pack_recipe import PackRecipe
from runner.stages.packing_setup import PackingSetup
from runner.stages.packs import Packs
from runner.stages.transitions import Transitions
from runner.stop import StopReason, StopSignal
from tests.support.bench import Bench
from tests.support.pack_bench import BATCH, ROUTE

pytestmark = pytest.mark.virtual_time

S = ItemState
COLLECTED = (S.COLLECTED, None)
NOT_COMPARED = (S.COLLECTED, "pack_not_compared")
CHANGED = (S.REJECTED, "member_changed")
NOT_MADE = (S.QUEUED, "not made")
LEFT = (S.QUEUED, "left")


async def predict(_binding: str) -> PredictImport:
    raise AssertionError("everything is planned already")


class ScriptedPlan:
    """A planner of packs of files that are named by two letters."""

    def __init__(self, *packs: str) -> None:
        self.packs = [_planned(tuple(tags.split()), is_canary=at == 0) for at, tags in enumerate(packs)]

    async def plan(self, _pages: AsyncIterator[list[Item]], *, proven: set[str]) -> PackPlan:
        assert not proven
        column = MarkerColumn("m")
        return PackPlan(
            self.packs, {tag: PlannedFile(tag, "f", 1, 9, column) for one in self.packs for tag in one.tags}
        )


class TroubledPlan:
    """A planner that meets an error each time, after it has worked for so many seconds."""

    def __init__(self, error: BulkheadError, *, work_s: float = 0.0) -> None:
        self.error = error
        self.work_s = work_s
        self.times: list[float] = []

    async def plan(self, _pages: AsyncIterator[list[Item]], *, proven: set[str]) -> PackPlan:
        assert not proven
        self.times.append(asyncio.get_running_loop().time())
        if self.work_s:
            await asyncio.sleep(self.work_s)
        raise self.error


class ScriptedPacks(Packs):
    """Packs planned as a canary of `aa` and `ab`, and `others`, which end as soon as they are made.

    `ends` is how canaries end, in their order: as NOT_MADE, LEFT to a later run, or in a state with an error code.
    """

    def __init__(self, *ends: tuple[S, str | None], others: tuple[str, ...] = ("ba bb bc bd be bf",)) -> None:
        self.canaries: list[str] = []
        self.outages = 0
        self.fatal: list[BulkheadError] = []
        self.larger: list[str] = []
        self.bench = Bench({}, routes=Routes([ROUTE]))
        self._script = list(ends)
        setup = PackingSetup(limits=PackLimits(canary_members=2), predict=predict)
        context = replace(self.bench.context(), packing=setup)
        transitions = Transitions(context.ledger, clock=context.clock, emit=context.emit, by_state={})
        super().__init__(context, Stages(context, transitions), BATCH)
        vars(self)["planner"] = ScriptedPlan("aa ab", *others)
        inflight = InFlight()
        self.packing = Packing(
            BATCH, self, transitions=transitions, inflight=inflight, route=self._end,
            feeder=Feeder(
                batch_id="b", ledger=context.ledger, inflight=inflight, queue=asyncio.Queue(),
                discovered=asyncio.Event(), skip=lambda _: False, list_first=False,
            ),
            outlasted=self._outlasted, on_fatal=self._end_run, stop=context.stop, emit=context.emit,
        )  # fmt: skip

    @property
    def said(self) -> list[str]:
        """The notices on packing after the plan."""
        said = [event.message for event in self.bench.events if isinstance(event, Notice) and event.code == "packing"]
        return said[1:]

    async def _outlasted(self) -> bool:
        self.outages -= 1
        return self.outages >= 0

    def _end_run(self, error: BulkheadError) -> None:
        self.fatal.append(error)
        self.bench.stop.request(StopReason.TROUBLE, str(error))

    async def start(self) -> None:
        """Do what goes before the first pack."""
        await self.ledger.start_batch(BATCH)
        discovered = asyncio.Event()
        discovered.set()
        await self.packing.start(discovered, skip=lambda _: False)

    async def run(self) -> None:
        """Plan the packs, and make them until nothing is left to make."""
        await self.start()
        assert self.fatal == []
        async with asyncio.timeout(60.0):
            await self.packing.run()

    async def _end(self, pack: Item) -> None:
        """Bring a pack to its end at once, as the stages do after a while."""
        state, code = self._script.pop(0) if PackRecipe.of(pack).is_canary else COLLECTED
        if (state, code) == LEFT:
            self.packing.deferred(pack, "no create succeeded")
        else:
            await self.packing.finish(replace(pack, state=state, error_code=code))

    async def make(self, planned: PlannedPack, _plan: PackPlan) -> Item | None:
        if planned.is_canary and self._script[0] == NOT_MADE:
            self._script.pop(0)
            return None
        (self.canaries if planned.is_canary else self.larger).append(" ".join(planned.tags))
        recipe = PackRecipe(
            binding=planned.binding, column=MarkerColumn("m"), keeps_unmapped=False, behavior="",
            is_canary=planned.is_canary,
        )  # fmt: skip
        source = self.maker.tag_of(planned.tags, planned.binding)
        return Item(batch_id=self.batch_id, source=source, kind=ItemKind.PACK, version=recipe.text)


def _planned(tags: tuple[str, ...], *, is_canary: bool) -> PlannedPack:
    return PlannedPack(
        route=ROUTE.name, binding=ROUTE.binding, tags=tags, row_count=len(tags), size_bytes=9, is_canary=is_canary
    )


async def test_all_packs_are_made_after_a_canary_as_predicted() -> None:
    packs = ScriptedPacks(COLLECTED)
    await packs.run()
    assert (packs.canaries, packs.larger, packs.said) == (["aa ab"], ["ba bb bc bd be bf"], [])


@pytest.mark.parametrize("end", [CHANGED, (S.SKIPPED, "same"), NOT_MADE, NOT_COMPARED])
async def test_a_canary_that_says_nothing_about_packing_is_followed_by_one_of_other_files(
    end: tuple[S, str | None],
) -> None:
    packs = ScriptedPacks(end, COLLECTED)
    await packs.run()
    assert packs.canaries == ["aa ab", "ba bb"][end == NOT_MADE :]
    assert (packs.larger, packs.said) == (["bc bd be bf"], [])


async def test_files_that_keep_changing_before_they_are_sent_are_tried_in_small_packs_until_none_is_left() -> None:
    packs = ScriptedPacks(*[CHANGED] * 4)
    await packs.run()
    assert (packs.canaries, packs.larger) == (["aa ab", "ba bb", "bc bd", "be bf"], [])


async def test_packing_stops_with_a_notice_after_three_canaries_that_cannot_be_compared() -> None:
    packs = ScriptedPacks(*[NOT_COMPARED] * 3, others=("ba bb bc bd be bf", "ca cb"))
    await packs.run()
    assert (packs.canaries, packs.larger) == (["aa ab", "ba bb", "bc bd"], [])
    assert packs.said == [
        "packing of route people stops: none of its first 3 packs can be compared with its prediction"
    ]
    assert not any(packs.packing.is_planned(Item(batch_id="b", source=name)) for name in ("be", "bf", "ca", "cb"))


@pytest.mark.parametrize("end", [(S.COLLECTED, "pack_differs"), (S.FAILED, "import_failed")])
async def test_no_more_packs_are_made_after_a_canary_that_fails_or_differs(end: tuple[S, str | None]) -> None:
    packs = ScriptedPacks(end)
    await packs.run()
    assert (packs.canaries, packs.larger) == (["aa ab"], [])


async def test_a_canary_that_is_left_to_a_later_run_stops_packing_with_a_notice() -> None:
    packs = ScriptedPacks(LEFT)
    await packs.run()
    assert (packs.canaries, packs.larger) == (["aa ab"], [])
    assert packs.said == ["packing of route people stops: its first pack is left to a later run: no create succeeded"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileUnavailable("cannot write lists: stale file handle"), "packing"),
        (NotYet("an import is not ready", wait_s=1.0), "packing"),
        (Unavailable("HTTP 500 for one result"), "vendor_unreachable"),
    ],
)
async def test_lasting_trouble_before_the_first_pack_ends_the_run_as_other_trouble_does(
    error: BulkheadError, code: str
) -> None:
    packs, planner = ScriptedPacks(), TroubledPlan(error)
    vars(packs)["planner"] = planner
    async with asyncio.timeout(3_600):
        await packs.start()
    assert packs.fatal == [error]
    assert packs.stuck_after_s <= planner.times[-1] - planner.times[0] < 2 * packs.stuck_after_s
    assert [(one.code, one.message) for one in packs.bench.events if isinstance(one, Notice)] == [
        (code, f"packs cannot be planned yet: {error}")
    ]


async def test_the_time_of_work_before_packs_is_no_time_of_trouble() -> None:
    packs = ScriptedPacks()
    planner = TroubledPlan(FileUnavailable("stale file handle"), work_s=10 * packs.stuck_after_s)
    vars(packs)["planner"] = planner
    async with asyncio.timeout(100 * planner.work_s):
        await packs.start()
    assert packs.fatal == [planner.error]
    paused_s = planner.times[-1] - planner.times[0] - planner.work_s * (len(planner.times) - 1)
    assert paused_s == pytest.approx(packs.stuck_after_s, abs=0.1)


@pytest.mark.parametrize(
    "error", [LedgerUnavailable("the disk of the ledger answers slowly"), RequestInvalid("HTTP 302 for a retrieve")]
)
async def test_an_error_that_ends_a_run_elsewhere_ends_it_before_the_first_pack_too(error: BulkheadError) -> None:
    packs, planner = ScriptedPacks(), TroubledPlan(error)
    vars(packs)["planner"] = planner
    await packs.start()
    assert packs.fatal == [error]
    assert len(planner.times) == 1
    assert [event for event in packs.bench.events if isinstance(event, Notice)] == []


async def test_an_outage_of_the_vendor_is_no_trouble_of_the_packs() -> None:
    packs, planner = ScriptedPacks(), TroubledPlan(Unavailable("no answer"))
    packs.outages = 3
    vars(packs)["planner"] = planner
    async with asyncio.timeout(3_600):
        await packs.start()
    assert planner.times[3] == planner.times[0]
    assert planner.times[-1] - planner.times[3] >= packs.stuck_after_s


def test_a_notice_about_a_pack_that_waits_or_is_left_to_a_later_run_does_not_name_it_as_if_it_were_a_file() -> None:
    said: list[str] = []
    deferred = DeferredItems(
        stop=StopSignal(),
        emit=lambda event: said.append(event.message) if isinstance(event, Notice) else None,
        max_returns=1,
        stuck_after_s=60.0,
    )
    for item in (
        Item(batch_id="b.packs", source="k3f5x2ab7q2mc", kind=ItemKind.PACK),
        Item(batch_id="b", source="a.csv"),
    ):
        deferred.pause_s(item, NotYet("no answer", wait_s=1.0, in_trouble=False))
        deferred.add(item, "no answer")
    assert said == [
        "pack k3f5x2ab7q2mc: no answer; it is tried again",
        "pack k3f5x2ab7q2mc: no answer; a later run continues it",
        "a.csv: no answer; it is tried again",
        "a.csv: no answer; a later run continues it",
    ]

"""The look at finished reviews that comes before a run never keeps the run from going on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.events import Event, Notice
from runner.ledger.leases import WHOLE_BATCH, MemoryLeases
from runner.local.finished_reviews import FinishedReviews
from runner.local.out_owner import OutOwner
from runner.models import Batch, CreateRequest, ImportPage, ItemState
from runner.sources import source_spec
from runner.stages.context import RunContext
from runner.stop import StopReason, StopSignal
from tests.support.bench import BATCH_ID, Bench
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time

SPEC = RunSpec(source=source_spec("s3://inbox/in/"), routes=Routes.single(schema_id="s1"))
ELSEWHERE = "pid 7 on another-machine, since 2026-07-23T10:00:00.000Z"


@dataclass
class Evening:
    """A ledger in memory with an earlier batch whose only review is finished; make it inside the loop."""

    bench: Bench = field(default_factory=lambda: Bench({"east.csv": b"a\n1\n"}))
    stop: StopSignal = field(default_factory=StopSignal)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.all_leases = MemoryLeases(now=self.bench.clock.now)

    async def leave_review(self) -> None:
        bench = self.bench
        await bench.ledger.start_batch(
            Batch(
                batch_id=BATCH_ID, source_uri=bench.source.uri, account="e-a", out="out", config=SPEC.to_json(),
                started_at=EPOCH,
            )
        )  # fmt: skip
        remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="east.csv"), status="SUCCESSFUL")
        await bench.leave("east.csv", ItemState.NEEDS_REVIEW, import_id=remote.import_id, status="NEEDS_REVIEW")

    async def look(self) -> None:
        """Look for finished reviews as a run does before it begins."""
        contexts, batches = SimpleNamespace(of=self._context, prepare_out=self._owner), SimpleNamespace()
        batches.refuse_other_account = lambda _batch: None
        batches.is_of_account = lambda _batch: True
        reviews = FinishedReviews(self, contexts, batches, emit=self.events.append, stop=self.stop)  # type: ignore[arg-type]
        await reviews.collect(self.bench.source.uri, but="tonight")

    @property
    def notices(self) -> dict[str, str]:
        return {event.code: event.message for event in self.events if isinstance(event, Notice)}

    settings = SimpleNamespace(give_up_after=900.0, fail_on_lost_rows=False)

    @property
    def clock(self) -> Any:
        return self.bench.clock

    async def ledger(self, *, write: bool) -> Any:
        assert write
        return self.bench.ledger

    async def api(self) -> Any:
        return self.bench.context().api

    async def leases(self) -> MemoryLeases:
        return self.all_leases

    async def _context(self, _batch: Batch, _spec: RunSpec, *, emit: Any, stop: StopSignal) -> RunContext:
        return replace(self.bench.context(), emit=emit, stop=stop)

    async def _owner(self, _batch: Batch, _spec: RunSpec) -> OutOwner:
        return OutOwner(account="e-a", root=self.bench.source.uri)


async def endless_pages(evening: Evening) -> None:
    """Give the vendor's list no end: each page takes 5 s, and tells of another."""
    page = evening.bench.vendor.list_page

    async def list_page(*, limit: int, offset: int) -> ImportPage:
        await asyncio.sleep(5)
        found = await page(limit=limit, offset=0)
        made = [replace(one, import_id=f"{one.import_id}-{offset}") for one in found.imports]
        return ImportPage(count=10**9, imports=tuple(made if offset else found.imports), has_next=True)

    evening.bench.vendor.list_page = list_page  # type: ignore[method-assign]


async def test_a_finished_review_is_collected_while_the_rest_of_an_endless_list_is_still_read() -> None:
    evening = Evening()
    await evening.leave_review()
    for number in range(2):
        remote = evening.bench.vendor.add(CreateRequest(schema_id="s1", original_filename=f"{number}.csv"))
        open_review = {"import_id": f"{remote.import_id}-never", "status": "NEEDS_REVIEW"}
        await evening.bench.leave(f"open-{number}.csv", ItemState.NEEDS_REVIEW, **open_review)
    await endless_pages(evening)
    began = evening.clock.ticks()
    await evening.look()
    assert evening.clock.ticks() - began == pytest.approx(120, abs=1)
    assert (await evening.bench.item("east.csv")).state is ItemState.COLLECTED
    assert "collected 1 finished review" in evening.notices["reviews_collected"]
    assert "took over 2 min" in evening.notices["reviews_not_collected"]


async def test_another_run_that_takes_an_earlier_batch_over_ends_the_look_and_not_the_run() -> None:
    evening = Evening()
    await evening.leave_review()
    await endless_pages(evening)
    await evening.bench.leave("open.csv", ItemState.NEEDS_REVIEW, import_id="never", status="NEEDS_REVIEW")

    async def take_over() -> None:
        await asyncio.sleep(20)
        (lease,) = [await evening.all_leases.seen(BATCH_ID, WHOLE_BATCH)]
        assert lease is not None
        await evening.all_leases.release(BATCH_ID, WHOLE_BATCH, holder=lease.holder)
        await evening.all_leases.take(BATCH_ID, WHOLE_BATCH, holder=ELSEWHERE, for_s=60)

    taking = asyncio.ensure_future(take_over())
    await evening.look()
    await taking
    assert not evening.stop.requested
    assert f"another run has taken over batch {BATCH_ID}" in evening.notices["reviews_not_collected"]
    assert evening.clock.ticks() < 60


async def test_a_stop_of_the_run_ends_the_look_at_once() -> None:
    evening = Evening()
    await evening.leave_review()
    await endless_pages(evening)
    await evening.bench.leave("open.csv", ItemState.NEEDS_REVIEW, import_id="never", status="NEEDS_REVIEW")
    asyncio.get_running_loop().call_later(7, evening.stop.request, StopReason.INTERRUPTED)
    await evening.look()
    assert evening.clock.ticks() < 8

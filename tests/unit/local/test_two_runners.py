"""Two runners with batches of their own on one ledger, over the same files: each content is sent once, in one quota."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.local.pipeline import RunResult, run_batch
from runner.models import Item, ItemState
from runner.stages.context import RunContext
from tests.support.bench import Bench
from tests.support.lagging import LaggingLedger
from tests.support.scripted import LoopClock
from tests.support.vloop import run_virtually

S = ItemState
FILES = {f"{number:02}.csv": b"x\n%d\n" % number for number in range(30)}


def context(bench: Bench) -> RunContext:
    return replace(bench.context(), shared=True)


async def both(bench: Bench) -> tuple[RunResult, RunResult]:
    """Run two batches of the same source at once."""
    first = await bench.start()
    second = replace(first, batch_id="b2")
    await bench.ledger.start_batch(second)
    results = await asyncio.gather(run_batch(first, context(bench)), run_batch(second, context(bench)))
    return results[0], results[1]


def check(seed: int, *, lag_s: float) -> None:
    async def go() -> None:
        bench = Bench(FILES)
        bench.ledger = LaggingLedger(now=LoopClock().now, lag_s=lambda: lag_s)
        one, other = await both(bench)
        received = [data for puts in bench.vendor.received.values() for data in puts]
        assert sorted(received) == sorted(FILES.values())
        assert one.by_state.get(S.COLLECTED, 0) + other.by_state.get(S.COLLECTED, 0) == len(FILES)
        for result in (one, other):
            assert sum(result.by_state.values()) == len(FILES)
            assert result.by_state.keys() <= {S.COLLECTED, S.SKIPPED}

    run_virtually(go(), seed=seed)


def test_each_content_is_sent_once_by_one_of_them() -> None:
    for seed in range(10):
        check(seed, lag_s=0.0)


def test_each_content_is_sent_once_although_pages_lag() -> None:
    for seed in range(5):
        check(seed, lag_s=3.0)


@pytest.mark.virtual_time(seed=1)
async def test_both_together_keep_the_quota() -> None:
    bench = Bench(FILES)
    created_at: list[float] = []
    create = bench.vendor.create

    async def noted(*args: object) -> object:
        created_at.append(bench.clock.ticks())
        return await create(*args)  # type: ignore[arg-type]

    bench.vendor.create = noted  # type: ignore[method-assign, assignment]
    await both(bench)
    assert len(created_at) == len(FILES)
    assert all(later - earlier >= 60.0 for earlier, later in zip(created_at, created_at[20:], strict=False))


@pytest.mark.virtual_time
async def test_what_another_batch_may_yet_fail_to_send_is_waited_for_and_sent_where_it_fails() -> None:
    bench = Bench({"a.csv": b"x\n1\n"})
    first = await bench.start()
    duplicate = Item(batch_id=first.batch_id, source="a.csv", state=S.CREATED, tag=bench.tag("a.csv"), import_id="i")
    await bench.ledger.add([duplicate])
    second = replace(first, batch_id="b2")
    await bench.ledger.start_batch(second)
    running = asyncio.ensure_future(run_batch(second, context(bench)))
    await asyncio.sleep(60)
    assert bench.vendor.created == []
    await bench.ledger.advance(duplicate, S.REJECTED, reason="changed_while_read")
    assert (await running).by_state == {S.COLLECTED: 1}


@pytest.mark.virtual_time
async def test_what_a_batch_that_no_run_works_on_was_sending_is_left_to_a_later_run() -> None:
    bench = Bench({"a.csv": b"x\n1\n"})
    first = await bench.start()
    await bench.ledger.add([Item(batch_id=first.batch_id, source="a.csv", state=S.CREATING, tag=bench.tag("a.csv"))])
    second = replace(first, batch_id="b2")
    await bench.ledger.start_batch(second)
    result = await run_batch(second, context(bench))
    assert (result.by_state, result.deferred) == ({S.QUEUED: 1}, 1)

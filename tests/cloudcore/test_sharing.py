"""A file that lands is sent within minutes, however many files of loads wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from runner.cloud.messages import ItemRef, Message
from runner.cloud.protocols import Queue
from runner.models import Batch, Item
from sandbox.quotas import Rate
from tests.cloudcore.bench import Bench

pytestmark = pytest.mark.virtual_time
WAITING = 3000
LOAD = "load-20260701-220000-abcdef"


async def load_in_progress(bench: Bench) -> None:
    """Let a load have far more files than the quota takes during the test."""
    await bench.configured()
    await bench.do(Queue.REGISTER, bench.drop("orders/first.csv"))
    batch = await bench.batch()
    await bench.ledger.start_batch(Batch(
        batch_id=LOAD, source_uri="s3://inbox/big", account="account", out="s3://results/batches/load",
        config=batch.config, started_at=bench.deployment.clock.now(), listed=True,
    ))  # fmt: skip
    items = []
    for number in range(WAITING):
        created = bench.drop(f"big/{number:04}.csv")
        items.append(Item(batch_id=LOAD, source=created.key, version=f"{created.etag}-{created.size_bytes:x}"))
    await bench.ledger.add(items)
    refs: list[Message] = [ItemRef(batch_id=LOAD, source=item.source) for item in items]
    for ref in refs:
        bench.post.put(Queue.LOAD, ref, now=bench.loop.time())


async def waits_of_landed_files(bench: Bench) -> list[timedelta]:
    """Let a file land every two minutes beside a load, and return how long each waited for its create."""
    await load_in_progress(bench)
    landed_at = {}
    async with bench.serving(Queue.REGISTER, *[Queue.SUBMIT] * 2, *[Queue.LOAD] * 8):
        await asyncio.sleep(300)
        for number in range(10):
            created = bench.drop(f"orders/{number}.csv")
            landed_at[created.key] = created.at
            bench.post.put(Queue.REGISTER, created, now=bench.loop.time())
            await asyncio.sleep(120)
        await asyncio.sleep(300)
    items = await bench.items()
    assert not bench.vendor.state.counters.refused_create_times
    now = bench.deployment.clock.now()
    return [(items[key].intent_at or now) - at for key, at in landed_at.items()]


async def test_a_file_that_lands_is_sent_within_two_minutes_while_a_load_fills_the_quota(bench: Bench) -> None:
    assert max(await waits_of_landed_files(bench)) <= timedelta(minutes=2)
    assert bench.vendor.seen.calls["create"] >= 19 * 30 * 0.95, "the load uses what landed files leave"


@pytest.mark.plan(landed_share=0.0)
async def test_without_a_share_files_that_land_wait_for_longer(bench: Bench) -> None:
    assert max(await waits_of_landed_files(bench)) > timedelta(minutes=1)


async def test_while_nothing_lands_a_load_has_the_whole_quota(bench: Bench) -> None:
    await load_in_progress(bench)
    async with bench.serving(*[Queue.LOAD] * 2):
        await asyncio.sleep(600)
    assert bench.vendor.seen.calls["create"] >= 180


def at(per_minute: int, *more: pytest.MarkDecorator) -> object:
    return pytest.param(per_minute, marks=(pytest.mark.plan(quota=Rate(per_minute, 60.0)), *more))


@pytest.mark.parametrize("per_minute", [at(20), at(300), at(3000, pytest.mark.slow)])
async def test_the_creates_of_a_load_follow_the_quota(bench: Bench, per_minute: int) -> None:
    await load_in_progress(bench)
    minutes = {20: 10, 300: 5, 3000: 1}[per_minute]
    async with bench.serving(*[Queue.LOAD] * (2 if per_minute <= 300 else 10)):
        await asyncio.sleep(minutes * 60)
    assert not bench.vendor.state.counters.refused_create_times
    assert bench.vendor.seen.calls["create"] >= 0.9 * per_minute * minutes

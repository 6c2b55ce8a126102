"""A file that lands is sent within minutes, however many files of loads wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from runner.cloud.messages import ItemRef, Message, decode
from runner.cloud.protocols import Queue
from runner.models import Batch, Item
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


async def serve(bench: Bench, queue: Queue) -> None:
    while True:
        envelope = await bench.post.next(queue, bench.loop, hidden_s=1800)
        await bench.do(queue, decode(envelope.text))
        bench.post.acknowledge(queue, envelope)


async def waits_of_landed_files(bench: Bench, *, loads: int) -> list[timedelta]:
    """Let a file land every two minutes beside a load, and return how long each waited for its create."""
    await load_in_progress(bench)
    queues = [Queue.REGISTER, Queue.UPLOAD, *[Queue.SUBMIT] * 2, *[Queue.LOAD] * loads]
    servers = [asyncio.ensure_future(serve(bench, queue)) for queue in queues]
    await asyncio.sleep(300)
    landed_at = {}
    for number in range(10):
        created = bench.drop(f"orders/{number}.csv")
        landed_at[created.key] = created.at
        bench.post.put(Queue.REGISTER, created, now=bench.loop.time())
        await asyncio.sleep(120)
    await asyncio.sleep(300)
    for server in servers:
        server.cancel()
    await asyncio.gather(*servers, return_exceptions=True)
    items = await bench.items()
    assert not bench.vendor.state.counters.refused_create_times
    return [items[key].intent_at - at for key, at in landed_at.items()]  # type: ignore[operator]


async def test_a_file_that_lands_is_sent_within_two_minutes_while_a_load_fills_the_quota(bench: Bench) -> None:
    waits = await waits_of_landed_files(bench, loads=40)
    assert max(waits) <= timedelta(minutes=2)
    assert bench.vendor.seen.calls["create"] >= 19 * 30 * 0.95, "the load uses what landed files leave"


async def test_while_nothing_lands_a_load_has_the_whole_quota(bench: Bench) -> None:
    await load_in_progress(bench)
    servers = [asyncio.ensure_future(serve(bench, Queue.LOAD)) for _ in range(20)]
    await asyncio.sleep(600)
    for server in servers:
        server.cancel()
    await asyncio.gather(*servers, return_exceptions=True)
    assert bench.vendor.seen.calls["create"] >= 180

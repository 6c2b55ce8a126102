"""A load of many objects from its start to its manifest, in virtual time: the real functions, a simulated vendor.

What one file costs in messages, moves, and calls must not grow with the load. The figures are of the cloud core; what
DynamoDB bills for a move is measured by `benchmarks.cloud_stack`.

    python -m benchmarks.cloud_load 1000 10000
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Figure, peak_rss_mb, report
from runner.cloud.messages import ImportHint, StartLoad
from runner.cloud.protocols import Queue
from runner.models import ItemKind, ItemState
from sandbox.quotas import Rate
from sandbox.settings import SandboxSettings
from tests.cloudcore.bench import Bench
from tests.cloudcore.plan import BEGIN_S, Drop, Plan
from tests.cloudcore.scenario import ENDED, INBOX, RECONCILE_EVERY_S, Simulation
from tests.support.inputs import Input
from tests.support.process import own_tasks
from tests.support.vloop import VirtualLoop

PER_MINUTE = 600
MOST_DIFFERENCE = 0.05
LOOK_EVERY_S = 3.0
COUNTED = {
    "messages per file": ("queue.send",),
    "moves per file": ("ledger.advance",),
    "leases taken per file": ("lease.take",),
    "creates per file": ("create.sent",),
    "retrieves per file": ("retrieve.sent",),
    "lists per file": ("list.sent",),
    "uploads and downloads per file": ("upload.sent", "url.sent", "download.sent"),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """What a load of `files` needed: how often each kind of event happened, and how long it took."""

    files: int
    kinds: dict[str, int]
    virtual_s: float
    real_s: float
    rss_mb: float

    def per_file(self, kinds: tuple[str, ...]) -> float:
        return sum(self.kinds.get(kind, 0) for kind in kinds) / self.files


def main(sizes: list[int]) -> int:
    """Run each load in a process of its own, and compare the others with the first."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        loads = [pool.apply(load, (size,)) for size in sizes]
    figures: list[Figure] = []
    for one in loads:
        figures += _figures(one, loads[0])
    return report(figures)


def load(files: int) -> Ended:
    """Import so many files of one load, until its batch is complete."""
    keys = [f"nightly/{number:06}.csv" for number in range(files)]
    plan = Plan(
        seed=1,
        nightly=tuple(Drop(key=key, given=Input.make(key, ItemKind.FILE, "good"), at=0.0) for key in keys),
        quota=Rate(PER_MINUTE, 60.0),
        settings=SandboxSettings(pending_s=5.0, running_s=5.0),
    )
    loop = VirtualLoop(seed=1, start=BEGIN_S, deadline=BEGIN_S + 30 * 86_400)
    own_tasks(loop)
    simulation = Simulation(plan, loop)
    kinds: Counter[str] = Counter()
    simulation.trace.note = lambda kind, _detail="": kinds.update((kind,))  # type: ignore[method-assign]
    began = time.monotonic()
    virtual_s = loop.run_until_complete(_load(Bench(simulation), plan))
    ended = Ended(files, dict(kinds), virtual_s, time.monotonic() - began, peak_rss_mb())
    loop.end()
    return ended


async def _load(bench: Bench, plan: Plan) -> float:
    await bench.configured()
    for drop in plan.nightly:
        bench.bucket.put(drop.key, drop.given, at=bench.deployment.clock.now())
    began = bench.loop.time()
    start = StartLoad(uri=f"{INBOX}/nightly/", name="nightly", at=bench.deployment.clock.now())
    bench.post.put(Queue.LIST, start, now=began)
    queues = [Queue.LIST, Queue.FINISH, *[Queue.LOAD] * 4, *[Queue.COLLECT] * 4]
    others = [asyncio.ensure_future(one) for one in (_webhooks(bench), _reconciles(bench))]
    async with bench.serving(*queues):
        while not bench.heard.ends:  # noqa: ASYNC110 - the time is virtual
            await asyncio.sleep(10.0)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    batch = await bench.batch()
    counts = await bench.ledger.counts(batch.batch_id)
    assert counts == {ItemState.COLLECTED: len(plan.nightly)}, counts
    return bench.loop.time() - began


async def _webhooks(bench: Bench) -> None:
    told: set[str] = set()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for import_id, status in bench.vendor.statuses():
            if status in ENDED and import_id not in told:
                told.add(import_id)
                hint = ImportHint(import_id=import_id, at=bench.deployment.clock.now())
                bench.post.put(Queue.COLLECT, hint, now=bench.loop.time())


async def _reconciles(bench: Bench) -> None:
    while True:
        await asyncio.sleep(RECONCILE_EVERY_S)
        await bench.reconcile()


def _figures(one: Ended, first: Ended) -> list[Figure]:
    rows: list[Any] = []
    for name, kinds in COUNTED.items():
        value, base = one.per_file(kinds), first.per_file(kinds)
        limit = base * (1 + MOST_DIFFERENCE) if one is not first else None
        rows.append(Figure(f"{one.files:,} files: {name}", value, "", at_most=limit))
    rate = one.files / one.virtual_s * 60
    return [
        *rows,
        Figure(f"{one.files:,} files: creates a minute", rate, "", at_least=0.8 * PER_MINUTE),
        Figure(f"{one.files:,} files: peak memory", one.rss_mb, "MB"),
        Figure(f"{one.files:,} files: time", one.real_s, "s"),
    ]


if __name__ == "__main__":
    sys.exit(main([int(size) for size in sys.argv[1:]] or [1000, 10_000]))

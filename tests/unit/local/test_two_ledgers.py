"""Two runs with a ledger each import one source from two machines: the vendor's list stops at least one of them."""

from __future__ import annotations

import asyncio

from runner.local.pipeline import run_batch
from runner.models import ItemState
from runner.stop import StopReason
from tests.support.bench import Bench
from tests.support.vloop import run_virtually

FILES = {f"{number:03}.csv": b"x\n%d\n" % number for number in range(200)}
QUOTA = 20


def twice(bench: Bench) -> int:
    """Return how many contents more than one import has received; every content must have been received."""
    received = [data for puts in bench.vendor.received.values() for data in puts]
    assert set(received) == set(FILES.values())
    return sum(received.count(data) > 1 for data in FILES.values())


def check(seed: int, *, apart_s: float) -> None:
    async def go() -> None:
        one, other = Bench(FILES), Bench(FILES)
        other.vendor = one.vendor
        first = asyncio.ensure_future(run_batch(await one.start(), one.context()))
        await asyncio.sleep(apart_s)
        second = asyncio.ensure_future(run_batch(await other.start(), other.context()))
        await asyncio.gather(first, second)
        assert StopReason.FOREIGN_IMPORTS in (one.stop.reason, other.stop.reason)
        for bench in (one, other):
            while (await bench.run()).by_state.get(ItemState.COLLECTED, 0) < len(FILES):
                assert bench.stop.reason is None
        assert twice(one) <= QUOTA

    run_virtually(go(), seed=seed)


def test_at_least_one_stops_and_few_contents_are_imported_twice() -> None:
    for seed in range(2):
        check(seed, apart_s=0.0)
        check(seed, apart_s=100.0)
        check(seed, apart_s=61.0)

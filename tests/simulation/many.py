"""Many seeds in several processes: each failing one is printed with how to replay it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial

from tests.simulation.plan import Plan, plan_of, shared_plan_of
from tests.simulation.scenario import simulate
from tests.support.seeds import Broken


def run(seeds: range, *, jobs: int, draw: Callable[[int], Plan] = plan_of) -> int:
    """Return how many seeds failed."""
    started = time.monotonic()
    failed = 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for done, (seed, broken) in enumerate(pool.imap(partial(outcome, draw=draw), seeds, chunksize=10), start=1):
            if broken is not None:
                failed += 1
                shared = " --shared" if draw is shared_plan_of else ""
                print(
                    f"seed {seed}: {broken}\n  replay: python -m tests.simulation{shared} --replay {seed}", flush=True
                )
            if done % 1000 == 0:
                print(f"{done} seeds, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
    print(f"{len(seeds)} seeds from {seeds.start}, {failed} failed, {time.monotonic() - started:.0f} s")
    return failed


def outcome(seed: int, *, draw: Callable[[int], Plan]) -> tuple[int, str | None]:
    """Return the seed with what broke, None where all held."""
    try:
        simulate(draw(seed))
    except Broken as error:
        return seed, str(error)
    return seed, None

"""`python -m tests.simulation`: many seeds, or one of them with its trace."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time

from tests.simulation.oracles import Broken
from tests.simulation.plan import plan_of
from tests.simulation.scenario import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many seeds to run")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes to run them in")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and print its trace")
    options = parser.parse_args()
    if options.replay is not None:
        return replay(options.replay)
    return run(range(options.start, options.start + options.seeds), jobs=options.jobs)


def run(seeds: range, *, jobs: int) -> int:
    started = time.monotonic()
    failed = 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for done, (seed, broken) in enumerate(pool.imap(outcome, seeds, chunksize=10), start=1):
            if broken is not None:
                failed += 1
                print(f"seed {seed}: {broken}\n  replay: python -m tests.simulation --replay {seed}", flush=True)
            if done % 1000 == 0:
                print(f"{done} seeds, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
    print(f"{len(seeds)} seeds from {seeds.start}, {failed} failed, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def outcome(seed: int) -> tuple[int, str | None]:
    try:
        simulate(plan_of(seed))
    except Broken as error:
        return seed, str(error)
    return seed, None


def replay(seed: int) -> int:
    plan = plan_of(seed)
    print(plan)
    try:
        report = simulate(plan)
    except Broken as error:
        show(error.trace)
        print(f"seed {seed}: {error}")
        return 1
    show(report.trace)
    print(f"seed {seed}: holds; {report.virtual_s:.0f} s of virtual time, trace {report.digest[:16]}")
    return 0


def show(trace: list[tuple[float, str, str]]) -> None:
    for at, kind, detail in trace:
        print(f"{at:12.3f}  {kind:26} {detail}")


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.simulation`: many seeds, or one of them with its trace."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.simulation.many import run
from tests.simulation.oracles import Broken
from tests.simulation.plan import Plan, plan_of, shared_plan_of
from tests.simulation.scenario import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many seeds to run")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes to run them in")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and print its trace")
    parser.add_argument("--shared", action="store_true", help="let others move the ledger too")
    options = parser.parse_args()
    draw = shared_plan_of if options.shared else plan_of
    if options.replay is not None:
        return replay(options.replay, draw=draw)
    failed = run(range(options.start, options.start + options.seeds), jobs=options.jobs, draw=draw)
    return 1 if failed else 0


def replay(seed: int, *, draw: Callable[[int], Plan]) -> int:
    plan = draw(seed)
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

"""`python -m tests.cloudcore`: many seeds, or one of them with its trace."""

from __future__ import annotations

import argparse
import sys

from tests.cloudcore.plan import plan_of
from tests.cloudcore.scenario import Report, simulate
from tests.support.seeds import Broken, replay


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cloudcore", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many seeds to run")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the first of them")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and print its trace")
    options = parser.parse_args()
    if options.replay is not None:
        return replay(simulate, plan_of(options.replay), options.replay, tell=_told)
    failed = [seed for seed in range(options.start, options.start + options.seeds) if not holds(seed)]
    print(f"{options.seeds} seeds from {options.start}, {len(failed)} failed")
    return 1 if failed else 0


def holds(seed: int) -> bool:
    try:
        simulate(plan_of(seed))
    except Broken as error:
        print(f"seed {seed}: {error}\n  replay: python -m tests.cloudcore --replay {seed}", flush=True)
        return False
    return True


def _told(report: Report) -> str:
    return f"{report.states}, sent {report.sent}"


if __name__ == "__main__":
    sys.exit(main())

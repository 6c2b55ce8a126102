"""`python -m tests.simulation`: many seeds, or one of them with its trace."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.many import run
from tests.simulation.plan import plan_of, shared_plan_of
from tests.simulation.scenario import simulate
from tests.support.seeds import replay


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
        return replay(simulate, draw(options.replay), options.replay, tell=lambda report: f"trace {report.digest[:16]}")
    failed = run(range(options.start, options.start + options.seeds), jobs=options.jobs, draw=draw)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.mutation.judge TARGET`: judge the code in this directory; exit code 0 if nothing is wrong."""

from __future__ import annotations

import sys

import pytest

from tests.mutation.targets import TARGETS

SEEDS = 100
PYTEST = ("-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--tb=no")


def main(name: str) -> int:
    """Run the fast tests of a target, and then seeds, up to the first failure."""
    target = TARGETS[name]
    if pytest.main([*PYTEST, *target.tests]) != 0:
        return 1
    from tests.simulation.scenario import ALONE, SHARED

    for kind in (ALONE, SHARED) if target.is_simulated else ():
        for seed in range(SEEDS // 2):
            if kind.broken_by(seed)[1] is not None:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

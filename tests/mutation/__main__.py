"""`python -m tests.mutation [TARGET ...]`: change the code in small ways with cosmic-ray; some test must notice each.

The mutants of a target and the verdicts on them are kept in `.mutants`, so that an interrupted run continues; a module
that has changed since starts again. A survivor fails the run unless `survivors.txt` says why it cannot harm.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutation.session import Session
from tests.mutation.targets import TARGETS

LISTED = Path(__file__).with_name("survivors.txt")
SEEDS = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Test the tests with mutants.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="targets to work on at the same time")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="seeds for what passes the tests")
    parser.add_argument("--report", action="store_true", help="only tell what the last run found")
    parser.add_argument("--verdicts", action="store_true", help="also tell what became of each mutant")
    options = parser.parse_args()
    sessions = [Session(name) for name in options.targets or TARGETS]
    reasons = dict(listed())
    if not options.report:
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda session: session.test(seeds=options.seeds, listed=set(reasons)), sessions))
    if options.verdicts:
        for mutant in (mutant for session in sessions for mutant in session.mutants()):
            print(f"{mutant.verdict}\n  {mutant}")
    return max([tell(session, set(reasons)) for session in sessions])


def tell(session: Session, listed: set[str]) -> int:
    """Print what became of the mutants of a target; returns an exit code."""
    mutants, untested = session.mutants(), session.untested_count()
    counts = Counter(mutant.outcome for mutant in mutants) + Counter(untested=untested)
    survivors = {str(mutant) for mutant in mutants if mutant.outcome == "survived"}
    outdated = set() if untested else {one for one in listed if one.startswith(session.module)} - survivors
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print(f"{session.name}: {told or 'no mutants yet'}; {len(survivors - listed)} survivors are not listed")
    for survivor in sorted(survivors - listed):
        print(f"  {survivor}")
    for line in sorted(outdated):
        print(f"  listed, but no survivor: {line}")
    return 1 if survivors - listed or outdated or untested or not mutants else 0


def listed() -> Iterator[tuple[str, str]]:
    """Yield the survivors that cannot harm, each with the reason."""
    for line in LISTED.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            mutant, _, reason = line.rpartition(" | ")
            yield mutant, reason


if __name__ == "__main__":
    sys.exit(main())

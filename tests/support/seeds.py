"""The kit of all simulations: seeds and plans, judges, planted bugs, many seeds in several processes, and replays."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pytest

Steps = list[tuple[float, str, str]]
"""What happened: (virtual seconds, kind, detail)."""


MISTAKES = (AttributeError, NameError, TypeError)
"""Errors that a simulated function raises only if its code or the simulation is wrong: they end the simulation."""


class Broken(AssertionError):
    """An invariant does not hold; `trace` is what led to it."""

    trace: Steps


class Report(Protocol):
    """The outcome of a simulation that violated no invariant."""

    @property
    def digest(self) -> str: ...
    @property
    def trace(self) -> Steps: ...
    @property
    def virtual_s(self) -> float: ...


P = TypeVar("P")
Plant = Callable[[pytest.MonkeyPatch], None]


class Judges:
    """The base of all judges: `broken` keeps a violation even if the code under test caught the error."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def judge(self, invariant: Callable[[], None], trace: Steps) -> None:
        """Check one invariant, and that none was violated before. Raises Broken, with the trace."""
        try:
            invariant()
        except Broken as error:
            raise self.failure(str(error), trace) from None
        if self.broken:
            raise self.failure(self.broken[0], trace)

    def failure(self, sentence: str, trace: Steps) -> Broken:
        """Return the error to raise: the first violation, or else the sentence."""
        error = Broken(self.broken[0] if self.broken else sentence)
        error.trace = trace
        return error

    def _break(self, sentence: str) -> None:
        self.broken.append(sentence)
        raise Broken(sentence)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[P]):
    """A kind of simulation: how it turns a seed into a plan and runs it, and the command that replays a seed."""

    command: str
    plan_of: Callable[[int], P]
    simulate: Callable[[P], Report]

    def broken_by(self, seed: int) -> tuple[int, str | None]:
        """Return the seed with its violation, or None if all invariants hold."""
        try:
            self.simulate(self.plan_of(seed))
        except Broken as error:
            return seed, str(error)
        return seed, None

    def check(self, seed: int) -> None:
        """Fail the test if a seed breaks an invariant."""
        _, broken = self.broken_by(seed)
        if broken is not None:
            pytest.fail(self._told(seed, broken), pytrace=False)

    def run(self, seeds: range, *, jobs: int) -> int:
        """Play many seeds in several processes and print those that fail; returns an exit code."""
        started = time.monotonic()
        failed = 0
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            for done, (seed, broken) in enumerate(pool.imap(self.broken_by, seeds, chunksize=10), start=1):
                if broken is not None:
                    failed += 1
                    print(self._told(seed, broken), flush=True)
                if done % 1000 == 0:
                    print(f"{done} seeds, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
        print(f"{len(seeds)} seeds from {seeds.start}, {failed} failed, {time.monotonic() - started:.0f} s")
        return 1 if failed else 0

    def replay(self, seed: int) -> int:
        """Play one seed and print its plan and its trace; returns an exit code."""
        plan = self.plan_of(seed)
        print(plan)
        try:
            report = self.simulate(plan)
        except Broken as error:
            _show(error.trace)
            print(f"seed {seed}: {error}")
            return 1
        _show(report.trace)
        print(f"seed {seed}: holds; {report.virtual_s:.0f} s of virtual time, trace {report.digest[:16]}")
        return 0

    def _told(self, seed: int, broken: str) -> str:
        return f"seed {seed}: {broken}\n  replay: {self.command} --replay {seed}"


def _unchanged(plan: Any) -> Any:
    return plan


@dataclass(frozen=True)
class Mutant(Generic[P]):
    """A planted bug: it breaks one rule of the core, and the judges must catch it."""

    name: str
    plant: Plant
    plan: Callable[[P], P] = _unchanged
    """How a plan is changed so that the bug can show."""
    first_seed: int = 0
    """The first seed to try, found by a search: it shows the bug until the plans change."""

    def caught(self, kind: Kind[P], *, seeds: int, by: type[Exception] = Broken) -> tuple[int, str] | None:
        """Return the first of so many seeds that shows the bug, and the error; None if none does.

        Raises AssertionError if what is planted does not fit the code any more.
        """
        for seed in range(self.first_seed, self.first_seed + seeds):
            with pytest.MonkeyPatch.context() as patch:
                self.plant(patch)
                try:
                    kind.simulate(self.plan(kind.plan_of(seed)))
                except by as error:
                    happened = [repr(error), *(detail for _, _, detail in getattr(error, "trace", ()))]
                    misfits = [one for one in happened for mistake in MISTAKES if mistake.__name__ in one]
                    assert not misfits, f"the planted bug does not fit the code: {misfits[0]}"
                    return seed, str(error)
        return None


def main(kinds: dict[str, Kind[Any]], *, command: str) -> int:
    """Run the command line of some kinds of simulation, the first by default, others by flag; return an exit code."""
    parser = argparse.ArgumentParser(prog=command, description="Play many seeds, or one of them with its trace.")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many seeds to play")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes to play them in")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play one seed and print its trace")
    default, *others = kinds
    for name in others:
        parser.add_argument(f"--{name}", action="store_const", const=name, default=default, dest="kind")
    options = parser.parse_args()
    kind = kinds[getattr(options, "kind", default)]
    if options.replay is not None:
        return kind.replay(options.replay)
    return kind.run(range(options.start, options.start + options.seeds), jobs=options.jobs)


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Seed the only source of randomness that isn't passed to the core: stamina's jitter."""
    before, level = random.getstate(), logging.root.manager.disable
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        random.setstate(before)
        logging.disable(level)


def most_within(instants: Iterable[float], window_s: float) -> int:
    """Return the largest number of instants in any half-open window."""
    ordered = sorted(instants)
    most = start = 0
    for end, instant in enumerate(ordered):
        while ordered[start] <= instant - window_s:
            start += 1
        most = max(most, end - start + 1)
    return most


def regressions(test_file: str) -> list[int]:
    """Return the seeds of the `regressions.txt` in a test file's directory."""
    lines = Path(test_file).with_name("regressions.txt").read_text("utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def _show(trace: Steps) -> None:
    for at, kind, detail in trace:
        print(f"{at:12.3f}  {kind:26} {detail}")

"""The kit of all simulations: seeds and plans, judges, planted bugs, many seeds in several processes, and replays."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pytest

from tests.support.worlds import World, drawn_worlds, named_worlds

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


Worlds = frozenset[World]
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

    def fail(self, sentence: str) -> None:
        self.broken.append(sentence)
        raise Broken(sentence)


def _alone(plan: Any, _worlds: Worlds) -> Any:
    return plan


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[P]):
    """A kind of simulation: how it turns a seed into a plan and runs it, and the command that replays a seed.

    `within` puts a plan into some worlds, of which `worlds` are those that it can play, and `on_by_default` those that
    some seeds play unless others are named.
    """

    command: str
    plan_of: Callable[[int], P]
    simulate: Callable[[P], Report]
    within: Callable[[P, Worlds], P] = _alone
    worlds: Worlds = frozenset()
    on_by_default: Worlds = frozenset()

    def plan(self, seed: int, worlds: Worlds | None = None) -> P:
        """Return the plan of a seed in the given worlds; None stands for those that it draws."""
        chosen = drawn_worlds(seed, self.on_by_default) if worlds is None else worlds
        return self.within(self.plan_of(seed), chosen) if chosen else self.plan_of(seed)

    def broken_by(self, seed: int, worlds: Worlds | None = None) -> tuple[int, str | None]:
        """Return the seed with its violation, or the error of a judge, or None if all invariants hold."""
        try:
            self.simulate(self.plan(seed, worlds))
        except Broken as error:
            return seed, str(error)
        except Exception as error:  # noqa: BLE001 - otherwise, nobody learns of which seed it is
            return seed, "".join(traceback.format_exception(error, limit=-3))
        return seed, None

    def check(self, seed: int, worlds: Worlds | None = None) -> None:
        """Fail the test if a seed breaks an invariant."""
        _, broken = self.broken_by(seed, worlds)
        if broken is not None:
            pytest.fail(self._told(seed, broken, worlds), pytrace=False)

    def run(self, seeds: range, *, jobs: int, worlds: Worlds | None = None) -> int:
        """Play many seeds in several processes and print those that fail; returns an exit code."""
        started = time.monotonic()
        failed = 0
        play = partial(self.broken_by, worlds=worlds)
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            for done, (seed, broken) in enumerate(pool.imap(play, seeds, chunksize=10), start=1):
                if broken is not None:
                    failed += 1
                    print(self._told(seed, broken, worlds), flush=True)
                if done % 1000 == 0:
                    print(f"{done} seeds, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
        print(f"{len(seeds)} seeds from {seeds.start}, {failed} failed, {time.monotonic() - started:.0f} s")
        return 1 if failed else 0

    def replay(self, seed: int, worlds: Worlds | None = None) -> int:
        """Play one seed and print its plan and its trace; returns an exit code."""
        plan = self.plan(seed, worlds)
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

    def _told(self, seed: int, broken: str, worlds: Worlds | None) -> str:
        chosen = "" if worlds is None else f" --world {','.join(sorted(worlds)) or 'none'}"
        return f"seed {seed}: {broken}\n  replay: {self.command} --replay {seed}{chosen}"


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
    parser.add_argument(
        "--world", action="append", metavar="NAME", help="play every seed in this world only; `all`: in some of all"
    )
    default, *others = kinds
    for name in others:
        parser.add_argument(f"--{name}", action="store_const", const=name, default=default, dest="kind")
    options = parser.parse_args()
    kind = kinds[getattr(options, "kind", default)]
    worlds: Worlds | None = None
    if options.world == ["all"]:
        kind = replace(kind, on_by_default=kind.worlds)
    elif options.world is not None:
        worlds = named_worlds(options.world)
    if options.replay is not None:
        return kind.replay(options.replay, worlds)
    return kind.run(range(options.start, options.start + options.seeds), jobs=options.jobs, worlds=worlds)


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


def regressions(test_file: str) -> list[tuple[int, Worlds]]:
    """Return the seeds of the `regressions.txt` in a test file's directory, each with the worlds that it failed in.

    A line is a seed, the names of its worlds in brackets if there were any, and what it had found.
    """
    lines = Path(test_file).with_name("regressions.txt").read_text("utf-8").splitlines()
    found: list[tuple[int, Worlds]] = []
    for line in lines:
        if line and not line.startswith("#"):
            seed, _, rest = line.partition(" ")
            named = rest.strip()[1:].partition("]")[0] if rest.strip().startswith("[") else ""
            found.append((int(seed), named_worlds([named])))
    return found


def _show(trace: Steps) -> None:
    for at, kind, detail in trace:
        print(f"{at:12.3f}  {kind:26} {detail}")

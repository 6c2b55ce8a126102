"""Simulations by seeds: what breaks, how a seed is judged and replayed, and which seeds once failed."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

Steps = list[tuple[float, str, str]]
"""What happened: (virtual seconds, kind, detail)."""


class Broken(AssertionError):
    """An invariant does not hold; `trace` is what led to it."""

    trace: Steps


class Report(Protocol):
    """What is left of a simulation that held."""

    @property
    def trace(self) -> Steps: ...
    @property
    def virtual_s(self) -> float: ...


P = TypeVar("P")
R = TypeVar("R", bound=Report)


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Seed the one source of randomness that the core does not get handed: the jitter of stamina."""
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


def regressions(beside: str) -> list[int]:
    """Return the seeds of the `regressions.txt` beside a file."""
    lines = Path(beside).with_name("regressions.txt").read_text("utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def check(simulate: Callable[[P], object], plan_of: Callable[[int], P], seed: int, *, command: str) -> None:
    """Fail the test if a seed breaks; `command` is what replays one."""
    try:
        simulate(plan_of(seed))
    except Broken as error:
        pytest.fail(f"seed {seed}: {error}\nreplay: {command} --replay {seed}", pytrace=False)


def replay(simulate: Callable[[P], R], plan: P, seed: int, *, tell: Callable[[R], str]) -> int:
    """Run one simulation and print its trace; returns an exit code."""
    print(plan)
    try:
        report = simulate(plan)
    except Broken as error:
        _show(error.trace)
        print(f"seed {seed}: {error}")
        return 1
    _show(report.trace)
    print(f"seed {seed}: holds; {report.virtual_s:.0f} s of virtual time, {tell(report)}")
    return 0


def _show(trace: Steps) -> None:
    for at, kind, detail in trace:
        print(f"{at:12.3f}  {kind:26} {detail}")

"""The shared clock follows the dates of answers, whatever the machine's own clock shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from runner.errors import LedgerError
from runner.ledger.dynamodb.clock import SharedTime

START = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)


class World:
    """True time, and a machine whose wall clock is off by `skew_s`."""

    def __init__(self, *, skew_s: float = 0.0) -> None:
        self.true_s = 100.0
        self.skew_s = skew_s
        self.time = SharedTime(now=self.now, ticks=lambda: self.true_s + 5000)

    def now(self) -> datetime:
        return self.truth() + timedelta(seconds=self.skew_s)

    def truth(self) -> datetime:
        return START + timedelta(seconds=self.true_s)

    def ask(self, *, there_s: float = 0.0, back_s: float = 0.0) -> None:
        """Get an answer with the true time in whole seconds."""
        asked_at = self.time.ticks()
        self.true_s += there_s
        date = format_datetime(self.truth().replace(microsecond=0), usegmt=True)
        self.true_s += back_s
        self.time.answered(date, asked_at=asked_at)

    @property
    def error_s(self) -> float:
        return self.time.now_s() - self.truth().timestamp()


def test_before_any_answer_the_machines_clock_counts() -> None:
    assert World(skew_s=3).error_s == 3


@pytest.mark.parametrize("skew_s", [-20.0, -0.3, 0.0, 7.0, 29.0])
def test_a_few_answers_bring_it_close_to_the_true_time(skew_s: float) -> None:
    world = World(skew_s=skew_s)
    for _ in range(20):
        world.true_s += 0.37
        world.ask(there_s=0.02, back_s=0.05)
        assert abs(world.error_s) <= 0.6
    assert abs(world.error_s) <= 0.1


def test_a_slow_answer_does_not_worsen_it() -> None:
    world = World()
    for _ in range(20):
        world.true_s += 0.37
        world.ask(there_s=0.01, back_s=0.01)
    good = abs(world.error_s)
    world.ask(there_s=1.0, back_s=30.0)
    assert abs(world.error_s) <= good + 0.01


def test_a_step_of_the_wall_clock_changes_nothing() -> None:
    world = World()
    world.ask()
    before = world.error_s
    world.skew_s = 25.0
    assert world.error_s == before


def test_the_next_answer_corrects_a_clock_that_stood_still() -> None:
    world = World()
    world.ask()
    ticks = world.true_s + 5000
    world.true_s += 300
    frozen = SharedTime(now=world.now, ticks=lambda: ticks)
    frozen.answered(format_datetime(START, usegmt=True), asked_at=ticks)
    frozen.answered(format_datetime(world.truth(), usegmt=True), asked_at=ticks)
    assert abs(frozen.now_s() - world.truth().timestamp()) <= 1


@pytest.mark.parametrize(("skew_s", "said"), [(40.0, "40 s ahead"), (-90.0, "90 s behind")])
def test_a_clock_that_is_far_off_is_refused(skew_s: float, said: str) -> None:
    world = World(skew_s=skew_s)
    for _ in range(20):
        world.true_s += 0.37
        world.ask()
    with pytest.raises(LedgerError, match=said):
        world.time.now_s()


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_an_answer_without_a_date_changes_nothing(date: str | None) -> None:
    world = World(skew_s=2)
    world.time.answered(date, asked_at=world.time.ticks())
    assert world.error_s == 2

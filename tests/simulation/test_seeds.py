"""Whole batches under faults, crashes and restarts: two hundred seeds, and every seed that once failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.oracles import Broken
from tests.simulation.plan import plan_of
from tests.simulation.scenario import simulate

SEEDS = 200
GROUP = 20
REGRESSIONS = Path(__file__).with_name("regressions.txt")


def regressions() -> list[int]:
    lines = REGRESSIONS.read_text("utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def check(seed: int) -> None:
    try:
        simulate(plan_of(seed))
    except Broken as error:
        pytest.fail(f"seed {seed}: {error}\nreplay: python -m tests.simulation --replay {seed}", pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, SEEDS, GROUP))
def test_every_invariant_holds_for_every_seed(start: int) -> None:
    for seed in range(start, start + GROUP):
        check(seed)


@pytest.mark.parametrize("seed", regressions())
def test_a_seed_that_once_failed_holds(seed: int) -> None:
    check(seed)


def test_the_plans_meet_every_kind_of_trouble() -> None:
    plans = [plan_of(seed) for seed in range(SEEDS)]
    assert {plan.store for plan in plans} == {"memory", "disk"}
    assert {plan.settings.if_none_match for plan in plans} == {"accept", "not_implemented", "not_signed"}
    assert any(plan.full for plan in plans)
    assert any(plan.outages for plan in plans)
    assert any(plan.deletions for plan in plans)
    assert any(life.kill_at for plan in plans for life in plan.lives)
    assert any(life.freezes for plan in plans for life in plan.lives)
    assert any(life.stop_after_s for plan in plans for life in plan.lives)

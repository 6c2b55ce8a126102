"""Whole batches under faults, crashes and restarts: two hundred seeds, and every seed that once failed."""

from __future__ import annotations

import pytest

from tests.simulation.plan import plan_of
from tests.simulation.scenario import ALONE
from tests.support.seeds import regressions
from tests.support.worlds import World

SEEDS = 200
FIRST = 10
"""So many run in `make test`, too."""

GROUP = 20


@pytest.mark.parametrize("seed", range(FIRST))
def test_every_invariant_holds_for_the_first_seeds(seed: int) -> None:
    ALONE.check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, SEEDS, GROUP))
def test_every_invariant_holds_for_every_seed(start: int) -> None:
    for seed in range(start, start + GROUP):
        ALONE.check(seed)


@pytest.mark.parametrize(("seed", "worlds"), regressions(__file__))
def test_a_seed_that_once_failed_holds(seed: int, worlds: frozenset[World]) -> None:
    ALONE.check(seed, worlds)


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

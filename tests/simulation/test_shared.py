"""Whole batches on a ledger that functions and colleagues move too, with webhooks that are lost, doubled and late."""

from __future__ import annotations

import pytest

from tests.simulation.plan import Plan, shared_plan_of
from tests.simulation.scenario import SHARED, simulate
from tests.simulation.shared_mutants import SHARED_MUTANTS
from tests.support.seeds import Mutant

SEEDS = 80
GROUP = 20
MUTANT_SEEDS = 60


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, SEEDS, GROUP))
def test_every_invariant_holds_beside_others(start: int) -> None:
    for seed in range(start, start + GROUP):
        SHARED.check(seed)


@pytest.mark.parametrize("mutant", SHARED_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: Mutant[Plan]) -> None:
    assert mutant.caught(SHARED, seeds=MUTANT_SEEDS) is not None


def test_the_same_seed_tells_the_same_story() -> None:
    assert simulate(shared_plan_of(3)).digest == simulate(shared_plan_of(3)).digest


def test_the_plans_meet_every_kind_of_company() -> None:
    plans = [plan.stack for plan in map(shared_plan_of, range(SEEDS)) if plan.stack]
    assert {plan.track_by for plan in plans} == {"list", "ledger", None}
    assert {plan.lost for plan in plans} == {0.0, 0.2, 1.0}
    for part in ("doubled", "killed", "reviewed", "page_lag_s", "repaired_every_s"):
        assert {bool(getattr(plan, part)) for plan in plans} == {True, False}

"""Whole batches on a ledger that functions and colleagues move too, with webhooks that are lost, doubled and late."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import Mutant, caught_by
from tests.simulation.plan import shared_plan_of
from tests.simulation.scenario import simulate
from tests.simulation.shared_mutants import SHARED_MUTANTS
from tests.support.seeds import check

SEEDS = 80
GROUP = 20
MUTANT_SEEDS = 60


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, SEEDS, GROUP))
def test_every_invariant_holds_beside_others(start: int) -> None:
    for seed in range(start, start + GROUP):
        check(simulate, shared_plan_of, seed, command="python -m tests.simulation --shared")


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SHARED_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: Mutant) -> None:
    assert caught_by(mutant, seeds=range(MUTANT_SEEDS)) is not None


def test_the_same_seed_tells_the_same_story() -> None:
    assert simulate(shared_plan_of(3)).digest == simulate(shared_plan_of(3)).digest


def test_the_plans_meet_every_kind_of_company() -> None:
    plans = [plan.stack for plan in map(shared_plan_of, range(SEEDS)) if plan.stack]
    assert {plan.track_by for plan in plans} == {"list", "ledger", None}
    assert {plan.lost for plan in plans} == {0.0, 0.2, 1.0}
    for part in ("doubled", "killed", "reviewed", "page_lag_s", "repaired_every_s"):
        assert {bool(getattr(plan, part)) for plan in plans} == {True, False}

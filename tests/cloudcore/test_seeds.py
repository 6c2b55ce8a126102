"""The event-driven core under faults: two hundred seeds, every seed that once failed, and one that replays."""

from __future__ import annotations

import pytest

from tests.cloudcore.plan import plan_of
from tests.cloudcore.scenario import CLOUD, simulate
from tests.support.seeds import regressions
from tests.support.worlds import World

SEEDS = 200
FIRST = 2
"""So many run in `make test`, too."""

GROUP = 20


@pytest.mark.parametrize("seed", range(FIRST))
def test_every_invariant_holds_for_the_first_seeds(seed: int) -> None:
    CLOUD.check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, SEEDS, GROUP))
def test_every_invariant_holds_for_every_seed(start: int) -> None:
    for seed in range(start, start + GROUP):
        CLOUD.check(seed)


@pytest.mark.parametrize(("seed", "worlds"), regressions(__file__))
def test_a_seed_that_once_failed_holds(seed: int, worlds: frozenset[World]) -> None:
    CLOUD.check(seed, worlds)


def test_a_seed_replays_to_the_same_trace() -> None:
    assert simulate(plan_of(3)).digest == simulate(plan_of(3)).digest


def test_the_plans_meet_every_kind_of_trouble() -> None:
    plans = [plan_of(seed) for seed in range(SEEDS)]
    assert {plan.webhooks for plan in plans} == {"once", "lost", "tripled", "reversed", "mixed"}
    assert {plan.concurrency for plan in plans} == {1, 2, 4}
    assert any(plan.outages for plan in plans)
    assert any(plan.kills for plan in plans)
    assert any(plan.doubled and plan.late_s for plan in plans)
    assert any(len(plan.loads) == 2 and plan.page_length == 2 for plan in plans)
    assert any(not plan.versioned for plan in plans)

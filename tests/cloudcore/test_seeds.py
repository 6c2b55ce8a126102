"""The event-driven core under faults: two hundred seeds, every seed that once failed, and one that replays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cloudcore.oracles import Broken
from tests.cloudcore.plan import plan_of
from tests.cloudcore.scenario import simulate

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
        pytest.fail(f"seed {seed}: {error}\nreplay: python -m tests.cloudcore --replay {seed}", pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, SEEDS, GROUP))
def test_every_invariant_holds_for_every_seed(start: int) -> None:
    for seed in range(start, start + GROUP):
        check(seed)


@pytest.mark.parametrize("seed", regressions())
def test_a_seed_that_once_failed_holds(seed: int) -> None:
    check(seed)


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

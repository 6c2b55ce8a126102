"""Runs that pack, under faults, crashes, and restarts: what holds for a file alone holds for each file in a pack."""

from __future__ import annotations

import pytest

from runner.models import ItemKind
from runner.packing.planner import PackLimits
from sandbox.quotas import Rate
from tests.simulation.plan import Life, Plan, pack_plan_of
from tests.simulation.scenario import PACKS, simulate
from tests.support.inputs import Input
from tests.support.worlds import World

SEEDS = 100
FIRST = 6
"""So many run in `make test`, too."""

GROUP = 20
CRASH_SHARES = 8


@pytest.mark.parametrize("seed", range(FIRST))
def test_every_invariant_holds_for_the_first_seeds(seed: int) -> None:
    PACKS.check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, SEEDS, GROUP))
def test_every_invariant_holds_for_every_seed(start: int) -> None:
    for seed in range(start, start + GROUP):
        PACKS.check(seed)


@pytest.mark.parametrize(
    "world",
    [
        World.DAMAGED_PACK,
        World.FINISHED_PACK,
        World.KEPT_REVIEW,
        World.OTHER_OPTIONS,
        World.UNREADABLE,
        World.LOST_LEDGER,
        World.LOST_AND_CHANGED,
        World.LOST_AGAIN,
        World.SECOND_LEDGER,
        World.NEXT_NIGHT,
    ],
)
def test_every_invariant_holds_in_the_world(world: World) -> None:
    for seed in range(3):
        PACKS.check(seed, frozenset({world}))


def after_a_loss(number: int, *lives: Life) -> Plan:
    """Return a batch in packs that ends; then its ledger is lost, also its results if `number` is odd."""
    names = [f"small/{at:02}.csv" for at in range(12)]
    loss = Life(rest_s=400.0, loses_ledger=True, loses_out=bool(number % 2), changes_inputs=True)
    return Plan(
        seed=number,
        inputs=tuple(Input.make(name, ItemKind.FILE, "good").as_table() for name in names),
        lives=(loss, *lives),
        worlds=frozenset({World.LOST_AND_CHANGED}),
        pack_limits=PackLimits(members=5, canary_members=2),
        quota=Rate(20, 60.0),
    )


@pytest.mark.parametrize(
    ("number", "share"),
    [(0, 0), (1, 0), *(pytest.param(n, s, marks=pytest.mark.slow) for n in range(4) for s in range(1, CRASH_SHARES))],
)
def test_a_crash_at_any_event_of_the_run_after_a_lost_ledger_ends_in_the_same_account(number: int, share: int) -> None:
    usual = simulate(after_a_loss(number))
    for event in range(1 + share, usual.events[1] + 1, CRASH_SHARES):
        crashed = simulate(after_a_loss(number, Life(kill_at=event, rest_s=event % 3)))
        assert crashed.account == usual.account, f"killed at event {event}"


def test_the_plans_meet_packs_of_several_sizes_and_files_whose_import_is_not_as_predicted() -> None:
    plans = [pack_plan_of(seed) for seed in range(SEEDS)]
    assert {plan.pack_limits.members for plan in plans if plan.pack_limits} == {3, 8, 1000}
    assert {plan.mispredicted for plan in plans} == {0.0, 0.3, 1.0}

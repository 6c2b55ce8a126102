"""Runs that pack, under faults, crashes, and restarts: what holds for a file alone holds for each file in a pack."""

from __future__ import annotations

import pytest

from tests.simulation.plan import pack_plan_of
from tests.simulation.scenario import PACKS
from tests.support.worlds import World

SEEDS = 100
FIRST = 6
"""So many run in `make test`, too."""

GROUP = 20


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
        World.LOST_LEDGER,
        World.LOST_AND_CHANGED,
        World.SECOND_LEDGER,
        World.NEXT_NIGHT,
    ],
)
def test_every_invariant_holds_in_the_world(world: World) -> None:
    for seed in range(3):
        PACKS.check(seed, frozenset({world}))


def test_the_plans_meet_packs_of_several_sizes_and_files_whose_import_is_not_as_predicted() -> None:
    plans = [pack_plan_of(seed) for seed in range(SEEDS)]
    assert {plan.pack_limits.members for plan in plans if plan.pack_limits} == {3, 8, 1000}
    assert {plan.mispredicted for plan in plans} == {0.0, 0.3, 1.0}

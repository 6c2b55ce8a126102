"""Worlds in which the vendor differs from what the core hopes for: those in which the core holds are on by default."""

from __future__ import annotations

import pytest

from tests.simulation.plan import plan_of
from tests.simulation.scenario import ALONE
from tests.support.worlds import ON_BY_DEFAULT, World

SEEDS_OF_EACH = 2


@pytest.mark.parametrize("world", sorted(ON_BY_DEFAULT))
def test_every_invariant_holds_in_the_world(world: World) -> None:
    for seed in range(SEEDS_OF_EACH):
        ALONE.check(seed, frozenset({world}))


def test_a_seed_without_worlds_keeps_its_plan() -> None:
    assert ALONE.plan(3, frozenset()) == plan_of(3)


def test_a_plan_names_the_worlds_that_it_plays() -> None:
    assert ALONE.plan(3, frozenset({World.ODD_404})).worlds == {World.ODD_404}

"""The judges notice: every planted bug is caught within a few seeds."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.plan import Plan
from tests.simulation.scenario import ALONE
from tests.simulation.world_mutants import WORLD_MUTANTS
from tests.support.seeds import Mutant

SEEDS = 60


@pytest.mark.parametrize("mutant", [*MUTANTS, *WORLD_MUTANTS], ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: Mutant[Plan]) -> None:
    assert mutant.caught(ALONE, seeds=SEEDS) is not None

"""The judges notice: every planted bug is caught within a few seeds."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.pack_mutants import PACK_MUTANTS
from tests.simulation.plan import Plan
from tests.simulation.scenario import ALONE, PACKS
from tests.simulation.world_mutants import WORLD_MUTANTS
from tests.support.seeds import Mutant

SEEDS = 60


@pytest.mark.parametrize("mutant", [*MUTANTS, *WORLD_MUTANTS], ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: Mutant[Plan]) -> None:
    assert mutant.caught(ALONE, seeds=SEEDS) is not None


@pytest.mark.parametrize("mutant", PACK_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_of_packing_is_caught(mutant: Mutant[Plan]) -> None:
    assert mutant.caught(PACKS, seeds=SEEDS) is not None

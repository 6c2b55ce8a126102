"""The judges notice: every planted bug is caught within a few seeds."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, caught_by

SEEDS = 60


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: Mutant) -> None:
    assert caught_by(mutant, seeds=range(SEEDS)) is not None

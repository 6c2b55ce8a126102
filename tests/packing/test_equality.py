"""A file's part of a pack is, byte for byte, what its own import gives: rows, order, and errors."""

from __future__ import annotations

import pytest

from tests.packing.equality import Account, check
from tests.packing.hostile import KINDS, Kind
from tests.packing.world import World

SEEDS, GROUPS = 120, 6
SEEDS_PER_KIND = 3
PACKABLE_KINDS_MIN = 20


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_split_of_a_pack_is_what_each_file_gets_alone(group: int) -> None:
    account = Account()
    for seed in range(group, SEEDS, GROUPS):
        check(World(seed), account)
    assert account.packed.total() > account.packs > 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_files_of_mostly_one_kind_are_split_as_they_get_alone(kind: Kind) -> None:
    account = Account()
    for seed in range(SEEDS_PER_KIND):
        check(World(seed, usual_kind=kind, mixed_share=0.1), account)
    if kind.codes and not kind.may_be_packed:
        assert account.packed[kind.name] == 0
        assert account.alone.total() > 0


def test_the_worlds_pack_files_of_many_kinds_and_refuse_those_that_cannot_be_packed() -> None:
    account = Account()
    for seed in range(SEEDS, SEEDS + 80):
        check(World(seed), account)
    assert len(account.packed) >= PACKABLE_KINDS_MIN
    assert {code for kind in KINDS for code in kind.codes if not kind.may_be_packed} <= set(account.alone)

"""The planner: every file once, within limits, and the same packs for most of a directory that changes."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.packing.planner import Candidate, PackLimits, PlannedAlone, PlannedPack, header_digest, plan_packs

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
PROVEN = frozenset(("b",))


def tags(count: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return sorted({"".join(rng.choices(BASE32, k=13)) for _ in range(count)})


def candidate(tag: str, **changes: object) -> Candidate:
    given = {
        "route": "r",
        "binding": "b",
        "header": "h",
        "date_order": "",
        "row_count": 2,
        "size_bytes": 100,
        **changes,
    }
    return Candidate(tag=tag, **given)  # type: ignore[arg-type]


def planned(
    candidates: Iterable[Candidate], limits: PackLimits | None = None, proven: frozenset[str] = PROVEN
) -> tuple[list[PlannedPack], list[PlannedAlone]]:
    found = list(plan_packs(candidates, limits, proven=proven))
    return [one for one in found if isinstance(one, PlannedPack)], [
        one for one in found if isinstance(one, PlannedAlone)
    ]


def packs_of(candidates: Iterable[Candidate]) -> set[tuple[str, ...]]:
    return {pack.tags for pack in planned(candidates)[0]}


def test_every_file_is_in_one_pack_or_alone_in_the_order_of_tags() -> None:
    names = tags(5_000)
    packs, alone = planned(candidate(name, header=name[-1]) for name in names)
    assert sorted([tag for pack in packs for tag in pack.tags] + [one.tag for one in alone]) == names
    assert all(list(pack.tags) == sorted(pack.tags) for pack in packs)
    assert all(len({tag[-1] for tag in pack.tags}) == 1 for pack in packs)


def test_a_directory_has_the_same_packs_in_every_version() -> None:
    assert PackLimits() == PackLimits(members=1_000, rows=10_000, size_bytes=8_000_000, cut_from=0.7, cut_share=0.192)
    packs, _ = planned(map(candidate, tags(6_000)))
    assert [len(pack.tags) for pack in packs] == [1000, 1000, 1000, 1000, 728, 754, 518]


def test_a_pack_can_end_as_soon_as_it_is_full_by_the_share_from_which_it_may() -> None:
    names = [f"{letter}aaaaaaa77777" for letter in "bcde"] + ["faaaaaaaaaaaa", "gaaaaaaa77777", "haaaaaaa77777"]
    packs, _ = planned(map(candidate, names), PackLimits(members=10, cut_from=0.5))
    assert [len(pack.tags) for pack in packs] == [5, 2]


def test_a_tag_ends_a_pack_only_if_its_bits_are_below_the_share_of_packs_that_end_there() -> None:
    limits = PackLimits(members=8, cut_from=0.25, cut_share=0.5)
    for end, sizes in (("h7777", [2, 2]), ("iaaaa", [4])):
        packs, _ = planned([candidate(f"{letter}aaaaaaa{end}") for letter in "bcde"], limits)
        assert [len(pack.tags) for pack in packs] == sizes


def test_full_packs_have_700_to_1000_members_and_850_on_average() -> None:
    packs, _ = planned(map(candidate, tags(100_000)))
    sizes = [len(pack.tags) for pack in packs[:-1]]
    assert 700 <= min(sizes) <= max(sizes) <= 1_000
    assert 830 <= sum(sizes) / len(sizes) <= 870


@pytest.mark.parametrize("changes", [{}, {"row_count": 40}, {"size_bytes": 30_000}])
def test_a_directory_that_changes_keeps_most_of_its_packs(changes: dict[str, object]) -> None:
    made = [candidate(tag, **changes) for tag in tags(40_000)]
    before = packs_of(made)
    kept = []
    for at in range(0, 40_000, 10_000):
        kept.append(len(before & packs_of(made[:at] + made[at + 1 :])) / len(before))
        (new,) = (candidate(tag, **changes) for tag in tags(1, seed=at + 2))
        kept.append(len(before & packs_of(sorted([*made, new], key=attrgetter("tag")))) / len(before))
    assert sum(kept) / len(kept) > 0.95
    assert min(kept) > 0.8


def test_no_pack_is_larger_than_its_limits() -> None:
    rng = random.Random(3)
    made = [candidate(tag, row_count=rng.randint(1, 900), size_bytes=rng.randint(50, 700_000)) for tag in tags(3_000)]
    packs, alone = planned(made)
    by_tag = {one.tag: one for one in made}
    for pack in packs:
        assert pack.row_count == sum(by_tag[tag].row_count for tag in pack.tags) <= 10_000
        assert pack.size_bytes == sum(by_tag[tag].size_bytes for tag in pack.tags) <= 8_000_000
    assert len(alone) <= 1


def test_a_file_that_no_pack_can_take_is_alone() -> None:
    one, two, three = tags(3)
    packs, alone = planned(
        [candidate(one, row_count=10_001), candidate(two, size_bytes=8_000_001), candidate(three, header="other")]
    )
    assert not packs
    assert [(each.tag, each.refusal.code) for each in alone] == [
        (one, "too_large"), (two, "too_large"), (three, "no_like_files"),
    ]  # fmt: skip


def test_a_pack_or_a_file_that_reaches_a_limit_exactly_is_within_it() -> None:
    one, two, three = tags(3)
    for name, most in (("row_count", 10_000), ("size_bytes", 8_000_000)):
        packs, alone = planned([candidate(one, **{name: most * 6 // 10}), candidate(two, **{name: most * 4 // 10})])
        assert ([pack.tags for pack in packs], alone) == ([(one, two)], [])
        _, alone = planned([candidate(three, **{name: most})])
        assert [each.refusal.code for each in alone] == ["no_like_files"]


def test_a_header_has_a_digest_of_16_digits_that_depends_on_its_columns_and_their_order() -> None:
    assert header_digest(["a", "b"]) == header_digest(iter(["a", "b"])) == "4958a65a6584dd7d"
    assert len({header_digest(one) for one in (["a", "b"], ["b", "a"], ["ab"], [])}) == 4


@pytest.mark.parametrize("name", ["route", "binding", "header", "date_order"])
def test_files_that_differ_in_what_a_pack_shares_are_never_together(name: str) -> None:
    packs, _ = planned(candidate(tag, **{name: f"{at % 3}"}) for at, tag in enumerate(tags(30)))
    assert [len(pack.tags) for pack in packs] in ([10, 10, 10], [5, 5, 5, 5, 5, 5])


def test_a_file_whose_unique_value_is_taken_is_alone_and_the_next_pack_begins_afresh() -> None:
    names = tags(8)
    made = [
        candidate(tag, unique_keys=key * 8)
        for tag, key in zip(names, (b"a", b"b", b"a", b"c", b"a", b"a", b"d", b"e"), strict=True)
    ]
    packs, alone = planned(made, PackLimits(members=3))
    assert [pack.tags for pack in packs] == [(names[0], names[1], names[3]), (names[4], names[6], names[7])]
    assert [(one.tag, one.refusal.code) for one in alone] == [(names[2], "unique_shared"), (names[5], "unique_shared")]


def test_a_pack_has_no_more_files_than_their_route_allows() -> None:
    packs, _ = planned((candidate(tag, members=4) for tag in tags(12)), PackLimits(members=6, cut_from=1.0))
    assert [len(pack.tags) for pack in packs] == [4, 4, 4]
    packs, _ = planned((candidate(tag, members=9) for tag in tags(12)), PackLimits(members=6, cut_from=1.0))
    assert [len(pack.tags) for pack in packs] == [6, 6]


def test_the_first_pack_of_a_binding_that_is_not_proven_is_a_canary() -> None:
    packs, _ = planned((candidate(tag) for tag in tags(2_000)), proven=frozenset())
    assert [pack.is_canary for pack in packs] == [True] + [False] * (len(packs) - 1)
    assert len(packs[0].tags) == 5
    small, _ = planned((candidate(tag) for tag in tags(3)), proven=frozenset())
    assert [(len(pack.tags), pack.is_canary) for pack in small] == [(3, True)]


def test_a_canary_of_one_header_is_enough_for_a_binding() -> None:
    packs, _ = planned((candidate(tag, header=tag[-1]) for tag in tags(500)), proven=frozenset())
    assert sum(pack.is_canary for pack in packs) == 1


def test_files_out_of_order_are_a_mistake_of_the_caller() -> None:
    one, two = tags(2)
    for order in ((two, one), (one, one)):
        with pytest.raises(ValueError, match="order"):
            list(plan_packs(map(candidate, order)))


def test_packs_come_before_all_files_are_seen() -> None:
    seen = 0

    def counted() -> Iterable[Candidate]:
        nonlocal seen
        for tag in tags(5_000):
            seen += 1
            yield candidate(tag)

    next(iter(plan_packs(counted(), proven=PROVEN)))
    assert seen <= 1_000


def test_memory_does_not_grow_with_the_number_of_files() -> None:
    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        try:
            for _ in plan_packs((candidate(f"{'a' * 9}{_base32(at)}") for at in range(count)), proven=PROVEN):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes(30_000) < peak_bytes(3_000) + 50_000


def _base32(number: int) -> str:
    """Return a number as text of 4 characters, in the order of tags."""
    digits = sorted(BASE32)
    return "".join(digits[number >> shift & 31] for shift in (15, 10, 5, 0))


KINDS_OF_FILES = st.tuples(
    st.sampled_from(("h", "i")),
    st.integers(1, 60),
    st.integers(1, 900),
    st.sets(st.sampled_from(b"abcdef"), max_size=2),
)


@given(st.lists(KINDS_OF_FILES, max_size=60), st.booleans())
def test_whatever_the_files_each_is_planned_once_and_each_pack_is_one(
    kinds: list[tuple[str, int, int, set[int]]], is_proven: bool
) -> None:
    limits = PackLimits(members=9, rows=200, size_bytes=3_000, canary_members=3)
    made = {
        tag: candidate(
            tag, header=header, row_count=rows, size_bytes=size, unique_keys=b"".join(bytes([key]) * 8 for key in keys)
        )
        for tag, (header, rows, size, keys) in zip(tags(len(kinds)), kinds, strict=True)
    }
    packs, alone = planned(made.values(), limits, PROVEN if is_proven else frozenset())
    assert sorted([tag for pack in packs for tag in pack.tags] + [one.tag for one in alone]) == sorted(made)
    assert planned(made.values(), limits, PROVEN if is_proven else frozenset()) == (packs, alone)
    for pack in packs:
        members = [made[tag] for tag in pack.tags]
        keys = [key for each in members for key in set(each.unique_keys)]
        assert 2 <= len(members) <= (3 if pack.is_canary else 9)
        assert len({each.header for each in members}) == 1
        assert len(keys) == len(set(keys))
        assert sum(each.row_count for each in members) <= 200
        assert sum(each.size_bytes for each in members) <= 3_000
    assert sum(pack.is_canary for pack in packs) == (0 if is_proven else bool(packs))

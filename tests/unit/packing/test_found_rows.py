"""What a pack's result alone tells of its members: which rows of it were whose."""

from __future__ import annotations

import random

import pytest

from runner.errors import PackUnaccounted
from runner.packing.found_rows import FoundRows, layout_of_rows
from runner.packing.layout import PackLayout
from runner.packing.split import rows_left_out

ONE, TWO = "a" * 13, "b" * 13


def test_rows_are_found_by_their_markers_in_any_order() -> None:
    rows = FoundRows()
    rows.feed(f'[{{"x":1,"$unmapped":{{"0":"{TWO}.2"}}}},{{"x":2,"$unmapped":{{"0":"{ONE}.1"}}}},'.encode())
    rows.feed(f'{{"x":3,"$unmapped":{{"0":"{TWO}.1"}}}}]'.encode())
    rows.finish()
    assert rows.numbers == {ONE: {1}, TWO: {1, 2}}
    assert rows.column is not None
    assert not rows.column.is_field


def test_a_result_without_rows_tells_nothing() -> None:
    rows = FoundRows()
    rows.feed(b"[]")
    rows.finish()
    assert (rows.numbers, rows.column) == ({}, None)


@pytest.mark.parametrize("marker", [f"{ONE}.1", "no marker"])
def test_a_row_that_comes_twice_or_has_no_marker_is_refused(marker: str) -> None:
    rows = FoundRows()
    with pytest.raises(PackUnaccounted):
        rows.feed(f'[{{"$unmapped":{{"0":"{ONE}.1"}}}},{{"$unmapped":{{"0":"{marker}"}}}}]'.encode())


@pytest.mark.parametrize("seed", range(200))
def test_the_layout_follows_from_the_rows_that_are_there_and_those_that_are_left_out(seed: int) -> None:
    rng = random.Random(seed)
    tags = sorted("".join(rng.choices("abcdefgh", k=13)) for _ in range(rng.randint(1, 6)))
    layout = PackLayout.of((tag, rng.randint(1, 6)) for tag in tags)
    numbers: dict[str, set[int]] = {}
    left_out: set[int] = set()
    for member in layout.members:
        there = set(rng.sample(range(1, member.row_count + 1), rng.randint(1, member.row_count)))
        numbers[member.tag] = there
        left_out |= {layout.starts[member.tag] + n - 1 for n in range(1, member.row_count + 1) if n not in there}
    assert layout_of_rows(numbers, left_out) == layout


@pytest.mark.parametrize(
    ("numbers", "left_out"),
    [
        ({}, set()),
        ({ONE: {1, 3}}, set()),
        ({ONE: {2}}, set()),
        ({ONE: {1}, TWO: {2}}, set()),
        ({ONE: {1, 2}}, {1}),
        ({ONE: {1}}, {5}),
        ({ONE: {1}, TWO: {1}}, {3}),
    ],
)
def test_there_is_no_layout_if_the_rows_do_not_add_up(numbers: dict[str, set[int]], left_out: set[int]) -> None:
    assert layout_of_rows(numbers, left_out) is None


def test_rows_are_left_out_only_where_invalid_rows_are_removed() -> None:
    metadata = {"errors": [{"rowIndex": 2}, {"message": "no row"}], "rowsWithError": [4, True, "5"], "errorCount": 2}
    assert rows_left_out(metadata, "REMOVE_INVALID_ROWS") == {2, 4}
    assert rows_left_out(metadata, "INCLUDE_INVALID_ROWS") == set()
    assert rows_left_out(None, "REMOVE_INVALID_ROWS") == set()


def test_a_list_of_errors_that_is_cut_does_not_say_which_rows_are_left_out() -> None:
    metadata = {"errors": [{"rowIndex": 2}], "errorCount": 3}
    assert rows_left_out(metadata, "REMOVE_INVALID_ROWS") is None
    assert rows_left_out({**metadata, "rowsWithError": [2, 3]}, "REMOVE_INVALID_ROWS") == {2, 3}

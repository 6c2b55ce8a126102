"""Walking the list: it ends early only on a page that is newest first and older than what is looked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from runner.dromo import listing
from runner.dromo.listing import imports_since
from runner.models import RemoteImport
from tests.support.listed import AT, Lists, made

pytestmark = pytest.mark.virtual_time


async def walked(
    rows: Sequence[RemoteImport],
    *,
    page_size: int,
    since: bool = True,
    most: int | None = None,
    trusts_order: bool = True,
    for_absence: bool = False,
) -> str:
    api = Lists(rows, page_size=page_size)
    walk = imports_since(api, AT if since else None, max_pages=most, trusts_order=trusts_order, for_absence=for_absence)
    return "".join([one.import_id async for one in walk])


async def test_the_walk_ends_on_an_ordered_page_that_is_older() -> None:
    rows = [made("a", 1), made("b", 0), made("c", -3), made("d", -4), made("e", -5)]
    assert await walked(rows, page_size=2) == "abcd"


async def test_a_page_that_is_out_of_order_does_not_end_the_walk() -> None:
    rows = [made("a", -5), made("b", 3), made("c", -9), made("d", 1)]
    assert await walked(rows, page_size=3) == "abcd"


async def test_a_later_page_that_is_in_order_ends_the_walk() -> None:
    rows = [made("a", -5), made("b", 3), made("c", -9), made("d", -10), made("e", 1)]
    assert await walked(rows, page_size=2) == "abcd"


async def test_imports_of_the_same_instant_are_in_order() -> None:
    rows = [made("a", -9), made("b", -9), made("c", -10), made("d", -11)]
    assert await walked(rows, page_size=2) == "ab"


@pytest.mark.parametrize(("minute", "found"), [(-2.0, "abc"), (-2.01, "ab")])
async def test_two_minutes_before_are_walked_too(minute: float, found: str) -> None:
    assert await walked([made("a", 1), made("b", minute), made("c", -30)], page_size=2) == found


async def test_an_import_without_a_date_does_not_end_the_walk() -> None:
    rows = [made("a", None), made("b", -9), made("c", -10)]
    assert await walked(rows, page_size=2) == "abc"


async def test_without_an_instant_everything_is_walked_up_to_the_most_pages() -> None:
    rows = [made(name, -1000 * place) for place, name in enumerate("abcdef")]
    assert await walked(rows, page_size=1, since=False) == "abcdef"
    assert await walked(rows, page_size=2, since=False, most=2) == "abcd"


async def test_an_empty_list_ends_the_walk() -> None:
    assert await walked([], page_size=2) == ""


NEW_LAST = [made("a", -7), made("b", -8), made("c", -9), made("d", 1)]
"""A list in no order whose first page looks as if it were in one."""


@pytest.mark.parametrize("careful", [{"for_absence": True}, {"trusts_order": False}], ids=str)
async def test_a_page_that_is_in_order_by_chance_does_not_end_a_walk_that_proves_absence(
    careful: dict[str, bool],
) -> None:
    assert await walked(NEW_LAST, page_size=2) == "ab"
    assert await walked(NEW_LAST, page_size=2, **careful) == "abcd"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([made("a", 1), made("b", 0), made("c", -3), made("d", -4), made("e", -5)], "abcd"),
        ([made("a", 1), made("b", 0), made("b", 0), made("c", -4), made("e", -5), made("f", -6)], "abbcef"),
        ([made("a", -3), made("b", -3), made("c", -4), made("d", -4), made("e", -5)], "abcd"),
        ([made("a", -3), made("b", -4), made("c", -3), made("d", -4), made("e", -5)], "abcde"),
        ([made("a", 1), made("b", None), made("c", -3), made("d", -4), made("e", -5)], "abcde"),
    ],
    ids=[
        "in order",
        "one moved to the next page",
        "of the same instants",
        "in order on each page alone",
        "one without a date",
    ],
)
async def test_enough_imports_in_order_end_a_walk_that_proves_absence(
    monkeypatch: pytest.MonkeyPatch, rows: list[RemoteImport], found: str
) -> None:
    monkeypatch.setattr(listing, "ORDER_PROVED_BY", 4)
    assert await walked(rows, page_size=2, for_absence=True) == found


async def test_imports_that_a_later_page_repeats_do_not_break_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "ORDER_PROVED_BY", 3)
    rows = [made("a", 1), made("b", 0), made("a", 1), made("c", -4), made("d", -5)]
    assert await walked(rows, page_size=2, for_absence=True) == "abac"

"""Walking the vendor's list of imports."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runner.dromo import listing
from runner.dromo.listing import PAGES_WITHOUT_NEWS_MAX, imports_since
from runner.errors import Unavailable
from runner.models import ImportPage, RemoteImport
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time


class Pages:
    """An API that answers with one page after the other, then with the last one again."""

    def __init__(self, *pages: ImportPage) -> None:
        self.pages = pages
        self.offsets: list[int] = []

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        self.offsets.append(offset)
        return self.pages[min(len(self.offsets), len(self.pages)) - 1]


def page(*ids: str, left_out: int = 0, has_next: bool = True) -> ImportPage:
    imports = tuple(RemoteImport(import_id=one, status="PENDING", created_at=EPOCH) for one in ids)
    return ImportPage(count=9, imports=imports, has_next=has_next, left_out=left_out)


async def walked(*pages: ImportPage, since: Any = None) -> tuple[list[str], list[int]]:
    api = Pages(*pages)
    return [remote.import_id async for remote in imports_since(api, since)], api.offsets  # type: ignore[arg-type]


async def test_entries_that_cannot_be_read_are_stepped_over() -> None:
    found = await walked(page("a", left_out=1), page(left_out=2), page("b", has_next=False), since=EPOCH)
    assert found == (["a", "b"], [0, 2, 4])


async def test_an_empty_page_ends_the_list() -> None:
    assert await walked(page("a"), page()) == (["a"], [0, 1])


async def test_pages_older_than_the_instant_are_not_asked_for() -> None:
    assert await walked(page("a"), page("b"), since=EPOCH + timedelta(hours=1)) == (["a"], [0])


async def test_a_list_that_shows_the_same_imports_again_and_again_is_an_outage() -> None:
    api = Pages(page("a"), page("b"), page("a"))
    with pytest.raises(Unavailable, match="again and again"):
        _ = [remote async for remote in imports_since(api, None)]  # type: ignore[arg-type]
    assert len(api.offsets) == PAGES_WITHOUT_NEWS_MAX + 2


async def test_a_page_that_is_not_whole_proves_no_absence() -> None:
    odd = replace(page("a", has_next=False), is_whole=False)
    assert (await walked(odd))[0] == ["a"]
    with pytest.raises(Unavailable, match="cannot be read"):
        _ = [remote async for remote in imports_since(Pages(odd), None, for_absence=True)]  # type: ignore[arg-type]


class Shrinking:
    """A list of imports, newest first, from which some are deleted, and to which some are added, before each page."""

    def __init__(self, ids: str, *changes: tuple[str, str], tells_count: bool = True) -> None:
        self.ids = list(ids)
        self.changes = list(changes)
        self.tells_count = tells_count
        self.reads = 0

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        del limit
        self.reads += 1
        deleted, added = self.changes.pop(0) if self.changes else ("", "")
        self.ids = [*added, *(one for one in self.ids if one not in deleted)]
        imports = page(*self.ids[offset : offset + 3]).imports
        count = len(self.ids) if self.tells_count else None
        return ImportPage(count=count, imports=imports, has_next=offset + 3 < len(self.ids))


@pytest.mark.parametrize(
    "changes",
    [
        [("", ""), ("a", "")],
        [("", ""), ("abc", "")],
        [("", ""), ("abcd", "")],
        [("", ""), ("", ""), ("bdf", "")],
        [("", ""), ("a", ""), ("b", ""), ("c", "")],
        [("", ""), ("ab", "x")],
        [("", ""), ("a", "xyz"), ("b", "")],
        [("", ""), ("i", "")],
        [("", ""), ("", ""), ("abcdefgh", "")],
    ],
)
async def test_an_import_that_a_deletion_moves_to_a_page_that_was_read_is_found(changes: list[tuple[str, str]]) -> None:
    api = Shrinking("abcdefghi", *changes)
    found = {remote.import_id async for remote in imports_since(api, None)}  # type: ignore[arg-type]
    gone = {one for deleted, _ in changes for one in deleted}
    assert found >= set("abcdefghi") - gone


async def test_a_deletion_does_not_break_the_proof_that_the_list_comes_newest_first() -> None:
    api = Shrinking("abcdefghi", ("", ""), ("ab", ""))
    found = [remote.import_id async for remote in imports_since(api, None, for_absence=True)]  # type: ignore[arg-type]
    assert found == list("abcdefghi")


async def test_a_list_that_does_not_tell_its_length_is_read_once() -> None:
    api = Shrinking("abcdefghi", ("", ""), ("a", ""), tells_count=False)
    found = [remote.import_id async for remote in imports_since(api, None)]  # type: ignore[arg-type]
    assert (found, api.reads) == (list("abcefghi"), 3)


async def test_a_page_that_is_read_again_does_not_count_as_one_of_the_pages_to_search() -> None:
    api = Shrinking("abcdefghi", ("", ""), ("a", ""), ("b", ""))
    found = {remote.import_id async for remote in imports_since(api, None, max_pages=3)}  # type: ignore[arg-type]
    assert found == set("abcdefghi")


async def test_many_imports_that_are_deleted_at_once_are_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE_SIZE", 3)
    ids = "".join(map(chr, range(65, 65 + 3 * 4 * PAGES_WITHOUT_NEWS_MAX)))
    pages_before = 2 * PAGES_WITHOUT_NEWS_MAX
    oldest = ids[-3 * (PAGES_WITHOUT_NEWS_MAX + 5) :]
    api = Shrinking(ids, *[("", "")] * pages_before, (oldest, ""))
    found = {remote.import_id async for remote in imports_since(api, None)}  # type: ignore[arg-type]
    assert found == set(ids) - set(oldest)
    assert api.reads > pages_before + PAGES_WITHOUT_NEWS_MAX


async def test_a_length_that_is_never_the_same_twice_is_an_outage() -> None:
    pages = [replace(page("a", "b"), count=10**6), replace(page("c"), count=1)] * PAGES_WITHOUT_NEWS_MAX
    api = Pages(*pages)
    with pytest.raises(Unavailable, match="again and again"):
        _ = [remote async for remote in imports_since(api, None)]  # type: ignore[arg-type]
    assert len(api.offsets) <= 2 * PAGES_WITHOUT_NEWS_MAX

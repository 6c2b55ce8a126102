"""Orphans: which of several imports with an item's tag it adopts, and which it never does."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from runner.dromo.clock import VendorTime
from runner.ledger.memory import MemoryLedger
from runner.models import ImportPage, Item, ItemState, RemoteImport
from runner.stages.orphans import Orphans
from tests.support.listed import AT, Lists, StillClock, batch, made

pytestmark = pytest.mark.virtual_time

TAG = "abcdefghijklm"


def tagged(import_id: str, minute: float = 0, *, status: str = "AWAITING_UPLOAD", schema_id: str = "s") -> RemoteImport:
    return made(import_id, minute, status=status, schema_id=schema_id, name=f"a.~{TAG}.csv")


def orphans_of(ledger: MemoryLedger, api: Lists | None = None) -> Orphans:
    return Orphans(api or Lists(), ledger, endpoint="e", vendor_time=VendorTime(StillClock()))


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(now=lambda: AT)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_an_import_that_has_data_is_adopted_before_older_empty_ones(
    ledger: MemoryLedger, order: tuple[int, ...]
) -> None:
    found = [tagged("empty", 0), tagged("empty, too", 1), tagged("full", 2, status="RUNNING")]
    await ledger.keep_orphans([found[place] for place in order])
    best = await orphans_of(ledger).match(TAG, "s")
    assert best is not None
    assert best.import_id == "full"


@pytest.mark.parametrize("status", ["AWAITING_UPLOAD", "SUCCESSFUL"])
async def test_the_oldest_of_like_imports_is_adopted(ledger: MemoryLedger, status: str) -> None:
    await ledger.keep_orphans([tagged("new", 5, status=status), tagged("old", 1, status=status)])
    best = await orphans_of(ledger).match(TAG, "s")
    assert best is not None
    assert best.import_id == "old"


async def test_no_import_that_failed_has_an_owner_or_is_of_another_schema_is_adopted(ledger: MemoryLedger) -> None:
    await ledger.start_batch(batch())
    await ledger.add([Item(batch_id="b", source="a.csv")])
    item = await ledger.advance(Item(batch_id="b", source="a.csv"), ItemState.CREATING, reason="x")
    await ledger.advance(item, ItemState.CREATED, reason="x", import_id="owned")
    await ledger.keep_orphans([tagged("failed", status="FAILED"), tagged("owned"), tagged("other", schema_id="t")])
    assert await orphans_of(ledger).match(TAG, "s") is None


async def test_the_list_is_searched_beyond_a_page_that_is_out_of_order(ledger: MemoryLedger) -> None:
    api = Lists([tagged("failed", 9, status="FAILED"), made("a", -60), made("b", 5), made("c", -60), tagged("mine")],
                page_size=3)  # fmt: skip
    best = await orphans_of(ledger, api).find_by_tag(TAG, "s", since=AT)
    assert best is not None
    assert best.import_id == "mine"


async def test_lost_creates_that_are_looked_for_at_once_share_a_list_that_begins_after_all_of_them(
    ledger: MemoryLedger,
) -> None:
    api = Lists([], [tagged("mine"), *(made(f"fill-{number}", 5) for number in range(9))], page_size=2)
    page = api.list_page

    async def slow(*, limit: int, offset: int) -> ImportPage:
        found = await page(limit=limit, offset=offset)
        await asyncio.sleep(5)
        return found

    api.list_page = slow  # type: ignore[method-assign]
    orphans = orphans_of(ledger, api)
    first = asyncio.ensure_future(orphans.find_by_tag(TAG, "s", since=AT))
    await asyncio.sleep(1)
    later = await asyncio.gather(*(orphans.find_by_tag(TAG, "s", since=AT) for _ in range(6)))
    assert await first is None
    assert [found and found.import_id for found in later] == ["mine"] * 6
    assert api.walks == 2


async def test_only_imports_with_a_tag_and_without_an_owner_are_recorded(ledger: MemoryLedger) -> None:
    await ledger.start_batch(batch())
    await ledger.add([Item(batch_id="b", source="a.csv")])
    item = await ledger.advance(Item(batch_id="b", source="a.csv"), ItemState.CREATING, reason="x")
    await ledger.advance(item, ItemState.CREATED, reason="x", import_id="owned")
    await orphans_of(ledger, Lists([tagged("mine"), tagged("owned"), made("plain", name="a.csv")])).reconcile()
    assert [remote.import_id for remote in await ledger.orphans(TAG)] == ["mine"]
    assert await ledger.reconciled_to("e") == AT


async def test_more_imports_than_one_chunk_are_all_recorded(ledger: MemoryLedger) -> None:
    await orphans_of(ledger, Lists([tagged(str(number)) for number in range(1203)])).reconcile()
    assert len(await ledger.orphans(TAG)) == 1203


async def test_a_new_ledger_searches_fifty_pages_and_a_known_one_back_to_its_last_look(ledger: MemoryLedger) -> None:
    far = [made(str(number), -number) for number in range(2000)]
    api = Lists(far, page_size=10)
    await orphans_of(ledger, api).reconcile()
    assert api.pages == 50
    for page_size, pages in ((1000, 1), (100, 1), (6, 4)):
        api = Lists(far, page_size=page_size)
        await orphans_of(ledger, api).reconcile()
        assert api.pages == pages


async def test_an_import_that_a_restored_ledger_lacks_is_found_behind_a_page_that_looks_older_by_chance(
    ledger: MemoryLedger,
) -> None:
    await ledger.set_reconciled("e", AT)
    await orphans_of(ledger, Lists([made("a", -60), made("b", -61), tagged("mine", 5)], page_size=2)).reconcile()
    assert [remote.import_id for remote in await ledger.orphans(TAG)] == ["mine"]

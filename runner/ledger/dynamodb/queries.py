"""Reads the items of a batch in order: keys from an index that may lag, the items themselves by consistent reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Sequence
from heapq import nsmallest

from runner.concurrency import read_ahead
from runner.ledger import rules
from runner.ledger.dynamodb import keys, rows
from runner.ledger.dynamodb.keys import Row
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import Item, ItemState

ITEMS_PER_PAGE = 1000
_KEYS_PER_PAGE = 1000
_MIN_KEYS_PER_MIXED_PAGE = 300
_RECENT_ROWS = 500


class RecentRows:
    """The rows that were read or written last, each until it is taken."""

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[str, bytes], Row] = OrderedDict()

    def add(self, row: Row) -> None:
        place = (row["pk"]["S"], row["sk"]["B"])
        self._rows.pop(place, None)
        self._rows[place] = row
        if len(self._rows) > _RECENT_ROWS:
            self._rows.popitem(last=False)

    def take(self, key: Row) -> Row | None:
        return self._rows.pop((key["pk"]["S"], key["sk"]["B"]), None)


async def ranked_pages(
    table: DynamoTable, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int
) -> AsyncIterator[list[Item]]:
    """Yield the items in a state that come after `after`, by rank and source, in pages of about `limit`."""
    if keys.group_of(state) == keys.UNLISTED:
        yield await _ranked_page_of_all(table, batch_id, state, after=after, limit=limit)
        return
    alone = keys.states_with(state) == [state]
    start = keys.ranked_place(*after) if after else None
    group = _group(batch_id, keys.group_of(state))
    async for page in table.query(
        group, index=keys.BY_STATE, after=start, limit=limit if alone else max(limit, _MIN_KEYS_PER_MIXED_PAGE)
    ):
        found = await table.get_many(keys.key(row["pk"]["S"], row["sk"]["B"]) for row in page)
        found_at = {(row["gpk"]["S"], row["gsk"]["B"]): row for row in found if "gpk" in row}
        items = [
            rows.item_of(found_at[place]) for row in page if (place := (row["gpk"]["S"], row["gsk"]["B"])) in found_at
        ]
        yield [item for item in items if item.state is state]


async def _ranked_page_of_all(
    table: DynamoTable, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int
) -> list[Item]:
    """Return the page of a state that the index lacks, from all items of the batch."""
    start = keys.ranked_place(*after) if after else b""
    places: list[tuple[bytes, Item]] = []
    async for page in source_pages(table, batch_id):
        listed = [(keys.ranked_place(item.rank, item.source), item) for item in page if item.state is state]
        places = nsmallest(limit, [*places, *(one for one in listed if one[0] > start)], key=lambda one: one[0])
    return [item for _, item in places]


async def places_of(table: DynamoTable, batch_id: str, groups: Collection[str]) -> list[bytes]:
    """Return the sort keys of the items in some groups of states, sorted; the index may lack some."""
    found: set[bytes] = set()
    for group in groups:
        async for page in table.query(_group(batch_id, group), index=keys.BY_STATE, limit=_KEYS_PER_PAGE):
            found |= {row["sk"]["B"] for row in page}
    return sorted(found)


async def pages_at(table: DynamoTable, batch_id: str, places: Sequence[bytes]) -> AsyncIterator[list[Item]]:
    """Yield the items with some sort keys, in that order."""
    for start in range(0, len(places), ITEMS_PER_PAGE):
        some = places[start : start + ITEMS_PER_PAGE]
        found = await table.get_many(keys.key(keys.items_of(batch_id), place) for place in some)
        yield [rows.item_of(row) for row in sorted(found, key=lambda row: row["sk"]["B"])]


async def source_rows(table: DynamoTable, batch_id: str) -> AsyncIterator[list[Row]]:
    """Yield the rows of all items of a batch by sort key."""
    async for page in table.query(keys.items_of(batch_id), limit=ITEMS_PER_PAGE):
        yield page


async def source_pages(table: DynamoTable, batch_id: str, *, ahead: bool = False) -> AsyncIterator[list[Item]]:
    """Yield all items of a batch by sort key; with `ahead`, the next page is read while one is used."""
    pages = source_rows(table, batch_id)
    async for page in read_ahead(pages) if ahead else pages:
        yield [rows.item_of(row) for row in page]


async def by_source(pages: AsyncIterator[list[Item]]) -> AsyncIterator[Item]:
    """Yield items by source from pages by sort key; buffers items whose sources are too long for a sort key."""
    alike: list[tuple[bytes, Item]] = []
    async for page in pages:
        for item in page:
            source = rules.source_key(item.source)
            if alike and alike[0][0][: keys.ALIKE_BYTES] != source[: keys.ALIKE_BYTES]:
                for _, earlier in sorted(alike, key=lambda pair: pair[0]):
                    yield earlier
                alike = []
            if len(source) < keys.ALIKE_BYTES:
                yield item
            else:
                alike.append((source, item))
    for _, last in sorted(alike, key=lambda pair: pair[0]):
        yield last


def _group(batch_id: str, group: str) -> str:
    return f"{batch_id}#{group}"

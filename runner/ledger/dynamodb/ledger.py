"""The ledger in one DynamoDB table, which runners and functions share: decisions are based on consistent reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Unpack

from runner.errors import ImportIdTaken, LedgerError, StaleItem
from runner.ledger import rules
from runner.ledger.dynamodb import keys, rows
from runner.ledger.dynamodb.counting import Counting, no_batch
from runner.ledger.dynamodb.keys import Row, number, text_of
from runner.ledger.dynamodb.queries import (
    RecentRows,
    by_source,
    pages_at,
    places_of,
    ranked_pages,
    source_pages,
    source_rows,
)
from runner.ledger.dynamodb.table import ConditionFailed, DynamoTable, new_token
from runner.ledger.dynamodb.transactions import Move, add_group, groups_of, tagged_item_of
from runner.ledger.protocol import Recorded
from runner.models import (
    OPEN_STATES,
    PACK_NAME_START,
    SENT_STATES,
    Batch,
    BatchChanges,
    BatchState,
    HistoryEntry,
    Item,
    ItemChanges,
    ItemState,
    RemoteImport,
    tag_of,
)
from runner.row_counts import NO_ROWS, RowTotals

FEW_ITEMS = 20_000
"""Up to this many items of the requested states are read by state; for more, the whole batch is read."""

_MAX_CLAIMS = 20
"""How often a claim of a tag is repeated because another item claimed the tag in the meantime."""

_QUERIES_AT_ONCE = 16
_CONFIG = keys.key("CONFIG")


class DynamoLedger:
    """A CloudLedger in an open table; closing the ledger leaves the table open."""

    def __init__(self, table: DynamoTable, *, now: Callable[[], datetime], counter_shards: int = 0) -> None:
        """New batches count in `counter_shards` rows, so that many functions can move their items at once.

        Versions before 0.2 do not read them. 0 counts in the row of the batch.
        """
        self._table = table
        self._now = now
        self._counter_shards = counter_shards
        self._batch_places: dict[str, bytes] = {}
        self._counting = Counting(table)
        self._known = RecentRows()

    async def start_batch(self, batch: Batch) -> None:
        rules.check_counters(batch.counters)
        token = new_token()
        number_in_order = await self._next_batch_number()
        row = rows.batch_row(batch, token=token, number_in_order=number_in_order, shards=self._counter_shards)
        order = keys.key(keys.BATCH_ORDER, number_in_order.to_bytes(8, "big")) | {"b": {"S": batch.batch_id}}
        config = keys.config_key(batch.batch_id) | {"config": keys.text(batch.config)}
        absent = "attribute_not_exists(pk)"
        try:
            await self._table.transact(
                token,
                [
                    {"Put": {"Item": row, "ConditionExpression": absent}},
                    {"Put": {"Item": config}},
                    {"Put": {"Item": order}},
                ],
            )
        except ConditionFailed:
            raise LedgerError(f"batch {batch.batch_id} exists already") from None

    async def batch(self, batch_id: str) -> Batch | None:
        found = await self._batches_of([keys.batch_key(batch_id)])
        return found[0] if found else None

    async def batches(self, *, source_uri: str | None = None) -> list[Batch]:
        found = [row async for page in self._table.query("BATCH") for row in page]
        if source_uri is not None:
            found = [row for row in found if row["su"] == keys.text(source_uri)]
        found.sort(key=rows.batch_order)
        return await self._with_configs(found)

    async def update_batch(self, batch_id: str, **changes: Unpack[BatchChanges]) -> Batch:
        before = await self._existing(batch_id)
        after = rules.changed(rows.batch_of(before, None), changes)
        if "config" in changes:
            await self._table.put(keys.config_key(batch_id) | {"config": keys.text(after.config)})
        given = {name: getattr(after, name) for name in changes if name != "config"}
        row = await self._set(batch_id, *rows.batch_changes(batch_id, given)) if given else before
        return (await self._with_configs([row]))[0]

    async def count_up(self, batch_id: str, **counters: int) -> None:
        rules.check_counters(counters)
        if not counters:
            return
        await self._counting.count_up(batch_id, {rows.counter(name): count for name, count in counters.items()})

    async def flush_counts(self) -> None:
        await self._counting.flush()

    async def add(self, items: Sequence[Item]) -> int:
        if not items:
            return 0
        batch_id = rules.batch_id_of(items)
        at = rules.to_ms(self._now())
        once: dict[str, Item] = {}
        for item in items:
            once.setdefault(item.source, rules.as_stored(item))
        new = await self._new_of(batch_id, list(once.values()))
        return await self._add(
            batch_id, [Recorded(item, [rows.entry(item, at=at, reason=rules.LISTED)]) for item in new]
        )

    async def item(self, batch_id: str, source: str) -> Item | None:
        row = await self._table.get(keys.item_key(batch_id, source))
        if row is not None:
            self._known.add(row)
        return rows.item_of(row) if row else None

    async def look_up(self, batch_id: str, sources: Collection[str]) -> dict[str, Item]:
        found = await self._table.get_many(keys.item_key(batch_id, source) for source in sources)
        return {item.source: item for item in map(rows.item_of, found)}

    async def advance(
        self, item: Item, state: ItemState, *, reason: str, share_tag: bool = False, **changes: Unpack[ItemChanges]
    ) -> Item:
        claim = changes.get("tag")
        for _ in range(_MAX_CLAIMS):
            seen, tagged = await self._seen(item, claim)
            before = rows.item_of(seen) if seen else None
            if seen is None or before is None or before.revision != item.revision:
                raise StaleItem(f"another process moved {item.source}")
            after = rules.with_state(before, state, changes)
            if tagged is not None:
                rules.refuse_tag_in_use(after, await self._with_tag(tagged), share_tag=share_tag)
            step = rows.entry(after, at=rules.to_ms(self._now()), reason=reason)
            history = rows.bounded([*rows.history_of(seen), step])
            place = await self._batch_place(item.batch_id)
            counted = rows.counted_rows(seen)
            move = Move(before, after, history, tagged=tagged, shares=share_tag, batch_place=place, counted=counted)
            if (written := await self._counting.write(move)) is not None:
                self._known.add(written)
                return after
        raise LedgerError(f"the tag of {item.source} is claimed by too many items at once")

    async def page(self, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int) -> list[Item]:
        found: list[Item] = []
        async for page in ranked_pages(self._table, batch_id, state, after=after, limit=limit):
            found += page
            if len(found) >= limit:
                break
        return found[:limit]

    async def items(self, batch_id: str, *, states: Collection[ItemState] | None = None) -> AsyncIterator[Item]:
        async for item in by_source(await self._pages(batch_id, states)):
            if states is None or item.state in states:
                yield item

    async def counts(self, batch_id: str) -> dict[ItemState, int]:
        row = await self._counting.counted(batch_id)
        return rows.counts_of(row) if row else {}

    async def has_open(self, batch_id: str) -> bool:
        return await self._counting.has_open(batch_id)

    async def row_totals(self, batch_id: str) -> RowTotals:
        row = await self._counting.counted(batch_id)
        return rows.row_totals_of(row) if row else NO_ROWS

    async def history(self, batch_id: str, source: str) -> list[HistoryEntry]:
        row = await self._table.get(keys.item_key(batch_id, source))
        return rows.history_of(row) if row else []

    async def held_back(self, batch_id: str) -> list[Item]:
        pages = self._table.query(keys.held_back_partition(batch_id))
        places = [row["sk"]["B"] async for page in pages for row in page]
        return await self._items_at([keys.key(keys.items_of(batch_id), place) for place in places])

    async def owners(self, import_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        wanted = set(import_ids)
        found = await self._table.get_many(map(keys.import_key, wanted), may_lag=True)
        owners = {_import_in(row): _owner_in(row) for row in found}
        missing = await self._table.get_many(keys.import_key(one) for one in wanted - owners.keys())
        return owners | {_import_in(row): _owner_in(row) for row in missing}

    async def by_tag(self, tags: Iterable[str]) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = {}
        asked = {keys.tag_key(tag)["pk"]["S"]: keys.tag_key(tag) for tag in tags}
        there = {row["pk"]["S"]: row for row in await self._table.get_many(asked.values())}
        for name, key in asked.items():
            self._known.add(there.get(name, key))
        for row in there.values():
            if items := await self._with_tag(row):
                found[row["pk"]["S"].removeprefix("TAG#")] = items
        return found

    async def by_version(self, version_keys: Iterable[str]) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = {}
        places = await self._query_each(version_keys, partial(self._table.with_value, keys.BY_VERSION, "vk"))
        for item in await self._items_at([place for some in places.values() for place in some]):
            if item.state in SENT_STATES and item.version_key in places:
                found.setdefault(item.version_key, []).append(item)
        return found

    async def by_file(self, file_keys: Iterable[str], *, may_lag: bool = False) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = {}
        noted = await self._query_each(file_keys, partial(self._noted_of_file, may_lag=may_lag))
        places = [
            keys.key(keys.items_of(row["b"]["S"]), row["sk"]["B"][16:]) for some in noted.values() for row in some
        ]
        order = {row["b"]["S"]: row["sk"]["B"][:16] for some in noted.values() for row in some}
        items = await self._items_at(places)
        for item in sorted(items, key=lambda item: (order[item.batch_id], rules.order_in_batch(item))):
            if item.was_tried and item.file_key in noted:
                found.setdefault(item.file_key, []).append(item)
        return found

    async def _noted_of_file(self, file_key: str, *, may_lag: bool) -> list[Row]:
        pages = self._table.query(keys.file_partition(file_key), may_lag=may_lag)
        return [row async for page in pages for row in page]

    async def _query_each(
        self, asked: Iterable[str], query: Callable[[str], Awaitable[list[Row]]]
    ) -> dict[str, list[Row]]:
        """Return {key: the rows of the query for it}, asking for several keys at a time; "" has no rows."""
        wanted = sorted({key for key in asked if key})
        at_once = asyncio.Semaphore(_QUERIES_AT_ONCE)

        async def one(key: str) -> list[Row]:
            async with at_once:
                return await query(key)

        return dict(zip(wanted, await asyncio.gather(*map(one, wanted)), strict=True))

    async def _items_at(self, places: Iterable[Row]) -> list[Item]:
        """Return the items with some keys, by batch and source; other attributes of `places` are ignored."""
        items = map(
            rows.item_of, await self._table.get_many(keys.key(row["pk"]["S"], row["sk"]["B"]) for row in places)
        )
        return sorted(items, key=lambda item: (item.batch_id, rules.source_key(item.source)))

    async def reconciled_to(self, endpoint: str) -> datetime | None:
        row = await self._table.get(keys.key(f"ENDPOINT#{endpoint}"))
        return rules.from_ms(int(row["at"]["N"])) if row else None

    async def set_reconciled(self, endpoint: str, at: datetime) -> None:
        await self._table.put(keys.key(f"ENDPOINT#{endpoint}") | {"at": number(rules.to_ms(at))})

    async def keep_orphans(self, orphans: Sequence[RemoteImport]) -> None:
        tagged = {orphan.import_id: orphan for orphan in orphans if tag_of(orphan.original_filename)}
        packs = [one for one in tagged.values() if (one.original_filename or "").startswith(PACK_NAME_START)]
        await self._table.put_many(
            [
                *(rows.orphan_row(orphan, tag_of(orphan.original_filename) or "") for orphan in tagged.values()),
                *(rows.orphan_row(orphan, PACK_NAME_START) for orphan in packs),
            ]
        )

    async def orphans(self, tag: str) -> list[RemoteImport]:
        return [rows.orphan_of(row) async for page in self._table.query(f"ORPHAN#{tag}") for row in page]

    async def orphans_named(self, start: str) -> list[RemoteImport]:
        named = await self.orphans(PACK_NAME_START)
        return [orphan for orphan in named if (orphan.original_filename or "").startswith(start)]

    async def recorded(self, batch_id: str) -> AsyncIterator[list[Recorded]]:
        async for page in source_rows(self._table, batch_id):
            yield [Recorded(rows.item_of(row), rows.history_of(row)) for row in page]

    async def restore(self, records: Sequence[Recorded]) -> int:
        if not records:
            return 0
        batch_id = rules.batch_id_of([record.item for record in records])
        there = await self.look_up(batch_id, [record.item.source for record in records])
        new = [
            Recorded(rules.as_stored(record.item), rows.bounded(record.history))
            for record in records
            if record.item.source not in there
        ]
        return await self._add(batch_id, new)

    async def all_orphans(self) -> AsyncIterator[list[RemoteImport]]:
        async for page in self._table.scan("ORPHAN#"):
            yield [rows.orphan_of(row) for row in page if row["pk"]["S"] != f"ORPHAN#{PACK_NAME_START}"]

    async def endpoints(self) -> dict[str, datetime]:
        found = [row async for page in self._table.scan("ENDPOINT#") for row in page]
        return {row["pk"]["S"].removeprefix("ENDPOINT#"): rules.from_ms(int(row["at"]["N"])) for row in found}

    async def incomplete_batches(self) -> list[Batch]:
        pages = self._table.query(keys.INCOMPLETE, index=keys.BY_STATE)
        found = await self._batches_of(
            [keys.key(row["pk"]["S"], row["sk"]["B"]) async for page in pages for row in page]
        )
        return [batch for batch in found if batch.state is not BatchState.COMPLETE]

    async def recent_batches(self, count: int) -> list[Batch]:
        if count == 0:
            return []
        newest = await self._table.last(keys.BATCH_ORDER, limit=count)
        if len(newest) < count and len(newest) < await self._batch_count():
            return (await self.batches())[-count:]
        found = {one.batch_id: one for one in await self._batches_of([keys.batch_key(r["b"]["S"]) for r in newest])}
        return [found[row["b"]["S"]] for row in reversed(newest) if row["b"]["S"] in found]

    async def _batch_count(self) -> int:
        row = await self._table.get(keys.BATCH_NUMBERS)
        return int(row["batches"]["N"]) if row else 0

    async def moves_of(self, batch_id: str) -> tuple[int, int]:
        row = await self._counting.counted(batch_id)
        if row is None:
            raise no_batch(batch_id)
        return rows.moves_in(row), int(row.get("manifest_moves", number(0))["N"])

    async def record_manifest(self, batch_id: str, *, moves: int) -> bool:
        await self._existing(batch_id)
        token = new_token()
        action = {
            "Key": keys.batch_key(batch_id),
            "UpdateExpression": "SET w = :w, manifest_moves = :m",
            "ConditionExpression": "attribute_not_exists(manifest_moves) OR manifest_moves < :m",
            "ExpressionAttributeValues": {":w": {"B": token}, ":m": number(moves)},
        }
        try:
            await self._table.update(token, action)
        except ConditionFailed:
            return False
        return True

    async def good_config(self) -> str | None:
        row = await self._table.get(_CONFIG)
        return text_of(row["config"]) if row else None

    async def keep_config(self, text: str) -> None:
        await self._table.put(_CONFIG | {"config": keys.text(text), "from_inbox": {"BOOL": False}})

    async def config_is_from_inbox(self) -> bool:
        row = await self._table.get(_CONFIG)
        return row is not None and "from_inbox" not in row

    async def close(self) -> None:
        """Write what is left to be counted; the table stays open."""
        await self._counting.flush()

    async def _next_batch_number(self) -> int:
        """Return a number above that of every batch so far; a number may be missing from the sequence."""
        token = new_token()
        action = {
            "Key": keys.BATCH_NUMBERS,
            "UpdateExpression": "SET w = :w ADD batches :one",
            "ExpressionAttributeValues": {":w": {"B": token}, ":one": number(1)},
        }
        return int((await self._table.update(token, action))["batches"]["N"])

    async def _add(self, batch_id: str, new: Sequence[Recorded]) -> int:
        added = 0
        place = await self._batch_place(batch_id)
        for group in groups_of(new):
            async with self._counting.turn(batch_id) as counters:
                added += await add_group(self._table, group, batch_place=place, counters=counters)
        return added

    async def _batch_place(self, batch_id: str) -> bytes:
        """Return the place of a batch among all batches, which never changes."""
        if batch_id not in self._batch_places:
            row = await self._existing(batch_id)
            self._counting.learn(row)
            self._batch_places[batch_id] = keys.batch_place(rows.batch_order(row))
        return self._batch_places[batch_id]

    async def _existing(self, batch_id: str) -> Row:
        row = await self._table.get(keys.batch_key(batch_id))
        if row is None:
            raise no_batch(batch_id)
        return row

    async def _set(self, batch_id: str, changes: Row, gone: Sequence[str]) -> Row:
        """Set and remove attributes of a batch, and return its row as it is now."""
        token = new_token()
        names = {f"#{n}": name for n, name in enumerate([*changes, *gone])}
        sets = ["w = :w", *(f"#{n} = :{n}" for n in range(len(changes)))]
        removes = [f"#{n}" for n in range(len(changes), len(names))]
        action: dict[str, Any] = {
            "Key": keys.batch_key(batch_id),
            "UpdateExpression": f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else ""),
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {f":{n}": value for n, value in enumerate(changes.values())}
            | {":w": {"B": token}},
        }
        try:
            return await self._table.update(token, action)
        except ConditionFailed:
            raise no_batch(batch_id) from None

    async def _batches_of(self, wanted: Sequence[Row]) -> list[Batch]:
        return await self._with_configs(await self._table.get_many(wanted))

    async def _with_configs(self, found: Sequence[Row]) -> list[Batch]:
        ids = [row["sk"]["B"].decode() for row in found]
        configs = {row["pk"]["S"]: row for row in await self._table.get_many(map(keys.config_key, ids))}
        batches = [
            rows.batch_of(row, configs.get(f"SPEC#{batch_id}")) for batch_id, row in zip(ids, found, strict=True)
        ]
        return [self._counting.with_left(batch) for batch in batches]

    async def _new_of(self, batch_id: str, items: list[Item]) -> list[Item]:
        """Return the items to add. Items are looked up only if one of them has an import, whose id must be free."""
        if not any(item.import_id for item in items):
            return items
        there = await self.look_up(batch_id, [item.source for item in items])
        new = [item for item in items if item.source not in there]
        claims = [item.import_id for item in new if item.import_id is not None]
        taken = set(await self.owners(claims)) | {claim for claim in claims if claims.count(claim) > 1}
        if taken:
            await self._existing(batch_id)
            raise ImportIdTaken(f"import {min(taken)} already belongs, or belonged, to an item")
        return new

    async def _seen(self, item: Item, tag: str | None) -> tuple[Row | None, Row | None]:
        """Return an item's row and the row of the tag it claims: `{}` if the tag is unused, None if it claims none.

        A row that is known at the item's revision is not read again: no two rows of an item have the same revision.
        That of a tag is not read again, either, because it is only changed if it is as it was read.
        """
        at = keys.item_key(item.batch_id, item.source)
        known = self._known.take(at)
        if known is None or rows.item_of(known).revision != item.revision:
            known = await self._table.get(at)
        if tag is None:
            return known, None
        tagged = self._known.take(keys.tag_key(tag)) or await self._table.get(keys.tag_key(tag)) or {}
        return known, tagged if "w" in tagged else {}

    async def _with_tag(self, tagged: Row) -> list[Item]:
        """Return the items that have the tag of a row now, by batch and source; `{}` stands for an unused tag."""
        places = [tagged_item_of(value) for value in tagged.get("b", {"BS": []})["BS"]]
        found = await self._table.get_many(keys.item_key(batch_id, source) for batch_id, source in places)
        tag = tagged["pk"]["S"].removeprefix("TAG#") if tagged else ""
        items = [item for item in map(rows.item_of, found) if item.tag == tag]
        return sorted(items, key=lambda item: (item.batch_id, rules.source_key(item.source)))

    async def _pages(self, batch_id: str, states: Collection[ItemState] | None) -> AsyncIterator[list[Item]]:
        """Read a batch by state if that is few items and the index has them all; otherwise read the whole batch.

        If open items are counted later in their states, all of them are read, or none.
        Items are read once to count them and again to yield them: they may have moved in between.
        """
        if states is None:
            return source_pages(self._table, batch_id, ahead=True)
        counts = await self.counts(batch_id)
        wanted = set(states)
        if wanted & OPEN_STATES and self._counting.is_late(batch_id):
            wanted |= OPEN_STATES
        groups = {keys.group_of(state) for state in counts.keys() & wanted}
        expected = _sum_in(groups, counts)
        if expected <= FEW_ITEMS and keys.UNLISTED not in groups:
            places = await places_of(self._table, batch_id, groups)
            pages = pages_at(self._table, batch_id, places)
            there = sum([keys.group_of(item.state) in groups async for page in pages for item in page])
            if there >= max(expected, _sum_in(groups, await self.counts(batch_id))):
                return pages_at(self._table, batch_id, places)
        return source_pages(self._table, batch_id)


def _import_in(row: Row) -> str:
    import_id: str = row["pk"]["S"]
    return import_id.removeprefix("IMPORT#")


def _owner_in(row: Row) -> tuple[str, str]:
    """Return the owner of an import, which never changes: also a read that lags has the right one."""
    return row["b"]["S"], rules.source_of(row["s"]["B"])


def _sum_in(groups: Collection[str], counts: Mapping[ItemState, int]) -> int:
    return sum(count for state, count in counts.items() if keys.group_of(state) in groups)

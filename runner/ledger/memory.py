"""The ledger in memory, for tests and simulation: what a method committed survives a crash of its caller."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Unpack

from runner.errors import ImportIdTaken, LedgerError, StaleItem
from runner.ledger import rules
from runner.ledger.protocol import Move
from runner.models import (
    OPEN_STATES,
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
from runner.row_counts import NO_ROWS, RowTotals, changed_counters

_Place = tuple[int, bytes]
"""The position of an item among those of its state: its rank, then the bytes of its source."""


@dataclass(slots=True)
class _Rows:
    """All data of one batch; `places` has the sorted positions of each state."""

    batch: Batch
    items: dict[str, Item] = field(default_factory=dict)
    history: dict[str, list[HistoryEntry]] = field(default_factory=dict)
    places: dict[ItemState, list[_Place]] = field(default_factory=lambda: defaultdict(list))
    row_counters: Counter[str] = field(default_factory=Counter)
    moves: int = 0
    manifest_moves: int = 0


def _place(item: Item) -> _Place:
    return item.rank, rules.source_key(item.source)


class MemoryLedger:
    """A CloudLedger whose methods are atomic and never await; it stores instants in whole milliseconds."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._batches: dict[str, _Rows] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        self._tagged: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._of_file: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._config: str | None = None
        self._config_is_from_inbox = False
        self._reconciled: dict[str, datetime] = {}
        self._orphans: dict[str, RemoteImport] = {}

    async def start_batch(self, batch: Batch) -> None:
        if batch.batch_id in self._batches:
            raise LedgerError(f"batch {batch.batch_id} exists already")
        rules.check_counters(batch.counters)
        started_at = rules.whole_ms(batch.started_at)
        number = len(self._batches) + 1
        kept = replace(batch, started_at=started_at, counters=dict(batch.counters), number=number)
        self._batches[batch.batch_id] = _Rows(rules.changed(kept, {"finished_at": batch.finished_at}))

    async def batch(self, batch_id: str) -> Batch | None:
        rows = self._batches.get(batch_id)
        return replace(rows.batch, counters=dict(rows.batch.counters)) if rows else None

    async def batches(self, *, source_uri: str | None = None) -> list[Batch]:
        shown = [rows.batch for rows in self._batches.values() if not rows.batch.is_of_packs]
        found = [batch for batch in shown if source_uri in {None, batch.source_uri}]
        return [replace(batch, counters=dict(batch.counters)) for batch in found]

    async def update_batch(self, batch_id: str, **changes: Unpack[BatchChanges]) -> Batch:
        rows = self._existing(batch_id)
        rows.batch = rules.changed(rows.batch, changes)
        return replace(rows.batch, counters=dict(rows.batch.counters))

    async def count_up(self, batch_id: str, **counters: int) -> None:
        rules.check_counters(counters)
        total = self._existing(batch_id).batch.counters
        for name, count in counters.items():
            total[name] = total.get(name, 0) + count

    async def add(self, items: Sequence[Item]) -> int:
        if not items:
            return 0
        rows = self._existing(rules.batch_id_of(items))
        new: dict[str, Item] = {}
        for item in items:
            if item.source not in rows.items:
                new.setdefault(item.source, rules.as_stored(item))
        if not new:
            return 0
        self._claim_imports(new.values())
        at = rules.whole_ms(self._now())
        for item in new.values():
            rows.items[item.source] = item
            rows.places[item.state].append(_place(item))
            rows.history[item.source] = [_entry(item, at=at, reason=rules.LISTED)]
            rows.row_counters.update(item.row_totals.counters)
            self._note(item)
        rows.moves += 1
        for state in {item.state for item in new.values()}:
            rows.places[state].sort()
        return len(new)

    async def item(self, batch_id: str, source: str) -> Item | None:
        rows = self._batches.get(batch_id)
        return rows.items.get(source) if rows else None

    async def look_up(self, batch_id: str, sources: Collection[str]) -> dict[str, Item]:
        rows = self._batches.get(batch_id)
        return {source: rows.items[source] for source in sources if source in rows.items} if rows else {}

    async def advance(
        self, item: Item, state: ItemState, *, reason: str, share_tag: bool = False, **changes: Unpack[ItemChanges]
    ) -> Item:
        move = Move(item=item, state=state, reason=reason, share_tag=share_tag, changes=changes)
        before, after = self._judged(move)
        if after.import_id != before.import_id:
            self._claim_imports([after])
        self._apply(before, after, reason)
        return after

    async def advance_all(self, moves: Sequence[Move], *, add: Sequence[Item] = ()) -> list[Item]:
        judged = [(*self._judged(move), move.reason) for move in moves]
        for item in add:
            if item.source in self._existing(item.batch_id).items:
                raise LedgerError(f"{item.source} is already in batch {item.batch_id}")
        self._claim_imports(after for before, after, _ in judged if after.import_id != before.import_id)
        for item in add:
            await self.add([item])
        for before, after, reason in judged:
            self._apply(before, after, reason)
        return [after for _, after, _ in judged]

    async def members(self, batch_id: str, pack: str) -> list[Item]:
        rows = self._batches.get(batch_id)
        found = [item for item in rows.items.values() if item.pack == pack] if rows else []
        return sorted(found, key=lambda item: item.pack_row or 0)

    def _judged(self, move: Move) -> tuple[Item, Item]:
        """Return an item before and after a move. Raises StaleItem, IllegalTransition, TagInUse."""
        rows = self._batches.get(move.item.batch_id)
        before = rows.items.get(move.item.source) if rows else None
        if before is None or before.revision != move.item.revision:
            raise StaleItem(f"another process moved {move.item.source}")
        after = rules.with_state(before, move.state, move.changes)
        if "tag" in move.changes:
            rules.refuse_tag_in_use(after, self._with_tag(after.tag), share_tag=move.share_tag)
        return before, after

    def _apply(self, before: Item, after: Item, reason: str) -> None:
        rows = self._batches[after.batch_id]
        places = rows.places[before.state]
        del places[bisect_left(places, _place(before))]
        insort(rows.places[after.state], _place(after))
        rows.items[after.source] = after
        rows.history[after.source].append(_entry(after, at=rules.whole_ms(self._now()), reason=reason))
        rows.moves += 1
        rows.row_counters.update(changed_counters(before.row_totals, after.row_totals))
        self._note(after)

    async def page(self, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int) -> list[Item]:
        rows = self._batches.get(batch_id)
        if rows is None:
            return []
        places = rows.places[state]
        start = bisect_right(places, (after[0], rules.source_key(after[1]))) if after else 0
        return [rows.items[rules.source_of(key)] for _, key in places[start : start + limit]]

    async def items(self, batch_id: str, *, states: Collection[ItemState] | None = None) -> AsyncIterator[Item]:
        rows = self._batches.get(batch_id)
        for source in sorted(rows.items, key=rules.source_key) if rows else ():
            item = rows.items[source] if rows else None
            if item and (states is None or item.state in states):
                yield item

    async def counts(self, batch_id: str) -> dict[ItemState, int]:
        rows = self._batches.get(batch_id)
        return {state: len(places) for state, places in rows.places.items() if places} if rows else {}

    async def row_totals(self, batch_id: str) -> RowTotals:
        rows = self._batches.get(batch_id)
        return RowTotals.of(len(rows.places.get(ItemState.COLLECTED, ())), rows.row_counters) if rows else NO_ROWS

    async def history(self, batch_id: str, source: str) -> list[HistoryEntry]:
        rows = self._batches.get(batch_id)
        return list(rows.history.get(source, ())) if rows else []

    async def held_back(self, batch_id: str) -> list[Item]:
        rows = self._batches.get(batch_id)
        skipped = (
            [rows.items[rules.source_of(key)] for _, key in rows.places.get(ItemState.SKIPPED, ())] if rows else []
        )
        found = [item for item in skipped if item.earlier_state not in (None, ItemState.COLLECTED)]
        return sorted(found, key=lambda item: rules.source_key(item.source))

    async def owners(self, import_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        return {import_id: self._owners[import_id] for import_id in import_ids if import_id in self._owners}

    async def by_tag(self, tags: Iterable[str]) -> dict[str, list[Item]]:
        return {tag: found for tag in tags if (found := self._with_tag(tag))}

    async def by_version(self, version_keys: Iterable[str]) -> dict[str, list[Item]]:
        wanted = set(version_keys) - {""}
        found: defaultdict[str, list[Item]] = defaultdict(list)
        for rows in self._batches.values():
            sent = (rows.items[rules.source_of(key)] for state in SENT_STATES for _, key in rows.places.get(state, ()))
            for item in sorted(sent, key=lambda item: rules.source_key(item.source)):
                if item.version_key in wanted:
                    found[item.version_key].append(item)
        return dict(found)

    async def by_file(
        self,
        file_keys: Iterable[str],
        *,
        may_lag: bool = False,  # noqa: ARG002 - a file never lags
    ) -> dict[str, list[Item]]:
        return {key: found for key in file_keys if (found := await self._tried_of(key))}

    async def _tried_of(self, file_key: str) -> list[Item]:
        places = self._of_file.get(file_key, ())
        items = [self._batches[batch_id].items[source] for batch_id, source in places]
        order = {batch.batch_id: number for number, batch in enumerate(await self.batches())} if len(items) > 1 else {}
        items.sort(key=lambda item: (order.get(item.batch_id, 0), rules.order_in_batch(item)))
        return [item for item in items if item.file_key == file_key and item.was_tried]

    async def reconciled_to(self, endpoint: str) -> datetime | None:
        return self._reconciled.get(endpoint)

    async def set_reconciled(self, endpoint: str, at: datetime) -> None:
        self._reconciled[endpoint] = rules.whole_ms(at)

    async def keep_orphans(self, orphans: Sequence[RemoteImport]) -> None:
        self._orphans.update((orphan.import_id, rules.as_stored_orphan(orphan)) for orphan in orphans)

    async def orphans(self, tag: str) -> list[RemoteImport]:
        return [orphan for orphan in self._orphans.values() if tag_of(orphan.original_filename) == tag]

    async def orphans_named(self, start: str) -> list[RemoteImport]:
        return [orphan for orphan in self._orphans.values() if (orphan.original_filename or "").startswith(start)]

    async def close(self) -> None:
        """Release nothing: a simulated restart uses the same object again."""

    async def incomplete_batches(self) -> list[Batch]:
        return [batch for batch in await self.batches() if batch.state is not BatchState.COMPLETE]

    async def recent_batches(self, count: int) -> list[Batch]:
        return (await self.batches())[-count:] if count else []

    async def moves_of(self, batch_id: str) -> tuple[int, int]:
        rows = self._existing(batch_id)
        return rows.moves, rows.manifest_moves

    async def record_manifest(self, batch_id: str, *, moves: int) -> bool:
        rows = self._existing(batch_id)
        if rows.manifest_moves >= moves:
            return False
        rows.manifest_moves = moves
        return True

    async def has_open(self, batch_id: str) -> bool:
        return not OPEN_STATES.isdisjoint(await self.counts(batch_id))

    async def flush_counts(self) -> None:
        """Write nothing: everything is counted at once."""

    async def good_config(self) -> str | None:
        return self._config

    async def keep_config(self, text: str) -> None:
        self._config, self._config_is_from_inbox = text, False

    async def config_is_from_inbox(self) -> bool:
        return self._config_is_from_inbox

    def _with_tag(self, tag: str | None) -> list[Item]:
        """Return the items that have a tag, by batch and source."""
        order = {batch_id: number for number, batch_id in enumerate(self._batches)}
        tagged = self._tagged.get(tag, ()) if tag is not None else ()
        places = sorted(tagged, key=lambda place: (order[place[0]], rules.source_key(place[1])))
        items = [self._batches[batch_id].items[source] for batch_id, source in places]
        return [item for item in items if item.tag == tag]

    def _note(self, item: Item) -> None:
        """Remember the item for its tag and its file; readers leave out items whose tag or file has changed since."""
        if item.tag is not None:
            self._tagged[item.tag].add((item.batch_id, item.source))
        if item.file_key:
            self._of_file[item.file_key].add((item.batch_id, item.source))

    def _existing(self, batch_id: str) -> _Rows:
        rows = self._batches.get(batch_id)
        if rows is None:
            raise LedgerError(f"there is no batch {batch_id}")
        return rows

    def _claim_imports(self, items: Iterable[Item]) -> None:
        claims: dict[str, tuple[str, str]] = {}
        for item in items:
            if item.import_id is None:
                continue
            if item.import_id in self._owners or item.import_id in claims:
                raise ImportIdTaken(f"import {item.import_id} already belongs, or belonged, to an item")
            claims[item.import_id] = (item.batch_id, item.source)
        self._owners.update(claims)


def _entry(item: Item, *, at: datetime, reason: str) -> HistoryEntry:
    text = rules.stored_sentence(reason)
    return HistoryEntry(at=at, state=item.state, reason=text, attempts=item.attempts, import_id=item.import_id)

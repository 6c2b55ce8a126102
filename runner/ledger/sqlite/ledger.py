"""The ledger in one SQLite file: durable when a method returns, with one writer and any number of readers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Unpack

from runner.errors import ImportIdTaken, LedgerError, StaleItem
from runner.ledger import rules
from runner.ledger.protocol import Move, Recorded
from runner.ledger.sqlite import rows
from runner.ledger.sqlite.database import Database, Schema
from runner.ledger.sqlite.write_group import WriteGroup
from runner.models import (
    BLOCKING_STATES,
    FAILED_BEFORE,
    UNSENT_STATES,
    UNTRIED_STATES,
    Batch,
    BatchChanges,
    HistoryEntry,
    Item,
    ItemChanges,
    ItemState,
    RemoteImport,
)
from runner.permissions import PRIVATE, Permissions
from runner.row_counts import NO_ROWS, RowTotals, changed_counters

_SCRIPTS = resources.files("runner.ledger.sqlite")
SCHEMA = Schema(
    application_id=0x426B6864,  # "Bkhd"
    version=5,
    script=_SCRIPTS.joinpath("schema.sql").read_text("utf-8"),
    migrations={
        1: "ALTER TABLE batches ADD COLUMN reason TEXT;",
        2: _SCRIPTS.joinpath("schema_2_to_3.sql").read_text("utf-8"),
        3: _SCRIPTS.joinpath("schema_3_to_4.sql").read_text("utf-8"),
        4: _SCRIPTS.joinpath("schema_4_to_5.sql").read_text("utf-8"),
    },
)
_KEYS_A_QUERY = 500
PAGE_ITEMS = 1000
"""Items read at a time while iterating: takes a few milliseconds, and memory stays constant."""

FEW_ITEMS = 20_000
"""Up to this many items of the requested states are read by state; for more, the whole batch is read."""

_SELECT_ITEM = rows.SELECT_ITEMS + "WHERE batch = ? AND source = ?"
_SELECT_MEMBERS = rows.SELECT_ITEMS + "WHERE batch = ? AND pack = ? ORDER BY pack_row"
_SELECT_SOURCE_PAGE = rows.SELECT_ITEMS + "WHERE batch = ? AND source > ? ORDER BY source LIMIT ?"
_SELECT_HISTORY = """
SELECT added_at, added_state, :listed, added_attempts, added_import_id, -1 AS step
  FROM items WHERE batch = :batch AND source = :source
UNION ALL
SELECT at, state, reason, attempts, import_id, revision FROM history WHERE batch = :batch AND source = :source
ORDER BY step
"""
_KEEP_ORPHAN = "INSERT OR REPLACE INTO orphans VALUES (?, ?, ?, ?, ?, ?)"
_SELECT_ALL_ORPHANS = "SELECT import_id, status, schema_id, original_filename, created_at FROM orphans"
_SELECT_ORPHANS = f"{_SELECT_ALL_ORPHANS} WHERE tag = ?"


def _named(states: Collection[ItemState]) -> str:
    return f"({', '.join(sorted(repr(state.value) for state in states))})"


IS_BLOCKING = f"state IN {_named(BLOCKING_STATES)}"
"""The same text as in the index `items_held`: otherwise SQLite does not use the index; likewise below."""

WAS_TRIED = f"file_key <> '' AND state NOT IN {_named(UNTRIED_STATES)} AND error_code IS NOT '{FAILED_BEFORE}'"
SELECT_HELD_BACK = (
    f"{rows.SELECT_ITEMS}INDEXED BY items_held_back WHERE batch = ?"
    f" AND state = '{ItemState.SKIPPED}' AND earlier_state <> '{ItemState.COLLECTED}' ORDER BY source"
)
IS_SENT = f"{IS_BLOCKING} AND state NOT IN {_named(UNSENT_STATES)}"
_INSERT_IMPORT = "INSERT INTO imports VALUES (?, ?, ?, ?, ?)"
_KNOWN_ITEMS = 1_000
_SET_ADDED = "UPDATE items SET added_state = ?, added_attempts = ?, added_import_id = ? WHERE batch = ? AND source = ?"
_ANY_TRIED = f"SELECT 1 FROM tallies WHERE state NOT IN {_named(UNTRIED_STATES)} AND items > 0 LIMIT 1"  # noqa: S608


class _KnownItems:
    """The items that moved last, as they were stored, so that their next move need not read them."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Item] = {}

    def of(self, item: Item) -> Item | None:
        """Return the item as it was stored at its revision, or None if it must be read."""
        known = self._items.get((item.batch_id, item.source))
        return known if known is not None and known.revision == item.revision else None

    def keep(self, item: Item) -> None:
        key = (item.batch_id, item.source)
        self._items.pop(key, None)
        self._items[key] = item
        if len(self._items) > _KNOWN_ITEMS:
            del self._items[next(iter(self._items))]


class SqliteLedger:
    """A Ledger whose statements run on the caller's thread: each takes a few milliseconds and cannot be interrupted.

    Moves of items that are made at the same time share a transaction.
    """

    def __init__(self, database: Database, *, now: Callable[[], datetime]) -> None:
        self._database = database
        self._moves = WriteGroup(database)
        self._now = now
        self._numbers: dict[str, int] = {}
        self._known = _KnownItems()
        self._any_tried = False
        """Whether an item of any batch has been sent: as long as none has, nothing is looked up."""

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        now: Callable[[], datetime],
        read_only: bool = False,
        schema: Schema = SCHEMA,
        permissions: Permissions = PRIVATE,
    ) -> SqliteLedger:
        """Open a ledger file, or `":memory:"`; only one process at a time can open the file for writing.

        `permissions` are those of files that do not exist yet.

        Raises LedgerLocked, LedgerCorrupt, LedgerTooNew, LedgerError, StorageFull.
        """
        if path == ":memory:":
            return cls(Database.in_memory(schema), now=now)
        if read_only:
            return cls(Database.for_reading(Path(path), schema), now=now)
        return cls(Database.for_writing(Path(path), schema, now=now(), permissions=permissions), now=now)

    async def start_batch(self, batch: Batch) -> None:
        rules.check_counters(batch.counters)
        identity = (batch.batch_id, batch.source_uri, batch.started_at)
        values = tuple(map(rows.encode, (*rows.batch_values(batch), *identity)))

        def work(db: sqlite3.Connection) -> None:
            try:
                number = db.execute(
                    f"INSERT INTO batches ({', '.join(rows.BATCH_COLUMNS)}, batch_id, source_uri, started_at)"  # noqa: S608
                    f" VALUES ({', '.join('?' * len(values))})",
                    values,
                ).lastrowid
            except sqlite3.IntegrityError:
                raise LedgerError(f"batch {batch.batch_id} exists already") from None
            db.executemany(
                "INSERT INTO counters VALUES (?, ?, ?)", [(number, *count) for count in batch.counters.items()]
            )

        self._database.write(work)

    async def batch(self, batch_id: str) -> Batch | None:
        found = self._database.read(lambda db: rows.read_batches(db, "WHERE batch_id = ?", (rows.encode(batch_id),)))
        return found[0] if found else None

    async def batches(self, *, source_uri: str | None = None) -> list[Batch]:
        where, values = (" AND source_uri = ?", (rows.encode(source_uri),)) if source_uri is not None else ("", ())
        query = f"WHERE {rows.IS_NOT_OF_PACKS}{where} ORDER BY number"
        return self._database.read(lambda db: rows.read_batches(db, query, values))

    async def update_batch(self, batch_id: str, **changes: Unpack[BatchChanges]) -> Batch:
        number = self._existing(batch_id)

        def work(db: sqlite3.Connection) -> Batch:
            batch = rules.changed(rows.read_batches(db, "WHERE number = ?", (number,))[0], changes)
            db.execute(
                f"UPDATE batches SET {' = ?, '.join(rows.BATCH_COLUMNS)} = ? WHERE number = ?",  # noqa: S608
                (*map(rows.encode, rows.batch_values(batch)), number),
            )
            return batch

        return self._database.write(work)

    async def count_up(self, batch_id: str, **counters: int) -> None:
        rules.check_counters(counters)
        number = self._existing(batch_id)
        sums = [(number, name, count) for name, count in counters.items()]
        upsert = "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"
        await self._moves.write(lambda db: db.executemany(upsert, sums))

    async def add(self, items: Sequence[Item]) -> int:
        if not items:
            return 0
        number = self._existing(rules.batch_id_of(items))
        at = rules.to_ms(self._now())
        once: dict[str, Item] = {}
        for item in items:
            once.setdefault(item.source, item)
        by_state: dict[ItemState, list[Item]] = {}
        for item in once.values():
            by_state.setdefault(item.state, []).append(item)

        def work(db: sqlite3.Connection) -> int:
            return sum(_add(db, number, state, group, at=at) for state, group in by_state.items())

        return self._database.write(work)

    async def item(self, batch_id: str, source: str) -> Item | None:
        number = self._number(batch_id)
        if number is None:
            return None
        found = self._fetch(_SELECT_ITEM, (number, rules.source_key(source)))
        return rows.item_of(batch_id, found[0]) if found else None

    async def look_up(self, batch_id: str, sources: Collection[str]) -> dict[str, Item]:
        number = self._number(batch_id)
        keys = [(number, rules.source_key(source)) for source in sources]
        found = (rows.item_of(batch_id, row) for row in self._database.read(partial(_items_at, keys=keys)) if row)
        return {item.source: item for item in found}

    async def advance(
        self, item: Item, state: ItemState, *, reason: str, share_tag: bool = False, **changes: Unpack[ItemChanges]
    ) -> Item:
        move = Move(item=item, state=state, reason=reason, share_tag=share_tag, changes=changes)
        number, at = self._number(item.batch_id), rules.to_ms(self._now())
        write = partial(_advance, move=move, number=number, at=at, known=self._known.of(item))
        moved = await self._moves.write(write)
        self._known.keep(moved)
        return moved

    async def advance_all(self, moves: Sequence[Move], *, add: Sequence[Item] = ()) -> list[Item]:
        at = rules.to_ms(self._now())
        numbered = [(move, self._number(move.item.batch_id)) for move in moves]
        added = [(item, self._existing(item.batch_id)) for item in add]

        def work(db: sqlite3.Connection) -> list[Item]:
            for item, number in added:
                if not _add(db, number, item.state, [item], at=at):
                    raise LedgerError(f"{item.source} is already in batch {item.batch_id}")
            return [_advance(db, move=move, number=number, at=at) for move, number in numbered]

        return await self._moves.write(work)

    async def members(self, batch_id: str, pack: str) -> list[Item]:
        found = self._fetch(_SELECT_MEMBERS, (self._number(batch_id), pack))
        return [rows.item_of(batch_id, row) for row in found]

    async def page(self, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int) -> list[Item]:
        where = "WHERE batch = ? AND state = ? "
        values: tuple[Any, ...] = (self._number(batch_id), state.value)
        if after is not None:
            where += "AND (rank, source) > (?, ?) "
            values += (after[0], rules.source_key(after[1]))
        found = self._fetch(rows.SELECT_ITEMS + where + "ORDER BY rank, source LIMIT ?", (*values, limit))
        return [rows.item_of(batch_id, row) for row in found]

    async def items(self, batch_id: str, *, states: Collection[ItemState] | None = None) -> AsyncIterator[Item]:
        number = self._number(batch_id)
        counts = await self.counts(batch_id)
        wanted = counts.keys() if states is None else counts.keys() & set(states)
        few = states is not None and sum(counts[state] for state in wanted) <= FEW_ITEMS
        pages = self._pages_of_states(number, wanted) if few else self._all_pages(number)
        for page in pages:
            for row in page:
                item = rows.item_of(batch_id, row)
                if states is None or item.state in states:
                    yield item
            await asyncio.sleep(0)

    async def counts(self, batch_id: str) -> dict[ItemState, int]:
        query = "SELECT state, items FROM tallies WHERE batch = ? AND items > 0"
        return {ItemState(state): count for state, count in self._fetch(query, (self._number(batch_id),))}

    async def row_totals(self, batch_id: str) -> RowTotals:
        query = (
            "SELECT '', items FROM tallies WHERE batch = :batch AND state = :collected"
            " UNION ALL SELECT name, value FROM row_tallies WHERE batch = :batch"
        )
        values = {"batch": self._number(batch_id), "collected": ItemState.COLLECTED.value}
        counters = dict(self._fetch(query, values))
        return RowTotals.of(counters.pop("", 0), counters)

    async def history(self, batch_id: str, source: str) -> list[HistoryEntry]:
        values = {"batch": self._number(batch_id), "source": rules.source_key(source), "listed": rules.LISTED}
        return [rows.entry_of(row) for row in self._fetch(_SELECT_HISTORY, values)]

    async def held_back(self, batch_id: str) -> list[Item]:
        found = self._fetch(SELECT_HELD_BACK, (self._number(batch_id),))
        return [rows.item_of(batch_id, row) for row in found]

    async def owners(self, import_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        query = "SELECT batch_id, source FROM imports JOIN batches ON number = batch WHERE import_id = ?"
        found = self._fetch_each(query, import_ids)
        return {key: (batch_id, rules.source_of(source)) for key, ((batch_id, source),) in found.items()}

    async def by_tag(self, tags: Iterable[str]) -> dict[str, list[Item]]:
        found = self._fetch_each(rows.SELECT_TAGGED, tags)
        return {tag: [rows.item_of(row[0], row[1:]) for row in group] for tag, group in found.items()}

    async def by_version(self, version_keys: Iterable[str]) -> dict[str, list[Item]]:
        found = self._of_any_batch(version_keys, f"{IS_SENT} AND version_key", "batch, source")
        return _grouped(found, lambda item: item.version_key)

    async def by_file(
        self,
        file_keys: Iterable[str],
        *,
        may_lag: bool = False,  # noqa: ARG002 - a file never lags
    ) -> dict[str, list[Item]]:
        order = "number, intent_at, source"
        return _grouped(self._of_any_batch(file_keys, f"{WAS_TRIED} AND file_key", order), lambda item: item.file_key)

    def _of_any_batch(self, keys: Iterable[str], where: str, order: str) -> Iterator[Item]:
        """Yield the items for which the column that ends `where` is one of the keys."""
        if not self._any_tried:
            self._any_tried = bool(self._fetch(_ANY_TRIED, ()))
        wanted = list(keys) if self._any_tried else []
        for start in range(0, len(wanted), _KEYS_A_QUERY):
            some = wanted[start : start + _KEYS_A_QUERY]
            places = ", ".join("?" * len(some))
            for row in self._fetch(rows.select_of_any_batch(f"{where} IN ({places})", order), tuple(some)):
                yield rows.item_of(row[0], row[1:])

    async def reconciled_to(self, endpoint: str) -> datetime | None:
        found = self._fetch("SELECT at FROM reconciled WHERE endpoint = ?", (endpoint,))
        return rules.from_ms(found[0][0]) if found else None

    async def set_reconciled(self, endpoint: str, at: datetime) -> None:
        values = (endpoint, rules.to_ms(at))
        self._database.write(lambda db: db.execute("INSERT OR REPLACE INTO reconciled VALUES (?, ?)", values))

    async def keep_orphans(self, orphans: Sequence[RemoteImport]) -> None:
        kept = [rows.orphan_row(orphan) for orphan in orphans]
        if kept:
            self._database.write(lambda db: db.executemany(_KEEP_ORPHAN, kept))

    async def orphans(self, tag: str) -> list[RemoteImport]:
        return [rows.orphan_of(row) for row in self._fetch(_SELECT_ORPHANS, (tag,))]

    async def orphans_named(self, start: str) -> list[RemoteImport]:
        found = self._fetch(f"{_SELECT_ALL_ORPHANS} WHERE substr(original_filename, 1, ?) = ?", (len(start), start))
        return [rows.orphan_of(row) for row in found]

    async def recorded(self, batch_id: str) -> AsyncIterator[list[Recorded]]:
        for page in self._all_pages(self._number(batch_id)):
            items = [rows.item_of(batch_id, row) for row in page]
            yield [Recorded(item, await self.history(batch_id, item.source)) for item in items]

    async def restore(self, records: Sequence[Recorded]) -> int:
        if not records:
            return 0
        number = self._existing(rules.batch_id_of([record.item for record in records]))
        return self._database.write(lambda db: _restore(db, number, records))

    async def all_orphans(self) -> AsyncIterator[list[RemoteImport]]:
        yield [rows.orphan_of(row) for row in self._fetch(_SELECT_ALL_ORPHANS, ())]

    async def endpoints(self) -> dict[str, datetime]:
        found = self._fetch("SELECT endpoint, at FROM reconciled", ())
        return {endpoint: rules.from_ms(at) for endpoint, at in found}

    def check(self) -> None:
        """Raise LedgerReplaced if the ledger's file or its lock was deleted or replaced after it was opened."""
        self._database.check()

    def keep(self, path: Path) -> bool:
        """Copy a ledger whose file is gone to `path`; False if it is in its place. Raises LedgerError, StorageFull."""
        if self._database.is_in_place:
            return False
        self._database.copy_to(path)
        return True

    async def close(self) -> None:
        self._moves.commit()
        self._database.close()

    def _all_pages(self, number: int | None) -> Iterator[list[Any]]:
        last = b""
        while page := self._fetch(_SELECT_SOURCE_PAGE, (number, last, PAGE_ITEMS)):
            yield page
            last = page[-1][0]

    def _pages_of_states(self, number: int | None, states: Iterable[ItemState]) -> Iterator[list[Any]]:
        query = "SELECT source FROM items WHERE batch = ? AND state = ?"
        sources = sorted(source for state in states for (source,) in self._fetch(query, (number, state.value)))
        for start in range(0, len(sources), PAGE_ITEMS):
            keys = [(number, source) for source in sources[start : start + PAGE_ITEMS]]
            yield self._database.read(partial(_items_at, keys=keys))

    def _fetch(self, query: str, values: tuple[Any, ...] | dict[str, Any]) -> list[Any]:
        return self._database.fetch(query, values)

    def _fetch_each(self, query: str, keys: Iterable[str]) -> dict[str, list[Any]]:
        """Return {key: the rows of the query for it}; keys without rows are absent."""
        wanted = [(key, (rows.encode(key),)) for key in keys]

        def work(db: sqlite3.Connection) -> dict[str, list[Any]]:
            return {key: found for key, values in wanted if (found := db.execute(query, values).fetchall())}

        if len(wanted) == 1:
            ((key, values),) = wanted
            found = self._fetch(query, values)
            return {key: found} if found else {}
        return self._database.read(work) if wanted else {}

    def _number(self, batch_id: str) -> int | None:
        """Return the number that represents a batch in the other tables."""
        if batch_id not in self._numbers:
            found = self._fetch("SELECT number FROM batches WHERE batch_id = ?", (rows.encode(batch_id),))
            if not found:
                return None
            self._numbers[batch_id] = found[0][0]
        return self._numbers[batch_id]

    def _existing(self, batch_id: str) -> int:
        number = self._number(batch_id)
        if number is None:
            raise LedgerError(f"there is no batch {batch_id}")
        return number


def _grouped(items: Iterable[Item], key_of: Callable[[Item], str]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(key_of(item), []).append(item)
    return groups


def _items_at(db: sqlite3.Connection, keys: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [db.execute(_SELECT_ITEM, key).fetchone() for key in keys]


def _add(db: sqlite3.Connection, number: int, state: ItemState, items: list[Item], *, at: int) -> int:
    """Insert items of one state, bind their imports, and return how many are new."""
    listed: list[Item] = []
    others: list[Item] = []
    for item in items:
        (listed if rows.is_just_listed(item) else others).append(item)
    before = db.total_changes
    whole = len(listed) - len(listed) % rows.ROWS_AT_ONCE
    for start in range(0, whole, rows.ROWS_AT_ONCE):
        some = listed[start : start + rows.ROWS_AT_ONCE]
        db.execute(rows.INSERT_LISTED, rows.listed_values(some, number, state, at))
    others += listed[whole:]
    added = db.total_changes - before
    for item in others:
        if db.execute(rows.INSERT_ITEM, rows.full_row(item, number, at)).rowcount:
            added += 1
            _tally_rows(db, number, NO_ROWS, item.row_totals)
            if item.import_id is not None:
                _bind(db, number, item, at=at)
    db.execute(rows.TALLY, (number, state.value, added))
    return added


def _advance(db: sqlite3.Connection, *, move: Move, number: int | None, at: int, known: Item | None = None) -> Item:
    """Move an item, if it is still at the revision that was read, and write its history.

    `known` is the item as it was stored at that revision, if that is known: it is not read again.
    """
    item, changes = move.item, move.changes
    before = known or _stored(db, number, item)
    if number is None or before is None or before.revision != item.revision:
        raise StaleItem(f"another process moved {item.source}")
    after = rules.with_state(before, move.state, changes)
    if "tag" in changes:
        rules.refuse_tag_in_use(after, rows.read_tagged(db, after.tag), share_tag=move.share_tag)
    _move(db, number, before, after, ["state", "revision", *changes])
    if after.import_id != before.import_id:
        _rebind(db, number, before, after, at=at)
    reason = rows.encode(rules.stored_sentence(move.reason))
    step = (after.revision, at, move.state.value, reason, after.attempts, after.import_id)
    db.execute(rows.INSERT_HISTORY, (number, rules.source_key(item.source), *step))
    return after


def _stored(db: sqlite3.Connection, number: int | None, item: Item) -> Item | None:
    row = db.execute(_SELECT_ITEM, (number, rules.source_key(item.source))).fetchone()
    return rows.item_of(item.batch_id, row) if row else None


def _move(db: sqlite3.Connection, number: int, before: Item, after: Item, columns: list[str]) -> None:
    """Write the changed columns of an item. Raises StaleItem if it is no longer at the revision that was read."""
    values = [rows.encode(getattr(after, column)) for column in columns]
    moved = db.execute(
        f"UPDATE items SET {', '.join(f'{column} = ?' for column in columns)}"  # noqa: S608 - names of Item's fields
        " WHERE batch = ? AND source = ? AND revision = ?",
        (*values, number, rules.source_key(before.source), before.revision),
    ).rowcount
    if not moved:
        raise StaleItem(f"another process moved {before.source}")
    if after.state != before.state:
        db.executemany(rows.TALLY, [(number, before.state.value, -1), (number, after.state.value, 1)])
    if after.row_totals != before.row_totals:
        _tally_rows(db, number, before.row_totals, after.row_totals)


def _tally_rows(db: sqlite3.Connection, number: int, before: RowTotals, after: RowTotals) -> None:
    """Count what an item has added to the rows of its batch."""
    changes = changed_counters(before, after)
    db.executemany(rows.ROW_TALLY, [(number, name, count) for name, count in changes.items()])


def _rebind(db: sqlite3.Connection, number: int, before: Item, after: Item, *, at: int) -> None:
    if before.import_id is not None:
        db.execute("UPDATE imports SET released_at = ? WHERE import_id = ?", (at, before.import_id))
    if after.import_id is not None:
        _bind(db, number, after, at=at)


def _bind(db: sqlite3.Connection, number: int, item: Item, *, at: int) -> None:
    _insert_import(db, item.import_id, (number, rules.source_key(item.source)), bound_at=at, released_at=None)


def _insert_import(
    db: sqlite3.Connection, import_id: str | None, key: tuple[int, bytes], *, bound_at: int, released_at: int | None
) -> None:
    try:
        db.execute(_INSERT_IMPORT, (import_id, *key, bound_at, released_at))
    except sqlite3.IntegrityError:
        raise ImportIdTaken(f"import {import_id} already belongs, or belonged, to an item") from None


def _restore(db: sqlite3.Connection, number: int, records: Sequence[Recorded]) -> int:
    """Insert items that are not in the batch, with their histories and imports, and return how many are new."""
    added = [record for record in records if _restore_item(db, number, record)]
    tallies = Counter(record.item.state for record in added)
    db.executemany(rows.TALLY, [(number, state.value, count) for state, count in tallies.items()])
    return len(added)


def _restore_item(db: sqlite3.Connection, number: int, record: Recorded) -> bool:
    item, (first, *later) = rules.as_stored(record.item), record.history
    if not db.execute(rows.INSERT_ITEM, rows.full_row(item, number, rules.to_ms(first.at))).rowcount:
        return False
    key = (number, rules.source_key(item.source))
    _tally_rows(db, number, NO_ROWS, item.row_totals)
    db.execute(_SET_ADDED, (first.state.value, first.attempts, first.import_id, *key))
    # The last entry gets the item's revision: earlier entries may be missing in the record.
    first_revision = item.revision - len(later) + 1
    steps = [rows.history_values(entry, revision) for revision, entry in enumerate(later, start=first_revision)]
    db.executemany(rows.INSERT_HISTORY, [(*key, *step) for step in steps])
    for import_id in record.import_ids:
        bound_at, released_at = _bound_between(record, import_id)
        _insert_import(db, import_id, key, bound_at=bound_at, released_at=released_at)
    return True


def _bound_between(record: Recorded, import_id: str) -> tuple[int, int | None]:
    """Return when an import was bound to the item and when it was released, in ms; None if it is still bound."""
    bound = [place for place, entry in enumerate(record.history) if entry.import_id == import_id]
    first, after = (bound[0], bound[-1] + 1) if bound else (0, len(record.history))
    released_at = rules.to_ms(record.history[after].at) if after < len(record.history) else None
    return rules.to_ms(record.history[first].at), released_at

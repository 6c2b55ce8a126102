"""The columns of SQLite, the statements built from them, and the conversion of batches and items to rows and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from runner.ledger import rules
from runner.models import (
    Batch,
    BatchState,
    HistoryEntry,
    Item,
    ItemKind,
    ItemState,
    RemoteImport,
    batch_of_packs,
    tag_of,
)


def _insert(columns: tuple[str, ...], *, count: int = 1) -> str:
    names = ("batch", "source", *columns, "added_at", "added_state", "added_attempts", "added_import_id")
    places = ", ".join([f"({', '.join('?' * len(names))})"] * count)
    return f"INSERT INTO items ({', '.join(names)}) VALUES {places} ON CONFLICT DO NOTHING"  # noqa: S608


COLUMNS = tuple(column.name for column in fields(Item) if column.name not in {"batch_id", "source"})
_KNOWN_WHEN_LISTED = (
    "kind", "rank", "size_bytes", "file_key", "version", "version_key", "binding", "schema_id", "state", "revision",
    "attempts",
)  # fmt: skip
_KNOWN_LATER = tuple(name for name in COLUMNS if name not in _KNOWN_WHEN_LISTED)
SELECT_ITEMS = f"SELECT source, {', '.join(COLUMNS)} FROM items "  # noqa: S608 - the names of Item's fields


def select_of_any_batch(where: str, order: str) -> str:
    """Return the query for the items of all batches that fulfil a condition, each with the id of its batch first."""
    names = ", ".join(f"items.{name}" for name in COLUMNS)
    return (
        f"SELECT batch_id, source, {names} FROM (SELECT * FROM items WHERE {where}) AS items"  # noqa: S608
        f" JOIN batches ON number = batch ORDER BY {order}"
    )


SELECT_TAGGED = select_of_any_batch("tag = ?", "batch, source")
_SELECT_BATCHES = (
    "SELECT number, batch_id, source_uri, account, out, config, state, listed, started_at, finished_at, exit_code,"
    " reason FROM batches "
)
IS_NOT_OF_PACKS = f"batch_id NOT LIKE '{batch_of_packs('%')}'"
BATCH_COLUMNS = ("out", "account", "config", "state", "listed", "finished_at", "exit_code", "reason")
"""The columns of a batch that can change."""

ROWS_AT_ONCE = 50
"""Rows of one INSERT_LISTED: one statement per row takes a third longer, mostly for switching the interpreter."""

INSERT_LISTED = _insert(_KNOWN_WHEN_LISTED, count=ROWS_AT_ONCE)
INSERT_ITEM = _insert(COLUMNS)
INSERT_HISTORY = "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
ROW_TALLY = "INSERT INTO row_tallies VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"
TALLY = "INSERT INTO tallies VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET items = items + excluded.items"
_batch_values = attrgetter(*BATCH_COLUMNS)
_all_values = attrgetter(*COLUMNS)
_later_values = attrgetter(*_KNOWN_LATER)
_NOTHING_LATER = (None,) * len(_KNOWN_LATER)
_STATES = {state.value: state for state in ItemState}
_KINDS = {kind.value: kind for kind in ItemKind}
_INSTANTS = ("intent_at", "created_at", "uploaded_at", "finished_at")
_FREE_TEXTS = (
    "version",
    "schema_id",
    "original_filename",
    "status",
    "review_url",
    "error_code",
    "error_message",
    "result",
)


def read_batches(db: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> list[Batch]:
    found = []
    for row in db.execute(_SELECT_BATCHES + where, values).fetchall():
        number, batch_id, source_uri, account, out, config, state, listed, started, finished, exit_code, reason = row
        counters = db.execute("SELECT name, value FROM counters WHERE batch = ?", (number,)).fetchall()
        found.append(
            Batch(
                batch_id=_text(batch_id),
                source_uri=_text(source_uri),
                account=_text(account),
                out=_text(out),
                config=_text(config),
                state=BatchState(state),
                listed=bool(listed),
                started_at=rules.from_ms(started),
                finished_at=None if finished is None else rules.from_ms(finished),
                exit_code=exit_code,
                reason=None if reason is None else _text(reason),
                counters=dict(counters),
                number=number,
            )
        )
    return found


def read_tagged(db: sqlite3.Connection, tag: str | None) -> list[Item]:
    return [item_of(row[0], row[1:]) for row in db.execute(SELECT_TAGGED, (encode(tag),))]


def batch_values(batch: Batch) -> tuple[Any, ...]:
    """Return the values of BATCH_COLUMNS."""
    values: tuple[Any, ...] = _batch_values(batch)
    return values


def is_just_listed(item: Item) -> bool:
    """Return whether INSERT_LISTED can store the item: it has few columns and is twice as fast."""
    return _later_values(item) == _NOTHING_LATER


def listed_values(items: Sequence[Item], number: int, state: ItemState, at: int) -> list[Any]:
    """Return the values of INSERT_LISTED for ROWS_AT_ONCE items in `state`, one after another.

    `number` represents the batch; `at` is the current time in ms.
    """
    name = state.value
    values: list[Any] = []
    for item in items:
        values += (
            number, rules.source_key(item.source), item.kind.value, item.rank, item.size_bytes, item.file_key,
            encode(item.version), item.version_key, item.binding, encode(item.schema_id), name, item.revision,
            item.attempts,
            at, name, item.attempts, None,
        )  # fmt: skip
    return values


def full_row(item: Item, number: int, at: int) -> tuple[Any, ...]:
    """Return the values of INSERT_ITEM."""
    return _row(item, _all_values(item), number, at)


def _row(item: Item, values: tuple[Any, ...], number: int, at: int) -> tuple[Any, ...]:
    added = (at, item.state.value, item.attempts, item.import_id)
    return (number, rules.source_key(item.source), *map(encode, values), *added)


def item_of(batch_id: str, row: tuple[Any, ...]) -> Item:
    values = dict(zip(COLUMNS, row[1:], strict=True))
    values["state"] = _STATES[values["state"]]
    values["kind"] = _KINDS[values["kind"]]
    if values["earlier_state"] is not None:
        values["earlier_state"] = _STATES[values["earlier_state"]]
    for name in _INSTANTS:
        if values[name] is not None:
            values[name] = rules.from_ms(values[name])
    if values["left_out_reasons"] is not None:
        values["left_out_reasons"] = rules.reasons_of(values["left_out_reasons"])
    for name in _FREE_TEXTS:
        if type(values[name]) is bytes:
            values[name] = _text(values[name])
    return Item(batch_id=batch_id, source=rules.source_of(row[0]), **values)


def orphan_row(orphan: RemoteImport) -> tuple[Any, ...]:
    made_at = orphan.created_at
    return (
        orphan.import_id,
        tag_of(orphan.original_filename),
        orphan.status,
        orphan.schema_id,
        orphan.original_filename,
        None if made_at is None else rules.to_ms(made_at),
    )


def orphan_of(row: tuple[Any, ...]) -> RemoteImport:
    import_id, status, schema_id, original_filename, made_at = row
    return RemoteImport(
        import_id=import_id,
        status=status,
        schema_id=schema_id,
        original_filename=original_filename,
        created_at=None if made_at is None else rules.from_ms(made_at),
    )


def history_values(entry: HistoryEntry, revision: int) -> tuple[Any, ...]:
    """Return the values of INSERT_HISTORY after batch and source."""
    reason = encode(entry.reason)
    return revision, rules.to_ms(entry.at), entry.state.value, reason, entry.attempts, entry.import_id


def entry_of(row: tuple[Any, ...]) -> HistoryEntry:
    at, state, reason, attempts, import_id, *_ = row
    return HistoryEntry(
        at=rules.from_ms(at), state=_STATES[state], reason=_text(reason), attempts=attempts, import_id=import_id
    )


def encode(value: Any) -> Any:
    """Return what SQLite stores for a field's value; text with undecodable bytes becomes bytes."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return rules.reasons_text(value)
    if isinstance(value, str):
        return value if value.isascii() or _is_unicode(value) else rules.source_key(value)
    return rules.to_ms(value) if isinstance(value, datetime) else value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else rules.source_of(stored)

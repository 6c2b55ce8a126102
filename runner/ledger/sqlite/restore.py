"""Items with their histories, as they come out of one SQLite ledger and into another store or another file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from runner.errors import ImportIdTaken
from runner.ledger import rules
from runner.ledger.protocol import Recorded
from runner.ledger.sqlite import rows
from runner.models import HistoryEntry, Item

_INSERT_IMPORT = "INSERT INTO imports VALUES (?, ?, ?, ?, ?)"
_ADDED = "UPDATE items SET added_state = ?, added_attempts = ?, added_import_id = ? WHERE batch = ? AND source = ?"


def restore(db: sqlite3.Connection, number: int, records: Sequence[Recorded]) -> int:
    """Insert items that are not there, with their histories and imports; `number` stands for the batch."""
    added = [record for record in records if _insert(db, number, record)]
    tallies = Counter(record.item.state for record in added)
    db.executemany(rows.TALLY, [(number, state.value, count) for state, count in tallies.items()])
    return len(added)


def _insert(db: sqlite3.Connection, number: int, record: Recorded) -> bool:
    item, (first, *later) = record.item, record.history
    if not db.execute(rows.INSERT_ITEM, rows.full_row(item, number, rules.to_ms(first.at))).rowcount:
        return False
    key = (number, rules.source_key(item.source))
    db.execute(_ADDED, (first.state.value, first.attempts, first.import_id, *key))
    db.executemany(rows.INSERT_HISTORY, [(*key, *_step(entry, n)) for n, entry in _numbered(item, later)])
    for import_id in record.import_ids:
        _bind(db, key, import_id, record)
    return True


def _numbered(item: Item, later: Sequence[HistoryEntry]) -> list[tuple[int, HistoryEntry]]:
    """Number the steps so that the last has the item's revision: an earlier one may be missing in its record."""
    return [(item.revision - len(later) + n, entry) for n, entry in enumerate(later, start=1)]


def _step(entry: HistoryEntry, revision: int) -> tuple[object, ...]:
    reason = rows.encode(entry.reason)
    return revision, rules.to_ms(entry.at), entry.state.value, reason, entry.attempts, entry.import_id


def _bind(db: sqlite3.Connection, key: tuple[int, bytes], import_id: str, record: Recorded) -> None:
    bound = [n for n, entry in enumerate(record.history) if entry.import_id == import_id]
    first, last = (bound[0], bound[-1] + 1) if bound else (0, len(record.history))
    released = rules.to_ms(record.history[last].at) if last < len(record.history) else None
    try:
        db.execute(_INSERT_IMPORT, (import_id, *key, rules.to_ms(record.history[first].at), released))
    except sqlite3.IntegrityError:
        raise ImportIdTaken(f"import {import_id} already belongs, or belonged, to an item") from None

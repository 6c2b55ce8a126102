"""Rules that every store follows: the order of sources, precision of instants, length of texts, changeable fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runner.errors import LedgerError, TagInUse
from runner.masking import cut
from runner.models import COUNTERS, Batch, BatchChanges, Item, ItemChanges, ItemState, RemoteImport
from runner.row_counts import LeftOutReason

LISTED = "listed"
"""Reason of an item's first history entry."""

STORED_TEXT_LIMIT = 2000
"""Characters that are stored of a sentence: far less than fits into an item of DynamoDB, whatever it quotes."""

BATCH_CHANGES = frozenset(BatchChanges.__annotations__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ITEM_CHANGES = frozenset(ItemChanges.__annotations__)
_ITEM_INSTANTS = ("intent_at", "created_at", "uploaded_at", "finished_at")
_SENTENCES = frozenset({"error_message", "status", "reason"})


def source_key(source: str) -> bytes:
    """Return the bytes of a source's name, which define the order of sources; undecodable bytes are preserved."""
    return source.encode("utf-8", "surrogateescape")


def source_of(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")


def to_ms(instant: datetime) -> int:
    """Return an aware instant as whole milliseconds since 1970 UTC, rounded down."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def whole_ms(instant: datetime) -> datetime:
    return from_ms(to_ms(instant))


def with_state(item: Item, state: ItemState, changes: ItemChanges) -> Item:
    """Return the item in `state`, one revision later, with its fields as they are stored. Raises IllegalTransition."""
    fixed = changes.keys() - _ITEM_CHANGES
    if fixed:
        raise TypeError(f"an item's {', '.join(sorted(fixed))} cannot change")
    return item.with_state(state, **_storable(changes))


def stored_sentence(text: str) -> str:
    """Return as much of a sentence as is stored."""
    return cut(text, STORED_TEXT_LIMIT)


def as_stored(item: Item) -> Item:
    """Return the item with its instants in whole milliseconds, and its sentences cut."""
    names = (*_ITEM_INSTANTS, *(_SENTENCES & _ITEM_CHANGES))
    given = {name: getattr(item, name) for name in names if getattr(item, name) is not None}
    return replace(item, **_storable(given)) if given else item


def as_stored_orphan(orphan: RemoteImport) -> RemoteImport:
    """Return what a ledger stores of an orphan: no url, no errors, its creation in whole milliseconds."""
    return RemoteImport(
        import_id=orphan.import_id,
        status=orphan.status,
        schema_id=orphan.schema_id,
        original_filename=orphan.original_filename,
        created_at=None if orphan.created_at is None else whole_ms(orphan.created_at),
    )


def changed(batch: Batch, changes: BatchChanges) -> Batch:
    """Return the batch with changed fields, as they are stored."""
    fixed = changes.keys() - BATCH_CHANGES
    if fixed:
        raise TypeError(f"a batch's {', '.join(sorted(fixed))} cannot change")
    return replace(batch, **_storable(changes))


def check_counters(counters: Mapping[str, int]) -> None:
    unknown = counters.keys() - frozenset(COUNTERS)
    if unknown:
        raise TypeError(f"a batch does not count {', '.join(sorted(unknown))}")


def refuse_tag_in_use(item: Item, tagged: Iterable[Item], *, share_tag: bool) -> None:
    """Raise TagInUse if another of the items with the same tag blocks its content, or, with `share_tag`, is held."""
    own = (item.batch_id, item.source)
    for other in tagged:
        blocks = other.is_held if share_tag else other.blocks_content
        if blocks and (other.batch_id, other.source) != own:
            raise TagInUse(f"the same content is {other.state} as {other.source} in batch {other.batch_id}")


def order_in_batch(item: Item) -> tuple[bool, datetime, bytes]:
    """Return the sort key of a file's items in one batch: when their creates were made, then their sources."""
    return item.intent_at is not None, item.intent_at or _EPOCH, source_key(item.source)


def batch_id_of(items: Sequence[Item]) -> str:
    """Return the id of the one batch that the items belong to. Raises LedgerError if there are several."""
    batch_id = items[0].batch_id
    if any(item.batch_id != batch_id for item in items):
        raise LedgerError("items of several batches cannot be added in one transaction")
    return batch_id


def reasons_text(reasons: Iterable[LeftOutReason]) -> str:
    """Return reasons as the JSON text that a store keeps."""
    return json.dumps([(one.rule, one.field, one.count) for one in reasons], separators=(",", ":"))


def reasons_of(text: str) -> tuple[LeftOutReason, ...]:
    return tuple(LeftOutReason(rule, field, count) for rule, field, count in json.loads(text))


def _storable(changes: Mapping[str, object]) -> dict[str, Any]:
    return {name: _storable_value(name, value) for name, value in changes.items()}


def _storable_value(name: str, value: object) -> object:
    if isinstance(value, datetime):
        return whole_ms(value)
    return stored_sentence(value) if isinstance(value, str) and name in _SENTENCES else value

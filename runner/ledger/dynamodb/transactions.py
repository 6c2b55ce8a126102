"""Transactions that add and move items: item, batch counters, import, and tag change together or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.errors import ImportIdTaken, LedgerError, StaleItem
from runner.ledger import rules
from runner.ledger.dynamodb import keys, rows
from runner.ledger.dynamodb.keys import Row, number
from runner.ledger.dynamodb.table import MAX_ACTIONS, ConditionFailed, DynamoTable, new_token
from runner.ledger.protocol import Recorded
from runner.models import HistoryEntry, Item, ItemState
from runner.row_counts import NO_ROWS, RowTotals, changed_counters

Action = dict[str, Any]
_ABSENT = "attribute_not_exists(pk)"
_ITEM, _COUNTS, _TAG, _HELD_BACK, _IMPORT = "item", "counts", "tag", "held back", "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersPlace:
    """Where a transaction counts: the row of its batch, or one of the shards that its batch has for that."""

    batch_id: str
    shard: int | None = None
    left: Mapping[str, int] = field(default_factory=dict)
    """What an earlier move has left to be counted here."""

    @property
    def name(self) -> str:
        return f"{self.batch_id} {self.shard}"

    def update(self, changes: Mapping[str, int]) -> Action:
        """Return the action that counts a transaction, and adds to counters by the names of their attributes."""
        total = Counter(self.left)
        total.update(changes)
        added = {"moves": 1} | {name: count for name, count in total.items() if count}
        of_batch = self.shard is None
        key = keys.batch_key(self.batch_id) if self.shard is None else keys.counters_key(self.batch_id, self.shard)
        return {
            "Update": {
                "Key": key,
                "UpdateExpression": f"ADD {', '.join(f'{name} :{name}' for name in added)}",
                "ExpressionAttributeValues": {f":{name}": number(count) for name, count in added.items()},
            }
            | ({"ConditionExpression": "attribute_exists(pk)"} if of_batch else {})
        }


@dataclass(frozen=True, slots=True)
class Move:
    """One move of an item: `tagged` is the row of the tag it claims as it was read, `{}` if the tag was unused.

    `batch_place` is the place of its batch among all batches, `counted` what it has added to the rows of the batch.
    """

    before: Item
    after: Item
    history: Sequence[HistoryEntry]
    tagged: Row | None
    shares: bool
    batch_place: bytes
    counted: RowTotals
    counters: CountersPlace | None = None
    """Where the move is counted; None if it is not counted together with the item."""

    @property
    def counts(self) -> dict[str, int]:
        """Return by how much the numbers of items in each state change, by the names of their attributes."""
        before, after = self.before.state, self.after.state
        return {} if before is after else {rows.state_count(after): 1, rows.state_count(before): -1}

    async def write(self, table: DynamoTable) -> Row | None:
        """Write the move, and return the item's row; None if another item claimed the tag in the meantime.

        Raises StaleItem, ImportIdTaken.

        The note at the item's file comes first, without the transaction: it counts only if the item was tried.
        """
        token = new_token()
        actions = self._actions(token)
        if self._is_new_at_file:
            await table.put(_note_at_file(self.after, self.batch_place))
        try:
            if list(actions) == [_ITEM]:
                await table.replace(token, actions[_ITEM]["Put"])
            else:
                await table.transact(token, list(actions.values()))
        except ConditionFailed as error:
            failed = {list(actions)[number] for number in error.found}
            if _ITEM in failed:
                raise StaleItem(f"another process moved {self.after.source}") from None
            if _TAG in failed:
                return None
            if _IMPORT in failed:
                raise _taken(self.after.import_id) from None
            raise LedgerError(f"there is no batch {self.after.batch_id}") from None
        row: Row = actions[_ITEM]["Put"]["Item"]
        return row

    def _actions(self, token: bytes) -> dict[str, Action]:
        before, after = self.before, self.after
        actions: dict[str, Action] = {
            _ITEM: {
                "Put": {
                    "Item": rows.item_row(after, self.history, token=token),
                    "ConditionExpression": "r = :r",
                    "ExpressionAttributeValues": {":r": number(before.revision)},
                }
            }
        }
        if self.counters is not None:
            changed_rows = changed_counters(self.counted, after.row_totals)
            actions[_COUNTS] = self.counters.update(self.counts | _row_counts(changed_rows))
        if self.tagged is not None:
            seen = None if self.shares else self.tagged
            actions[_TAG] = _add_to_tag(after.tag or "", [after], token=token, seen=seen)
        if _is_held_back(after) and not _is_held_back(before):
            actions[_HELD_BACK] = _note_held_back(after)
        if after.import_id is not None and after.import_id != before.import_id:
            actions[_IMPORT] = _claim(after, after.import_id, token=token)
        return actions

    @property
    def _is_new_at_file(self) -> bool:
        before, after = self.before, self.after
        return _is_of_file(after) and not (_is_of_file(before) and before.file_key == after.file_key)


def groups_of(records: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    """Split items into groups that fit in one transaction: an action per item, import, tag, and note; one to count."""
    group: list[Recorded] = []
    room = MAX_ACTIONS - 1
    for record in records:
        item = record.item
        notes = (item.tag is not None) + _is_of_file(item) + _is_held_back(item)
        needed = 1 + len(record.import_ids) + notes
        if needed > room:
            yield group
            group, room = [], MAX_ACTIONS - 1
        group.append(record)
        room -= needed
    if group:
        yield group


async def add_group(
    table: DynamoTable, records: Sequence[Recorded], *, batch_place: bytes, counters: CountersPlace
) -> int:
    """Add the items that are new in one transaction, and return how many. Raises ImportIdTaken."""
    new = list(records)
    while new:
        token = new_token()
        try:
            await table.transact(token, _adding(counters, new, token=token, batch_place=batch_place))
        except ConditionFailed as error:
            if 0 in error.found:
                raise LedgerError(f"there is no batch {counters.batch_id}") from None
            rest = [record for place, record in enumerate(new, start=1) if place not in error.found]
            if len(rest) == len(new):
                raise _taken(next(import_id for record in new for import_id in record.import_ids)) from None
            new = rest
        else:
            return len(new)
    return 0


def _adding(counters: CountersPlace, records: Sequence[Recorded], *, token: bytes, batch_place: bytes) -> list[Action]:
    puts = [_put_new(record, token=token) for record in records]
    imports = [_claim(record.item, one, token=token) for record in records for one in record.import_ids]
    tagged: dict[str, list[Item]] = {}
    for record in records:
        if record.item.tag is not None:
            tagged.setdefault(record.item.tag, []).append(record.item)
    tags = [_add_to_tag(tag, some, token=token, seen=None) for tag, some in tagged.items()]
    tried = [record.item for record in records if _is_of_file(record.item)]
    files: list[Action] = [{"Put": {"Item": _note_at_file(item, batch_place)}} for item in tried]
    held_back = [_note_held_back(record.item) for record in records if _is_held_back(record.item)]
    rows_added = sum((record.item.row_totals for record in records), NO_ROWS)
    states = Counter(rows.state_count(record.item.state) for record in records)
    counts = counters.update(states | _row_counts(rows_added.counters))
    return [counts, *puts, *imports, *tags, *files, *held_back]


def _is_of_file(item: Item) -> bool:
    return bool(item.file_key) and item.was_tried


def _is_held_back(item: Item) -> bool:
    return item.state is ItemState.SKIPPED and item.earlier_state not in (None, ItemState.COLLECTED)


def _note_at_file(item: Item, batch_place: bytes) -> Row:
    place = keys.key(keys.file_partition(item.file_key), batch_place + keys.place_of(item.source))
    return place | {"b": {"S": item.batch_id}}


def _note_held_back(item: Item) -> Action:
    return {"Put": {"Item": keys.key(keys.held_back_partition(item.batch_id), keys.place_of(item.source))}}


def _put_new(record: Recorded, *, token: bytes) -> Action:
    return {"Put": {"Item": rows.item_row(record.item, record.history, token=token), "ConditionExpression": _ABSENT}}


def _row_counts(changed: Mapping[str, int]) -> dict[str, int]:
    return {rows.row_counter(name): count for name, count in changed.items()}


def _claim(item: Item, import_id: str, *, token: bytes) -> Action:
    owner = {"b": {"S": item.batch_id}, "s": {"B": rules.source_key(item.source)}, "w": {"B": token}}
    return {"Put": {"Item": keys.import_key(import_id) | owner, "ConditionExpression": _ABSENT}}


def _add_to_tag(tag: str, items: Sequence[Item], *, token: bytes, seen: Row | None) -> Action:
    """Return the action that adds items to a tag, if no other item was added to it since it was `seen`."""
    values_of_items = [item.batch_id.encode() + b"\0" + rules.source_key(item.source) for item in items]
    values: Row = {":w": {"B": token}, ":b": {"BS": values_of_items}}
    action: Action = {"Key": keys.tag_key(tag), "UpdateExpression": "SET w = :w ADD b :b"}
    if seen is not None:
        action["ConditionExpression"] = "w = :seen" if seen else _ABSENT
        values |= {":seen": seen["w"]} if seen else {}
    return {"Update": action | {"ExpressionAttributeValues": values}}


def tagged_item_of(value: bytes) -> tuple[str, str]:
    """Return batch id and source of an item in a tag's row."""
    batch_id, _, source = value.partition(b"\0")
    return batch_id.decode(), rules.source_of(source)


def _taken(import_id: str | None) -> ImportIdTaken:
    return ImportIdTaken(f"import {import_id} already belongs, or belonged, to an item")

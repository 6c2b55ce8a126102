"""The DynamoDB table: its keys and indexes as data, and the form of every key."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from runner.ledger import rules
from runner.models import TERMINAL_STATES, ItemState

Value = dict[str, Any]
"""An attribute's value in the form of the API, such as `{"N": "1"}`."""

Row = dict[str, Value]

BY_STATE: Final = "by_state"
BY_VERSION: Final = "by_version"

TABLE: dict[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "B"},
        {"AttributeName": "gpk", "AttributeType": "S"},
        {"AttributeName": "gsk", "AttributeType": "B"},
        {"AttributeName": "vk", "AttributeType": "S"},
    ],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": BY_STATE,
            "KeySchema": [{"AttributeName": "gpk", "KeyType": "HASH"}, {"AttributeName": "gsk", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
        {
            "IndexName": BY_VERSION,
            "KeySchema": [{"AttributeName": "vk", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
    ],
}
"""Arguments of create_table, without the name. Indexes have only keys: a move within a group costs nothing there."""

TTL_ATTRIBUTE: Final = "ttl"

MAX_PLACE_BYTES = 1000
"""A sort key has at most 1024 bytes; in `by_state`, the rank takes eight of them."""

ALIKE_BYTES = MAX_PLACE_BYTES - hashlib.sha256().digest_size
"""Sources that are longer than a sort key and share this many first bytes are ordered by their hash."""

ONLY: Final = b"-"
"""Sort key of a row that is alone in its partition."""

INCOMPLETE: Final = "BATCH#incomplete"
"""Partition of `by_state` with the batches that are not complete."""

_RANKS_FROM = 1 << 63

_GROUPS = {
    ItemState.QUEUED: "queued",
    ItemState.NEEDS_REVIEW: "review",
    **dict.fromkeys(TERMINAL_STATES, "ended"),
    ItemState.COLLECTED: "collected",
}

UNLISTED: Final = "collected"
"""The group that `by_state` lacks: most items end there, and nothing looks for them by their state.

Versions before 0.2 list them as ended.
"""


def group_of(state: ItemState) -> str:
    """Return the group of states that share a partition of `by_state`: only a change of group writes to the index."""
    return _GROUPS.get(state, "open")


def states_with(state: ItemState) -> list[ItemState]:
    """Return all states in the group of a state."""
    return [other for other in ItemState if group_of(other) == group_of(state)]


def place_of(source: str) -> bytes:
    """Return a source's sort key: its bytes, or for a long source its first bytes and a hash."""
    key = rules.source_key(source)
    return key if len(key) <= MAX_PLACE_BYTES else key[:ALIKE_BYTES] + hashlib.sha256(key).digest()


def ranked_place(rank: int, source: str) -> bytes:
    """Return an item's sort key in `by_state`."""
    return (rank + _RANKS_FROM).to_bytes(8, "big") + place_of(source)


def rank_in(ranked: bytes) -> int:
    return int.from_bytes(ranked[:8], "big") - _RANKS_FROM


def key(pk: str, sk: bytes = ONLY) -> Row:
    return {"pk": {"S": pk}, "sk": {"B": sk}}


BATCH_NUMBERS: Final = key("BATCH_NUMBERS")
"""Key of the row that counts all batches that were ever started."""


BATCH_ORDER: Final = "BATCH_ORDER"
"""Partition with a row for each batch by its number; batches of version 0.1.0 have none."""


def batch_key(batch_id: str) -> Row:
    return key("BATCH", batch_id.encode())


def counters_of(batch_id: str) -> str:
    """Return the partition with a batch's shards of counters, if it has any."""
    return f"COUNTS#{batch_id}"


def counters_key(batch_id: str, shard: int) -> Row:
    return key(counters_of(batch_id), shard.to_bytes(2, "big"))


def config_key(batch_id: str) -> Row:
    """Return the key of a batch's configuration: a row of its own, so that moves of items do not write it again."""
    return key(f"SPEC#{batch_id}")


def items_of(batch_id: str) -> str:
    return f"ITEM#{batch_id}"


def item_key(batch_id: str, source: str) -> Row:
    return key(items_of(batch_id), place_of(source))


def import_key(import_id: str) -> Row:
    return key(f"IMPORT#{import_id}")


def tag_key(tag: str) -> Row:
    return key(f"TAG#{tag}")


def file_partition(file_key: str) -> str:
    """Return the partition with a row for each item of a file whose create was tried."""
    return f"FILE#{file_key}"


def held_back_partition(batch_id: str) -> str:
    """Return the partition with a row for each item of a batch that `ItemStore.held_back` returns."""
    return f"HELD_BACK#{batch_id}"


def batch_place(order: tuple[int, int]) -> bytes:
    """Return a batch's place among all batches as 16 bytes, from its number and its start in ms."""
    batch_number, started_at = order
    return batch_number.to_bytes(8, "big") + (started_at + _RANKS_FROM).to_bytes(8, "big")


def number(value: int) -> Value:
    return {"N": str(value)}


def text(value: str) -> Value:
    """Return a text; one with undecodable bytes becomes bytes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"B": rules.source_key(value)}
    return {"S": value}


def text_of(value: Value) -> str:
    return value["S"] if "S" in value else rules.source_of(value["B"])

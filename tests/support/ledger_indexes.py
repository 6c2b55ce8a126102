"""Which indexes of the table the methods of the DynamoDB ledger query, so that tests can compare them with roles."""

from __future__ import annotations

from collections.abc import Collection

from runner.ledger.dynamodb.keys import BY_STATE, BY_VERSION, UNLISTED, group_of
from runner.models import ItemState


def indexes_for(method: str, states: Collection[ItemState] = ()) -> frozenset[str]:
    """Return the indexes that a method may query if it is called for these states; every other method queries none."""
    match method:
        case "by_version":
            return frozenset({BY_VERSION})
        case "incomplete_batches":
            return frozenset({BY_STATE})
        case "items" | "page" if any(group_of(state) != UNLISTED for state in states):
            return frozenset({BY_STATE})
    return frozenset()

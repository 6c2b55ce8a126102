"""DynamoLeases: leases as rows of the ledger's table, taken with conditional writes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from runner.ledger import rules
from runner.ledger.dynamodb import keys
from runner.ledger.dynamodb.table import ConditionFailed, DynamoTable, new_token
from runner.ledger.leases import Lease

_KEPT_S = 3600
"""How long the row of an expired lease stays in the table, without effect."""


class DynamoLeases:
    """Leases in an open table; the table's time to live deletes the rows of expired leases.

    Every method may raise what DynamoTable raises.
    """

    def __init__(self, table: DynamoTable, *, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    async def take(self, batch_id: str, source: str, *, holder: str, for_s: float) -> float | None:
        now, token = rules.to_ms(self._now()), new_token()
        until = now + round(for_s * 1000)
        values = {":o": {"S": holder}, ":u": keys.number(until), ":w": {"B": token}, ":now": keys.number(now)}
        action: dict[str, Any] = {
            "Key": _place(batch_id, source),
            "UpdateExpression": "SET o = :o, u = :u, w = :w, #ttl = :ttl",
            "ConditionExpression": "attribute_not_exists(pk) OR o = :o OR u <= :now",
            "ExpressionAttributeNames": {"#ttl": keys.TTL_ATTRIBUTE},
            "ExpressionAttributeValues": values | {":ttl": keys.number(until // 1000 + _KEPT_S)},
        }
        try:
            await self._table.update(token, action)
        except ConditionFailed as error:
            other = _lease_of(error.found[0], now)
            return other.left_s if other else 0.0
        return None

    async def release(self, batch_id: str, source: str, *, holder: str) -> None:
        own = {"ConditionExpression": "o = :o", "ExpressionAttributeValues": {":o": {"S": holder}}}
        with suppress(ConditionFailed):
            await self._table.delete({"Key": _place(batch_id, source), **own})

    async def seen(self, batch_id: str, source: str) -> Lease | None:
        return _lease_of(await self._table.get(_place(batch_id, source)), rules.to_ms(self._now()))


def _place(batch_id: str, source: str) -> keys.Row:
    return keys.key(f"LEASE#{batch_id}", b"\0" + keys.place_of(source))


def _lease_of(row: keys.Row | None, now: int) -> Lease | None:
    left_s = (int(row["u"]["N"]) - now) / 1000 if row else 0.0
    return Lease(holder=row["o"]["S"], left_s=left_s) if row and left_s > 0 else None

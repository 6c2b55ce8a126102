"""The create slots of all users of a table: one row per slot, so that users of different slots never conflict."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from runner.clock import system_now
from runner.ledger.dynamodb import keys
from runner.ledger.dynamodb.keys import Row
from runner.ledger.dynamodb.table import ConditionFailed, DynamoTable, new_token
from runner.quota.slots import Quota, Slot, Turn

SHARED_GUARD_S = 2.0
"""Guard for slots that machines share: the clock of each may be wrong by half of it."""

_HOLD = b"hold"


class DynamoSlots:
    """A SlotStore and its Clock: `ticks` are seconds since 1970 UTC on the table's clock.

    Every method may raise what DynamoTable raises.
    """

    def __init__(self, table: DynamoTable, *, now: Callable[[], datetime] = system_now) -> None:
        self._table = table
        self._now = now

    def now(self) -> datetime:
        return self._now()

    def ticks(self) -> float:
        """Return the time that all users of the table agree on. Raises LedgerError if this clock is far off."""
        return self._table.time.now_s()

    async def first(self, quota_key: str, *, count: int) -> Turn:
        return (await self._read(quota_key)).first(count)

    async def free(self, quota_key: str, *, count: int, now: float) -> int:
        return (await self._read(quota_key)).free(count, now=now)

    async def swap(self, quota_key: str, number: int, *, seen: Slot, new: Slot) -> bool:
        token = new_token()
        action: dict[str, Any] = {
            "Key": keys.key(_partition(quota_key), _place(number)),
            "UpdateExpression": "SET u = :u, o = :o, w = :w",
            "ConditionExpression": "u = :seen_u AND o = :seen_o",
            "ExpressionAttributeValues": {
                ":u": _seconds(new.until),
                ":o": {"S": new.token},
                ":w": {"B": token},
                ":seen_u": _seconds(seen.until),
                ":seen_o": {"S": seen.token},
            },
        }
        if seen == Slot():
            action["ConditionExpression"] += " OR attribute_not_exists(pk)"
        return await self._applied(token, action)

    async def hold(self, quota_key: str, *, until: float) -> None:
        token = new_token()
        action: dict[str, Any] = {
            "Key": keys.key(_partition(quota_key), _HOLD),
            "UpdateExpression": "SET u = :u, w = :w",
            "ConditionExpression": "attribute_not_exists(pk) OR u < :u",
            "ExpressionAttributeValues": {":u": _seconds(until), ":w": {"B": token}},
        }
        await self._applied(token, action)

    async def close(self) -> None:
        """Release nothing: the table stays open."""

    async def _read(self, quota_key: str) -> Quota:
        rows = {row["sk"]["B"]: row async for page in self._table.query(_partition(quota_key)) for row in page}
        hold = rows.pop(_HOLD, None)
        known = {int.from_bytes(place, "big"): _slot_of(row) for place, row in rows.items()}
        return Quota(known=known, not_before=0.0 if hold is None else _slot_of(hold).until)

    async def _applied(self, token: bytes, action: dict[str, Any]) -> bool:
        try:
            await self._table.update(token, action)
        except ConditionFailed:
            return False
        return True


def _partition(quota_key: str) -> str:
    return f"SLOTS#{quota_key}"


def _place(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _seconds(value: float) -> dict[str, str]:
    return {"N": repr(value)}


def _slot_of(row: Row) -> Slot:
    return Slot(until=float(row["u"]["N"]), token=row.get("o", {"S": ""})["S"])

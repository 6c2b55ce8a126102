"""The create slots of all users of a table: one row per slot, so that users of different slots never conflict.

A read of many slots costs as much as it is large. So that a permit costs the same at any quota, a large one is read in
windows of neighboring slots, in turn; users begin at different ones.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from runner.clock import system_now
from runner.ledger.dynamodb import keys
from runner.ledger.dynamodb.keys import Row
from runner.ledger.dynamodb.table import ConditionFailed, DynamoTable, new_token
from runner.quota.slots import Quota, Slot, Turn

SHARED_GUARD_S = 2.0
"""Guard for slots that machines share: the clock of each may be wrong by half of it."""

WINDOW = 40
"""Slots that are read at once: about 4 KB, which is one read unit."""

_MOST_WINDOWS = 4
"""How many windows are read for one permit, if all slots of the first ones are busy."""

_HOLD = b"hold"
_HOLD_FRESH_S = 1.0
_TWO_BYTES = 0xFFFF


class DynamoSlots:
    """A SlotStore and its Clock: `ticks` are seconds since 1970 UTC on the table's clock.

    Every method may raise what DynamoTable raises.
    """

    def __init__(self, table: DynamoTable, *, now: Callable[[], datetime] = system_now) -> None:
        self._table = table
        self._now = now
        self._holds: dict[str, tuple[float, float]] = {}
        self._window = random.randrange(1 << 30)  # noqa: S311 - only so that users begin at different windows

    def now(self) -> datetime:
        return self._now()

    def ticks(self) -> float:
        """Return the time that all users of the table agree on. Raises LedgerError if this clock is far off."""
        return self._table.time.now_s()

    async def first(self, quota_key: str, *, count: int) -> Turn:
        """Return which slot is free first; of a large quota, the first of a few windows."""
        if count <= WINDOW:
            return (await self._read(quota_key)).first(range(count))
        hold, first = await asyncio.gather(self._hold(quota_key), self._first_of_window(quota_key, count))
        for _ in range(_MOST_WINDOWS - 1):
            if first.due_at <= self.ticks():
                break
            first = min(first, await self._first_of_window(quota_key, count), key=lambda turn: turn.due_at)
        return replace(first, due_at=max(first.due_at, hold))

    async def free(self, quota_key: str, *, count: int, now: float) -> int:
        """Return how many slots can be taken `now`; of a large quota, an estimate from one window."""
        if count <= WINDOW:
            return (await self._read(quota_key)).free(range(count), now=now)
        numbers = self._next_window(count)
        hold, known = await asyncio.gather(self._hold(quota_key), self._slots(quota_key, numbers))
        free = Quota(known, not_before=hold).free(numbers, now=now)
        return round(count * free / len(numbers))

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
        self._holds.pop(quota_key, None)

    async def close(self) -> None:
        """Release nothing: the table stays open."""

    async def _first_of_window(self, quota_key: str, count: int) -> Turn:
        numbers = self._next_window(count)
        return Quota(await self._slots(quota_key, numbers)).first(numbers)

    def _next_window(self, count: int) -> range:
        self._window += 1
        start = self._window % -(-count // WINDOW) * WINDOW
        return range(start, min(start + WINDOW, count))

    async def _slots(self, quota_key: str, numbers: range) -> dict[int, Slot]:
        ends = _place(numbers[0]), _place(numbers[-1])
        pages = self._table.query(_partition(quota_key), between=ends)
        found = {row["sk"]["B"]: row async for page in pages for row in page}
        return {_number(place): _slot_of(row) for place, row in found.items() if place != _HOLD}

    async def _hold(self, quota_key: str) -> float:
        """Return the end of the hold as it is, or was within a second: a create that is refused costs nothing."""
        read_at, until = self._holds.get(quota_key, (-math.inf, 0.0))
        now = self.ticks()
        if now - read_at >= _HOLD_FRESH_S:
            row = await self._table.get(keys.key(_partition(quota_key), _HOLD))
            until = 0.0 if row is None else _slot_of(row).until
            self._holds[quota_key] = (now, until)
        return until

    async def _read(self, quota_key: str) -> Quota:
        rows = {row["sk"]["B"]: row async for page in self._table.query(_partition(quota_key)) for row in page}
        hold = rows.pop(_HOLD, None)
        known = {_number(place): _slot_of(row) for place, row in rows.items()}
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
    """Return the sort key of a slot: two bytes, as in version 0.1.0, and more for the slots that it did not have."""
    if number <= _TWO_BYTES:
        return number.to_bytes(2, "big")
    return _TWO_BYTES.to_bytes(2, "big") + number.to_bytes(4, "big")


def _number(place: bytes) -> int:
    return int.from_bytes(place[2:] or place, "big")


def _seconds(value: float) -> dict[str, str]:
    return {"N": repr(value)}


def _slot_of(row: Row) -> Slot:
    return Slot(until=float(row["u"]["N"]), token=row.get("o", {"S": ""})["S"])

"""Counts the items of batches, and what was done for them: exactly as soon as an item ends, cheaply until then.

The counters of a batch are in its own row, or in shards if many functions move its items at once. In a batch with
shards, a move from one open state to another is not worth a transaction: it is counted together with the next move that
is, with many others, or by `flush`. Every such count takes from one open state what it gives to another, so that the
number of open items is exact, whatever is lost with a function that dies. How they divide among the open states may
then be wrong by one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from runner.errors import BulkheadError, LedgerError
from runner.ledger.dynamodb import keys, rows
from runner.ledger.dynamodb.keys import Row, number
from runner.ledger.dynamodb.table import ConditionFailed, DynamoTable, new_token
from runner.ledger.dynamodb.transactions import CountersPlace, Move
from runner.models import COUNTERS, OPEN_STATES, Batch

logger = logging.getLogger(__name__)

MOST_LATE_MOVES = 30
"""So many moves are counted together at most, in a process that works without a break."""


class Counting:
    """The counters of the batches of one table, as one process writes them.

    Transactions that count in the same row take turns: two at the same time would only conflict.
    """

    def __init__(self, table: DynamoTable) -> None:
        self._table = table
        self._next_shard = random.randrange(1 << 16)  # noqa: S311 - only so that functions begin at different shards
        self._shards: dict[str, int] = {}
        self._left: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._late_moves = 0
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def learn(self, row: Row) -> None:
        """Note where a batch has its counters, which never changes; call it before anything else about the batch."""
        self._shards[_batch_id(row)] = rows.shards_of(row)

    def is_late(self, batch_id: str) -> bool:
        """Return whether moves from one open state to another are counted later."""
        return self._shards.get(batch_id, 0) > 0

    @asynccontextmanager
    async def turn(self, batch_id: str) -> AsyncIterator[CountersPlace]:
        """Wait for a turn at the place where the next transaction of a batch counts: its shards take turns."""
        shards = self._shards[batch_id]
        self._next_shard += 1
        place = CountersPlace(batch_id=batch_id, shard=self._next_shard % shards if shards else None)
        async with self._turns[place.name]:
            yield place

    async def write(self, move: Move) -> Row | None:
        """Write a move as `Move.write` does, and count it."""
        batch_id = move.after.batch_id
        if self.is_late(batch_id) and {move.before.state, move.after.state} <= OPEN_STATES:
            row = await move.write(self._table)
            if row is not None:
                await self._count_late(batch_id, move.counts)
            return row
        async with self.turn(batch_id) as place:
            left = self._taken(batch_id, of_items=True)
            try:
                row = await replace(move, counters=replace(place, left=left)).write(self._table)
            except BaseException:
                self._left[batch_id].update(left)
                raise
            if row is None:
                self._left[batch_id].update(left)
            return row

    async def _count_late(self, batch_id: str, counts: Mapping[str, int]) -> None:
        self._left[batch_id].update(counts)
        self._late_moves += 1
        if self._late_moves >= MOST_LATE_MOVES:
            try:
                await self.flush()
            except BulkheadError as error:
                logger.warning("counts are not written yet", extra={"error": type(error).__name__})

    async def count_up(self, batch_id: str, counters: Mapping[str, int]) -> None:
        """Add to counters of a batch, by the names of their attributes: later if the batch has shards."""
        if batch_id not in self._shards:
            row = await self._table.get(keys.batch_key(batch_id))
            if row is None:
                raise no_batch(batch_id)
            self.learn(row)
        if self.is_late(batch_id):
            self._left[batch_id].update(counters)
            return
        async with self._turns[batch_id]:
            token = new_token()
            try:
                await self._table.transact(token, [{"Update": _added(batch_id, counters, token)}])
            except ConditionFailed:
                raise no_batch(batch_id) from None

    async def flush(self) -> None:
        """Write everything that is left to be counted: one write for each batch, into its own row."""
        self._late_moves = 0
        for batch_id in list(self._left):
            left = self._taken(batch_id)
            if not left:
                continue
            token = new_token()
            try:
                await self._table.update(token, _added(batch_id, left, token))
            except ConditionFailed:
                raise no_batch(batch_id) from None
            except BaseException:
                self._left[batch_id].update(left)
                raise

    async def counted(self, batch_id: str) -> Row | None:
        """Return the row of a batch with all of its counters.

        The shards are read one after the other. If they seem to say that no item is open, they are read until none
        has changed between two reads: then the sum was true at the time between them.
        """
        row = await self._table.get(keys.batch_key(batch_id))
        if row is None:
            return None
        self.learn(row)
        if not self.is_late(batch_id):
            return row
        seen: list[Row] | None = None
        while True:
            shards = await self._shards_of(batch_id)
            total = rows.with_counts(row, [*shards, self._row_of_left(batch_id)])
            if seen == shards or _has_open(total):
                return total
            seen = shards

    async def has_open(self, batch_id: str) -> bool:
        """Return whether an item is open; if the shards that are read say so, the row of the batch is not read."""
        if self.is_late(batch_id) and _has_open(rows.with_counts({}, await self._shards_of(batch_id))):
            return True
        row = await self.counted(batch_id)
        return row is not None and _has_open(row)

    async def _shards_of(self, batch_id: str) -> list[Row]:
        return [one async for page in self._table.query(keys.counters_of(batch_id)) for one in page]

    def with_left(self, batch: Batch) -> Batch:
        """Return a batch with the counters that this process has not written yet."""
        left = self._left.get(batch.batch_id)
        if not left:
            return batch
        names = {rows.counter(name): name for name in COUNTERS}
        more = {names[name]: count for name, count in left.items() if name in names}
        return replace(batch, counters=dict(Counter(batch.counters) + Counter(more)))

    def _row_of_left(self, batch_id: str) -> Row:
        left = self._left.get(batch_id, Counter())
        return {name: number(count) for name, count in left.items() if rows.is_of_items(name)}

    def _taken(self, batch_id: str, *, of_items: bool = False) -> Counter[str]:
        """Take what is left to be counted of a batch; with `of_items`, only the numbers of items."""
        left = self._left.pop(batch_id, Counter())
        if of_items:
            self._left[batch_id] = Counter({name: n for name, n in left.items() if not rows.is_of_items(name)})
            left = Counter({name: n for name, n in left.items() if rows.is_of_items(name)})
        return Counter({name: count for name, count in left.items() if count})


def _added(batch_id: str, counters: Mapping[str, int], token: bytes) -> dict[str, Any]:
    """Return the update that adds to counters in the row of a batch, once for each token."""
    names = {f"#{n}": name for n, name in enumerate(counters)}
    values = {f":{n}": number(count) for n, count in enumerate(counters.values())}
    adds = ", ".join(f"#{n} :{n}" for n in range(len(counters)))
    return {
        "Key": keys.batch_key(batch_id),
        "UpdateExpression": f"SET w = :w ADD {adds}",
        "ConditionExpression": "attribute_exists(pk) AND w <> :w",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values | {":w": {"B": token}},
    }


def _has_open(row: Row) -> bool:
    return not OPEN_STATES.isdisjoint(rows.counts_of(row))


def _batch_id(row: Row) -> str:
    batch_id: str = row["sk"]["B"].decode()
    return batch_id


def no_batch(batch_id: str) -> LedgerError:
    return LedgerError(f"there is no batch {batch_id}")

"""A load faster than 600 creates a minute, while DynamoDB lets transactions on one row fail if they come together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import Batch, Item, ItemState
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

START = datetime(2026, 7, 23, tzinfo=UTC)
S = ItemState
WAY = (S.CREATING, S.CREATED, S.PROCESSING, S.SUCCEEDED, S.COLLECTED)
ITEMS = 240
FUNCTIONS = 8
AT_ONCE = 3
"""Items that one function works on at the same time."""

SHARDS = 8

Place = tuple[str, bytes]


class Conflicting:
    """A client whose writes are refused while a transaction of another request has one of their rows."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._busy: Counter[Place] = Counter()
        self.conflicts: Counter[str] = Counter()

    def __getattr__(self, operation: str) -> Any:
        return getattr(self._client, operation)

    async def transact_write_items(self, **arguments: Any) -> Any:
        places = [_place(action) for one in arguments["TransactItems"] for action in one.values()]
        met = [place in self._busy for place in places]
        if any(met):
            self._note(places, met)
            reasons = [{"Code": "TransactionConflict" if one else "None"} for one in met]
            error = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(error, "TransactWriteItems")  # type: ignore[arg-type]
        with self._kept(places):
            return await self._client.transact_write_items(**arguments)

    async def put_item(self, **arguments: Any) -> Any:
        return await self._alone("put_item", arguments)

    async def update_item(self, **arguments: Any) -> Any:
        return await self._alone("update_item", arguments)

    async def _alone(self, operation: str, arguments: dict[str, Any]) -> Any:
        place = _place(arguments)
        if place in self._busy:
            self._note([place], [True])
            raise ClientError({"Error": {"Code": "TransactionConflictException"}}, operation)
        return await getattr(self._client, operation)(**arguments)

    def _note(self, places: list[Place], met: list[bool]) -> None:
        self.conflicts.update(pk.partition("#")[0] for (pk, _), is_met in zip(places, met, strict=True) if is_met)

    @contextmanager
    def _kept(self, places: list[Place]) -> Iterator[None]:
        self._busy.update(places)
        try:
            yield
        finally:
            self._busy -= Counter(places)


def _place(action: dict[str, Any]) -> Place:
    row = action.get("Item") or action["Key"]
    return row["pk"]["S"], row["sk"]["B"]


@pytest.fixture
async def table(ministack: LocalAws) -> AsyncIterator[DynamoTable]:
    async with fresh_table(ministack.client_arguments) as table:
        table._client = Conflicting(table._client)
        yield table


def function(table: DynamoTable) -> DynamoLedger:
    return DynamoLedger(DynamoTable(table._client, table.name), now=lambda: START, counter_shards=SHARDS)


async def work_off(ledger: DynamoLedger, items: list[Item]) -> None:
    """Bring items to their end, as one function does that takes them from a list."""
    while items:
        item = items.pop()
        for state in WAY:
            bound: dict[str, Any] = {"import_id": f"i-{item.source}"} if state is S.CREATED else {}
            item = await ledger.advance(item, state, reason="test", **bound)
        await ledger.count_up("b", creates=1)
    await ledger.flush_counts()


@pytest.mark.slow
async def test_functions_that_meet_at_the_counters_are_faster_than_600_creates_a_minute_and_exact(
    table: DynamoTable,
) -> None:
    first = function(table)
    await first.start_batch(
        Batch(batch_id="b", source_uri="u", account="a", out="o", config="{}", started_at=START, listed=True)
    )
    items = [Item(batch_id="b", source=f"{number:04}.csv") for number in range(ITEMS)]
    await first.add(items)
    functions = [function(table) for _ in range(FUNCTIONS)]
    began = time.monotonic()
    await asyncio.gather(*(work_off(ledger, items) for ledger in functions for _ in range(AT_ONCE)))
    took_s = time.monotonic() - began

    reader = function(table)
    assert await reader.counts("b") == {S.COLLECTED: ITEMS}
    assert not await reader.has_open("b")
    batch = await reader.batch("b")
    assert batch is not None
    assert batch.counters == {"creates": ITEMS}
    assert table._client.conflicts["COUNTS"] > 0, "nobody met"
    assert ITEMS / took_s > 600 / 60

"""Two writers that have both read before either writes: the conditions of the writes let only one of them win."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.errors import ImportIdTaken, LedgerError, StaleItem, TagInUse
from runner.ledger.dynamodb.keys import Row
from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import Batch, Item, ItemState
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

START = datetime(2026, 7, 23, tzinfo=UTC)
S = ItemState


class MeetingTable(DynamoTable):
    """A table whose first transactions wait for each other: by then, every writer has read."""

    meeting: asyncio.Barrier | None = None

    async def transact(self, token: bytes, actions: Sequence[dict[str, Any]]) -> None:
        meeting, self.meeting = self.meeting, None
        if meeting is not None:
            await meeting.wait()
        await super().transact(token, actions)


class ForgetfulTable(DynamoTable):
    """A table in which a row is gone by the time that it is updated."""

    async def update(self, token: bytes, action: dict[str, Any]) -> Row:
        await self.delete({"Key": action["Key"]})
        return await super().update(token, action)


@dataclass
class Pair:
    """One ledger, and two writers at its table."""

    ledger: DynamoLedger
    writers: tuple[DynamoLedger, DynamoLedger]
    tables: tuple[MeetingTable, MeetingTable]

    async def at_once(self, *steps: Awaitable[object]) -> list[str]:
        """Let each writer take a step, both before the first write; return what each got, in the order of names."""
        meeting = asyncio.Barrier(len(steps))
        for table in self.tables:
            table.meeting = meeting
        got = await asyncio.gather(*steps, return_exceptions=True)
        return sorted(type(one).__name__ for one in got)


def now() -> datetime:
    return START


@pytest.fixture
async def pair(ministack: LocalAws) -> AsyncIterator[Pair]:
    async with fresh_table(ministack.client_arguments) as table:
        tables = (MeetingTable(table._client, table.name), MeetingTable(table._client, table.name))
        ledger = DynamoLedger(table, now=now)
        one, other = (DynamoLedger(each, now=now) for each in tables)
        await ledger.start_batch(batch("b"))
        await ledger.add([Item(batch_id="b", source=name) for name in ("1.csv", "2.csv")])
        yield Pair(ledger, (one, other), tables)


def batch(batch_id: str) -> Batch:
    return Batch(batch_id=batch_id, source_uri="u", account="a", out="o", config="{}", started_at=START)


async def moved(ledger: DynamoLedger, source: str, state: ItemState, **changes: Any) -> Item:
    item = await ledger.item("b", source)
    assert item is not None
    return await ledger.advance(item, state, reason="test", **changes)


async def test_an_item_is_moved_by_one_of_two_that_read_the_same_revision(pair: Pair) -> None:
    one, other = pair.writers
    assert await pair.at_once(
        moved(one, "1.csv", S.CREATING, attempts=1), moved(other, "1.csv", S.CREATING, attempts=7)
    ) == ["Item", StaleItem.__name__]
    assert len(await pair.ledger.history("b", "1.csv")) == 2
    assert await pair.ledger.counts("b") == {S.CREATING: 1, S.QUEUED: 1}


async def test_a_tag_that_nobody_had_is_claimed_by_one_of_two_items(pair: Pair) -> None:
    one, other = pair.writers
    assert await pair.at_once(moved(one, "1.csv", S.CREATING, tag="t"), moved(other, "2.csv", S.CREATING, tag="t")) == [
        "Item",
        TagInUse.__name__,
    ]
    assert len((await pair.ledger.by_tag(["t"]))["t"]) == 1


async def test_a_tag_that_an_ended_item_has_is_claimed_by_one_of_two_items(pair: Pair) -> None:
    await pair.ledger.add([Item(batch_id="b", source="0.csv")])
    await moved(pair.ledger, "0.csv", S.CREATING, tag="t")
    await moved(pair.ledger, "0.csv", S.FAILED, error_code="import_failed")
    one, other = pair.writers
    assert await pair.at_once(moved(one, "1.csv", S.CREATING, tag="t"), moved(other, "2.csv", S.CREATING, tag="t")) == [
        "Item",
        TagInUse.__name__,
    ]


async def test_an_import_is_bound_to_one_of_two_items(pair: Pair) -> None:
    for source in ("1.csv", "2.csv"):
        await moved(pair.ledger, source, S.CREATING)
    one, other = pair.writers
    assert await pair.at_once(
        moved(one, "1.csv", S.CREATED, import_id="i"), moved(other, "2.csv", S.CREATED, import_id="i")
    ) == [ImportIdTaken.__name__, "Item"]


async def test_items_that_two_add_are_added_once(pair: Pair) -> None:
    new = [Item(batch_id="b", source="3.csv")]
    one, other = pair.writers
    assert await pair.at_once(one.add(new), other.add(new)) == ["int", "int"]
    assert await pair.ledger.counts("b") == {S.QUEUED: 3}


async def test_a_batch_is_started_once(pair: Pair) -> None:
    one, other = pair.writers
    assert await pair.at_once(one.start_batch(batch("c")), other.start_batch(batch("c"))) == [
        LedgerError.__name__,
        "NoneType",
    ]


async def test_no_item_and_no_count_enters_a_batch_that_does_not_exist(pair: Pair) -> None:
    with pytest.raises(LedgerError):
        await pair.ledger.add([Item(batch_id="nowhere", source="1.csv")])
    with pytest.raises(LedgerError):
        await pair.ledger.count_up("nowhere", creates=1)
    with pytest.raises(LedgerError):
        await pair.ledger.update_batch("nowhere", out="x")
    assert await pair.ledger.item("nowhere", "1.csv") is None
    assert await pair.ledger.batch("nowhere") is None


async def test_a_change_of_a_batch_that_is_gone_by_then_does_not_bring_half_of_it_back(pair: Pair) -> None:
    table = ForgetfulTable(pair.tables[0]._client, pair.tables[0].name)
    with pytest.raises(LedgerError, match="there is no batch b"):
        await DynamoLedger(table, now=now).update_batch("b", listed=True)
    assert await pair.ledger.batch("b") is None


async def test_an_older_manifest_is_not_recorded_over_a_newer_one(pair: Pair) -> None:
    assert await pair.ledger.record_manifest("b", moves=5)
    assert not await pair.ledger.record_manifest("b", moves=5)
    assert not await pair.ledger.record_manifest("b", moves=4)
    assert (await pair.ledger.moves_of("b"))[1] == 5


async def test_a_lease_is_released_by_its_holder_alone(pair: Pair) -> None:
    leases = DynamoLeases(pair.tables[0], now=now)
    assert await leases.take("b", "1.csv", holder="one", for_s=60) is None
    await leases.release("b", "1.csv", holder="other")
    assert await leases.take("b", "1.csv", holder="other", for_s=60) == 60

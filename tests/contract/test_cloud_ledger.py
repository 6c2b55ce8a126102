"""What a CloudLedger adds to a Ledger, tested on each store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runner.errors import LedgerError, StaleItem
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import CloudLedger
from runner.models import Batch, BatchState, Item, ItemState
from tests.support.aws import LocalAws
from tests.support.dynamodb import fixture_of, fresh_table, keep_as_0_1_0

START = datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC)
S = ItemState


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "ministack", "sharded", pytest.param("moto", marks=pytest.mark.slow)])
async def ledger(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[CloudLedger]:
    if request.param == "memory":
        yield MemoryLedger(now=clock.now)
        return
    store = fixture_of("ministack" if request.param == "sharded" else request.param)
    async with fresh_table(request.getfixturevalue(store).client_arguments) as table:
        yield DynamoLedger(table, now=clock.now, counter_shards=3 if request.param == "sharded" else 0)


async def begun(ledger: CloudLedger, batch_id: str = "b1", **values: object) -> None:
    given: dict[str, object] = {"source_uri": "u", "account": "a", "out": "o", "config": "{}", "started_at": START}
    await ledger.start_batch(Batch(batch_id=batch_id, **{**given, **values}))  # type: ignore[arg-type]


async def test_a_batch_is_incomplete_until_its_last_review_is_done(ledger: CloudLedger) -> None:
    assert await ledger.incomplete_batches() == []
    await begun(ledger, "b1")
    await begun(ledger, "b2", state=BatchState.COMPLETE)
    await begun(ledger, "b3", config='{"a": 1}')
    assert [batch.batch_id for batch in sorted(await ledger.incomplete_batches(), key=str)] == ["b1", "b3"]
    await ledger.update_batch("b1", state=BatchState.COMPLETE)
    await ledger.update_batch("b2", state=BatchState.PAUSED)
    await ledger.update_batch("b3", state=BatchState.SETTLED)
    found = {batch.batch_id: batch for batch in await ledger.incomplete_batches()}
    assert found == {"b2": await ledger.batch("b2"), "b3": await ledger.batch("b3")}


async def test_each_transaction_that_moves_or_adds_items_is_counted(ledger: CloudLedger) -> None:
    await begun(ledger)
    assert await ledger.moves_of("b1") == (0, 0)
    await ledger.add([Item(batch_id="b1", source="a"), Item(batch_id="b1", source="b")])
    assert await ledger.moves_of("b1") == (1, 0)
    item = await ledger.advance(Item(batch_id="b1", source="a"), S.REJECTED, reason="x")
    await ledger.advance(item, S.REJECTED, reason="y")
    assert await ledger.moves_of("b1") == (3, 0)


async def test_a_batch_has_an_open_item_until_the_last_has_ended(ledger: CloudLedger) -> None:
    assert not await ledger.has_open("nowhere")
    await begun(ledger)
    assert not await ledger.has_open("b1")
    await ledger.add([Item(batch_id="b1", source="a"), Item(batch_id="b1", source="b")])
    for source in ("a", "b"):
        assert await ledger.has_open("b1")
        item = await ledger.advance(Item(batch_id="b1", source=source), S.CREATING, reason="x")
        assert await ledger.has_open("b1")
        await ledger.advance(item, S.REJECTED, reason="x")
    assert not await ledger.has_open("b1")


async def test_a_transaction_that_changes_no_item_is_not_counted(ledger: CloudLedger) -> None:
    await begun(ledger)
    await ledger.add([Item(batch_id="b1", source="a")])
    await ledger.add([Item(batch_id="b1", source="a")])
    await ledger.count_up("b1", creates=1)
    await ledger.update_batch("b1", listed=True)
    with pytest.raises(StaleItem):
        await ledger.advance(Item(batch_id="b1", source="a", revision=7), S.CREATING, reason="x")
    assert await ledger.moves_of("b1") == (1, 0)


async def test_a_manifest_is_recorded_unless_a_later_one_was(ledger: CloudLedger) -> None:
    await begun(ledger)
    assert await ledger.record_manifest("b1", moves=3)
    assert not await ledger.record_manifest("b1", moves=3)
    assert not await ledger.record_manifest("b1", moves=2)
    assert await ledger.moves_of("b1") == (0, 3)
    assert await ledger.record_manifest("b1", moves=5)
    assert await ledger.moves_of("b1") == (0, 5)


async def test_an_unknown_batch_has_no_moves_and_no_manifest(ledger: CloudLedger) -> None:
    with pytest.raises(LedgerError, match="no batch b1"):
        await ledger.moves_of("b1")
    with pytest.raises(LedgerError, match="no batch b1"):
        await ledger.record_manifest("b1", moves=1)


async def test_the_latest_valid_configuration_is_stored(ledger: CloudLedger) -> None:
    assert await ledger.good_config() is None
    await ledger.keep_config("a = 1")
    await ledger.keep_config("a = 2\n# \u00fc")
    assert await ledger.good_config() == "a = 2\n# \u00fc"


async def test_only_the_configuration_of_version_0_1_0_is_one_of_the_inbox(ledger: CloudLedger) -> None:
    assert not await ledger.config_is_from_inbox()
    await ledger.keep_config("a = 1")
    assert not await ledger.config_is_from_inbox()
    await keep_as_0_1_0(ledger, "a = 2")
    assert await ledger.config_is_from_inbox()
    assert await ledger.good_config() == "a = 2"
    await ledger.keep_config("a = 2")
    assert not await ledger.config_is_from_inbox()


async def test_the_newest_batches_are_found_without_the_others(ledger: CloudLedger) -> None:
    assert await ledger.recent_batches(5) == []
    for number in range(7):
        await begun(ledger, f"{9 - number}")
    assert [batch.batch_id for batch in await ledger.recent_batches(3)] == ["5", "4", "3"]
    assert await ledger.recent_batches(0) == []
    assert [batch.batch_id for batch in await ledger.recent_batches(100)] == list("9876543")


async def test_the_counters_of_a_batch_are_exact_for_every_reader(ledger: CloudLedger) -> None:
    await begun(ledger)
    items = [Item(batch_id="b1", source=f"{number:02}.csv") for number in range(40)]
    await ledger.add(items)
    for item in items:
        await ledger.advance(item, ItemState.REJECTED, reason="empty", error_code="empty")
    assert await ledger.counts("b1") == {ItemState.REJECTED: 40}
    moves, _ = await ledger.moves_of("b1")
    assert moves >= 41


async def test_a_batch_never_looks_settled_while_an_item_is_open(ministack: LocalAws, clock: Clock) -> None:
    """Items are opened and closed in turn, so that one is open at any time."""
    async with fresh_table(ministack.client_arguments) as table:
        ledger = DynamoLedger(table, now=clock.now, counter_shards=8)
        other = DynamoLedger(table, now=clock.now)
        await begun(ledger)
        await ledger.add([Item(batch_id="b1", source="first.csv")])
        seen: list[int] = []
        is_over = False

        async def look() -> None:
            while not is_over:
                seen.append((await other.counts("b1")).get(ItemState.QUEUED, 0))

        looking = asyncio.ensure_future(look())
        last = await ledger.item("b1", "first.csv")
        for number in range(60):
            await ledger.add([Item(batch_id="b1", source=f"{number}.csv")])
            assert last is not None
            await ledger.advance(last, ItemState.REJECTED, reason="empty", error_code="empty")
            last = await ledger.item("b1", f"{number}.csv")
        is_over = True
        await looking
        assert len(seen) > 20
        assert min(seen) >= 1

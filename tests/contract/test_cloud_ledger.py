"""What a CloudLedger adds to a Ledger, tested on each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runner.errors import LedgerError, StaleItem
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import CloudLedger
from runner.models import Batch, BatchState, Item, ItemState
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


@pytest.fixture(params=["memory", "ministack", pytest.param("moto", marks=pytest.mark.slow)])
async def ledger(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[CloudLedger]:
    if request.param == "memory":
        yield MemoryLedger(now=clock.now)
        return
    async with fresh_table(request.getfixturevalue(fixture_of(request.param)).client_arguments) as table:
        yield DynamoLedger(table, now=clock.now)


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
    item = await ledger.advance(Item(batch_id="b1", source="a"), S.CREATING, reason="x")
    await ledger.advance(item, S.CREATING, reason="y")
    assert await ledger.moves_of("b1") == (3, 0)


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

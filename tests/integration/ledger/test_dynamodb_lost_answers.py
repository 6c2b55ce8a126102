"""A write to DynamoDB that took effect but whose answer was lost is a success, and takes effect once."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from runner.errors import ImportIdTaken, LedgerUnavailable, StaleItem
from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import MAX_TRIES, DynamoTable
from runner.models import Batch, Item, ItemState
from runner.quota.dynamodb import DynamoSlots
from runner.quota.slots import Slot
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

START = datetime(2126, 7, 23, 10, 0, tzinfo=UTC)
"""In the future, so that a store does not delete a lease whose time to live is over by its own clock."""
S = ItemState
WRITES = {"transact_write_items", "update_item", "put_item", "delete_item", "batch_write_item"}


class Losing:
    """A client that loses the answers of writes on request: after the write has taken effect, or before it left.

    Where `forgets` is set AWS does not know the token of a transaction again, as after ten minutes.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.lose_answers = 0
        self.lose_requests = 0
        self.conflicts = 0
        self.pages_of_a_gateway = 0
        """How many calls, reads included, something else answers in DynamoDB's place, with a web page and 200."""
        self.forgets = False

    def __getattr__(self, operation: str) -> Any:
        real = getattr(self._client, operation)
        if operation not in WRITES and not self.pages_of_a_gateway:
            return real

        async def call(**arguments: Any) -> Any:
            if self.pages_of_a_gateway:
                self.pages_of_a_gateway -= 1
                return {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {"content-type": "text/html"}}}
            if self.lose_requests:
                self.lose_requests -= 1
                raise ConnectTimeoutError(endpoint_url="http://x")
            if self.conflicts:
                self.conflicts -= 1
                raise conflict(operation)
            if self.forgets and "ClientRequestToken" in arguments:
                arguments["ClientRequestToken"] = secrets.token_hex(8)
            answer = await real(**arguments)
            if self.lose_answers:
                self.lose_answers -= 1
                raise ReadTimeoutError(endpoint_url="http://x")
            return answer

        return call


def conflict(operation: str) -> ClientError:
    if operation != "transact_write_items":
        return ClientError({"Error": {"Code": "TransactionConflictException", "Message": "busy"}}, operation)
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict", "Message": "busy"}]
    error = {"Error": {"Code": "TransactionCanceledException", "Message": "busy"}, "CancellationReasons": reasons}
    return ClientError(error, operation)  # type: ignore[arg-type]


class Stores:
    """The stores over one losing client."""

    def __init__(self, table: DynamoTable) -> None:
        self.client = Losing(table._client)
        table._client = self.client
        self.ledger = DynamoLedger(table, now=lambda: START)
        self.slots = DynamoSlots(table)
        self.leases = DynamoLeases(table, now=lambda: START)


@pytest.fixture
async def stores(ministack: LocalAws) -> AsyncIterator[Stores]:
    async with fresh_table(ministack.client_arguments) as table:
        made = Stores(table)
        await made.ledger.start_batch(a_batch("b1"))
        await made.ledger.add([Item(batch_id="b1", source="a.csv"), Item(batch_id="b1", source="b.csv")])
        yield made


def a_batch(batch_id: str) -> Batch:
    return Batch(batch_id=batch_id, source_uri="u", account="a", out="o", config="{}", started_at=START)


async def bound(stores: Stores) -> None:
    item = await stores.ledger.advance(Item(batch_id="b1", source="a.csv"), S.CREATING, reason="intent", tag="t")
    stores.client.lose_answers = 1
    await stores.ledger.advance(item, S.CREATED, reason="bind", import_id="imp")
    assert await stores.ledger.counts("b1") == {S.QUEUED: 1, S.CREATED: 1}
    assert await stores.ledger.moves_of("b1") == (3, 0)
    assert len(await stores.ledger.history("b1", "a.csv")) == 3
    assert await stores.ledger.owners(["imp"]) == {"imp": ("b1", "a.csv")}


async def claimed(stores: Stores) -> None:
    moved = await stores.ledger.advance(Item(batch_id="b1", source="a.csv"), S.CREATING, reason="intent", tag="t")
    assert moved.revision == 1
    assert await stores.ledger.counts("b1") == {S.QUEUED: 1, S.CREATING: 1}


async def added(stores: Stores) -> None:
    items = [Item(batch_id="b1", source=name) for name in ("b.csv", "c.csv", "d.csv")]
    assert await stores.ledger.add(items) == 2
    assert await stores.ledger.counts("b1") == {S.QUEUED: 4}


async def started(stores: Stores) -> None:
    await stores.ledger.start_batch(a_batch("b2"))
    assert await stores.ledger.batch("b2") == a_batch("b2")


async def counted(stores: Stores) -> None:
    await stores.ledger.count_up("b1", creates=2)
    found = await stores.ledger.batch("b1")
    assert found is not None
    assert found.counters == {"creates": 2}


async def updated(stores: Stores) -> None:
    assert (await stores.ledger.update_batch("b1", listed=True)).listed


async def manifest_recorded(stores: Stores) -> None:
    assert await stores.ledger.record_manifest("b1", moves=1)


async def taken(stores: Stores) -> None:
    slot = Slot(until=10.5, token="x")
    assert await stores.slots.swap("k", 3, seen=Slot(), new=slot)
    assert await stores.slots.swap("k", 3, seen=slot, new=slot)


async def held(stores: Stores) -> None:
    await stores.slots.hold("k", until=7.0)
    assert (await stores.slots.first("k", count=1)).due_at == 7.0


async def leased(stores: Stores) -> None:
    assert await stores.leases.take("b1", "a.csv", holder="me", for_s=5) is None


async def released(stores: Stores) -> None:
    assert await stores.leases.take("b1", "a.csv", holder="me", for_s=5) is None
    stores.client.lose_answers = 1
    await stores.leases.release("b1", "a.csv", holder="me")
    assert await stores.leases.seen("b1", "a.csv") is None


async def replaced(stores: Stores) -> None:
    ledger = DynamoLedger(stores.ledger._table, now=lambda: START, counter_shards=2)
    lost, stores.client.lose_answers = stores.client.lose_answers, 0
    await ledger.start_batch(a_batch("b3"))
    await ledger.add([Item(batch_id="b3", source="a.csv")])
    stores.client.lose_answers = lost
    await ledger.advance(Item(batch_id="b3", source="a.csv"), S.CREATING, reason="intent")
    assert len(await ledger.history("b3", "a.csv")) == 2


async def flushed(stores: Stores) -> None:
    ledger = DynamoLedger(stores.ledger._table, now=lambda: START, counter_shards=2)
    lost, stores.client.lose_answers = stores.client.lose_answers, 0
    await ledger.start_batch(a_batch("b3"))
    await ledger.count_up("b3", creates=2)
    stores.client.lose_answers = lost
    await ledger.flush_counts()
    await ledger.flush_counts()
    found = await stores.ledger.batch("b3")
    assert found is not None
    assert found.counters == {"creates": 2}


VERBS = [
    bound,
    replaced,
    flushed,
    claimed,
    added,
    started,
    counted,
    updated,
    manifest_recorded,
    taken,
    held,
    leased,
    released,
]


@pytest.mark.parametrize("forgets", [False, True], ids=["known", "forgotten"])
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
async def test_a_lost_answer_changes_nothing(
    stores: Stores, verb: Callable[[Stores], Awaitable[None]], forgets: bool
) -> None:
    stores.client.forgets = forgets
    if verb not in (bound, released):
        stores.client.lose_answers = 1
    await verb(stores)
    assert stores.client.lose_answers == 0


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
async def test_a_request_that_never_arrived_or_conflicted_is_repeated(
    stores: Stores, verb: Callable[[Stores], Awaitable[None]]
) -> None:
    stores.client.lose_requests, stores.client.conflicts = 2, 2
    await verb(stores)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
async def test_what_answers_in_the_place_of_dynamodb_is_taken_for_no_answer(
    stores: Stores, verb: Callable[[Stores], Awaitable[None]]
) -> None:
    stores.client.pages_of_a_gateway = 2
    await verb(stores)
    assert stores.client.pages_of_a_gateway == 0


async def test_a_read_that_a_gateway_answers_does_not_show_that_a_row_is_not_there(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.ledger.dynamodb.table._FIRST_PAUSE_S", 0.0)
    stores.client.pages_of_a_gateway = 1000
    with pytest.raises(LedgerUnavailable, match="something else answers in the place of DynamoDB"):
        await stores.ledger.item("b1", "a.csv")


async def test_a_condition_that_another_write_broke_is_no_success(stores: Stores) -> None:
    item = Item(batch_id="b1", source="a.csv")
    await stores.ledger.advance(item, S.CREATING, reason="theirs")
    stores.client.lose_answers = 1
    with pytest.raises(StaleItem):
        await stores.ledger.advance(item, S.CREATING, reason="mine")
    other = await stores.ledger.advance(Item(batch_id="b1", source="b.csv"), S.CREATING, reason="x", import_id="imp")
    fresh = await stores.ledger.item("b1", "a.csv")
    assert fresh is not None
    with pytest.raises(ImportIdTaken):
        await stores.ledger.advance(fresh, S.CREATED, reason="bind", import_id=other.import_id)


async def test_calls_to_a_table_that_never_answers_end_after_some_tries(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.ledger.dynamodb.table._FIRST_PAUSE_S", 0.0)
    stores.client.lose_requests = 1000
    with pytest.raises(LedgerUnavailable, match="does not answer"):
        await stores.ledger.advance(Item(batch_id="b1", source="a.csv"), S.CREATING, reason="x")
    assert stores.client.lose_requests == 1000 - MAX_TRIES

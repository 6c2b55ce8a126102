"""Reads through an index that lags are complete, and no read asks for more than it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta

import pytest

from runner.ledger.dynamodb import keys
from runner.ledger.dynamodb import ledger as dynamodb
from runner.ledger.dynamodb.keys import Row, place_of
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable, new_token
from runner.models import Batch, Item, ItemState
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

START = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
S = ItemState


class WatchedTable(DynamoTable):
    """A table that notes the partition of each page it reads, and whose index of versions never learns of a change."""

    @classmethod
    def of(cls, table: DynamoTable) -> WatchedTable:
        watched = cls(table._client, table.name)
        watched.pages, watched.versions = [], {}
        return watched

    pages: list[str]
    versions: dict[str, list[Row]]

    async def query(
        self, pk: str, *, index: str | None = None, after: bytes | None = None, limit: int = 1000, may_lag: bool = False
    ) -> AsyncIterator[list[Row]]:
        async for page in super().query(pk, index=index, after=after, limit=limit, may_lag=may_lag):
            self.pages.append(pk)
            yield page

    async def with_value(self, index: str, attribute: str, value: str) -> list[Row]:
        return self.versions.setdefault(value, await super().with_value(index, attribute, value))


def a_batch(batch_id: str = "b1", *, started_at: datetime = START) -> Batch:
    return Batch(batch_id=batch_id, source_uri="u", account="a", out="o", config="{}", started_at=started_at)


def an_item(source: str, state: ItemState = S.QUEUED, **values: object) -> Item:
    return Item(**{"batch_id": "b1", "source": source, "state": state, **values})  # type: ignore[arg-type]


@pytest.fixture
async def table(ministack: LocalAws) -> AsyncIterator[WatchedTable]:
    async with fresh_table(ministack.client_arguments) as table:
        yield WatchedTable.of(table)


@pytest.fixture
async def ledger(table: WatchedTable) -> DynamoLedger:
    ledger = DynamoLedger(table, now=lambda: START)
    await ledger.start_batch(a_batch())
    return ledger


# an index that lags


async def test_an_item_is_not_missed_if_the_index_still_shows_another_in_its_place(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.add([an_item("left.csv"), an_item("joined.csv")])
    await ledger.advance(an_item("joined.csv"), S.CREATING, reason="intent")

    async def stale(_table: DynamoTable, _batch_id: str, _groups: Collection[str]) -> list[bytes]:
        return [place_of("left.csv")]

    monkeypatch.setattr(dynamodb, "places_of", stale)
    found = [item.source async for item in ledger.items("b1", states={S.CREATING, S.CREATED})]
    assert found == ["joined.csv"]


async def test_an_item_that_joined_while_the_others_were_read_is_not_missed(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.add([an_item(source) for source in ("a.csv", "b.csv", "c.csv")])
    await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent")
    await ledger.advance(an_item("b.csv"), S.CREATING, reason="intent")

    async def stale(_table: DynamoTable, _batch_id: str, _groups: Collection[str]) -> list[bytes]:
        await ledger.advance(an_item("c.csv"), S.CREATING, reason="intent")
        return [place_of("a.csv"), place_of("c.csv")]

    monkeypatch.setattr(dynamodb, "places_of", stale)
    found = [item.source async for item in ledger.items("b1", states={S.CREATING})]
    assert found == ["a.csv", "b.csv", "c.csv"]


async def test_an_item_that_failed_is_not_found_by_a_version_that_the_index_still_has(ledger: DynamoLedger) -> None:
    sent = an_item("a.csv", S.PROCESSING, version_key="k")
    await ledger.add([sent])
    assert await ledger.by_version(["k"]) == {"k": [sent]}
    await ledger.advance(sent, S.FAILED, reason="bad", error_code="import_failed")
    assert await ledger.by_version(["k"]) == {}


async def test_an_item_is_found_in_a_state_in_which_the_ledger_of_another_has_not_counted_it_yet(
    table: WatchedTable,
) -> None:
    mover, reader = (DynamoLedger(table, now=lambda: START, counter_shards=2) for _ in range(2))
    await mover.start_batch(a_batch())
    await mover.add([an_item("a.csv"), an_item("b.csv")])
    await mover.advance(an_item("a.csv"), S.CREATING, reason="intent")
    assert [item.source async for item in reader.items("b1", states={S.CREATING})] == ["a.csv"]


async def test_an_item_that_another_has_moved_since_it_was_read_here_is_read_again(
    ledger: DynamoLedger, table: WatchedTable
) -> None:
    await ledger.add([an_item("a.csv")])
    here = await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent")
    moved = await DynamoLedger(table, now=lambda: START).advance(here, S.CREATED, reason="created", import_id="i1")
    assert (await ledger.advance(moved, S.PROCESSING, reason="uploaded")).state is S.PROCESSING


# what is read


async def test_a_page_is_read_no_further_than_its_limit(ledger: DynamoLedger, table: WatchedTable) -> None:
    await ledger.add([an_item(f"{number}.csv") for number in range(5)])
    found = await ledger.page("b1", S.QUEUED, after=None, limit=2)
    assert [item.source for item in found] == ["0.csv", "1.csv"]
    assert table.pages == ["b1#queued"]


async def test_a_page_is_full_however_many_items_in_similar_states_come_first(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.ledger.dynamodb.queries._MIN_KEYS_PER_MIXED_PAGE", 2)
    states = [S.CREATED, S.CREATED, S.CREATED, S.CREATING, S.CREATED, S.CREATING, S.CREATING]
    await ledger.add([an_item(f"{number}.csv", state) for number, state in enumerate(states)])
    found = await ledger.page("b1", S.CREATING, after=None, limit=2)
    assert [item.source for item in found] == ["3.csv", "5.csv"]


@pytest.mark.parametrize(("few", "is_whole"), [(2, False), (1, True)])
async def test_the_whole_batch_is_read_only_for_many_items(
    ledger: DynamoLedger, table: WatchedTable, monkeypatch: pytest.MonkeyPatch, few: int, is_whole: bool
) -> None:
    monkeypatch.setattr(dynamodb, "FEW_ITEMS", few)
    await ledger.add([an_item("a.csv"), an_item("b.csv", S.SKIPPED), an_item("c.csv"), an_item("d.csv", S.SKIPPED)])
    assert [item.source async for item in ledger.items("b1", states={S.QUEUED})] == ["a.csv", "c.csv"]
    assert (keys.items_of("b1") in table.pages) == is_whole


# batches of version 0.1.0, which have no number


async def test_the_newest_batches_are_found_also_where_the_order_of_batches_lacks_the_oldest(
    ledger: DynamoLedger, table: WatchedTable
) -> None:
    await ledger.start_batch(a_batch("b2"))
    ordered = [row for page in [await table.last(keys.BATCH_ORDER, limit=9)] for row in page]
    assert [row["sk"]["B"] for row in ordered] == [bytes([0] * 7 + [number]) for number in (2, 1)]
    await table.delete({"Key": keys.key(keys.BATCH_ORDER, ordered[-1]["sk"]["B"])})
    assert [batch.batch_id for batch in await ledger.recent_batches(2)] == ["b1", "b2"]


async def test_items_of_a_file_come_in_the_order_in_which_version_0_1_0_started_their_batches(
    ledger: DynamoLedger, table: WatchedTable
) -> None:
    for batch_id, ms in (("early", 1), ("late", 2)):
        await ledger.start_batch(a_batch(batch_id, started_at=START + timedelta(milliseconds=ms)))
        token = new_token()
        changes = {"UpdateExpression": "SET w = :w REMOVE nr", "ExpressionAttributeValues": {":w": {"B": token}}}
        await table.update(token, {"Key": keys.batch_key(batch_id), **changes})
    for batch_id, hour in (("late", 1), ("early", 2)):
        intent_at = START + timedelta(hours=hour)
        item = an_item("a.csv", S.COLLECTED, batch_id=batch_id, file_key="f", intent_at=intent_at)
        await ledger.add([item])
    found = await ledger.by_file(["f"])
    assert [item.batch_id for item in found["f"]] == ["early", "late"]

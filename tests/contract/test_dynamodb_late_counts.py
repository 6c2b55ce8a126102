"""Counts of a batch with shards: exact in how many items are open and ended, whatever is lost with a process."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runner.ledger.dynamodb.counting import MOST_LATE_MOVES
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import OPEN_STATES, TERMINAL_STATES, Batch, Item, ItemState
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

START = datetime(2026, 7, 23, tzinfo=UTC)
S = ItemState
WAY = (S.CREATING, S.CREATED, S.PROCESSING, S.SUCCEEDED, S.COLLECTED)


@pytest.fixture
async def table(ministack: LocalAws) -> AsyncIterator[DynamoTable]:
    async with fresh_table(ministack.client_arguments) as table:
        yield table


def function(table: DynamoTable) -> DynamoLedger:
    """Return the ledger as one more process opens it."""
    return DynamoLedger(table, now=lambda: START, counter_shards=3)


async def begun(table: DynamoTable, count: int) -> list[Item]:
    ledger = function(table)
    batch = Batch(batch_id="b", source_uri="u", account="a", out="o", config="{}", started_at=START)
    await ledger.start_batch(batch)
    items = [Item(batch_id="b", source=f"{number:03}.csv") for number in range(count)]
    await ledger.add(items)
    return items


async def counts_of(table: DynamoTable) -> dict[ItemState, int]:
    return await function(table).counts("b")


def open_in(counts: dict[ItemState, int]) -> int:
    return sum(counts.get(state, 0) for state in OPEN_STATES)


async def moved(ledger: DynamoLedger, item: Item, *states: ItemState) -> Item:
    for state in states:
        item = await ledger.advance(item, state, reason="test")
    return item


async def test_a_process_knows_its_own_moves_and_the_others_know_them_once_they_are_flushed(table: DynamoTable) -> None:
    (item, *_) = await begun(table, 2)
    ledger = function(table)
    await moved(ledger, item, S.CREATING, S.CREATED)
    assert await ledger.counts("b") == {S.QUEUED: 1, S.CREATED: 1}
    assert open_in(await counts_of(table)) == 2
    await ledger.flush_counts()
    assert await counts_of(table) == {S.QUEUED: 1, S.CREATED: 1}
    await ledger.flush_counts()
    assert await counts_of(table) == {S.QUEUED: 1, S.CREATED: 1}


async def test_a_process_without_a_break_counts_its_moves_now_and_then(table: DynamoTable) -> None:
    items = await begun(table, MOST_LATE_MOVES + 1)
    ledger = function(table)
    for item in items:
        await moved(ledger, item, S.CREATING)
    assert await counts_of(table) == {S.QUEUED: 1, S.CREATING: MOST_LATE_MOVES}


async def test_a_move_that_ends_an_item_brings_what_was_left_of_the_others(table: DynamoTable) -> None:
    one, other = await begun(table, 2)
    ledger = function(table)
    await moved(ledger, one, S.CREATING, S.CREATED)
    await moved(ledger, other, S.REJECTED)
    assert await counts_of(table) == {S.CREATED: 1, S.REJECTED: 1}


async def test_what_is_counted_up_is_seen_at_once_by_this_process_and_later_by_others(table: DynamoTable) -> None:
    await begun(table, 1)
    ledger = function(table)
    await ledger.count_up("b", creates=1)
    await ledger.count_up("b", creates=1, bytes_uploaded=10)
    seen = await ledger.batch("b")
    assert seen is not None
    assert seen.counters == {"creates": 2, "bytes_uploaded": 10}
    await ledger.close()
    stored = await function(table).batch("b")
    assert stored is not None
    assert stored.counters == {"creates": 2, "bytes_uploaded": 10}


async def test_however_many_processes_die_the_numbers_of_open_and_of_ended_items_are_exact(table: DynamoTable) -> None:
    rng = random.Random(7)
    items = await begun(table, 30)
    at = dict.fromkeys([item.source for item in items], 0)
    now = {item.source: item for item in items}
    while any(step < len(WAY) for step in at.values()):
        dying = function(table)
        for source in rng.sample([name for name, step in at.items() if step < len(WAY)], k=1):
            for _ in range(rng.randint(1, len(WAY) - at[source])):
                now[source] = await moved(dying, now[source], WAY[at[source]])
                at[source] += 1
        counts = await counts_of(table)
        ended = sum(item.state in TERMINAL_STATES for item in now.values())
        assert open_in(counts) == len(items) - ended
        assert counts.get(S.COLLECTED, 0) == ended
        assert all(count > 0 for count in counts.values())
    assert await counts_of(table) == {S.COLLECTED: 30}


async def test_items_are_found_by_their_state_although_their_moves_are_not_counted_yet(table: DynamoTable) -> None:
    items = await begun(table, 6)
    dying = function(table)
    for item in items[:3]:
        await moved(dying, item, S.CREATING)
    found = [item.source async for item in function(table).items("b", states={S.CREATING})]
    assert found == ["000.csv", "001.csv", "002.csv"]
    assert [item.source async for item in function(table).items("b", states={S.QUEUED})] == [
        "003.csv", "004.csv", "005.csv"
    ]  # fmt: skip


async def test_a_function_that_counts_every_move_at_once_and_one_that_does_not_agree(
    table: DynamoTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = await begun(table, 8)
    new, old = function(table), function(table)
    monkeypatch.setattr(old._counting, "is_late", lambda _batch_id: False)
    for item in items:
        at = await moved(new, item, S.CREATING, S.CREATED)
        await old.advance(at, S.PROCESSING, reason="an older function moves it")
        assert open_in(await counts_of(table)) == 8
    await new.flush_counts()
    assert await counts_of(table) == {S.PROCESSING: 8}


async def test_collected_items_are_in_order_of_rank_although_no_index_has_them(table: DynamoTable) -> None:
    ledger = function(table)
    await begun(table, 0)
    ranks = random.Random(3).sample(range(20), 20)
    await ledger.add([Item(batch_id="b", source=f"{rank}.csv", rank=rank, state=S.COLLECTED) for rank in ranks])
    first = await ledger.page("b", S.COLLECTED, after=None, limit=12)
    rest = await ledger.page("b", S.COLLECTED, after=(first[-1].rank, first[-1].source), limit=12)
    assert [item.rank for item in (*first, *rest)] == list(range(20))
    assert Counter(item.state for item in (*first, *rest)) == {S.COLLECTED: 20}

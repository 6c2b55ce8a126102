"""The pace that `bulkhead status` shows: from the instants in the ledger, so also for a run in another process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runner.config.units import Rate
from runner.local.pace import Pace, pace_of
from runner.models import Batch, BatchState, BatchStatus, Item, ItemState

S = ItemState
NOW = datetime(2026, 7, 23, 17, 0, tzinfo=UTC)
BATCH = Batch(
    batch_id="b1", source_uri="file:///in", account="a", out="out", config="{}", started_at=NOW - timedelta(hours=1)
)


def ago(**duration: float) -> datetime:
    return NOW - timedelta(**duration)


def ended(number: int, at: datetime, state: ItemState = S.COLLECTED) -> Item:
    return Item(batch_id="b1", source=f"{number}.csv", state=state, intent_at=at, finished_at=at)


async def pace(items: list[Item], batch: Batch = BATCH, **by_state: int) -> Pace:
    async def listed() -> AsyncIterator[Item]:
        for item in items:
            yield item

    status = BatchStatus(batch=batch, by_state={S(name): count for name, count in by_state.items()})
    return await pace_of(status, listed(), quota=Rate(20, 60.0), now=NOW)


async def test_a_running_batch_has_a_rate_an_end_and_a_last_move() -> None:
    items = [ended(number, ago(seconds=number)) for number in range(10, 60)]
    found = await pace(items, processing=100, collected=50)
    assert found == Pace(last_move_at=ago(seconds=10), per_minute=10.0, done_at=NOW + timedelta(minutes=10))


async def test_the_quota_decides_if_it_is_slower() -> None:
    items = [ended(number, ago(seconds=number)) for number in range(10, 60)]
    assert (await pace(items, queued=400)).done_at == NOW + timedelta(minutes=40)
    assert (await pace(items, queued=400, batch=replace(BATCH, started_at=ago(seconds=60)))).per_minute == 50


async def test_what_ended_long_ago_or_in_the_future_is_no_pace() -> None:
    items = [ended(1, ago(minutes=20)), ended(2, ago(minutes=-90)), ended(3, ago(minutes=1), S.REJECTED)]
    found = await pace(items, queued=400)
    assert (found.per_minute, found.done_at) == (0, None)


async def test_an_outage_has_no_end() -> None:
    items = [ended(number, ago(seconds=number)) for number in range(10, 60)]
    batch = replace(BATCH, reason="vendor unreachable since 16:58: the API answered 503")
    assert (await pace(items, processing=100, batch=batch)).done_at is None


async def test_a_batch_that_nobody_works_on_has_only_a_last_move() -> None:
    batch = replace(BATCH, state=BatchState.PAUSED)
    assert await pace([ended(1, ago(minutes=1))], queued=5, batch=batch) == Pace(last_move_at=ago(minutes=1))


async def test_a_batch_that_has_just_begun_ends_when_the_quota_allows() -> None:
    found = await pace([Item(batch_id="b1", source="a.csv")], queued=1, batch=replace(BATCH, started_at=NOW))
    assert found == Pace(done_at=NOW + timedelta(minutes=1))

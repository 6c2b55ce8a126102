"""JSON creates whose outcome is unknown: what date, name, and owner of an import say about whose it can be."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.config.options import RunOptions
from runner.dromo.clock import VendorTime
from runner.dromo.listing import CLOCK_MARGIN
from runner.events import ignore
from runner.ledger.memory import MemoryLedger
from runner.models import Batch, ImportPage, Item, ItemKind, ItemState, RemoteImport
from runner.protocols import Clock
from runner.stages.json_imports import JsonImports
from runner.stages.lost_creates import LostCreates
from runner.stages.transitions import Transitions
from runner.stop import StopSignal
from tests.support.scripted import EPOCH, LoopClock

pytestmark = pytest.mark.virtual_time

MADE_AT = datetime(2026, 7, 1, tzinfo=UTC)
NOW = MADE_AT + timedelta(hours=2)
OPTIONS = RunOptions()
QUIET = timedelta(seconds=OPTIONS.quiet_period_s)
SECOND = timedelta(seconds=1)
DATES_DIFFER_BY = timedelta(minutes=10)


class LateClock:
    def now(self) -> datetime:
        return NOW

    def ticks(self) -> float:
        return 0.0


class ListOnly:
    """An API that only lists."""

    def __init__(self, *imports: RemoteImport) -> None:
        self._imports = imports

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        return ImportPage(count=len(self._imports), imports=self._imports, has_next=False)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected")


def made(
    schema_id: str | None, *, import_id: str = "i-1", at: datetime | None = MADE_AT, status: str = "SUCCESSFUL"
) -> RemoteImport:
    return RemoteImport(import_id=import_id, status=status, schema_id=schema_id, created_at=at)


async def answered(ledger: MemoryLedger, *, sent_at: datetime = MADE_AT, dated: datetime | None = None) -> RemoteImport:
    """Record a create that was answered, and return its import."""
    remote = made("contacts", import_id="i-0", at=dated or sent_at)
    item = await in_doubt(ledger, "b", "0.json", "contacts", at=sent_at)
    await ledger.advance(item, ItemState.PROCESSING, reason="created", import_id="i-0", created_at=remote.created_at)
    return remote


async def in_doubt(
    ledger: MemoryLedger,
    batch_id: str,
    source: str,
    schema_id: str | None,
    *,
    at: datetime = MADE_AT,
    kind: ItemKind = ItemKind.JSON,
) -> Item:
    if await ledger.batch(batch_id) is None:
        started = Batch(batch_id=batch_id, source_uri="x", account="a", out="o", config="{}", started_at=MADE_AT)
        await ledger.start_batch(started)
    item = Item(batch_id=batch_id, source=source, kind=kind, schema_id=schema_id)
    await ledger.add([item])
    return await ledger.advance(item, ItemState.CREATING, reason="intent", intent_at=at)


async def settled(
    ledger: MemoryLedger, items: list[Item], *imports: RemoteImport, waits: bool = True, clock: Clock | None = None
) -> list[Item]:
    clock = clock or LateClock()
    doubts = LostCreates(
        ledger=ledger,
        imports=JsonImports(ListOnly(*imports), ledger, saved_schemas=frozenset({"contacts"})),
        transitions=Transitions(ledger, clock=clock, emit=ignore, by_state={}),
        options=OPTIONS,
        vendor_time=VendorTime(clock),
        stop=StopSignal(),
    )
    return await doubts.settle(items, waits=waits)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(now=lambda: MADE_AT)


async def test_the_only_import_is_adopted(ledger: MemoryLedger) -> None:
    items = await settled(ledger, [await in_doubt(ledger, "b", "1.json", "contacts")], made("contacts"))
    assert [item.import_id for item in items] == ["i-1"]


async def test_an_import_that_may_be_an_item_of_another_batch_is_not_adopted(ledger: MemoryLedger) -> None:
    await in_doubt(ledger, "earlier", "1.json", "contacts")
    items = await settled(ledger, [await in_doubt(ledger, "b", "2.json", "contacts")], made("contacts"))
    assert [item.state for item in items] == [ItemState.UNCERTAIN]


async def test_an_import_of_a_saved_schema_is_not_taken_for_one_with_inline_fields(ledger: MemoryLedger) -> None:
    item = await in_doubt(ledger, "b", "1.json", None)
    items = await settled(ledger, [item], made("contacts"), await answered(ledger))
    assert [item.state for item in items] == [ItemState.QUEUED]


async def test_two_items_of_different_schemas_do_not_disturb_each_other(ledger: MemoryLedger) -> None:
    both = [await in_doubt(ledger, "b", "1.json", None), await in_doubt(ledger, "b", "2.json", "contacts")]
    items = await settled(ledger, both, made("contacts"), await answered(ledger))
    assert [item.state for item in items] == [ItemState.QUEUED, ItemState.PROCESSING]


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (MADE_AT - DATES_DIFFER_BY - SECOND, ItemState.QUEUED),
        (MADE_AT - DATES_DIFFER_BY, ItemState.UNCERTAIN),
        (MADE_AT - CLOCK_MARGIN - SECOND, ItemState.UNCERTAIN),
        (MADE_AT - CLOCK_MARGIN, ItemState.PROCESSING),
        (MADE_AT + QUIET + CLOCK_MARGIN, ItemState.PROCESSING),
        (MADE_AT + QUIET + CLOCK_MARGIN + SECOND, ItemState.UNCERTAIN),
        (MADE_AT + QUIET + DATES_DIFFER_BY, ItemState.UNCERTAIN),
        (MADE_AT + QUIET + DATES_DIFFER_BY + SECOND, ItemState.QUEUED),
        (None, ItemState.PROCESSING),
    ],
)
async def test_the_date_of_the_only_import_tells_whether_it_is_adopted_left_or_ruled_out(
    ledger: MemoryLedger, at: datetime | None, state: ItemState
) -> None:
    item = await in_doubt(ledger, "b", "1.json", "contacts")
    items = await settled(ledger, [item], made("contacts", at=at), await answered(ledger))
    assert [item.state for item in items] == [state]


@pytest.mark.parametrize("off", [timedelta(hours=-1), timedelta(hours=1)])
@pytest.mark.parametrize(
    ("at", "state"),
    [
        (-DATES_DIFFER_BY - SECOND, ItemState.QUEUED),
        (-DATES_DIFFER_BY, ItemState.UNCERTAIN),
        (timedelta(hours=1) + QUIET + DATES_DIFFER_BY, ItemState.UNCERTAIN),
        (timedelta(hours=1) + QUIET + DATES_DIFFER_BY + SECOND, ItemState.QUEUED),
    ],
)
async def test_where_the_clocks_of_vendor_and_ledger_differed_an_import_near_either_time_is_left(
    off: timedelta, at: timedelta, state: ItemState
) -> None:
    ledger = MemoryLedger(now=lambda: MADE_AT + off)
    item = await in_doubt(ledger, "b", "1.json", "contacts")
    first_at = min(MADE_AT, MADE_AT + off)
    items = await settled(ledger, [item], made("contacts", at=first_at + at), await answered(ledger))
    assert [item.state for item in items] == [state]


async def test_with_a_clock_of_another_year_not_every_import_of_the_account_is_read() -> None:
    ledger = MemoryLedger(now=lambda: MADE_AT - timedelta(days=365))
    item = await in_doubt(ledger, "b", "1.json", "contacts")
    long_ago = made("contacts", at=MADE_AT - timedelta(days=2))
    items = await settled(ledger, [item], long_ago, await answered(ledger))
    assert [item.state for item in items] == [ItemState.QUEUED]


@pytest.mark.parametrize("is_queued_between", [True, False])
async def test_only_the_latest_create_of_an_item_tells_when_its_import_was_made(*, is_queued_between: bool) -> None:
    clock = [MADE_AT - timedelta(hours=5)]
    ledger = MemoryLedger(now=lambda: clock[0])
    item = await in_doubt(ledger, "b", "1.json", "contacts", at=clock[0])
    if is_queued_between:
        item = await ledger.advance(item, ItemState.QUEUED, reason="made no import")
    clock[0] = MADE_AT
    item = await ledger.advance(item, ItemState.CREATING, reason="intent", intent_at=MADE_AT)
    earlier = made("contacts", at=MADE_AT - timedelta(hours=1))
    items = await settled(ledger, [item], earlier, await answered(ledger))
    assert [item.state for item in items] == [ItemState.QUEUED]


async def test_an_import_dated_before_its_create_is_left_where_others_are_dated_so_too(ledger: MemoryLedger) -> None:
    early = timedelta(minutes=30)
    sample = await answered(ledger, dated=MADE_AT - early)
    item = await in_doubt(ledger, "b", "1.json", "contacts")
    (item,) = await settled(ledger, [item], made("contacts", at=MADE_AT - early - DATES_DIFFER_BY), sample)
    assert (item.state, str(item.error_message).endswith("one of: i-1")) == (ItemState.UNCERTAIN, True)


async def test_an_adopted_import_counts_as_a_create_and_as_uploaded_when_it_was_made(ledger: MemoryLedger) -> None:
    (item,) = await settled(ledger, [await in_doubt(ledger, "b", "1.json", "contacts")], made("contacts", at=None))
    batch = await ledger.batch("b")
    assert batch is not None
    assert batch.counters["creates"] == 1
    assert (item.created_at, item.uploaded_at) == (MADE_AT, MADE_AT)


async def test_an_import_that_still_waits_for_a_file_is_not_adopted(ledger: MemoryLedger) -> None:
    item = await in_doubt(ledger, "b", "1.json", "contacts")
    items = await settled(ledger, [item], made("contacts", status="AWAITING_UPLOAD"))
    assert [item.state for item in items] == [ItemState.UNCERTAIN]


async def test_two_imports_that_only_one_item_can_have_made_are_both_named_and_not_adopted(
    ledger: MemoryLedger,
) -> None:
    item = await in_doubt(ledger, "b", "1.json", "contacts")
    (item,) = await settled(ledger, [item], made("contacts"), made("contacts", import_id="i-2"))
    assert (item.state, str(item.error_message).endswith("one of: i-1, i-2")) == (ItemState.UNCERTAIN, True)


async def test_ten_of_many_candidates_are_named(ledger: MemoryLedger) -> None:
    item = await in_doubt(ledger, "b", "1.json", "contacts")
    (item,) = await settled(ledger, [item], *(made("contacts", import_id=f"i-{number:02}") for number in range(12)))
    assert str(item.error_message).count("i-") == 10


async def test_the_lost_create_of_a_file_does_not_contend_for_the_import_of_a_json_document(
    ledger: MemoryLedger,
) -> None:
    await in_doubt(ledger, "b", "0.csv", "contacts", kind=ItemKind.FILE)
    items = await settled(ledger, [await in_doubt(ledger, "b", "1.json", "contacts")], made("contacts"))
    assert [item.state for item in items] == [ItemState.PROCESSING]


async def test_an_item_that_another_process_settles_first_is_returned_as_it_is_now(ledger: MemoryLedger) -> None:
    item = await in_doubt(ledger, "b", "1.json", "contacts")
    moved = await ledger.advance(item, ItemState.QUEUED, reason="the lost create made no import")
    assert await settled(ledger, [item], made("contacts")) == [moved]


@pytest.mark.parametrize(
    ("sent_before", "state"),
    [(timedelta(minutes=119), ItemState.QUEUED), (timedelta(minutes=121), ItemState.UNCERTAIN)],
)
async def test_an_answered_create_of_the_last_two_hours_shows_how_the_list_has_them(
    ledger: MemoryLedger, sent_before: timedelta, state: ItemState
) -> None:
    sample = await answered(ledger, sent_at=MADE_AT - sent_before)
    items = await settled(ledger, [await in_doubt(ledger, "b", "1.json", "contacts")], sample)
    assert [item.state for item in items] == [state]


@pytest.mark.parametrize(
    ("since", "state"), [(timedelta(0), ItemState.QUEUED), (-SECOND, ItemState.CREATING)], ids=["in time", "too early"]
)
async def test_a_create_is_repeated_once_the_list_may_be_an_hour_old_and_still_show_its_import(
    ledger: MemoryLedger, since: timedelta, state: ItemState
) -> None:
    sent_at = NOW - QUIET - timedelta(hours=1) - since
    item = await in_doubt(ledger, "b", "1.json", "contacts", at=sent_at)
    items = await settled(ledger, [item], await answered(ledger, sent_at=sent_at), waits=False)
    assert [item.state for item in items] == [state]


async def test_who_does_not_wait_gets_the_items_back_at_once(ledger: MemoryLedger) -> None:
    item = await in_doubt(ledger, "b", "1.json", "contacts", at=NOW - QUIET + SECOND)
    began_at = asyncio.get_running_loop().time()
    assert await settled(ledger, [item], made("contacts", at=NOW - QUIET), waits=False) == [item]
    assert asyncio.get_running_loop().time() == began_at


@pytest.mark.parametrize(
    ("has_sample", "has_candidate", "state"),
    [
        (False, True, ItemState.PROCESSING),
        (True, True, ItemState.PROCESSING),
        (False, False, ItemState.UNCERTAIN),
    ],
)
async def test_who_waits_gets_them_decided_when_the_quiet_period_ends_unless_one_may_be_repeated(
    ledger: MemoryLedger, has_sample: bool, has_candidate: bool, state: ItemState
) -> None:
    item = await in_doubt(ledger, "b", "1.json", "contacts", at=EPOCH)
    shown = [made("contacts", at=EPOCH)] if has_candidate else []
    shown += [await answered(ledger, sent_at=EPOCH - timedelta(hours=1))] if has_sample else []
    (item,) = await settled(ledger, [item], *shown, clock=LoopClock())
    assert item.state is state
    assert asyncio.get_running_loop().time() == pytest.approx(OPTIONS.quiet_period_s, abs=1.0)


async def test_who_waits_for_a_newer_list_asks_again_every_five_minutes(ledger: MemoryLedger) -> None:
    item = await in_doubt(ledger, "b", "1.json", "contacts", at=EPOCH)
    sample = await answered(ledger, sent_at=EPOCH - timedelta(hours=2))
    (item,) = await settled(ledger, [item], sample, clock=LoopClock())
    assert item.state is ItemState.QUEUED
    assert asyncio.get_running_loop().time() == pytest.approx(OPTIONS.quiet_period_s + 3600.0, abs=301.0)

"""Every sentence of the Ledger protocol, tested on each store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from runner.errors import IllegalTransition, ImportIdTaken, LedgerError, StaleItem, TagInUse
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Ledger
from runner.ledger.sqlite.ledger import PAGE_ITEMS, SqliteLedger
from runner.models import (
    BLOCKING_STATES,
    COUNTERS,
    FAILED_BEFORE,
    Batch,
    BatchState,
    Item,
    ItemKind,
    ItemState,
    RemoteImport,
)
from runner.row_counts import LeftOutReason, RowTotals
from tests.support.dynamodb import fixture_of, fresh_table

START = datetime(2026, 7, 23, 10, 15, 2, 123456, tzinfo=UTC)
START_MS = START.replace(microsecond=123000)
UNDECODABLE = b"caf\xe9\xff.csv".decode("utf-8", "surrogateescape")

S = ItemState
TOO_MANY_ROWS_FOR_MOTO = {
    "test_all_items_are_yielded_across_pages",
    "test_files_are_found_however_many_are_requested",
    "test_version_keys_are_found_however_many_are_requested",
    "test_owners_are_found_for_a_thousand_imports_at_once",
}


class Clock:
    """Each reading is a millisecond later."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


Opener = Callable[[], Ledger]


@pytest.fixture(
    params=[
        "memory",
        "sqlite file",
        "sqlite :memory:",
        "ministack",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("sharded", "moto")),
    ]
)
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    clock = Clock()
    if request.param == "moto" and request.node.originalname in TOO_MANY_ROWS_FOR_MOTO:
        pytest.skip("moto copies the whole table for each transaction")
    if request.param in {"ministack", "moto", "sharded"}:
        local = fixture_of("ministack" if request.param == "sharded" else request.param)
        async with fresh_table(request.getfixturevalue(local).client_arguments) as table:
            yield DynamoLedger(table, now=clock.now, counter_shards=3 if request.param == "sharded" else 0)
        return
    openers: dict[str, Opener] = {
        "memory": lambda: MemoryLedger(now=clock.now),
        "sqlite file": lambda: SqliteLedger.open(tmp_path / "ledger.db", now=clock.now),
        "sqlite :memory:": lambda: SqliteLedger.open(":memory:", now=clock.now),
    }
    store = openers[request.param]()
    yield store
    await store.close()


def a_batch(batch_id: str = "b1", **values: object) -> Batch:
    given: dict[str, object] = {
        "source_uri": "file:///inbox",
        "account": "acc",
        "out": "out",
        "config": "{}",
        "started_at": START,
    }
    return Batch(batch_id=batch_id, **{**given, **values})  # type: ignore[arg-type]


def an_item(source: str = "a.csv", *, batch_id: str = "b1", **values: object) -> Item:
    return Item(batch_id=batch_id, source=source, **values)  # type: ignore[arg-type]


async def begun(ledger: Ledger, *items: Item, batch_id: str = "b1") -> None:
    await ledger.start_batch(a_batch(batch_id))
    await ledger.add(items)


async def brought_to(ledger: Ledger, item: Item, *states: ItemState, **changes: object) -> Item:
    for state in states:
        item = await ledger.advance(item, state, reason="test", **(changes if state is states[-1] else {}))
    return item


async def sources(ledger: Ledger, batch_id: str = "b1", states: set[ItemState] | None = None) -> list[str]:
    return [item.source async for item in ledger.items(batch_id, states=states)]


# batches


async def test_a_started_batch_is_read_back_as_it_was(ledger: Ledger) -> None:
    batch = a_batch(
        source_uri=f"file:///{UNDECODABLE}",
        out="o\u00fct \N{SNOWMAN}",
        config='{"a": "\u2028"}',
        started_at=datetime(2026, 7, 23, 12, 0, tzinfo=timezone(timedelta(hours=2))),
        finished_at=START.replace(microsecond=5000),
        exit_code=4,
        reason=f"no space for {UNDECODABLE}",
        listed=True,
        state=BatchState.SETTLED,
        counters={"creates": 7},
    )
    await ledger.start_batch(batch)
    assert await ledger.batch("b1") == batch
    assert await ledger.batches() == [batch]


async def test_batches_keep_the_order_in_which_they_were_created_whatever_the_clock_says(ledger: Ledger) -> None:
    for batch_id in ("b3", "b1", "b2"):
        await ledger.start_batch(a_batch(batch_id))
    await ledger.start_batch(a_batch("b0", started_at=START - timedelta(seconds=1)))
    with pytest.raises(LedgerError):
        await ledger.start_batch(a_batch("b3"))
    await ledger.update_batch("b3", listed=True)
    assert [batch.batch_id for batch in await ledger.batches()] == ["b3", "b1", "b2", "b0"]
    found = await ledger.batches(source_uri="file:///inbox")
    assert [batch.batch_id for batch in found] == ["b3", "b1", "b2", "b0"]


async def test_items_of_an_unknown_batch_are_refused_whatever_their_imports(ledger: Ledger) -> None:
    for items in ([an_item()], [an_item(import_id="i1"), an_item("b.csv", import_id="i1")]):
        with pytest.raises(LedgerError, match="there is no batch b1"):
            await ledger.add(items)


async def test_an_unknown_batch_is_none(ledger: Ledger) -> None:
    assert await ledger.batch("nothing") is None


async def test_a_batch_id_is_used_once(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    with pytest.raises(LedgerError, match="b1 exists"):
        await ledger.start_batch(a_batch(config="other"))
    found = await ledger.batch("b1")
    assert found is not None
    assert found.config == "{}"


async def test_batches_come_in_the_order_of_their_creation_and_by_source(ledger: Ledger) -> None:
    for number, source_uri in [(3, "file:///a"), (1, "file:///b"), (2, "file:///a")]:
        await ledger.start_batch(
            a_batch(f"b{number}", source_uri=source_uri, started_at=START + timedelta(days=number))
        )
    assert [batch.batch_id for batch in await ledger.batches()] == ["b3", "b1", "b2"]
    assert [batch.batch_id for batch in await ledger.batches(source_uri="file:///a")] == ["b3", "b2"]
    assert await ledger.batches(source_uri="file:///none") == []


async def test_every_changeable_field_of_a_batch_can_be_set(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    changes = {
        "state": BatchState.PAUSED,
        "listed": True,
        "config": '{"v": 2}',
        "out": "elsewhere",
        "account": "another",
        "finished_at": START,
        "exit_code": 8,
        "reason": "too many failed",
    }
    returned = await ledger.update_batch("b1", **changes)
    assert (returned.state, returned.listed, returned.exit_code, returned.out) == (
        BatchState.PAUSED,
        True,
        8,
        "elsewhere",
    )
    assert (returned.account, returned.reason) == ("another", "too many failed")
    assert returned.finished_at == START.replace(microsecond=123000)
    assert await ledger.batch("b1") == returned
    cleared = await ledger.update_batch("b1", finished_at=None, exit_code=None, reason=None)
    assert (cleared.finished_at, cleared.exit_code, cleared.reason) == (None, None, None)
    assert (cleared.config, cleared.account) == ('{"v": 2}', "another")


@pytest.mark.parametrize("name", ["batch_id", "source_uri", "started_at", "counters", "nonsense"])
async def test_other_fields_of_a_batch_never_change(ledger: Ledger, name: str) -> None:
    await ledger.start_batch(a_batch())
    with pytest.raises(TypeError, match=name):
        await ledger.update_batch("b1", **{name: "x"})
    assert (await ledger.batches()) == [a_batch(started_at=START.replace(microsecond=123000))]


async def test_writes_to_an_unknown_batch_are_errors(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no batch"):
        await ledger.update_batch("b1", listed=True)
    with pytest.raises(LedgerError, match="no batch"):
        await ledger.count_up("b1", creates=1)
    with pytest.raises(LedgerError, match="no batch"):
        await ledger.add([an_item()])


async def test_reads_of_an_unknown_batch_find_nothing(ledger: Ledger) -> None:
    assert await ledger.item("b1", "a.csv") is None
    assert await ledger.page("b1", S.QUEUED, after=None, limit=10) == []
    assert await sources(ledger) == []
    assert await ledger.counts("b1") == {}
    assert await ledger.history("b1", "a.csv") == []


async def test_counters_add_up(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    await ledger.count_up("b1", creates=1, bytes_uploaded=1 << 40)
    await ledger.count_up("b1", creates=2)
    found = await ledger.batch("b1")
    assert found is not None
    assert found.counters == {"creates": 3, "bytes_uploaded": 1 << 40}
    await ledger.count_up("b1", **dict.fromkeys(COUNTERS, 1))
    with pytest.raises(TypeError, match="cups"):
        await ledger.count_up("b1", cups=1)


async def test_counters_survive_an_update_of_the_batch(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    await ledger.count_up("b1", throttled=2)
    assert (await ledger.update_batch("b1", listed=True)).counters == {"throttled": 2}


async def test_a_returned_batch_is_a_copy(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    found = await ledger.batch("b1")
    assert found is not None
    found.counters["creates"] = 99
    assert (await ledger.batches())[0].counters == {}


# adding


async def test_an_added_item_is_read_back_as_it_was(ledger: Ledger) -> None:
    full = an_item(
        "dir/n\u00e4me \N{SNOWMAN}.json",
        kind=ItemKind.JSON,
        rank=-5,
        size_bytes=1 << 40,
        version="12:34",
        version_key="k",
        binding="bind",
        schema_id="schema",
        state=S.NEEDS_REVIEW,
        revision=7,
        fingerprint="f",
        tag="abcdefghijklm",
        original_filename="n\u00e4me.~abcdefghijklm.json",
        status="NEEDS_REVIEW",
        attempts=3,
        import_id="imp-1",
        review_url="https://example.test/r",
        error_code="code",
        error_message=f"bad name {UNDECODABLE}",
        row_count=0,
        result="r.json",
        result_sha256="00",
        intent_at=START.replace(microsecond=1000),
        created_at=START.replace(microsecond=2000),
        uploaded_at=START.replace(microsecond=3000),
        finished_at=START.replace(microsecond=4000),
    )
    plain = an_item()
    await begun(ledger, full, plain)
    assert await ledger.item("b1", full.source) == full
    assert await ledger.item("b1", "a.csv") == plain
    assert await ledger.owners(["imp-1"]) == {"imp-1": ("b1", full.source)}


async def test_items_that_exist_do_not_change_when_added_again(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv", size_bytes=1))
    await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent")
    assert await ledger.add([an_item("a.csv", size_bytes=2), an_item("b.csv")]) == 1
    kept = await ledger.item("b1", "a.csv")
    assert kept is not None
    assert (kept.size_bytes, kept.state) == (1, S.CREATING)
    assert await ledger.counts("b1") == {S.CREATING: 1, S.QUEUED: 1}


async def test_of_equal_sources_in_one_call_the_first_is_added(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    assert await ledger.add([an_item(rank=1, state=S.SKIPPED), an_item(rank=2), an_item(rank=3, state=S.SKIPPED)]) == 1
    found = await ledger.item("b1", "a.csv")
    assert found is not None
    assert found.rank == 1


async def test_adding_nothing_is_no_error(ledger: Ledger) -> None:
    assert await ledger.add([]) == 0


async def test_items_are_added_in_the_state_they_have(ledger: Ledger) -> None:
    await begun(ledger, *(an_item(f"{state}.csv", state=state) for state in ItemState))
    assert await ledger.counts("b1") == dict.fromkeys(ItemState, 1)


async def test_items_of_two_batches_are_not_added_together(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch("b1"))
    await ledger.start_batch(a_batch("b2"))
    with pytest.raises(LedgerError, match="several batches"):
        await ledger.add([an_item(batch_id="b1"), an_item(batch_id="b2")])
    assert await ledger.counts("b1") == await ledger.counts("b2") == {}


async def test_the_same_source_in_two_batches_is_two_items(ledger: Ledger) -> None:
    await begun(ledger, an_item(batch_id="b1"), batch_id="b1")
    await begun(ledger, an_item(batch_id="b2"), batch_id="b2")
    await ledger.advance(an_item(batch_id="b2"), S.REJECTED, reason="empty")
    assert await ledger.counts("b1") == {S.QUEUED: 1}
    assert await ledger.counts("b2") == {S.REJECTED: 1}


async def test_an_add_with_a_taken_import_adds_nothing(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv", state=S.CREATED, import_id="imp"))
    with pytest.raises(ImportIdTaken):
        await ledger.add([an_item("b.csv"), an_item("c.csv", state=S.CREATED, import_id="imp")])
    assert await sources(ledger) == ["a.csv"]
    assert await ledger.counts("b1") == {S.CREATED: 1}


async def test_an_add_of_many_items_with_a_taken_import_adds_none_of_them(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv", state=S.CREATED, import_id="imp"))
    many = [an_item(f"{number:03}.csv") for number in range(150)]
    with pytest.raises(ImportIdTaken):
        await ledger.add([*many, an_item("c.csv", state=S.CREATED, import_id="imp")])
    assert await ledger.counts("b1") == {S.CREATED: 1}


async def test_two_items_of_one_add_cannot_have_the_same_import(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    with pytest.raises(ImportIdTaken, match="imp"):
        await ledger.add([an_item(name, state=S.CREATED, import_id="imp") for name in ("a.csv", "b.csv")])
    assert await ledger.counts("b1") == {}
    assert await ledger.owners(["imp"]) == {}


async def test_instants_are_kept_to_the_millisecond_in_utc(ledger: Ledger) -> None:
    await begun(ledger, an_item(intent_at=START))
    kept = await ledger.item("b1", "a.csv")
    assert kept is not None
    assert kept.intent_at == START.replace(microsecond=123000)
    moved = await ledger.advance(
        kept, S.CREATING, reason="intent", intent_at=START.astimezone(timezone(timedelta(hours=-5)))
    )
    assert moved == await ledger.item("b1", "a.csv")
    assert moved.intent_at == START.replace(microsecond=123000)
    assert moved.intent_at.tzinfo is UTC


# moving


async def test_an_advance_returns_the_item_as_it_is_now(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    moved = await ledger.advance(
        an_item(), S.CREATING, reason="intent", attempts=1, intent_at=START.replace(microsecond=0)
    )
    assert moved == an_item(state=S.CREATING, attempts=1, revision=1, intent_at=START.replace(microsecond=0))
    assert await ledger.item("b1", "a.csv") == moved


async def test_an_item_may_be_advanced_to_its_own_state(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    first = await ledger.advance(an_item(), S.QUEUED, reason="prepared", fingerprint="f", tag="abcdefghijklm")
    assert (first.state, first.revision, first.fingerprint) == (S.QUEUED, 1, "f")
    assert await ledger.counts("b1") == {S.QUEUED: 1}
    assert [entry.reason for entry in await ledger.history("b1", "a.csv")][1:] == ["prepared"]


async def test_an_advance_from_an_older_revision_is_stale(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    moved = await ledger.advance(an_item(), S.CREATING, reason="mine")
    with pytest.raises(StaleItem, match=r"a\.csv"):
        await ledger.advance(an_item(), S.CREATING, reason="theirs", attempts=9, import_id="imp")
    assert await ledger.item("b1", "a.csv") == moved
    assert len(await ledger.history("b1", "a.csv")) == 2
    assert await ledger.owners(["imp"]) == {}
    assert await ledger.counts("b1") == {S.CREATING: 1}


async def test_changes_to_the_callers_copy_are_not_written(ledger: Ledger) -> None:
    await begun(ledger, an_item(size_bytes=1))
    moved = await ledger.advance(an_item(size_bytes=2), S.CREATING, reason="x")
    assert moved == await ledger.item("b1", "a.csv") == an_item(size_bytes=1, state=S.CREATING, revision=1)
    again = await ledger.advance(replace(moved, size_bytes=3), S.CREATED, reason="y")
    assert again == await ledger.item("b1", "a.csv") == an_item(size_bytes=1, state=S.CREATED, revision=2)


async def test_of_two_moves_from_one_revision_at_the_same_time_one_is_stale(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    sent = await ledger.advance(an_item(), S.CREATING, reason="sent")
    both = (ledger.advance(sent, S.CREATED, reason="made"), ledger.advance(sent, S.UNCERTAIN, reason="unknown"))
    found = await asyncio.gather(*both, return_exceptions=True)
    (moved,) = [one for one in found if not isinstance(one, BaseException)]
    assert sorted(type(one).__name__ for one in found) == ["Item", "StaleItem"]
    assert await ledger.item("b1", "a.csv") == moved
    assert await ledger.counts("b1") == {moved.state: 1}
    assert len(await ledger.history("b1", "a.csv")) == 3


async def test_an_unknown_item_is_stale(ledger: Ledger) -> None:
    with pytest.raises(StaleItem):
        await ledger.advance(an_item(batch_id="no batch"), S.CREATING, reason="x")
    await ledger.start_batch(a_batch())
    with pytest.raises(StaleItem):
        await ledger.advance(an_item(), S.CREATING, reason="x")


async def test_a_move_the_table_forbids_changes_nothing(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    with pytest.raises(IllegalTransition):
        await ledger.advance(an_item(), S.COLLECTED, reason="x", import_id="imp")
    assert await ledger.item("b1", "a.csv") == an_item()
    assert len(await ledger.history("b1", "a.csv")) == 1


async def test_the_identity_of_an_item_never_changes(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    with pytest.raises(TypeError, match="source"):
        await ledger.advance(an_item(), S.CREATING, reason="x", source="b.csv")
    with pytest.raises(TypeError):
        await ledger.advance(an_item(), S.CREATING, reason="x", nonsense=1)
    assert await ledger.item("b1", "a.csv") == an_item()


async def test_the_history_has_every_step_in_order(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    item = await ledger.advance(an_item(), S.CREATING, reason="intent", attempts=1)
    item = await ledger.advance(item, S.CREATED, reason=f"created {UNDECODABLE}", import_id="imp-1")
    item = await ledger.advance(item, S.QUEUED, reason="url expired", import_id=None)
    await ledger.advance(item, S.CREATING, reason="intent", attempts=2)
    steps = await ledger.history("b1", "a.csv")
    assert [(step.state, step.attempts, step.import_id) for step in steps] == [
        (S.QUEUED, 0, None),
        (S.CREATING, 1, None),
        (S.CREATED, 1, "imp-1"),
        (S.QUEUED, 1, None),
        (S.CREATING, 2, None),
    ]
    assert [step.reason for step in steps] == ["listed", "intent", f"created {UNDECODABLE}", "url expired", "intent"]
    assert sorted(step.at for step in steps) == [step.at for step in steps]
    assert all(step.at.microsecond % 1000 == 0 and step.at.tzinfo is UTC for step in steps)


async def test_the_history_begins_with_the_state_the_item_was_added_in(ledger: Ledger) -> None:
    await begun(ledger, an_item(state=S.FAILED, attempts=2, import_id="imp", revision=4))
    await ledger.advance(
        an_item(state=S.FAILED, revision=4, import_id="imp"), S.QUEUED, reason="redrive", import_id=None
    )
    steps = await ledger.history("b1", "a.csv")
    assert [(step.state, step.import_id) for step in steps] == [(S.FAILED, "imp"), (S.QUEUED, None)]
    assert steps[0].attempts == 2


# binding


async def created(ledger: Ledger, source: str, import_id: str, *, batch_id: str = "b1") -> Item:
    item = await ledger.advance(an_item(source, batch_id=batch_id), S.CREATING, reason="intent")
    return await ledger.advance(item, S.CREATED, reason="bind", import_id=import_id)


async def test_an_import_belongs_to_one_item(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"), an_item("b.csv"))
    await created(ledger, "a.csv", "imp")
    with pytest.raises(ImportIdTaken, match="imp"):
        await created(ledger, "b.csv", "imp")
    other = await ledger.item("b1", "b.csv")
    assert other is not None
    assert (other.state, other.import_id) == (S.CREATING, None)
    assert await ledger.counts("b1") == {S.CREATED: 1, S.CREATING: 1}
    assert len(await ledger.history("b1", "b.csv")) == 2


async def test_an_import_belongs_to_one_batch(ledger: Ledger) -> None:
    await begun(ledger, an_item(batch_id="b1"), batch_id="b1")
    await begun(ledger, an_item(batch_id="b2"), batch_id="b2")
    await created(ledger, "a.csv", "imp", batch_id="b1")
    with pytest.raises(ImportIdTaken):
        await created(ledger, "a.csv", "imp", batch_id="b2")
    assert await ledger.owners(["imp"]) == {"imp": ("b1", "a.csv")}


async def test_a_released_import_can_never_be_bound_again(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"), an_item("b.csv"))
    item = await created(ledger, "a.csv", "imp-1")
    item = await ledger.advance(item, S.QUEUED, reason="release", import_id=None)
    with pytest.raises(ImportIdTaken):
        await created(ledger, "b.csv", "imp-1")
    item = await ledger.advance(item, S.CREATING, reason="again")
    with pytest.raises(ImportIdTaken):
        await ledger.advance(item, S.CREATED, reason="the same", import_id="imp-1")
    await ledger.advance(item, S.CREATED, reason="another", import_id="imp-2")
    assert await ledger.owners(["imp-1", "imp-2", "imp-3"]) == {"imp-1": ("b1", "a.csv"), "imp-2": ("b1", "a.csv")}


async def test_a_bound_import_may_be_set_again_on_its_item(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    item = await created(ledger, "a.csv", "imp")
    item = await ledger.advance(item, S.PROCESSING, reason="uploaded", import_id="imp")
    assert item.import_id == "imp"


async def test_a_bind_over_a_bind_releases_the_earlier_import(ledger: Ledger) -> None:
    await begun(ledger, an_item())
    item = await created(ledger, "a.csv", "imp-1")
    await ledger.advance(item, S.CREATED, reason="rebind", import_id="imp-2")
    assert await ledger.owners(["imp-1", "imp-2"]) == {"imp-1": ("b1", "a.csv"), "imp-2": ("b1", "a.csv")}


# claiming a tag


async def test_a_tag_is_claimed_by_one_item_at_a_time(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"), batch_id="b1")
    await begun(ledger, an_item("a.csv", batch_id="b2"), batch_id="b2")
    await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent", tag="t")
    with pytest.raises(TagInUse, match=r"a\.csv in batch b1"):
        await ledger.advance(an_item("a.csv", batch_id="b2"), S.CREATING, reason="intent", tag="t", attempts=9)
    assert await ledger.item("b2", "a.csv") == an_item("a.csv", batch_id="b2")
    assert await ledger.counts("b2") == {S.QUEUED: 1}
    assert len(await ledger.history("b2", "a.csv")) == 1


ENDS_OF_FAILED = [
    {"error_code": "import_failed", "status": "FAILED"},
    {"error_code": "create_refused"},
    {"error_code": "upload_refused", "status": "AWAITING_UPLOAD"},
    {"error_code": FAILED_BEFORE},
]
HELD = [
    {"state": S.UNCERTAIN},
    {"state": S.NEEDS_REVIEW},
    {"state": S.FAILED, "status": "SUCCESSFUL", "error_code": "result_invalid"},
    {"state": S.FAILED, "status": "RUNNING", "error_code": "import_missing"},
    {"state": S.FAILED, "status": "AWAITING_UPLOAD", "error_code": "upload_not_taken"},
    {"state": S.FAILED, "status": "NEEDS_REVIEW", "error_code": "review_dismissed"},
    {"state": S.FAILED, "error_code": "dismissed"},
]


@pytest.mark.parametrize("state", list(ItemState))
async def test_a_tag_is_taken_while_its_data_is_or_may_be_at_the_vendor(ledger: Ledger, state: ItemState) -> None:
    await begun(ledger, an_item("a.csv", state=state, tag="t"), an_item("b.csv"))
    claim = ledger.advance(an_item("b.csv"), S.CREATING, reason="intent", tag="t")
    if state in BLOCKING_STATES:
        with pytest.raises(TagInUse):
            await claim
    else:
        assert (await claim).tag == "t"


@pytest.mark.parametrize("fields", ENDS_OF_FAILED, ids=lambda fields: fields["error_code"])
async def test_a_tag_is_free_once_the_import_failed_or_was_refused(ledger: Ledger, fields: dict[str, Any]) -> None:
    await begun(ledger, an_item("a.csv", state=S.FAILED, tag="t", **fields), an_item("b.csv"))
    assert (await ledger.advance(an_item("b.csv"), S.CREATING, reason="intent", tag="t")).tag == "t"


@pytest.mark.parametrize("share_tag", [False, True])
@pytest.mark.parametrize("fields", HELD, ids=lambda fields: fields.get("error_code", fields["state"]))
async def test_the_tag_of_a_held_item_is_taken_even_for_those_who_share_tags(
    ledger: Ledger, fields: dict[str, Any], share_tag: bool
) -> None:
    await begun(ledger, an_item("a.csv", tag="t", **fields), an_item("b.csv"))
    with pytest.raises(TagInUse):
        await ledger.advance(an_item("b.csv"), S.CREATING, reason="intent", tag="t", share_tag=share_tag)


async def test_a_tag_may_be_shared_on_purpose(ledger: Ledger) -> None:
    await begun(ledger, *(an_item(f"{name}.csv") for name in "abc"))
    await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent", tag="t")
    await ledger.advance(an_item("b.csv"), S.CREATING, reason="intent", tag="t", share_tag=True)
    with pytest.raises(TagInUse):
        await ledger.advance(an_item("c.csv"), S.CREATING, reason="intent", tag="t")
    assert [item.source for item in (await ledger.by_tag(["t"]))["t"]] == ["a.csv", "b.csv"]


async def test_an_item_claims_its_own_tag_again(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"))
    item = await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent", tag="t")
    item = await ledger.advance(item, S.CREATING, reason="once more", tag="t")
    assert (item.tag, item.revision) == ("t", 2)


async def test_a_released_tag_is_free_for_others(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"), an_item("b.csv"))
    item = await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent", tag="t")
    item = await ledger.advance(item, S.QUEUED, reason="put back")
    other = await ledger.advance(an_item("b.csv"), S.CREATING, reason="intent", tag="t")
    with pytest.raises(TagInUse):
        await ledger.advance(item, S.CREATING, reason="intent", tag="t")
    await ledger.advance(other, S.CREATING, reason="another content", tag="u")
    assert (await ledger.advance(item, S.CREATING, reason="intent", tag="t")).state is S.CREATING
    assert [found.source for found in (await ledger.by_tag(["t"]))["t"]] == ["a.csv"]


async def test_stale_item_takes_precedence_over_other_errors(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv", state=S.CREATED, tag="t", import_id="imp"), an_item("b.csv", revision=3))
    with pytest.raises(StaleItem):
        await ledger.advance(an_item("b.csv"), S.CREATING, reason="intent", tag="t", import_id="imp")
    with pytest.raises(IllegalTransition):
        await ledger.advance(an_item("b.csv", revision=3), S.COLLECTED, reason="x", tag="t", import_id="imp")
    with pytest.raises(TagInUse):
        await ledger.advance(an_item("b.csv", revision=3), S.CREATING, reason="x", tag="t", import_id="imp")


# reading


async def test_pages_are_ordered_by_rank_then_source(ledger: Ledger) -> None:
    items = [an_item(f"{name}.csv", rank=rank) for name in "cab" for rank in (0,)]
    items += [an_item("z.csv", rank=-1), an_item("first.csv", rank=9), an_item("\u00e4.csv"), an_item("B.csv")]
    await begun(ledger, *items)
    order = ["z.csv", "B.csv", "a.csv", "b.csv", "c.csv", "\u00e4.csv", "first.csv"]
    assert [item.source for item in await ledger.page("b1", S.QUEUED, after=None, limit=100)] == order
    read: list[str] = []
    after = None
    while page := await ledger.page("b1", S.QUEUED, after=after, limit=2):
        assert len(page) <= 2
        read += [item.source for item in page]
        after = (page[-1].rank, page[-1].source)
    assert read == order


async def test_a_page_holds_one_state_only(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"), an_item("b.csv"), an_item("c.csv"))
    moved = await ledger.advance(an_item("b.csv"), S.CREATING, reason="x", rank=4)
    assert [item.source for item in await ledger.page("b1", S.QUEUED, after=None, limit=9)] == ["a.csv", "c.csv"]
    assert await ledger.page("b1", S.CREATING, after=None, limit=9) == [moved]
    assert await ledger.page("b1", S.CREATING, after=(4, "b.csv"), limit=9) == []
    assert await ledger.page("b1", S.FAILED, after=None, limit=9) == []


async def test_a_page_can_start_after_an_item_that_does_not_exist(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"), an_item("c.csv", rank=1))
    assert [i.source for i in await ledger.page("b1", S.QUEUED, after=(0, "b.csv"), limit=9)] == ["c.csv"]
    assert [i.source for i in await ledger.page("b1", S.QUEUED, after=(-9, ""), limit=1)] == ["a.csv"]


async def test_items_come_in_binary_order_of_their_names(ledger: Ledger) -> None:
    names = ["b", "a", "a/b", "a.csv", "A", "\u00e9", UNDECODABLE, "\uffff", "\U0001f600", "\u007f", "a\x00b", "~"]
    await begun(ledger, *(an_item(name) for name in names))
    assert await sources(ledger) == sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))


async def test_sources_of_any_length_keep_their_order(ledger: Ledger) -> None:
    stem = "d/" + "x" * 990
    names = [
        stem[:967],
        stem[:968],
        stem,
        stem + "y" * 8,
        *(stem + "z" * 20 + letter for letter in "cabd"),
        "e",
        stem + "~",
    ]
    names += ["\u00e9" * 3000 + "b", "\u00e9" * 3000 + "a", UNDECODABLE * 400]
    await begun(ledger, *(an_item(name) for name in names))
    in_order = sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))
    assert await sources(ledger) == in_order
    assert await sources(ledger, states={S.QUEUED}) == in_order
    moved = await ledger.advance(an_item(names[4]), S.CREATING, reason="x", import_id="imp", tag="t")
    assert await ledger.item("b1", names[4]) == moved
    assert await ledger.owners(["imp"]) == {"imp": ("b1", names[4])}
    assert await ledger.by_tag(["t"]) == {"t": [moved]}
    read: list[str] = []
    after = None
    while page := await ledger.page("b1", S.QUEUED, after=after, limit=2):
        read += [item.source for item in page]
        after = (page[-1].rank, page[-1].source)
    assert sorted(read) == sorted(set(names) - {names[4]})


async def test_all_items_are_yielded_across_pages(ledger: Ledger) -> None:
    count = 2 * PAGE_ITEMS + 1
    names = [f"{number:05}.csv" for number in range(count)]
    shuffled = random.Random(1).sample(names, count)
    await begun(ledger, *(an_item(name) for name in shuffled))
    assert await sources(ledger) == names


async def test_items_can_be_read_by_state(ledger: Ledger) -> None:
    await begun(ledger, *(an_item(f"{n}.csv", state=S.FAILED if n % 2 else S.QUEUED) for n in range(6)))
    await ledger.advance(an_item("0.csv"), S.REJECTED, reason="x")
    assert await sources(ledger, states={S.FAILED, S.REJECTED}) == ["0.csv", "1.csv", "3.csv", "5.csv"]
    assert await sources(ledger, states={S.COLLECTED}) == []
    assert await sources(ledger, states=set()) == []


@pytest.mark.parametrize("few", [0, 10_000])
@pytest.mark.parametrize("states", [None, {S.QUEUED}])
async def test_items_can_be_moved_while_they_are_read(
    ledger: Ledger, few: int, states: set[ItemState] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.ledger.sqlite.ledger.FEW_ITEMS", few)
    monkeypatch.setattr("runner.ledger.sqlite.ledger.PAGE_ITEMS", 3)
    monkeypatch.setattr("runner.ledger.dynamodb.ledger.FEW_ITEMS", few)
    monkeypatch.setattr("runner.ledger.dynamodb.queries.ITEMS_PER_PAGE", 3)
    await begun(ledger, *(an_item(f"{n}.csv", rank=-n) for n in range(8)))
    seen = []
    async for item in ledger.items("b1", states=states):
        seen.append(item.source)
        await ledger.advance(item, S.SKIPPED, reason="x", rank=len(seen))
        await ledger.add([an_item(f"-{item.source}", state=S.SKIPPED)])
    assert seen == [f"{n}.csv" for n in range(8)]
    assert await ledger.counts("b1") == {S.SKIPPED: 16}


async def test_an_item_that_left_the_state_before_it_was_reached_is_not_yielded_in_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.ledger.sqlite.ledger.PAGE_ITEMS", 1)
    monkeypatch.setattr("runner.ledger.dynamodb.queries.ITEMS_PER_PAGE", 1)
    await begun(ledger, an_item("a.csv"), an_item("b.csv"), an_item("c.csv"))
    seen = []
    async for item in ledger.items("b1", states={S.QUEUED}):
        if not seen:
            await ledger.advance(an_item("b.csv"), S.SKIPPED, reason="x")
        seen.append(item.source)
    assert seen == ["a.csv", "c.csv"]


async def test_items_are_looked_up_as_they_are_now(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    await ledger.add([an_item(f"{number:03}.csv") for number in range(250)] + [an_item(UNDECODABLE)])
    moved = await ledger.advance(an_item("001.csv"), S.REJECTED, reason="no")
    found = await ledger.look_up("b1", {*(f"{number:03}.csv" for number in range(250)), UNDECODABLE, "unknown.csv"})
    assert found["001.csv"] == moved
    assert len(found) == 251
    assert {source for source, item in found.items() if source != item.source} == set()
    assert await ledger.look_up("b1", []) == {}
    assert await ledger.look_up("unknown", ["001.csv"]) == {}


async def test_states_without_items_are_not_counted(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"), an_item("b.csv"))
    assert await ledger.counts("b1") == {S.QUEUED: 2}
    await ledger.advance(an_item("a.csv"), S.SKIPPED, reason="x")
    await ledger.advance(an_item("b.csv"), S.SKIPPED, reason="x")
    assert await ledger.counts("b1") == {S.SKIPPED: 2}


async def test_owners_of_unknown_imports_are_absent(ledger: Ledger) -> None:
    assert await ledger.owners(["imp"]) == {}
    assert await ledger.owners([]) == {}


async def test_owners_are_found_for_a_thousand_imports_at_once(ledger: Ledger) -> None:
    await begun(ledger, *(an_item(f"{n:04}", state=S.CREATED, import_id=f"imp-{n}") for n in range(1000)))
    found = await ledger.owners(f"imp-{n}" for n in range(2000))
    assert found == {f"imp-{n}": ("b1", f"{n:04}") for n in range(1000)}


async def test_items_are_found_by_tag_in_all_batches(ledger: Ledger) -> None:
    await begun(ledger, an_item("b.csv", tag="t1"), an_item("a.csv", tag="t1"), an_item("c.csv"), batch_id="b1")
    await begun(ledger, an_item("a.csv", batch_id="b2"), batch_id="b2")
    moved = await ledger.advance(an_item(batch_id="b2"), S.QUEUED, reason="prepared", tag="t1", finished_at=START)
    await ledger.add([an_item("d.csv", tag="t2")])
    found = await ledger.by_tag(["t1", "t2", "t3"])
    assert found.keys() == {"t1", "t2"}
    assert [(item.batch_id, item.source) for item in found["t1"]] == [("b1", "a.csv"), ("b1", "b.csv"), ("b2", "a.csv")]
    assert found["t1"][2] == moved
    assert await ledger.by_tag([]) == {}


async def test_sent_items_are_found_by_their_version_keys(ledger: Ledger) -> None:
    items = [an_item(f"{state}.csv", state=state, version_key=f"key-{state}") for state in ItemState]
    await begun(ledger, *items, batch_id="b1")
    asked = {f"key-{state}" for state in ItemState}
    free = {f"key-{state}" for state in (S.QUEUED, S.PACKED, S.CREATING, S.CREATED, S.FAILED, S.REJECTED, S.SKIPPED)}
    found = await ledger.by_version(iter(asked))
    assert found == {item.version_key: [item] for item in items if item.version_key not in free}
    created = await ledger.item("b1", "created.csv")
    assert created is not None
    await ledger.advance(created, S.PROCESSING, reason="uploaded")
    assert (await ledger.by_version(asked)).keys() == asked - free | {"key-created"}
    assert await ledger.by_version(["other"]) == await ledger.by_version([]) == {}


async def test_version_keys_are_found_however_many_are_requested(ledger: Ledger) -> None:
    await begun(ledger, an_item(state=S.COLLECTED, version_key="key-1200"))
    assert (await ledger.by_version(f"key-{number}" for number in range(1250))).keys() == {"key-1200"}


async def test_the_items_of_a_file_come_in_the_order_of_their_batches_then_of_their_creates(ledger: Ledger) -> None:
    for batch_id, age in (("b3", 1), ("b1", 2), ("b2", 1)):
        await ledger.start_batch(a_batch(batch_id, started_at=START - timedelta(days=age)))
    rows = [("b2", "a.csv", 5), ("b1", "a.csv", 9), ("b3", "z.csv", 1), ("b3", "a.csv", 2), ("b3", "m.csv", None)]
    for batch_id, source, minute in rows:
        intent_at = None if minute is None else START_MS + timedelta(minutes=minute)
        item = an_item(source, batch_id=batch_id, state=S.COLLECTED, file_key="f", intent_at=intent_at)
        await ledger.add([item])
    found = await ledger.by_file(["f", "other", ""])
    assert found.keys() == {"f"}
    order = [("b3", "m.csv"), ("b3", "z.csv"), ("b3", "a.csv"), ("b1", "a.csv"), ("b2", "a.csv")]
    assert [(item.batch_id, item.source) for item in found["f"]] == order
    assert await ledger.by_file([]) == {}


async def test_an_item_is_found_by_its_file_from_its_first_create_on(ledger: Ledger) -> None:
    listed = an_item("a.csv", file_key="f")
    await begun(ledger, listed, an_item("b.csv", file_key="g"))
    assert await ledger.by_file(["f", "g"]) == {}
    item = await ledger.advance(listed, S.CREATING, reason="intent", tag="t", attempts=1)
    assert await ledger.by_file(["f", "g"]) == {"f": [item]}
    item = await ledger.advance(item, S.QUEUED, reason="put back")
    assert await ledger.by_file(["f"]) == {}
    item = await brought_to(ledger, item, S.CREATING, S.CREATED, S.PROCESSING, S.FAILED, error_code="import_failed")
    assert await ledger.by_file(["f"]) == {"f": [item]}


async def test_an_item_that_a_former_version_queued_gets_its_file_with_its_create(ledger: Ledger) -> None:
    await begun(ledger, an_item("a.csv"))
    item = await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent", file_key="f", tag="t")
    assert await ledger.by_file(["f"]) == {"f": [item]}


async def test_items_that_were_not_sent_are_not_found_by_their_file(ledger: Ledger) -> None:
    unsent = [{"state": state} for state in (S.QUEUED, S.SKIPPED, S.REJECTED)]
    unsent.append({"state": S.FAILED, "error_code": FAILED_BEFORE})
    await begun(ledger, *(an_item(f"{n}", file_key="f", **fields) for n, fields in enumerate(unsent)))
    assert await ledger.by_file(["f"]) == {}


async def test_files_are_found_however_many_are_requested(ledger: Ledger) -> None:
    await begun(ledger, an_item(state=S.COLLECTED, file_key="f1200"))
    assert (await ledger.by_file(f"f{number}" for number in range(1250))).keys() == {"f1200"}


async def test_skipped_items_whose_earlier_item_was_not_collected_are_held_back(ledger: Ledger) -> None:
    pointers = {state: {"earlier_batch_id": "b0", "earlier_state": state} for state in ItemState}
    skipped = [an_item(state, state=S.SKIPPED, **fields) for state, fields in pointers.items()]
    queued = an_item("z-later.csv")
    await begun(ledger, an_item("plain.csv", state=S.SKIPPED), *skipped, queued)
    earlier = an_item(batch_id="b0", import_id="imp", state=S.UNCERTAIN).as_earlier()
    moved = await ledger.advance(queued, S.SKIPPED, reason="held", **earlier)
    assert (moved.earlier_batch_id, moved.earlier_import_id, moved.earlier_state) == ("b0", "imp", S.UNCERTAIN)
    expected = sorted((item for item in skipped if item.source != S.COLLECTED), key=lambda item: item.source)
    assert await ledger.held_back("b1") == [*expected, moved]
    assert await ledger.held_back("none") == []


async def test_the_reconciled_instant_is_stored_by_endpoint(ledger: Ledger) -> None:
    assert await ledger.reconciled_to("e1") is None
    await ledger.set_reconciled("e1", START_MS)
    await ledger.set_reconciled("e1", START_MS + timedelta(hours=1))
    assert await ledger.reconciled_to("e1") == START_MS + timedelta(hours=1)
    assert await ledger.reconciled_to("e2") is None


def an_orphan(import_id: str, tag: str, **fields: Any) -> RemoteImport:
    return RemoteImport(import_id=import_id, status="PENDING", original_filename=f"a.~{tag}.csv", **fields)


async def test_orphans_are_found_by_their_tag_with_or_without_an_owner(ledger: Ledger) -> None:
    first, second = "a" * 13, "b" * 13
    full = an_orphan("imp-1", first, schema_id="s", created_at=START_MS)
    await ledger.keep_orphans([full, an_orphan("imp-2", first), an_orphan("imp-3", second)])
    await begun(ledger, an_item(state=S.CREATED, import_id="imp-1"))
    found = {orphan.import_id: orphan for orphan in await ledger.orphans(first)}
    assert found == {"imp-1": full, "imp-2": an_orphan("imp-2", first)}
    assert [orphan.import_id for orphan in await ledger.orphans(second)] == ["imp-3"]
    assert await ledger.orphans("c" * 13) == []


async def test_orphans_that_are_packs_are_found_by_how_their_names_begin(ledger: Ledger) -> None:
    pack = RemoteImport(
        import_id="imp-1", status="PENDING", original_filename=f"pack-of-2-files.~{'a' * 13}.~bbbbbb.csv"
    )
    await ledger.keep_orphans([pack, an_orphan("imp-2", "a" * 13)])
    assert await ledger.orphans_named("pack-of-") == [pack]
    assert await ledger.orphans_named("pack-of-3") == []
    assert {orphan.import_id for orphan in await ledger.orphans("a" * 13)} == {"imp-1", "imp-2"}
    ended = replace(pack, status="SUCCESSFUL")
    await ledger.keep_orphans([ended])
    assert await ledger.orphans_named("pack-of-") == [ended]


async def test_an_orphan_that_is_seen_again_is_replaced_and_never_keeps_a_url(ledger: Ledger) -> None:
    tag = "a" * 13
    await ledger.keep_orphans([an_orphan("imp-1", tag)])
    await ledger.keep_orphans([replace(an_orphan("imp-1", tag), status="SUCCESSFUL", upload_url="https://secret")])
    assert await ledger.orphans(tag) == [replace(an_orphan("imp-1", tag), status="SUCCESSFUL")]
    await ledger.keep_orphans([])


async def test_names_with_undecodable_bytes_work_like_others(ledger: Ledger) -> None:
    await begun(ledger, an_item(UNDECODABLE, version=UNDECODABLE), an_item("z.csv"))
    item = await ledger.item("b1", UNDECODABLE)
    assert item == an_item(UNDECODABLE, version=UNDECODABLE)
    moved = await ledger.advance(item, S.CREATING, reason="x", import_id="imp", tag="t", error_message=UNDECODABLE)
    assert await ledger.page("b1", S.CREATING, after=None, limit=1) == [moved]
    assert [i.source for i in await ledger.page("b1", S.QUEUED, after=(0, UNDECODABLE), limit=9)] == ["z.csv"]
    assert await ledger.owners(["imp"]) == {"imp": ("b1", UNDECODABLE)}
    assert await ledger.by_tag(["t"]) == {"t": [moved]}
    assert len(await ledger.history("b1", UNDECODABLE)) == 2
    assert await ledger.add([an_item(UNDECODABLE)]) == 0


# long texts


LONG = "\N{SNOWMAN}" * 500_000


async def test_texts_of_any_length_are_cut_so_that_the_item_can_end(ledger: Ledger) -> None:
    item = an_item(error_message=LONG, state=S.PROCESSING)
    await begun(ledger, item)
    for state in (S.NEEDS_REVIEW, S.FAILED):
        item = await ledger.advance(item, state, reason=LONG, error_code="x", error_message=LONG, status=LONG)
        assert await ledger.item("b1", "a.csv") == item
    assert item.error_message is not None
    assert item.error_message.endswith("…")
    stored = len(repr(item).encode()) + sum(len(step.reason.encode()) for step in await ledger.history("b1", "a.csv"))
    assert stored < 40_000


async def test_a_reason_of_any_length_is_cut_so_that_the_batch_can_end(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    await ledger.update_batch("b1", state=BatchState.SETTLED, reason=LONG)
    batch = await ledger.batch("b1")
    assert batch is not None
    assert batch.reason is not None
    assert 400 < len(batch.reason) <= 2000


# rows


def collected(source: str, *, rows_in: int | None, row_count: int, reasons: tuple[LeftOutReason, ...] = ()) -> Item:
    return Item(
        batch_id="b1", source=source, state=S.COLLECTED, rows_in=rows_in, row_count=row_count, left_out_reasons=reasons
    )


async def test_row_totals_change_with_the_state_of_their_items_and_count_no_item_twice(ledger: Ledger) -> None:
    await ledger.start_batch(a_batch())
    why = (LeftOutReason("email", "mail", 3), LeftOutReason("hooks", None, 1))
    await ledger.add(
        [Item(batch_id="b1", source="a.csv", state=S.SUCCEEDED), collected("b.csv", rows_in=9, row_count=9)]
    )
    succeeded = await ledger.item("b1", "a.csv")
    assert succeeded is not None
    changes: Any = {"rows_in": 10, "row_count": 6, "left_out_reasons": why}
    moved = await ledger.advance(succeeded, S.COLLECTED, reason="saved", **changes)
    assert await ledger.item("b1", "a.csv") == moved
    assert (moved.rows_left_out, moved.left_out_reasons) == (4, why)
    both = RowTotals(file_count=2, known_count=2, row_count=15, rows_in=19, rows_left_out=4, lossy_count=1)
    assert await ledger.row_totals("b1") == both
    with pytest.raises(StaleItem):
        await ledger.advance(succeeded, S.COLLECTED, reason="saved again", **changes)
    assert await ledger.row_totals("b1") == both
    again = await ledger.advance(moved, S.SUCCEEDED, reason="its result is gone")
    assert await ledger.row_totals("b1") == RowTotals(file_count=1, known_count=1, row_count=9, rows_in=9)
    await ledger.advance(again, S.COLLECTED, reason="saved", row_count=0, rows_in=None, left_out_reasons=None)
    expected = RowTotals(file_count=2, known_count=1, row_count=9, rows_in=9, empty_count=1)
    assert await ledger.row_totals("b1") == expected
    assert expected.unknown_count == 1


async def test_row_totals_of_an_unknown_batch_are_none(ledger: Ledger) -> None:
    assert await ledger.row_totals("b1") == RowTotals()

"""A run on a ledger that others move too: it goes on from where they brought an item, and trusts no page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner import identity
from runner.config.options import RunOptions
from runner.config.settings import Settings
from runner.errors import ConfigError, LedgerUnavailable, SchemaNotFound, StaleItem
from runner.local.pipeline import Scope
from runner.local.resources import Resources
from runner.models import CreateRequest, Item, ItemState
from runner.packing.body import PackName, pack_tag
from runner.stages.context import RunContext
from runner.stages.track import Tracker
from runner.stages.transitions import Transitions
from runner.stop import StopReason
from tests.support.bench import Bench
from tests.support.lagging import LaggingLedger
from tests.support.scripted import LoopClock

pytestmark = pytest.mark.virtual_time

S = ItemState
TABLES = {name: b"Name\n%s\n" % name.encode() for name in ("1.csv", "2.csv", "3.csv")}
FILES = {"a.csv": b"x\n1\n"}
ENDS = {"SUCCESSFUL": S.SUCCEEDED, "NEEDS_REVIEW": S.NEEDS_REVIEW, "FAILED": S.FAILED}


class SharedBench(Bench):
    """A bench whose ledger others move too."""

    def context(self) -> RunContext:
        return replace(super().context(), shared=True)

    async def stack_moves(self, source: str, status: str) -> Item:
        """Do what the functions do once the vendor rang."""
        item = await self.item(source)
        self.vendor.change(item.import_id or "", status=status)
        return await self.ledger.advance(item, ENDS[status], reason="webhook", status=status)

    async def processing(self, source: str = "a.csv") -> str:
        remote = self.vendor.add(CreateRequest(schema_id="s1", original_filename=source), status="RUNNING")
        await self.leave(
            source, S.PROCESSING, import_id=remote.import_id, status="RUNNING", created_at=remote.created_at
        )
        return remote.import_id


def by_ledger(**options: Any) -> RunOptions:
    return RunOptions(track_by="ledger", **options)


@pytest.mark.parametrize(
    ("status", "state"), [("SUCCESSFUL", S.COLLECTED), ("NEEDS_REVIEW", S.NEEDS_REVIEW), ("FAILED", S.FAILED)]
)
async def test_what_a_webhook_moved_is_taken_from_the_ledger_without_a_list(status: str, state: ItemState) -> None:
    bench = SharedBench(FILES, options=by_ledger())
    await bench.processing()
    run = asyncio.ensure_future(bench.run())
    await asyncio.sleep(100)
    lists = bench.vendor.calls.count("list")
    await bench.stack_moves("a.csv", status)
    result = await run
    assert result.by_state == {state: 1}
    assert result.ended.get(state) == 1
    assert bench.vendor.calls.count("list") == lists
    assert bench.clock.ticks() < 140


async def test_a_lost_webhook_is_found_by_the_safety_list() -> None:
    bench = SharedBench(FILES, options=by_ledger(safety_list_s=300))
    import_id = await bench.processing()
    bench.vendor.change(import_id, status="SUCCESSFUL")
    result = await bench.run()
    assert result.by_state == {S.COLLECTED: 1}
    assert 300 <= bench.clock.ticks() < 340


async def test_if_the_safety_list_finds_what_webhooks_missed_the_vendor_is_listed_from_then_on() -> None:
    files = {"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"}
    bench = SharedBench(files, options=by_ledger(safety_list_s=300))
    first, second = [await bench.processing(source) for source in files]
    bench.vendor.change(first, status="SUCCESSFUL")
    run = asyncio.ensure_future(bench.run())
    await asyncio.sleep(400)
    bench.vendor.change(second, status="SUCCESSFUL")
    await run
    assert await bench.states() == {"a.csv": "collected", "b.csv": "collected"}
    assert bench.clock.ticks() < 440


async def test_a_vendor_that_is_not_yet_known_to_call_is_listed_until_it_does() -> None:
    files = {"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"}
    bench = SharedBench(files)
    for source in files:
        await bench.processing(source)
    run = asyncio.ensure_future(bench.run())
    await asyncio.sleep(200)
    assert bench.vendor.calls.count("list") > 5
    await bench.stack_moves("a.csv", "SUCCESSFUL")
    await asyncio.sleep(100)
    lists = bench.vendor.calls.count("list")
    await asyncio.sleep(150)
    assert bench.vendor.calls.count("list") == lists
    await bench.stack_moves("b.csv", "SUCCESSFUL")
    await run
    assert await bench.states() == {"a.csv": "collected", "b.csv": "collected"}


async def test_a_review_that_a_person_finishes_during_the_run_is_collected_by_it() -> None:
    files = {"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"}
    bench = SharedBench(files, options=by_ledger())
    for source in files:
        await bench.processing(source)
    run = asyncio.ensure_future(bench.run())
    await asyncio.sleep(10)
    await bench.stack_moves("a.csv", "NEEDS_REVIEW")
    await asyncio.sleep(60)
    await bench.stack_moves("a.csv", "SUCCESSFUL")
    await asyncio.sleep(60)
    await bench.stack_moves("b.csv", "SUCCESSFUL")
    result = await run
    assert result.by_state == {S.COLLECTED: 2}


async def test_a_run_that_watches_reviews_sees_in_the_ledger_that_one_is_finished() -> None:
    bench = SharedBench(FILES, options=by_ledger())
    import_id = await bench.processing()
    bench.vendor.change(import_id, status="NEEDS_REVIEW")
    await bench.run(scope=Scope.TRACK_ONCE)
    run = asyncio.ensure_future(bench.run(scope=Scope.TRACK_WATCH))
    await asyncio.sleep(1000)
    await bench.stack_moves("a.csv", "SUCCESSFUL")
    result = await run
    assert result.by_state == {S.COLLECTED: 1}


@pytest.mark.parametrize("status", ["SUCCESSFUL", "NEEDS_REVIEW", "FAILED"])
async def test_a_webhook_may_come_before_the_upload_is_recorded(status: str) -> None:
    bench = SharedBench(FILES, options=by_ledger())
    put = bench.vendor.put

    async def told_at_once(*args: Any, **options: Any) -> bool:
        stored = await put(*args, **options)
        await bench.stack_moves("a.csv", status)
        return stored

    bench.vendor.put = told_at_once  # type: ignore[method-assign]
    result = await bench.run()
    state = S.COLLECTED if status == "SUCCESSFUL" else ENDS[status]
    assert result.by_state == {state: 1}
    assert result.ended[state] == 1
    assert result.deferred == 0
    assert list(bench.vendor.received.values()) == [[FILES["a.csv"]]]


async def test_an_item_that_others_keep_moving_is_left_to_a_later_run() -> None:
    bench = SharedBench(FILES)
    advance = bench.ledger.advance

    async def overtaken(item: Item, state: ItemState, *, reason: str, **changes: Any) -> Item:
        await advance(item, item.state, reason="another process")
        raise StaleItem(f"{item.source} was moved by another process")

    bench.ledger.advance = overtaken  # type: ignore[method-assign]
    result = await bench.run()
    assert (result.deferred, result.by_state) == (1, {S.QUEUED: 1})
    assert bench.vendor.created == []


@pytest.mark.parametrize("track_by", ["list", "ledger", None])
def test_a_table_is_shared_however_it_is_tracked(track_by: str | None) -> None:
    assert Resources(Settings(ledger="dynamodb://bulkhead", track_by=track_by)).ledger_is_shared  # type: ignore[arg-type]


def test_a_file_is_moved_by_no_webhook() -> None:
    assert not Resources(Settings(ledger=Path("ledger.db"))).ledger_is_shared
    with pytest.raises(ConfigError, match="webhooks"):
        _ = Resources(Settings(ledger=Path("ledger.db"), track_by="ledger")).ledger_is_shared


async def test_a_stale_move_says_what_the_item_is_now_and_counts_it() -> None:
    bench = Bench(FILES)
    known = await bench.leave("a.csv", S.PROCESSING)
    transitions = Transitions(bench.ledger, clock=bench.clock, emit=bench.events.append, by_state={S.PROCESSING: 1})
    current = await bench.ledger.advance(known, S.FAILED, reason="webhook")
    with pytest.raises(StaleItem) as caught:
        await transitions.advance(known, S.SUCCEEDED, reason="list")
    assert caught.value.current == current
    assert (transitions.by_state[S.PROCESSING], transitions.by_state[S.FAILED], transitions.ended[S.FAILED]) == (
        0,
        1,
        1,
    )


async def test_a_ledger_that_does_not_answer_stops_the_run_in_order() -> None:
    bench = SharedBench({f"{number}.csv": b"x\n%d\n" % number for number in range(30)})
    page, calls = bench.ledger.page, 0

    async def gone(*args: Any, **options: Any) -> list[Item]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise LedgerUnavailable("no answer")
        return await page(*args, **options)

    bench.ledger.page = gone  # type: ignore[method-assign]
    result = await bench.run()
    assert bench.stop.reason is StopReason.TROUBLE
    assert result.by_state.get(S.CREATING, 0) == 0


async def test_an_end_is_recorded_although_another_process_noted_another_status() -> None:
    bench = SharedBench(FILES)
    import_id = await bench.processing()
    known = await bench.item("a.csv")
    await bench.ledger.advance(known, S.PROCESSING, reason="another process", status="VALIDATING")
    bench.vendor.change(import_id, status="SUCCESSFUL")
    moved: list[Item] = []

    async def note(item: Item) -> None:
        moved.append(item)

    transitions = Transitions(bench.ledger, clock=bench.clock, emit=bench.events.append, by_state={})
    tracker = Tracker(api=bench.vendor, transitions=transitions, on_move=note)
    await tracker.check(known)
    assert [item.state for item in moved] == [S.SUCCEEDED]


async def test_a_lost_create_is_not_settled_by_a_page_that_lacks_one_of_another_batch() -> None:
    bench = SharedBench({"a.json": b'[{"x":1}]'})
    lagging(bench, lambda: 1e9)
    item = await bench.leave("a.json", S.CREATING, schema_id="s1")
    other = replace(await bench.batch(), batch_id="b2")
    await bench.ledger.start_batch(other)
    rival = replace(item, batch_id="b2", source="b.json", revision=0)
    await bench.ledger.add([rival])
    bench.vendor.add(CreateRequest(schema_id="s1", initial_data=b'[{"x":2}]'), status="SUCCESSFUL")
    await bench.run()
    assert (await bench.item("a.json")).state is S.UNCERTAIN


async def _slots_of_an_overtaken(bench: SharedBench, *, at: ItemState) -> int:
    """Let another process move an item just before it is moved to `at`; return how many creates may then be sent."""
    advance, files = bench.ledger.advance, list(bench.files)

    async def overtaken(item: Item, state: ItemState, *, reason: str, **changes: Any) -> Item:
        if state is at and item.source in files:
            files.remove(item.source)
            await advance(item, item.state, reason="another process")
        return await advance(item, state, reason=reason, **changes)

    bench.ledger.advance = overtaken  # type: ignore[method-assign]
    context = bench.context()
    await bench.run()
    return await context.pacer.free_slots()


async def test_an_item_that_is_overtaken_before_its_create_gives_its_permit_back() -> None:
    bench = SharedBench(FILES)
    assert await _slots_of_an_overtaken(bench, at=S.CREATING) == 19
    assert len(bench.vendor.created) == 1


async def test_a_create_whose_item_was_overtaken_counts_as_answered() -> None:
    bench = SharedBench(FILES)
    await _slots_of_an_overtaken(bench, at=S.CREATED)
    await asyncio.sleep(61)
    assert await bench.context().pacer.free_slots() == 20


def lagging(bench: Bench, lag_s: Callable[[], float]) -> None:
    bench.ledger = LaggingLedger(now=LoopClock().now, lag_s=lag_s)


@pytest.mark.parametrize("lag_s", [0.5, 5.0, 40.0])
async def test_items_that_a_page_does_not_show_yet_are_waited_for(lag_s: float) -> None:
    bench = SharedBench({f"{number}.csv": b"x\n%d\n" % number for number in range(30)})
    lagging(bench, lambda: lag_s)
    result = await bench.run()
    assert result.by_state == {S.COLLECTED: 30}
    assert len(bench.source.prepared) == 30


async def test_a_page_that_never_shows_an_item_does_not_hold_the_run_forever() -> None:
    bench = SharedBench(FILES)
    lagging(bench, lambda: 1e9)
    result = await bench.run()
    assert result.by_state == {S.QUEUED: 1}
    assert bench.clock.ticks() < 600


async def test_items_that_are_held_back_are_not_waited_for() -> None:
    bench = SharedBench(FILES)
    bench.vendor.create_script.append(SchemaNotFound("Not found.", schema_id="s1"))
    result = await bench.run()
    assert result.by_state == {S.QUEUED: 1}
    assert result.held_schemas == ["schema 's1' (route all) does not exist; this account has: no saved schemas"]
    assert bench.clock.ticks() < 10


def lost_pack(bench: Bench, *sources: str, status: str = "SUCCESSFUL", source_uri: str = "") -> CreateRequest:
    """Let a ledger that is lost have sent a pack of some files; return what was asked for."""
    tags = sorted(bench.tag(source) for source in sources)
    tag = pack_tag(tags, binding=bench.routes.routes[0].binding, endpoint="e")
    name = PackName(len(sources), tag, identity.short(source_uri or bench.source.uri))
    request = CreateRequest(schema_id="s1", original_filename=str(name))
    bench.vendor.add(request, status=status)
    bench.vendor.result = json.dumps([{"name": "x", "$unmapped": {"0": f"{one}.1"}} for one in tags]).encode()
    return request


@pytest.mark.parametrize("source_uri", ["", "list+file:///list?file:///"], ids=["same source", "another"])
@pytest.mark.parametrize("sources", [("1.csv", "2.csv"), ("1.csv", "2.csv", "3.csv")], ids=["some files", "all files"])
async def test_files_that_came_with_a_pack_are_not_sent_by_a_run_that_cannot_have_packs(
    sources: tuple[str, ...], source_uri: str
) -> None:
    bench = SharedBench(TABLES)
    request = lost_pack(bench, *sources, source_uri=source_uri)
    for _ in range(2):
        await bench.run()
        assert bench.stop.reason is StopReason.FOREIGN_IMPORTS
        assert "only a ledger in a file can take it up" in bench.stop.detail
        assert "bulkhead ledger copy" in (bench.stop.hint or "")
        assert bench.vendor.created == [request]


async def test_a_pack_at_work_stops_a_run_that_cannot_have_packs() -> None:
    bench = SharedBench(TABLES)
    lost_pack(bench, "1.csv", "2.csv", status="RUNNING")
    await bench.run()
    assert bench.stop.reason is StopReason.FOREIGN_IMPORTS


async def test_a_person_who_wants_everything_again_gets_files_that_came_with_a_pack_again() -> None:
    bench = SharedBench(TABLES, options=RunOptions(again=True))
    lost_pack(bench, "1.csv", "2.csv")
    assert (await bench.run()).by_state == {S.COLLECTED: len(TABLES)}


async def test_a_pack_that_has_no_queued_file_changes_nothing() -> None:
    bench = SharedBench(TABLES)
    lost_pack(bench, "1.csv", "2.csv")
    bench.source.files = {"1.csv": b"Name\nother\n", "3.csv": TABLES["3.csv"]}
    assert (await bench.run()).by_state == {S.COLLECTED: 2}

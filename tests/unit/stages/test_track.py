"""Tracking by list: what each status does to an item, and what never does anything."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from runner.errors import ImportNotFound, RequestInvalid, Unavailable
from runner.events import Notice, ignore
from runner.ledger.memory import MemoryLedger
from runner.local.pipeline import Scope
from runner.models import CreateRequest, ImportPage, Item, ItemState, RemoteImport
from runner.protocols import Body
from runner.stages.absence import ANSWERS, OVER
from runner.stages.track import Tracker
from runner.stages.transitions import Transitions
from runner.stages.untaken import NOT_TAKEN
from tests.support.bench import BATCH_ID, Bench
from tests.support.listed import AT, Lists, StillClock, batch, made

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}


async def _processing(bench: Bench, source: str = "a.csv") -> str:
    """Leave an item whose import is under way; returns the import's id."""
    remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=source), status="RUNNING")
    await bench.leave(
        source, ItemState.PROCESSING, import_id=remote.import_id, status="RUNNING", created_at=remote.created_at
    )
    return remote.import_id


async def test_a_failed_import_fails_its_item_with_the_vendors_first_message() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    errors = ({"type": "FATAL", "message": "The file is damaged."}, {"type": "FATAL", "message": "Really."})
    bench.vendor.change(import_id, status="FAILED", import_errors=errors)
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.error_code, item.error_message) == (
        ItemState.FAILED, "import_failed", "The file is damaged. (and 1 more)",
    )  # fmt: skip


async def test_a_review_is_a_normal_end_and_its_url_is_kept() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    bench.vendor.change(import_id, status="NEEDS_REVIEW", review_url="https://review.test/1")
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.review_url) == (ItemState.NEEDS_REVIEW, "https://review.test/1")


async def test_tracking_once_collects_a_review_that_a_person_has_finished() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    bench.vendor.change(import_id, status="NEEDS_REVIEW")
    await bench.run()
    await bench.run(scope=Scope.TRACK_ONCE)
    assert await bench.states() == {"a.csv": "needs_review"}
    bench.vendor.change(import_id, status="SUCCESSFUL")
    await bench.run(scope=Scope.TRACK_ONCE)
    item = await bench.item("a.csv")
    assert (item.state, item.review_url, item.error_code) == (ItemState.COLLECTED, None, None)


async def test_watching_stays_until_the_last_review_is_finished() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    bench.vendor.change(import_id, status="NEEDS_REVIEW")
    await bench.run()
    list_page = bench.vendor.list_page

    async def finish_after_an_hour(*, limit: int, offset: int) -> object:
        if bench.clock.ticks() > 3600:
            bench.vendor.change(import_id, status="SUCCESSFUL")
        return await list_page(limit=limit, offset=offset)

    bench.vendor.list_page = finish_after_an_hour  # type: ignore[method-assign, assignment]
    await bench.run(scope=Scope.TRACK_WATCH)
    assert await bench.states() == {"a.csv": "collected"}


async def test_an_unknown_status_keeps_the_item_open_and_is_shown() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    bench.vendor.change(import_id, status="POLISHING")
    seen: list[str | None] = []
    list_page = bench.vendor.list_page

    async def then_succeed(*, limit: int, offset: int) -> object:
        seen.append((await bench.item("a.csv")).status)
        if len(seen) == 3:
            bench.vendor.change(import_id, status="SUCCESSFUL")
        return await list_page(limit=limit, offset=offset)

    bench.vendor.list_page = then_succeed  # type: ignore[method-assign, assignment]
    await bench.run()
    assert "POLISHING" in seen
    assert await bench.states() == {"a.csv": "collected"}


async def test_an_import_that_is_gone_fails_its_item_only_after_it_was_asked_for() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    bench.vendor.imports.pop(import_id)
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "import_missing"
    assert bench.vendor.calls.count("retrieve") == ANSWERS
    assert bench.clock.ticks() >= OVER.total_seconds()


async def test_an_import_that_the_list_leaves_out_is_found_by_asking_for_it() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    hidden: RemoteImport = bench.vendor.imports.pop(import_id)

    async def retrieve(wanted: str) -> RemoteImport:
        if wanted != import_id:
            raise ImportNotFound("Not found.")
        bench.vendor.imports[import_id] = hidden
        bench.vendor.change(import_id, status="SUCCESSFUL")
        return bench.vendor.imports[import_id]

    bench.vendor.retrieve = retrieve  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


async def test_a_success_costs_one_retrieve_for_its_rows() -> None:
    bench = Bench({f"{n}.csv": b"%d" % n for n in range(15)})
    await bench.run()
    assert bench.vendor.calls.count("retrieve") == 15
    batch = await bench.ledger.batch(BATCH_ID)
    assert batch is not None
    assert batch.counters["list_calls"] == bench.vendor.calls.count("list")


async def test_tracking_once_sees_that_the_import_of_a_review_is_gone() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    bench.vendor.change(import_id, status="NEEDS_REVIEW")
    await bench.run()
    hidden = bench.vendor.imports.pop(import_id)
    for _ in range(2):
        result = await bench.run(scope=Scope.TRACK_ONCE)
        assert await bench.states() == {"a.csv": "needs_review"}
        assert result.reasons == {"a.csv": "the vendor does not find the import"}
        await asyncio.sleep(200)
    bench.vendor.imports[import_id] = hidden
    await bench.run(scope=Scope.TRACK_ONCE)
    item = await bench.item("a.csv")
    assert (item.error_code, item.error_message) == ("needs_review", "a person must finish this import")
    bench.vendor.imports.pop(import_id)
    for _ in range(3):
        assert await bench.states() == {"a.csv": "needs_review"}
        await asyncio.sleep(200)
        await bench.run(scope=Scope.TRACK_ONCE)
    assert (await bench.item("a.csv")).error_code == "import_missing"


async def test_an_upload_that_the_vendor_never_takes_is_told_of_and_left_to_a_later_run_which_fails_it() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    put = bench.vendor.put

    async def forget_one(url: str, body: Body, *, only_if_absent: bool) -> bool:
        stored = await put(url, body, only_if_absent=only_if_absent)
        if "import-1" in url:
            bench.vendor.change("import-1", status="AWAITING_UPLOAD")
        return stored

    bench.vendor.put = forget_one  # type: ignore[method-assign]
    result = await bench.run()
    untaken = next(source for source, state in (await bench.states()).items() if state == "processing")
    assert result.reasons == {untaken: NOT_TAKEN}
    assert (await bench.item(untaken)).status == "AWAITING_UPLOAD"
    assert "upload_not_taken" in [event.code for event in bench.events if isinstance(event, Notice)]
    assert 900 <= bench.clock.ticks() < 1000

    await asyncio.sleep(1500)
    await bench.run()
    item = await bench.item(untaken)
    assert (item.state, item.status, item.error_code) == (ItemState.FAILED, "AWAITING_UPLOAD", "upload_not_taken")
    assert item.is_held
    assert len(bench.vendor.created) == 2
    assert bench.vendor.received["import-1"] == [bench.files[untaken]]


async def test_an_upload_that_the_vendor_takes_late_is_collected() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    bench.vendor.change(import_id, status="AWAITING_UPLOAD")
    asyncio.get_running_loop().call_later(850, lambda: bench.vendor.change(import_id, status="SUCCESSFUL"))
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


async def test_an_upload_that_only_an_old_list_shows_as_not_taken_is_collected() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    list_page = bench.vendor.list_page

    async def outdated(*, limit: int, offset: int) -> ImportPage:
        page = await list_page(limit=limit, offset=offset)
        return replace(page, imports=tuple(replace(one, status="AWAITING_UPLOAD") for one in page.imports))

    bench.vendor.change(import_id, status="SUCCESSFUL")
    bench.vendor.list_page = outdated  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


@pytest.mark.parametrize("trouble", [Unavailable("HTTP 500"), RequestInvalid("HTTP 400")])
async def test_an_import_whose_end_cannot_be_read_delays_no_other_and_waits_for_a_later_run(
    trouble: Exception,
) -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    await _processing(bench, "a.csv")
    odd = await _processing(bench, "b.csv")
    for import_id in list(bench.vendor.imports):
        bench.vendor.change(import_id, status="FAILED")
    retrieve = bench.vendor.retrieve

    async def refuse_one(import_id: str) -> RemoteImport:
        if import_id == odd:
            raise trouble
        return await retrieve(import_id)

    bench.vendor.retrieve = refuse_one  # type: ignore[method-assign]
    result = await bench.run()
    assert await bench.states() == {"a.csv": "failed", "b.csv": "processing"}
    assert result.deferred == 1


async def test_a_gateway_that_answers_the_list_for_a_while_does_not_end_the_run() -> None:
    bench = Bench(FILES)
    import_id = await _processing(bench)
    list_page, refusals = bench.vendor.list_page, iter(range(4))

    async def refuse_at_first(*, limit: int, offset: int) -> ImportPage:
        if bench.vendor.calls and next(refusals, None) is not None:
            raise RequestInvalid("the API answered 404")
        bench.vendor.change(import_id, status="SUCCESSFUL")
        return await list_page(limit=limit, offset=offset)

    bench.vendor.list_page = refuse_at_first  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


async def test_a_vendor_that_keeps_refusing_the_list_ends_the_run() -> None:
    bench = Bench(FILES)
    await _processing(bench)
    list_page = bench.vendor.list_page

    async def refuse(*, limit: int, offset: int) -> ImportPage:
        if bench.vendor.calls:
            raise RequestInvalid("the API answered 404")
        return await list_page(limit=limit, offset=offset)

    bench.vendor.list_page = refuse  # type: ignore[method-assign]
    with pytest.raises(RequestInvalid):
        await bench.run()


class Shared:
    """A ledger that another process uses as well, and a tracker of the imports of its items."""

    def __init__(self, lists: Lists) -> None:
        self.ledger = MemoryLedger(now=lambda: AT)
        transitions = Transitions(self.ledger, clock=StillClock(), emit=ignore, by_state={})
        self.tracker = Tracker(api=lists, transitions=transitions)

    async def processing(self, source: str, *, minute: float = 0, **values: str) -> Item:
        """Let the tracker watch an item whose import has the id `source`, and return it."""
        await self.ledger.add([Item(batch_id="b", source=source)])
        item = await self.ledger.advance(Item(batch_id="b", source=source), ItemState.CREATING, reason="x")
        item = await self.ledger.advance(
            item, ItemState.PROCESSING, reason="x", import_id=source, status="RUNNING",
            created_at=AT + timedelta(minutes=minute), **values,  # type: ignore[arg-type]
        )  # fmt: skip
        self.tracker.watch(item)
        return item


async def shared(lists: Lists) -> Shared:
    of_both = Shared(lists)
    await of_both.ledger.start_batch(batch())
    return of_both


async def test_the_list_is_read_back_to_the_oldest_open_import() -> None:
    rows = [made("new", 60, status="SUCCESSFUL"), made("a", 30), made("b", 20), made("old", 0, status="SUCCESSFUL")]
    of_both = await shared(Lists(rows, page_size=3))
    await of_both.processing("old")
    await of_both.processing("new", minute=60)
    await of_both.tracker.list_once()
    assert await of_both.ledger.counts("b") == {ItemState.SUCCEEDED: 2}


async def test_a_pass_tells_that_another_process_moved_an_item_first_and_the_next_pass_does_not() -> None:
    of_both = await shared(Lists([made("1")]))
    item = await of_both.processing("1")
    await of_both.ledger.advance(item, ItemState.SUCCEEDED, reason="of the other", status="SUCCESSFUL")
    assert not of_both.tracker.is_overtaken
    await of_both.tracker.list_once()
    assert of_both.tracker.is_overtaken
    assert (await of_both.tracker.list_or_retry()).others_moved == 1
    assert not of_both.tracker.is_overtaken


async def test_an_import_that_is_found_again_is_followed_from_where_another_process_has_brought_its_item() -> None:
    of_both = await shared(Lists([made("1", status="RUNNING")], [made("1")]))
    suspected = await of_both.processing("1", error_code="import_missing")
    noted = await of_both.ledger.advance(suspected, ItemState.PROCESSING, reason="of the other", error_code=None)
    await of_both.tracker.list_once()
    assert await of_both.ledger.counts("b") == {ItemState.PROCESSING: 1}
    await of_both.tracker.list_once()
    found = await of_both.ledger.item("b", "1")
    assert (found.state, found.revision) == (ItemState.SUCCEEDED, noted.revision + 1)  # type: ignore[union-attr]

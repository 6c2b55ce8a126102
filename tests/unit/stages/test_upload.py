"""Uploading: data is sent again only where it cannot be at the vendor already, and no more often than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from runner.config.options import RunOptions
from runner.dromo.clock import VendorTime
from runner.errors import ConditionUnsupported, OutcomeUnknown, Unavailable, UploadRefused, UrlExpired
from runner.events import BytesUploaded
from runner.models import CreateRequest, Item, ItemState, RemoteImport
from runner.protocols import Body
from runner.stages.upload_urls import UploadUrls
from runner.stop import StopReason
from tests.support.bench import BATCH_ID, Bench
from tests.support.listed import StillClock

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}
LOOKS_BEFORE_THE_LAST = 5
"""As the run begins with the item, before its data may be sent again, and for a fresh url; some of it twice."""


@pytest.mark.parametrize("arrives_after_s", [1.0, 100.0])
async def test_data_that_arrives_while_an_import_is_about_to_be_given_up_is_not_sent_again(
    arrives_after_s: float,
) -> None:
    bench = Bench(FILES, url_life_s=600)
    bench.vendor.renews_urls = False
    import_id = await bench.leave_uploading("a.csv")
    await asyncio.sleep(600)
    asyncio.get_running_loop().call_later(arrives_after_s, lambda: bench.vendor.change(import_id, status="SUCCESSFUL"))
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (ItemState.COLLECTED, import_id)
    assert len(bench.vendor.created) == 1
    assert bench.vendor.received == {}


async def test_an_import_is_looked_at_once_more_right_before_it_is_given_up() -> None:
    bench = Bench(FILES, url_life_s=600)
    bench.vendor.renews_urls = False
    import_id = await bench.leave_uploading("a.csv")
    await asyncio.sleep(7200)
    bench.vendor.put_script.extend([UrlExpired("expired")] * 20)
    retrieve = bench.vendor.retrieve

    async def noticing(of: str) -> RemoteImport:
        remote = await retrieve(of)
        if bench.vendor.calls.count("retrieve") == LOOKS_BEFORE_THE_LAST:
            bench.vendor.change(of, status="SUCCESSFUL")
        return remote

    bench.vendor.retrieve = noticing  # type: ignore[method-assign]
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (ItemState.COLLECTED, import_id)
    assert len(bench.vendor.created) == 1


async def test_storage_that_refuses_the_condition_of_one_upload_lets_no_other_be_sent_before_it_has_settled() -> None:
    bench = Bench({"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"})
    await bench.leave_uploading("a.csv")
    slow = await bench.leave_uploading("b.csv")
    retrieve, put = bench.vendor.retrieve, bench.vendor.put
    unconditional_at: list[float] = []

    async def sluggish(of: str) -> RemoteImport:
        await asyncio.sleep(1.0 if of == slow else 0.0)
        return await retrieve(of)

    async def without_conditions(url: str, body: Body, *, only_if_absent: bool) -> bool:
        if only_if_absent:
            raise ConditionUnsupported("NotImplemented")
        unconditional_at.append(asyncio.get_running_loop().time())
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.retrieve = sluggish  # type: ignore[method-assign]
    bench.vendor.put = without_conditions  # type: ignore[method-assign]
    began_at = asyncio.get_running_loop().time()
    await bench.run()
    assert len(unconditional_at) == 2
    assert min(unconditional_at) >= began_at + bench.options.settle_s


Tries = list[tuple[str, float]]
"""Each upload that storage was sent: its import, and when."""


def watch(bench: Bench, before: Callable[[str], None] = lambda _: None, *, takes_s: float = 0.0) -> Tries:
    """Note every upload, call `before` with its import, and let it take a while."""
    put, tries = bench.vendor.put, Tries()

    async def noted(url: str, body: Body, *, only_if_absent: bool) -> bool:
        import_id = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
        tries.append((import_id, bench.clock.ticks()))
        before(import_id)
        await asyncio.sleep(takes_s)
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.put = noted  # type: ignore[method-assign]
    return tries


async def test_an_import_is_given_up_as_soon_as_no_upload_to_it_can_be_on_its_way() -> None:
    bench = Bench(FILES)
    await bench.leave_expired("a.csv")
    await bench.run()
    item = await bench.item("a.csv")
    assert item.import_id == "import-2"
    assert item.created_at is not None
    fence_s = 60 + bench.options.settle_s + 20
    assert fence_s <= (item.created_at - bench.vendor.imports["import-1"].created_at).total_seconds() < fence_s + 5  # type: ignore[operator]


async def test_an_item_whose_last_create_succeeded_gets_another_import_in_the_same_run_if_its_url_ends() -> None:
    bench = Bench(FILES, options=RunOptions(create_attempts=8))
    await bench.leave_expired("a.csv", attempts=8)
    result = await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert result.deferred == 0


async def test_data_that_storage_stored_although_it_said_no_is_not_sent_again() -> None:
    bench = Bench(FILES)
    bench.vendor.honors_condition = False
    bench.vendor.put_script.append(bench.vendor.lose(Unavailable("503")))
    await bench.run()
    assert bench.vendor.received == {"import-1": [FILES["a.csv"]]}


async def test_an_upload_without_an_answer_is_given_time_to_show_before_it_is_repeated_without_a_condition() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([ConditionUnsupported("501"), OutcomeUnknown("cut")])
    tries = watch(bench)
    arrives = bench.options.settle_s - 10
    asyncio.get_running_loop().call_later(arrives, lambda: bench.vendor.change("import-1", status="SUCCESSFUL"))
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert len(tries) == 2


async def test_once_storage_takes_no_condition_data_that_may_be_there_is_given_time_to_show_first() -> None:
    bench = Bench({"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"}, options=RunOptions(uploads=1))
    orphan = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=f"b.~{bench.tag('b.csv')}.csv"))
    bench.vendor.put_script.append(ConditionUnsupported("501"))
    tries = watch(bench)
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    (of_orphan,) = [at for import_id, at in tries if import_id == orphan.import_id]
    assert of_orphan - tries[0][1] >= bench.options.settle_s


async def test_an_item_has_so_many_tries_at_storage_in_a_row_and_then_waits_ten_seconds() -> None:
    bench = Bench(FILES, options=RunOptions(upload_attempts=3))
    bench.vendor.put_script.extend([Unavailable("503")] * 4)
    tries = watch(bench)
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    pauses = [later - earlier for (_, earlier), (_, later) in pairwise(tries)]
    assert [pause >= 10 for pause in pauses] == [False, False, True, False]


async def test_a_second_url_is_tried_at_once_and_a_third_after_ten_seconds_where_storage_calls_them_expired() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([UrlExpired("Request has expired")] * 2)
    tries = watch(bench, takes_s=1.0)
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    first, second, third = (at for _, at in tries)
    assert second - first < 5
    assert third - second >= 10


async def test_an_item_whose_import_was_made_as_a_stop_came_is_uploaded_once() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.extend([Unavailable("503")] * 3)
    tries = watch(bench, lambda _: bench.stop.request(StopReason.INTERRUPTED))
    create = bench.vendor.create

    async def stopped(request: CreateRequest) -> RemoteImport:
        bench.stop.request(StopReason.INTERRUPTED)
        return await create(request)

    bench.vendor.create = stopped  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "created"}
    assert len(tries) == 1


@pytest.mark.parametrize(("status", "recorded"), [("SUCCESSFUL", "AWAITING_UPLOAD"), ("RUNNING", "RUNNING")])
async def test_data_that_had_arrived_is_recorded_with_the_vendors_status_unless_the_import_has_ended(
    status: str, recorded: str
) -> None:
    bench = Bench(FILES)
    bench.vendor.change(await bench.leave_uploading("a.csv"), status=status)
    asyncio.get_running_loop().call_later(60, lambda: bench.vendor.change("import-1", status="SUCCESSFUL"))
    advance, arrived = bench.ledger.advance, list[str | None]()

    async def noted(item: Item, state: ItemState, **changes: object) -> Item:
        moved = await advance(item, state, **changes)  # type: ignore[arg-type]
        if item.state is ItemState.CREATED:
            arrived.append(moved.status)
        return moved

    bench.ledger.advance = noted  # type: ignore[method-assign, assignment]
    await bench.run()
    assert arrived == [recorded]
    assert await bench.states() == {"a.csv": "collected"}


async def test_refusals_of_an_upload_to_an_earlier_import_do_not_count_for_the_next() -> None:
    bench = Bench(FILES)
    refusal = UploadRefused("HTTP 403 AccessDenied", may_pass=True)
    bench.vendor.put_script.extend([refusal] * 5)

    def lose_the_first(import_id: str) -> None:
        if import_id == "import-1" and len(bench.vendor.put_script) == 3:
            bench.vendor.imports.pop(import_id)

    tries = watch(bench, lose_the_first)
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert [import_id for import_id, _ in tries] == ["import-1"] * 3 + ["import-2"] * 3


async def test_an_upload_that_storage_refused_for_now_is_repeated_with_the_url_of_a_retrieve() -> None:
    bench = Bench(FILES)
    bench.vendor.put_script.append(UploadRefused("HTTP 403 AccessDenied", may_pass=True))
    put, urls = bench.vendor.put, list[str]()

    async def noted(url: str, body: Body, *, only_if_absent: bool) -> bool:
        urls.append(url)
        await asyncio.sleep(1.5)
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.put = noted  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert len(set(urls)) == 2


async def test_only_bytes_that_storage_stored_are_counted_as_uploaded() -> None:
    bench = Bench({"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"})
    import_id = await bench.leave_uploading("a.csv")
    bench.vendor.received[import_id] = [bench.files["a.csv"]]
    asyncio.get_running_loop().call_later(60, lambda: bench.vendor.change(import_id, status="SUCCESSFUL"))
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    uploaded = [(event.source, event.count) for event in bench.events if isinstance(event, BytesUploaded)]
    assert uploaded == [("b.csv", len(bench.files["b.csv"]))]
    reasons = {name: {entry.reason for entry in await bench.ledger.history(BATCH_ID, name)} for name in bench.files}
    assert ("uploaded" in reasons["a.csv"], "uploaded" in reasons["b.csv"]) == (False, True)


async def test_after_a_stop_no_list_is_read_to_find_out_whether_an_import_is_gone() -> None:
    bench = Bench(FILES)
    import_id = await bench.leave_uploading("a.csv")
    bench.vendor.imports.pop(import_id)
    retrieve = bench.vendor.retrieve

    async def stopping(of: str) -> RemoteImport:
        bench.stop.request(StopReason.INTERRUPTED)
        bench.vendor.calls.clear()
        return await retrieve(of)

    bench.vendor.retrieve = stopping  # type: ignore[method-assign]
    await bench.run()
    assert "list" not in bench.vendor.calls
    assert (await bench.item("a.csv")).state is ItemState.CREATED


async def test_a_clock_of_this_machine_that_is_behind_keeps_no_import_of_a_ledger_of_its_own() -> None:
    bench = Bench(FILES, skew=-timedelta(hours=3))
    await bench.leave_expired("a.csv")
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


def test_a_date_of_the_vendor_that_is_ahead_does_not_make_a_url_of_another_process_end() -> None:
    clock = StillClock()
    vendor_time = VendorTime(clock)
    vendor_time.answered(clock.now() + timedelta(hours=3), asked_at=clock.ticks())
    urls = UploadUrls(vendor_time, is_shared=True)
    item = Item(batch_id=BATCH_ID, source="a.csv", import_id="i", created_at=clock.now() - timedelta(minutes=10))
    assert urls.left(item) == timedelta(minutes=20)

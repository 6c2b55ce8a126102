"""Collecting: a cut download is repeated, a result that is none fails, trouble leaves the item for later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from runner.config.options import RunOptions
from runner.errors import (
    FileUnavailable,
    ImportNotFound,
    PackUnaccounted,
    ResultInvalid,
    ResultTooLarge,
    SinkFailed,
    Unavailable,
)
from runner.events import Notice, ignore
from runner.local.deferrals import still_deferred
from runner.local.redrive import Redrive
from runner.models import CreateRequest, Deferral, Deferrals, Item, ItemState
from runner.protocols import ImportsApi, Place, Prepared, SavedResult
from runner.stages.collect import Unusable, pack_result_bytes
from runner.stages.transitions import Transitions
from runner.stop import StopReason
from tests.support.bench import BATCH_ID, Bench

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}


async def test_a_cut_download_is_repeated_with_a_fresh_url() -> None:
    bench = Bench(FILES)
    bench.vendor.get_script.extend([Unavailable("cut"), Unavailable("cut")])
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert bench.vendor.calls.count("url") == 3


async def test_what_is_no_result_fails_the_item_after_its_attempts() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=3))
    bench.vendor.get_script.extend([ResultInvalid("not an array")] * 3)
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "result_invalid"


async def test_a_result_that_did_not_add_up_once_is_told_of_though_later_downloads_of_it_were_cut() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=3))
    lost = PackUnaccounted("rows_missing", "a row is lost")
    bench.vendor.get_script.extend([ResultInvalid("cut"), lost, ResultInvalid("cut again")])
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.error_code, item.error_message) == ("pack_unaccounted", "a row is lost")


def test_an_unusable_result_says_what_was_found_last() -> None:
    assert str(Unusable([ResultInvalid("first"), ResultInvalid("last")])) == "last"


async def test_a_result_that_is_too_large_is_downloaded_once_and_its_item_is_held_and_names_the_setting() -> None:
    bench = Bench(FILES)
    bench.vendor.get_script.extend([ResultTooLarge("larger than 10 bytes", hint="raise max_result")] * 8)
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.error_code, item.error_message) == ("result_too_large", "larger than 10 bytes; raise max_result")
    assert item.is_held
    assert bench.vendor.calls.count("url") == 1


def test_the_result_of_a_pack_may_be_as_large_as_those_of_its_files_but_no_larger_than_memory_can_hold() -> None:
    assert pack_result_bytes(1000, files=30) >= 30 * 1000
    assert pack_result_bytes(1000, files=30) < 3_000_000
    assert pack_result_bytes(100 * 1024**2, files=1000) == 1024**3
    assert pack_result_bytes(10 * 1024**3, files=1000) == 10 * 1024**3


async def test_trouble_that_lasts_leaves_the_item_succeeded_for_a_later_run() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=2))
    bench.vendor.get_script.extend([Unavailable("503")] * 100)
    result = await bench.run()
    assert await bench.states() == {"a.csv": "succeeded"}
    assert result.reasons == {"a.csv": "503"}
    left = await still_deferred(bench.ledger, BATCH_ID, result.reasons)
    assert left == Deferrals(count=1, first=(Deferral(source="a.csv", reason="503"),))
    assert 900 <= bench.clock.ticks() < 1000
    bench.vendor.get_script.clear()
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert (await still_deferred(bench.ledger, BATCH_ID, result.reasons)).count == 0
    assert len(bench.vendor.created) == 1


async def test_a_result_that_is_gone_fails_the_item() -> None:
    bench = Bench(FILES)
    remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.csv"), status="SUCCESSFUL")
    await bench.leave("a.csv", ItemState.SUCCEEDED, import_id=remote.import_id)
    bench.vendor.imports.clear()
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "result_missing"


async def test_results_that_are_there_a_moment_later_than_the_status_are_collected() -> None:
    bench = Bench(FILES)
    results_url, refusals = bench.vendor.results_url, iter(range(2))

    async def not_yet(import_id: str) -> str:
        if next(refusals, None) is not None:
            raise ImportNotFound("Not found.")
        return await results_url(import_id)

    bench.vendor.results_url = not_yet  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


async def test_data_whose_result_is_unusable_was_imported_and_is_not_sent_by_another_batch() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=3))
    bench.vendor.get_script.extend([ResultInvalid("not an array")] * 3)
    await bench.run()
    await bench.run_later()
    item = await bench.ledger.item("later", "a.csv")
    assert item is not None
    assert item.state is ItemState.SKIPPED
    assert len(bench.vendor.created) == 1


async def test_a_redrive_downloads_an_unusable_result_again_and_does_not_send_the_data_again() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=3))
    bench.vendor.get_script.extend([ResultInvalid("not an array")] * 3)
    await bench.run()
    transitions = Transitions(bench.ledger, clock=bench.clock, emit=ignore, by_state={})

    async def open_api() -> ImportsApi:
        return bench.vendor

    redrive = Redrive(bench.ledger, transitions, open_api)
    assert await redrive.batch(BATCH_ID, states={ItemState.FAILED}, match=None, again=False) == 1
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.error_code, item.import_id) == (ItemState.COLLECTED, None, "import-1")
    assert len(bench.vendor.created) == 1


async def test_a_disk_that_fails_stops_the_run_in_order_and_a_later_run_saves_the_result() -> None:
    bench = Bench({"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"})
    save, troubles = bench.sink.save_result, iter([SinkFailed("cannot write out/results/a.csv.json: I/O error")])

    async def failing(source: str, chunks: AsyncIterator[bytes], _place: Place | None = None) -> SavedResult:
        if (trouble := next(troubles, None)) is not None:
            raise trouble
        return await save(source, chunks)

    bench.sink.save_result = failing  # type: ignore[method-assign]
    await bench.run()
    assert (bench.stop.reason, bench.stop.detail) == (
        StopReason.TROUBLE,
        "cannot write out/results/a.csv.json: I/O error",
    )
    await bench.run()
    assert await bench.states() == {"a.csv": "collected", "b.csv": "collected"}
    assert len(bench.vendor.created) == 2


async def test_an_item_whose_result_cannot_be_saved_is_deferred_with_the_reason() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=2))

    async def failing(source: str, chunks: AsyncIterator[bytes], _place: Place | None = None) -> SavedResult:
        raise Unavailable("cannot write out/results/a.csv.json: Too many open files")

    bench.sink.save_result = failing  # type: ignore[method-assign]
    assert (await bench.run()).deferred == 1
    assert [event.message for event in bench.events if isinstance(event, Notice)] == [
        "a.csv: cannot write out/results/a.csv.json: Too many open files; it is tried again",
        "a.csv: cannot write out/results/a.csv.json: Too many open files; a later run continues it",
    ]


async def test_a_result_counts_as_unusable_only_if_every_attempt_found_it_so() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=3))
    bench.vendor.get_script.extend([ResultInvalid("not an array"), Unavailable("503"), ResultInvalid("not an array")])
    await bench.run()
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}


async def test_inputs_that_cannot_be_read_now_are_deferred_and_are_no_outage() -> None:
    bench = Bench({f"{name}.csv": name.encode() for name in "abcd"})
    prepare = bench.source.prepare

    async def failing(item: Item) -> Prepared:
        if item.source != "d.csv":
            raise FileUnavailable("it cannot be read at the moment: Input/output error")
        return await prepare(item)

    bench.source.prepare = failing  # type: ignore[method-assign]
    result = await bench.run()
    assert await bench.states() == {"a.csv": "queued", "b.csv": "queued", "c.csv": "queued", "d.csv": "collected"}
    assert (result.deferred, bench.stop.requested, result.outage) == (3, False, None)
    assert set(result.reasons.values()) == {"it cannot be read at the moment: Input/output error"}


async def test_every_attempt_is_made_after_a_pause_and_the_last_one_is_told() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=3))
    bench.vendor.get_script.extend([ResultInvalid("first"), ResultInvalid("second"), ResultInvalid("third")])
    results_url, asked_at = bench.vendor.results_url, []

    async def timed(import_id: str) -> str:
        asked_at.append(bench.clock.ticks())
        return await results_url(import_id)

    bench.vendor.results_url = timed  # type: ignore[method-assign]
    await bench.run()
    assert (await bench.item("a.csv")).error_message == "third"
    assert len(asked_at) == 3
    assert all(later - earlier > 0.01 for earlier, later in pairwise(asked_at))


def refuse_results(bench: Bench, *, before: Exception, last: Exception) -> None:
    """Let the last of three attempts to get a result end in another way than those before."""

    async def refused(_import_id: str) -> str:
        bench.vendor.calls.append("url")
        raise last if bench.vendor.calls.count("url") % 3 == 0 else before

    bench.vendor.results_url = refused  # type: ignore[method-assign]


async def test_a_result_that_is_gone_in_the_end_is_missing_whatever_it_was_before() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=3))
    refuse_results(bench, before=ResultInvalid("before"), last=ImportNotFound("Gone."))
    await bench.run()
    bench.vendor.imports.clear()
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.error_code, item.error_message) == ("result_missing", "Gone.")
    assert not [event for event in bench.events if isinstance(event, Notice) and "before" in event.message]


async def test_a_result_that_one_attempt_found_cut_and_the_others_did_not_find_is_left_to_a_later_run() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=3))
    refuse_results(bench, before=ImportNotFound("before"), last=ResultInvalid("not an array"))
    result = await bench.run()
    assert (await bench.item("a.csv")).state is ItemState.SUCCEEDED
    assert "its result is not always there: not an array" in result.reasons["a.csv"]


async def test_an_end_that_every_attempt_found_is_recorded_although_a_stop_comes() -> None:
    bench = Bench(FILES, options=RunOptions(collect_attempts=1))
    results_url = bench.vendor.results_url

    async def stopped(import_id: str) -> str:
        await results_url(import_id)
        bench.stop.request(StopReason.INTERRUPTED)
        raise ResultInvalid("not an array")

    bench.vendor.results_url = stopped  # type: ignore[method-assign]
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "result_invalid"

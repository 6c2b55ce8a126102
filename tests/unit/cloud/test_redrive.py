"""Items that failed or have a dead letter are queued again: first in the ledger, then by a message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runner.cloud.dead_letters import DEAD_LETTER
from runner.cloud.lifecycle import rolling_id
from runner.cloud.messages import BatchRef, ImportHint, ItemRef, Message, ObjectCreated, encode
from runner.cloud.ops.redrive import Redrive
from runner.cloud.protocols import Queue
from runner.events import ignore
from runner.local.gone_results import GoneResults
from runner.models import RESULT_INVALID, BatchState, ItemState
from runner.sources import ObjectVersion, versioned_source
from runner.stages.transitions import Transitions
from tests.support.batches import BEGAN, StackBench, batch_of, item_in, leave
from tests.support.bench import MemorySink

S = ItemState


class Bench(StackBench):
    """A redrive over a ledger and queues."""

    def __init__(self) -> None:
        super().__init__()
        self.redrive = Redrive(self.ledger, self.queues, self.transitions)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_items_of_the_named_states_are_queued_and_enqueued_for_submit(bench: Bench) -> None:
    states = {"a.csv": S.FAILED, "b.csv": S.REJECTED, "c.csv": S.COLLECTED, "d.csv": S.QUEUED}
    await leave(bench.ledger, batch_of("b1"), states)
    await bench.redrive.batch("b1", states={S.FAILED}, match=None)
    assert bench.redrive.count == 1
    assert bench.queues.sent == {Queue.LOAD: [ItemRef(batch_id="b1", source="a.csv")]}
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (S.QUEUED, None)


async def test_a_batch_at_its_end_runs_again(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1", state=BatchState.COMPLETE, finished_at=BEGAN), {"a.csv": S.FAILED})
    await bench.redrive.batch("b1", states={S.FAILED}, match=None)
    batch = await bench.ledger.batch("b1")
    assert batch is not None
    assert (batch.state, batch.finished_at) == (BatchState.RUNNING, None)


@pytest.mark.parametrize(("match", "count"), [("c.csv", 2), ("a/*", 1), ("a/**", 2), ("*.{csv,tsv}", 2)])
async def test_a_match_is_a_glob_as_everywhere_else(bench: Bench, match: str, count: int) -> None:
    items = {"a/c.csv": S.FAILED, "a/b/c.csv": S.FAILED}
    await leave(bench.ledger, batch_of("b1", state=BatchState.COMPLETE), items)
    await bench.redrive.batch("b1", states={S.FAILED}, match=match)
    assert bench.redrive.count == count


async def test_a_batch_in_which_nothing_matches_stays_at_its_end(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1", state=BatchState.COMPLETE), {"a.csv": S.FAILED})
    await bench.redrive.batch("b1", states={S.FAILED}, match="other/*")
    batch = await bench.ledger.batch("b1")
    assert (bench.redrive.count, batch and batch.state) == (0, BatchState.COMPLETE)


async def test_an_unusable_result_is_fetched_again_by_collect(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1"), {"a.csv": S.FAILED}, status="SUCCESSFUL", error_code=RESULT_INVALID)
    await bench.redrive.batch("b1", states={S.FAILED}, match=None)
    assert bench.queues.sent == {Queue.COLLECT: [ImportHint(import_id="import-of-b1-a.csv")]}
    assert (await bench.item("a.csv")).state is S.SUCCEEDED


async def test_what_was_given_up_on_its_way_is_worked_on_where_it_stands(bench: Bench) -> None:
    states = {"a.csv": S.CREATED, "b.csv": S.SUCCEEDED}
    await leave(bench.ledger, batch_of("b1"), states, error_code=DEAD_LETTER, error_message="storage was down")
    await bench.redrive.batch("b1", states={S.FAILED}, match=None)
    assert bench.queues.sent == {
        Queue.LOAD: [ItemRef(batch_id="b1", source="a.csv")],
        Queue.COLLECT: [ImportHint(import_id="import-of-b1-b.csv")],
    }
    item = await bench.item("a.csv")
    assert (item.state, item.error_code, item.import_id) == (S.CREATED, None, "import-of-b1-a.csv")


async def test_many_items_are_enqueued_in_groups_and_none_is_left_out(bench: Bench) -> None:
    sources = [f"{number:03}.csv" for number in range(250)]
    await leave(bench.ledger, batch_of("b1"), dict.fromkeys(sources, S.REJECTED))
    await bench.redrive.batch("b1", states={S.REJECTED}, match=None)
    assert [message.source for message in bench.queues.sent[Queue.LOAD]] == sources  # type: ignore[union-attr]


VERSION = ObjectVersion(etag="e1", size_bytes=3, version_id="v1")
LANDED = ObjectCreated(bucket="inbox", key="orders/a.csv", size_bytes=3, etag="e1", version_id="v1", at=BEGAN)
ROLLING = rolling_id(LANDED.key, LANDED.at)


@pytest.mark.parametrize(
    ("message", "batch_id", "source", "before", "after"),
    [
        (ItemRef(batch_id="b1", source="a.csv"), "b1", "a.csv", S.REJECTED, S.QUEUED),
        (ItemRef(batch_id="b1", source="a.csv"), "b1", "a.csv", S.CREATED, S.CREATED),
        (ImportHint(import_id="import-of-b1-a.csv"), "b1", "a.csv", S.SUCCEEDED, S.SUCCEEDED),
        (LANDED, ROLLING, "orders/a.csv", S.REJECTED, S.QUEUED),
        (LANDED, ROLLING, versioned_source("orders/a.csv", str(VERSION)), S.REJECTED, S.QUEUED),
    ],
)
async def test_a_dead_letter_s_item_is_put_right_before_the_letter_goes_back(
    bench: Bench, message: Message, batch_id: str, source: str, before: ItemState, after: ItemState
) -> None:
    await leave(bench.ledger, batch_of(batch_id), {source: before}, error_code=DEAD_LETTER)
    await bench.redrive.dead_letter(encode(message))
    item = await bench.item(source, batch_id)
    assert (item.state, item.error_code, bench.redrive.count) == (after, None, 1)
    assert bench.queues.sent == {}


@pytest.mark.parametrize("batch_id", ["landed-20260723-orders", "landed-20260723-incoming"])
async def test_the_item_of_a_file_under_a_prefix_is_found_in_the_batch_of_its_folder_now_and_before(
    bench: Bench, batch_id: str
) -> None:
    landed = replace(LANDED, key="incoming/orders/a.csv", at=datetime(2026, 7, 23, 10, tzinfo=UTC))
    await leave(bench.ledger, batch_of(batch_id), {landed.key: S.REJECTED}, error_code=DEAD_LETTER)
    redrive = Redrive(bench.ledger, bench.queues, bench.transitions, inbox_prefix="incoming/")
    await redrive.dead_letter(encode(landed))
    assert (await bench.item(landed.key, batch_id)).state is S.QUEUED


async def test_a_dead_letter_moves_nothing_that_ended_otherwise(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1"), {"a.csv": S.FAILED}, error_code="import_failed")
    await bench.redrive.dead_letter(encode(ItemRef(batch_id="b1", source="a.csv")))
    assert (await bench.item("a.csv")).state is S.FAILED


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        encode(BatchRef(batch_id="b1")),
        encode(ItemRef(batch_id="gone", source="a")),
        encode(ImportHint(import_id="x")),
    ],
)
async def test_a_letter_about_nothing_that_is_known_changes_nothing(bench: Bench, body: str) -> None:
    await bench.redrive.dead_letter(body)
    assert bench.redrive.count == 0


async def test_what_somebody_else_moves_meanwhile_is_left_to_them(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1"), {"a.csv": S.FAILED})
    stale = item_in("b1", "a.csv", S.FAILED)
    await bench.ledger.advance(
        await bench.item("a.csv"), S.FAILED, reason="looked at", finished_at=BEGAN + timedelta(1)
    )
    await bench.redrive._put_back(stale)
    assert (bench.redrive.count, (await bench.item("a.csv")).state) == (0, S.FAILED)


@pytest.mark.parametrize("code", ["import_missing", "upload_not_taken", "review_dismissed"])
async def test_an_item_whose_import_may_have_its_data_goes_to_the_function_that_asks_the_vendor(
    bench: Bench, code: str
) -> None:
    await leave(bench.ledger, batch_of("b1"), {"a.csv": S.FAILED}, error_code=code, import_id="i-1")
    await bench.redrive.batch("b1", states={S.FAILED}, match=None)
    item = await bench.item("a.csv")
    assert (item.state, item.import_id, item.error_code) == (S.PROCESSING, "i-1", None)
    assert bench.queues.sent == {Queue.COLLECT: [ImportHint(import_id="i-1")]}


async def test_import_again_queues_an_item_whatever_the_vendor_has(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1"), {"a.csv": S.FAILED}, error_code="import_missing", import_id="i-1")
    await bench.redrive.batch("b1", states={S.FAILED}, match=None, import_again=True)
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (S.QUEUED, None)


async def _gone(bench: Bench, sink: MemorySink) -> GoneResults:
    transitions = Transitions(bench.ledger, clock=bench, emit=ignore, by_state={})  # type: ignore[arg-type]
    batch = await bench.ledger.batch("b1")
    assert batch is not None
    return GoneResults(bench.ledger, batch, sink, transitions=transitions, emit=ignore)


async def test_results_that_are_gone_are_fetched_again_by_collect_and_nothing_is_sent(bench: Bench) -> None:
    states = dict.fromkeys(["in/a.csv", "in/b.csv", "c.csv"], S.COLLECTED)
    await leave(bench.ledger, batch_of("b1", state=BatchState.COMPLETE), states, result="results/in/a.csv.json")
    await bench.redrive.results(await _gone(bench, MemorySink()), match="in/*")
    assert [(await bench.item(source)).state for source in states] == [S.SUCCEEDED, S.SUCCEEDED, S.COLLECTED]
    assert bench.queues.sent == {
        Queue.COLLECT: [ImportHint(import_id="import-of-b1-in/a.csv"), ImportHint(import_id="import-of-b1-in/b.csv")]
    }
    batch = await bench.ledger.batch("b1")
    assert (bench.redrive.count, batch and batch.state) == (2, BatchState.RUNNING)


async def test_a_batch_whose_results_are_all_there_stays_at_its_end(bench: Bench) -> None:
    await leave(
        bench.ledger, batch_of("b1", state=BatchState.COMPLETE), {"a.csv": S.COLLECTED}, result="results/a.csv.json"
    )
    sink = MemorySink()
    sink.results["a.csv"] = b"[]"
    await bench.redrive.results(await _gone(bench, sink), match=None)
    batch = await bench.ledger.batch("b1")
    assert (bench.redrive.count, batch and batch.state) == (0, BatchState.COMPLETE)

"""Items of the stack's batches that a person dismisses: first in the ledger, then finish is enqueued to show it."""

from __future__ import annotations

import pytest

from runner.cloud.messages import BatchRef
from runner.cloud.ops.dismiss import dismiss_items, newest_dismissible
from runner.cloud.protocols import Queue
from runner.models import FAILED_BEFORE, ItemState
from tests.support.batches import StackBench, batch_of, leave

S = ItemState


class Bench(StackBench):
    """Dismissing over a ledger and queues."""

    async def dismiss(self, batch_id: str = "b1", *, match: str | None = None) -> list[str]:
        items = await dismiss_items(
            self.ledger, self.queues, batch_id, match=match, reason="the customer left", transitions=self.transitions
        )
        return [item.source for item in items]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_items_counters_and_moves_change_together_and_finish_is_enqueued(bench: Bench) -> None:
    states = {"a.csv": S.NEEDS_REVIEW, "b.csv": S.UNCERTAIN, "c.csv": S.COLLECTED, "d.csv": S.PROCESSING}
    await leave(bench.ledger, batch_of("b1"), states)
    moves, _ = await bench.ledger.moves_of("b1")
    assert await bench.dismiss() == ["a.csv", "b.csv"]
    assert await bench.ledger.counts("b1") == {S.FAILED: 2, S.COLLECTED: 1, S.PROCESSING: 1}
    assert (await bench.ledger.moves_of("b1"))[0] == moves + 2
    assert bench.queues.sent == {Queue.FINISH: [BatchRef(batch_id="b1")]}
    item = await bench.item("a.csv")
    assert (item.error_code, item.error_message) == ("review_dismissed", "dismissed: the customer left")


async def test_a_glob_chooses_and_a_second_call_only_enqueues_finish_again(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1"), {"in/a.csv": S.NEEDS_REVIEW, "b.csv": S.NEEDS_REVIEW})
    assert await bench.dismiss(match="in/*") == ["in/a.csv"]
    assert await bench.dismiss(match="in/*") == []
    assert bench.queues.sent == {Queue.FINISH: [BatchRef(batch_id="b1")] * 2}
    assert (await bench.item("b.csv")).state is S.NEEDS_REVIEW


async def test_a_file_that_failed_in_an_earlier_batch_is_dismissed_there_and_both_get_a_manifest(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b0"), {"a.csv": S.FAILED}, file_key="f1", error_code="import_failed")
    await leave(
        bench.ledger, batch_of("b1", after_s=1), {"a.csv": S.FAILED}, file_key="f1", import_id=None,
        error_code=FAILED_BEFORE, earlier_batch_id="b0", earlier_import_id="import-of-b0-a.csv",
    )  # fmt: skip
    assert await bench.dismiss() == ["a.csv"]
    assert ((await bench.item("a.csv", "b0")).error_code, (await bench.item("a.csv")).state) == ("dismissed", S.SKIPPED)
    assert bench.queues.sent == {Queue.FINISH: [BatchRef(batch_id="b0"), BatchRef(batch_id="b1")]}


async def test_without_a_name_the_newest_batch_of_the_stack_with_such_items_is_taken(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1"), {"a.csv": S.NEEDS_REVIEW})
    await leave(bench.ledger, batch_of("b2", after_s=1), {"a.csv": S.COLLECTED})
    await leave(bench.ledger, batch_of("b3", driver="runner", after_s=2), {"a.csv": S.NEEDS_REVIEW})
    assert await newest_id(bench) == "b1"
    await bench.dismiss("b1")
    assert await newest_id(bench) == "b2", "there is nothing to dismiss, so it is the newest"


async def test_without_a_batch_of_the_stack_there_is_none(bench: Bench) -> None:
    await leave(bench.ledger, batch_of("b1", driver="runner"), {"a.csv": S.NEEDS_REVIEW})
    assert await newest_id(bench) is None


async def newest_id(bench: Bench) -> str | None:
    batch = await newest_dismissible(bench.ledger)
    return batch.batch_id if batch else None

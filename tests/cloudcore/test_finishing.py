"""An idle batch gets its manifest; its end is published once, and once more when the last review is done."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.cloud.messages import BatchRef, ImportHint, Message, StartLoad
from runner.cloud.ops.dismiss import dismiss_items
from runner.cloud.ops.redrive import Redrive
from runner.cloud.protocols import Done, Queue, Requeued
from runner.events import ignore
from runner.manifest import MANIFEST_JSONL
from runner.models import FAILED_BEFORE, Batch, ItemState
from runner.stages.transitions import Transitions
from tests.cloudcore.bench import Bench
from tests.support.inputs import Fate

pytestmark = pytest.mark.virtual_time

LOAD = StartLoad(uri="s3://inbox/nightly/", name="nightly")


async def loaded(bench: Bench, *fates: Fate) -> Batch:
    """Take a load as far as it gets without its manifest."""
    await bench.configured()
    for number, fate in enumerate(fates):
        bench.drop(f"nightly/{number}.csv", fate=fate)
    await bench.do(Queue.LIST, LOAD)
    for message in bench.take(Queue.LOAD):
        await bench.do(Queue.LOAD, message)
    await asyncio.sleep(60)
    await _collected(bench)
    bench.take(Queue.FINISH)
    return await bench.batch()


async def _collected(bench: Bench) -> None:
    for item in (await bench.items()).values():
        if item.import_id:
            await bench.do(Queue.COLLECT, ImportHint(import_id=item.import_id))


def ref(batch: Batch) -> Message:
    return BatchRef(batch_id=batch.batch_id)


async def test_a_settled_batch_gets_its_manifest_and_its_end_is_told_once(bench: Bench) -> None:
    batch = await loaded(bench, "good", "broken", "refused")
    for _ in range(3):
        assert await bench.do(Queue.FINISH, ref(batch)) == Done()
    batch = await bench.batch()
    assert (str(batch.state), batch.exit_code) == ("complete", 4)
    assert batch.finished_at is not None
    states = {line["source"]: line["state"] for line in bench.results.manifest(batch.out)}
    assert states == {"0.csv": "collected", "1.csv": "failed", "2.csv": "rejected"}
    assert [(batch_id, state) for batch_id, state, _ in bench.heard.ends] == [(batch.batch_id, "complete")]
    assert set(bench.results.of(batch.out)) >= {"manifest.jsonl", "manifest.csv", "summary.json"}


async def test_the_end_is_told_again_when_the_last_review_is_done_and_not_in_between(bench: Bench) -> None:
    batch = await loaded(bench, "review", "review", "good")
    await bench.do(Queue.FINISH, ref(batch))
    for item in (await bench.items()).values():
        if item.state is ItemState.NEEDS_REVIEW:
            bench.vendor.state.finish_review(item.import_id or "", bench.vendor.now())
            await bench.do(Queue.COLLECT, ImportHint(import_id=item.import_id or ""))
            await bench.do(Queue.FINISH, ref(batch))
    assert [state for _, state, _ in bench.heard.ends] == ["settled", "complete"]
    assert {line["state"] for line in bench.results.manifest(batch.out)} == {"collected"}


async def test_a_dismissed_review_is_in_the_manifest_and_collected_if_it_is_finished_anyway(bench: Bench) -> None:
    batch = await loaded(bench, "review", "good")
    await bench.do(Queue.FINISH, ref(batch))
    assert (await bench.batch()).exit_code == 6
    transitions = Transitions(bench.ledger, clock=bench.deployment.clock, emit=ignore, by_state={})
    (was,) = await dismiss_items(
        bench.ledger,
        bench.deployment.queues,
        batch.batch_id,
        match=None,
        reason="nobody answers",
        transitions=transitions,
    )
    for message in bench.take(Queue.FINISH):
        await bench.do(Queue.FINISH, message)
    batch = await bench.batch()
    assert (str(batch.state), batch.exit_code) == ("complete", 0)
    assert b"review_dismissed" in bench.results.of(batch.out)[MANIFEST_JSONL]
    await _collected(bench)
    assert (await bench.items())[was.source].error_code == "review_dismissed"
    bench.vendor.person_reviews(was.bound_id)
    await _collected(bench)
    for message in bench.take(Queue.FINISH):
        await bench.do(Queue.FINISH, message)
    assert str((await bench.items())[was.source].state) == "collected"
    assert b"review_dismissed" not in bench.results.of(batch.out)[MANIFEST_JSONL]


async def test_a_batch_in_which_something_is_open_is_left(bench: Bench) -> None:
    batch = await loaded(bench, "good")
    bench.drop("nightly/9.csv")
    await bench.ledger.update_batch(batch.batch_id, listed=False)
    assert await bench.do(Queue.FINISH, ref(batch)) == Done()
    assert bench.heard.ends == []
    assert bench.results.manifest(batch.out) == []


async def test_a_rolling_batch_rests_with_a_manifest_and_ends_when_its_day_is_over(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv", fate="refused"))
    await bench.work_off()
    batch = await bench.batch()
    assert [line["state"] for line in bench.results.manifest(batch.out)] == ["rejected"]
    assert (str(batch.state), bench.heard.ends) == ("running", [])
    await asyncio.sleep(2 * 3600 + 1000)
    await bench.reconcile()
    await bench.work_off()
    assert str((await bench.batch()).state) == "complete"
    assert [state for _, state, _ in bench.heard.ends] == ["complete"]


async def test_a_file_that_comes_after_the_end_of_its_day_opens_the_batch_and_it_ends_again(
    bench: Bench,
) -> None:
    await bench.configured()
    arrived_at = bench.deployment.clock.now()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv", fate="refused"))
    await asyncio.sleep(3 * 3600)
    await bench.reconcile()
    await bench.work_off()
    late = bench.drop("orders/late.csv", fate="refused")
    await bench.do(Queue.SUBMIT, replace(late, at=arrived_at))
    await bench.work_off()
    batch = await bench.batch()
    assert str(batch.state) == "complete"
    assert len(bench.results.manifest(batch.out)) == 2
    assert [state for _, state, _ in bench.heard.ends] == ["complete", "complete"]


async def test_two_at_once_write_one_manifest_and_tell_one_end(bench: Bench) -> None:
    batch = await loaded(bench, "good")
    outcomes = await asyncio.gather(*(bench.do(Queue.FINISH, ref(batch)) for _ in range(3)))
    assert {type(outcome) for outcome in outcomes} == {Done, Requeued}
    await bench.work_off()
    assert len(bench.heard.ends) == 1


async def test_a_function_that_died_before_it_noted_the_end_leaves_one_that_bears_the_same_name(bench: Bench) -> None:
    batch = await loaded(bench, "good")
    told = bench.deployment.notifier.batch_ended

    async def told_and_died(*arguments: object, **named: object) -> None:
        await told(*arguments, **named)  # type: ignore[arg-type]
        raise RuntimeError("died")

    bench.deployment.notifier.batch_ended = told_and_died  # type: ignore[method-assign]
    await asyncio.gather(bench.do(Queue.FINISH, ref(batch)), return_exceptions=True)
    bench.deployment.notifier.batch_ended = told  # type: ignore[method-assign]
    await bench.do(Queue.FINISH, ref(batch))
    assert len(bench.heard.ends) == 2
    assert len(set(bench.heard.ends)) == 1


@pytest.mark.parametrize(
    ("fate", "state", "code"), [("good", "skipped", 0), ("review", "skipped", 6), ("broken", "failed", 4)]
)
async def test_an_unchanged_load_is_not_sent_again_and_needs_attention_if_the_earlier_one_does(
    bench: Bench, fate: Fate, state: str, code: int
) -> None:
    first = await loaded(bench, fate)
    await bench.do(Queue.FINISH, ref(first))
    await asyncio.sleep(3600)
    await bench.do(Queue.LIST, LOAD)
    await bench.work_off()
    second = (await bench.ledger.batches())[-1]
    assert second.batch_id != first.batch_id
    (line,) = bench.results.manifest(second.out)
    assert (line["state"], line["earlier_batch_id"]) == (state, first.batch_id)
    assert (second.state, second.exit_code) == ("complete", code)
    assert len(bench.uploads) == 1


async def test_a_redrive_sends_a_file_that_failed_before(bench: Bench) -> None:
    first = await loaded(bench, "broken")
    await asyncio.sleep(3600)
    await bench.do(Queue.LIST, LOAD)
    await bench.work_off()
    second = (await bench.ledger.batches())[-1]
    item = await bench.ledger.item(second.batch_id, "0.csv")
    assert item is not None
    assert (item.error_code, item.earlier_batch_id) == (FAILED_BEFORE, first.batch_id)
    driver = Redrive(bench.ledger, bench.deployment.queues, bench.deployment.transitions())
    await driver.batch(second.batch_id, states={ItemState.FAILED}, match=None)
    await bench.work_off()
    assert len(bench.uploads) == 2


async def test_the_manifest_of_an_open_rolling_batch_is_written_once_in_five_minutes(bench: Bench) -> None:
    await bench.configured()
    written: list[int] = []
    for number in range(20):
        await bench.do(Queue.SUBMIT, bench.drop(f"orders/{number}.csv", fate="refused"))
        await bench.work_off()
        written.append(len(bench.results.manifest((await bench.batch()).out)))
        await asyncio.sleep(60)
    assert len(set(written)) == 4, "each of them is written once in five minutes"
    await asyncio.sleep(300)
    await bench.reconcile()
    await bench.work_off()
    assert len(bench.results.manifest((await bench.batch()).out)) == 20

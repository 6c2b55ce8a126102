"""An import that may have ended: only what the vendor says counts, and a result is brought home once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from runner.cloud.leases import LONG_S, NEW_S
from runner.cloud.messages import BatchRef, ImportHint
from runner.cloud.protocols import Done, Queue, Requeued
from runner.config.run_spec import RunSpec
from runner.errors import Unavailable
from runner.models import Item, ItemState
from runner.sources import SourceSpec
from tests.cloudcore.bench import Bench
from tests.support.inputs import Fate

pytestmark = pytest.mark.virtual_time


async def processing(bench: Bench, *, fate: Fate = "good", wait_s: float = 60.0) -> Item:
    """Return an item whose import has ended, as nobody has noticed yet."""
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv", fate=fate))
    await asyncio.sleep(wait_s)
    return (await bench.items())["orders/a.csv"]


class Stalled:
    """A storage whose downloads never come."""

    @asynccontextmanager
    async def get(self, _url: str, *, most_bytes: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        await asyncio.get_running_loop().create_future()
        yield aiter_of()


async def aiter_of() -> AsyncIterator[bytes]:
    yield b""


def hint_of(item: Item, bench: Bench | None = None) -> ImportHint:
    return ImportHint(import_id=item.import_id or "", at=bench.deployment.clock.now() if bench else None)


async def to_a_runner(bench: Bench) -> None:
    """Let a runner drive the batch."""
    batch = await bench.batch()
    at_home = SourceSpec(kind="directory", path="/data/inbox")
    spec = replace(RunSpec.from_json(batch.config), driver="runner", source=at_home)
    await bench.ledger.update_batch(batch.batch_id, config=spec.to_json())


async def test_a_result_is_brought_home_and_the_batch_comes_to_rest(bench: Bench) -> None:
    item = await processing(bench)
    assert await bench.do(Queue.COLLECT, hint_of(item, bench)) == Done()
    batch, (item,) = await bench.batch(), (await bench.items()).values()
    assert str(item.state) == "collected"
    assert bench.results.of(batch.out)[item.result or ""]
    assert bench.take(Queue.FINISH) == [BatchRef(batch_id=batch.batch_id)]
    assert bench.heard.figures["ItemsCollected"] == 1
    assert bench.heard.figures["WebhookToCollectedMilliseconds"] > 0
    assert bench.vendor.seen.calls["retrieve"] == 1


@pytest.mark.parametrize(("fate", "state"), [("broken", "failed"), ("review", "needs_review")])
async def test_what_only_a_retrieve_shows_is_read_with_the_first_one(bench: Bench, fate: Fate, state: str) -> None:
    item = await processing(bench, fate=fate)
    await bench.do(Queue.COLLECT, hint_of(item))
    (item,) = (await bench.items()).values()
    assert str(item.state) == state
    assert item.error_message
    assert bench.vendor.seen.calls["retrieve"] == 1
    assert len(bench.take(Queue.FINISH)) == 1


async def test_an_import_that_is_unknown_is_counted_and_costs_no_call(bench: Bench) -> None:
    assert await bench.do(Queue.COLLECT, ImportHint(import_id="forged")) == Done()
    assert bench.heard.figures["WebhookUnknown"] == 1
    assert not bench.vendor.seen.calls


async def test_hints_that_come_after_the_end_cost_no_call(bench: Bench) -> None:
    item = await processing(bench)
    for _ in range(3):
        assert await bench.do(Queue.COLLECT, hint_of(item)) == Done()
    assert bench.vendor.seen.calls["retrieve"] == 1
    assert bench.vendor.seen.calls["url"] == 1


async def test_two_hints_at_once_download_once(bench: Bench) -> None:
    item = await processing(bench)
    outcomes = await asyncio.gather(*(bench.do(Queue.COLLECT, hint_of(item)) for _ in range(3)))
    assert bench.vendor.seen.calls["url"] == 1
    assert {type(outcome) for outcome in outcomes} == {Done, Requeued}


async def test_a_result_is_left_to_the_function_that_downloads_it_however_long_that_takes(bench: Bench) -> None:
    item = await processing(bench)
    storage = bench.deployment.storage
    bench.deployment = replace(bench.deployment, storage=Stalled())  # type: ignore[arg-type]
    downloading = asyncio.ensure_future(bench.do(Queue.COLLECT, hint_of(item)))
    for later_s in (1, LONG_S, NEW_S, 60):
        await asyncio.sleep(later_s)
        assert isinstance(await bench.do(Queue.COLLECT, hint_of(item)), Requeued | Done)
    assert bench.vendor.seen.calls["url"] == 1
    downloading.cancel()
    await asyncio.wait({downloading})
    bench.deployment = replace(bench.deployment, storage=storage)
    assert await bench.do(Queue.COLLECT, hint_of(item)) == Done()
    assert await bench.states() == {"orders/a.csv": "collected"}


async def test_a_result_whose_function_died_is_downloaded_by_the_next(bench: Bench) -> None:
    item = await processing(bench)
    await bench.ledger.advance(item, ItemState.SUCCEEDED, reason="status SUCCESSFUL", status="SUCCESSFUL")
    assert isinstance(await bench.do(Queue.COLLECT, hint_of(item)), Requeued)
    await asyncio.sleep(NEW_S)
    assert await bench.do(Queue.COLLECT, hint_of(item)) == Done()
    assert await bench.states() == {"orders/a.csv": "collected"}


async def test_a_file_whose_work_is_short_needs_no_lease(bench: Bench) -> None:
    item = await processing(bench)
    await bench.do(Queue.COLLECT, hint_of(item))
    assert await bench.states() == {"orders/a.csv": "collected"}
    assert bench.leases._taken == {}


async def test_a_hint_that_came_too_early_changes_nothing(bench: Bench) -> None:
    item = await processing(bench, wait_s=0)
    assert await bench.do(Queue.COLLECT, hint_of(item)) == Done()
    assert str((await bench.items())["orders/a.csv"].state) == "processing"


async def test_an_item_whose_upload_is_not_recorded_yet_is_moved_on(bench: Bench) -> None:
    item = await processing(bench)
    created = replace(item, state=ItemState.CREATED, status="AWAITING_UPLOAD")
    bench.ledger._batches[item.batch_id].items[item.source] = created
    rows = bench.ledger._batches[item.batch_id].places
    rows[ItemState.CREATED], rows[ItemState.PROCESSING] = rows[ItemState.PROCESSING], []
    await bench.do(Queue.COLLECT, hint_of(item))
    history = [str(entry.state) for entry in await bench.ledger.history(item.batch_id, item.source)]
    assert history[-3:] == ["processing", "succeeded", "collected"]


async def test_of_a_runners_batch_only_the_status_is_moved(bench: Bench) -> None:
    item = await processing(bench)
    await to_a_runner(bench)
    assert await bench.do(Queue.COLLECT, hint_of(item)) == Done()
    assert await bench.states() == {"orders/a.csv": "succeeded"}
    assert bench.vendor.seen.calls["url"] == 0
    assert bench.take(Queue.FINISH) == []


async def test_a_result_that_cannot_be_fetched_raises_and_marks_the_item_in_the_end(bench: Bench) -> None:
    item = await processing(bench)
    await bench.ledger.advance(item, ItemState.SUCCEEDED, reason="status SUCCESSFUL", status="SUCCESSFUL")

    async def unavailable(_import_id: str) -> str:
        raise Unavailable("503")

    bench.deployment.api.results_url = unavailable  # type: ignore[method-assign]
    await asyncio.sleep(NEW_S)
    for receives in (1, 5):
        with pytest.raises(Unavailable):
            await bench.do(Queue.COLLECT, hint_of(item), receives=receives)
    (item,) = (await bench.items()).values()
    assert (str(item.state), item.error_code) == ("succeeded", "dead_letter")


async def test_an_import_that_the_item_has_given_up_is_left(bench: Bench) -> None:
    item = await processing(bench)
    bench.ledger._owners["given-up"] = (item.batch_id, item.source)
    assert await bench.do(Queue.COLLECT, ImportHint(import_id="given-up")) == Done()
    assert await bench.states() == {"orders/a.csv": "processing"}


async def test_rows_left_out_are_counted_with_the_item_and_once_however_often_a_message_comes(bench: Bench) -> None:
    item = await processing(bench)
    for _ in range(3):
        await bench.do(Queue.COLLECT, hint_of(item))
    batch, (item,) = await bench.batch(), (await bench.items()).values()
    assert item.rows_left_out is not None
    assert await bench.ledger.row_totals(batch.batch_id) == item.row_totals
    await bench.do(Queue.FINISH, BatchRef(batch_id=batch.batch_id))
    summary = json.loads(bench.results.of(batch.out)["summary.json"])
    assert (summary["rows_in"], summary["rows_left_out"]) == (item.rows_in, item.rows_left_out)

"""A load is one batch, listed a page a message, whatever of that comes twice or dies in between."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runner.cloud.lifecycle import start_load
from runner.cloud.messages import BatchRef, ItemRef, ListPage, StartLoad
from runner.cloud.protocols import Done, Queue
from runner.errors import ConfigError, SourceNotFound
from tests.cloudcore.bench import Bench
from tests.support.inputs import Input

pytestmark = pytest.mark.virtual_time

AT = datetime(2026, 7, 1, 22, 0, tzinfo=UTC)
LOAD = StartLoad(uri="s3://inbox/nightly/", name="nightly", at=AT)


def fill(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.drop(f"nightly/{number}.csv")


@pytest.mark.plan(page_length=2)
async def test_a_load_is_listed_page_by_page_and_its_items_are_enqueued(bench: Bench) -> None:
    await bench.configured()
    fill(bench, 5)
    await bench.do(Queue.LIST, LOAD)
    batch = await bench.batch()
    assert batch.batch_id.startswith("nightly-20260701-220000-")
    for listed in (2, 4, 5):
        assert len(await bench.items()) == listed
        assert len(bench.post.waiting[Queue.LOAD]) == listed
        pages = bench.take(Queue.LIST)
        assert len(pages) == (1 if listed < 5 else 0)
        for page in pages:
            await bench.do(Queue.LIST, page)
    assert (await bench.batch()).listed


async def test_a_load_that_is_asked_for_twice_is_one_batch(bench: Bench) -> None:
    await bench.configured()
    fill(bench, 2)
    await bench.do(Queue.LIST, LOAD)
    await bench.do(Queue.LIST, LOAD)
    assert len(await bench.ledger.batches()) == 1


async def test_a_load_without_a_time_is_of_this_minute(bench: Bench) -> None:
    await bench.configured()
    fill(bench, 1)
    await bench.do(Queue.LIST, StartLoad(uri=LOAD.uri, name="nightly"))
    await bench.do(Queue.LIST, StartLoad(uri=LOAD.uri, name="nightly"))
    assert (await bench.batch()).batch_id.startswith("nightly-20260701-220000-")


async def test_a_page_that_was_added_but_not_enqueued_is_enqueued_when_its_message_comes_again(bench: Bench) -> None:
    await bench.configured()
    fill(bench, 2)
    await bench.do(Queue.LIST, LOAD)
    batch = await bench.batch()
    bench.take(Queue.LOAD)
    await bench.ledger.update_batch(batch.batch_id, listed=False)
    await bench.do(Queue.LIST, ListPage(batch_id=batch.batch_id))
    assert bench.take(Queue.LOAD) == [
        ItemRef(batch_id=batch.batch_id, source="0.csv"),
        ItemRef(batch_id=batch.batch_id, source="1.csv"),
    ]
    assert len(await bench.items()) == 2


async def test_a_page_of_a_batch_that_is_listed_to_its_end_is_done_with(bench: Bench) -> None:
    await bench.configured()
    fill(bench, 1)
    await bench.do(Queue.LIST, LOAD)
    bench.take(Queue.LOAD)
    assert await bench.do(Queue.LIST, ListPage(batch_id=(await bench.batch()).batch_id)) == Done()
    assert await bench.do(Queue.LIST, ListPage(batch_id="none")) == Done()
    assert bench.take(Queue.LOAD) == []


async def test_what_was_sent_before_is_skipped_and_not_enqueued(bench: Bench) -> None:
    await bench.configured()
    fill(bench, 2)
    await bench.do(Queue.LIST, LOAD)
    await bench.work_off()
    again = StartLoad(uri=LOAD.uri, name="nightly", at=AT.replace(hour=23))
    await bench.do(Queue.LIST, again)
    assert bench.take(Queue.LOAD) == []
    assert len(bench.take(Queue.FINISH)) == 1
    assert len(bench.uploads) == 2


async def test_a_load_of_nothing_comes_to_its_end_at_once(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.LIST, LOAD)
    batch = await bench.batch()
    assert bench.post.waiting[Queue.FINISH]
    await bench.work_off()
    assert str((await bench.batch()).state) == "complete"
    assert [state for _, state, _ in bench.heard.ends] == ["complete"]
    assert bench.results.manifest(batch.out) == []


async def test_a_source_that_cannot_be_listed_pauses_its_load_in_the_end(bench: Bench) -> None:
    await bench.configured()

    class Gone:
        uri = LOAD.uri

        async def page(self, token: str | None) -> None:
            raise SourceNotFound("there is no such bucket")

    bench.deployment.places.source = lambda _spec: Gone()  # type: ignore[method-assign,assignment,return-value]
    for receives in (1, 5):
        with pytest.raises(SourceNotFound):
            await bench.do(Queue.LIST, LOAD, receives=receives)
        assert str((await bench.batch()).state) == ("running" if receives == 1 else "paused")
    assert (await bench.batch()).exit_code == 3


async def test_the_configuration_is_never_imported(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.LIST, StartLoad(uri="s3://inbox/", name="all", at=AT))
    assert '"s3://inbox/config"' in (await bench.batch()).config


async def test_a_load_is_asked_for_by_one_message_that_names_its_batch(bench: Bench) -> None:
    await bench.configured()
    bench.bucket.put("nightly/a.csv", Input.make("a", "file", "good"))  # type: ignore[arg-type]
    batch_id = await start_load(bench.deployment.queues, LOAD.uri, name="nightly", at=AT)
    await bench.work_off()
    assert (await bench.batch()).batch_id == batch_id
    with pytest.raises(ConfigError):
        await start_load(bench.deployment.queues, "inbox/nightly", name="nightly", at=AT)


@pytest.mark.plan(page_length=1)
async def test_finish_is_enqueued_when_the_last_page_comes_after_the_last_item_has_ended(bench: Bench) -> None:
    await bench.configured()
    bench.drop("nightly/a.csv", fate="refused")
    bench.drop("nightly/b.csv", fate="refused")
    await bench.do(Queue.LIST, LOAD)
    (first,) = bench.take(Queue.LOAD)
    await bench.do(Queue.LOAD, first)
    assert bench.take(Queue.FINISH) == []
    (page,) = bench.take(Queue.LIST)
    await bench.do(Queue.LIST, page)
    (last,) = bench.take(Queue.LOAD)
    await bench.do(Queue.LOAD, last)
    assert bench.take(Queue.FINISH) == [BatchRef(batch_id=(await bench.batch()).batch_id)]

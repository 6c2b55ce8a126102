"""From a file that landed, or an item of a batch, to data at the vendor: once, and never idle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runner.aws.s3 import S3Place
from runner.aws.s3_errors import Doing, translation
from runner.cloud.context import Landing
from runner.cloud.deadline import Deadline
from runner.cloud.handlers.register import ingest
from runner.cloud.leases import LONG_S, NEW_S, hold_item
from runner.cloud.messages import ItemRef, ObjectCreated, decode
from runner.cloud.protocols import Done, Queue, Requeued, retry_after_s
from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.errors import (
    AuthRefused,
    ConfigError,
    DuplicatePending,
    ItemRejected,
    NotSent,
    NotYet,
    SchemaNotFound,
    StaleItem,
    Unavailable,
    UploadRefused,
)
from runner.models import Batch, CreateRequest, Item, ItemKind, ItemState, RemoteImport
from runner.quota.slots import Slot
from tests.cloudcore.bench import Bench
from tests.cloudcore.scenario import CONFIG
from tests.support.scripted_s3 import refusal

pytestmark = pytest.mark.virtual_time


BELOW_INCOMING = Landing(root="s3://inbox/incoming/", nightly="incoming/later/")


class Unreachable:
    """An API, or storage, that answers nothing but `error`."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.creates = 0
        self.lists = 0

    async def create(self, request: CreateRequest) -> RemoteImport:
        self.creates += 1
        raise self._error

    async def list_page(self, **_: Any) -> Any:
        self.lists += 1
        raise self._error

    async def put(self, *_: Any, **__: Any) -> bool:
        raise self._error


class Stalled:
    """A storage that never answers."""

    async def put(self, *_: Any, **__: Any) -> bool:
        await asyncio.get_running_loop().create_future()
        return False


async def test_a_file_that_landed_is_registered_created_and_uploaded_by_one_message(bench: Bench) -> None:
    await bench.configured()
    assert await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv")) == Done()
    assert await bench.states() == {"orders/a.csv": "processing"}
    batch = await bench.batch()
    assert (batch.batch_id, batch.out) == (
        "landed-20260701-orders",
        "s3://results/batches/landed-20260701-orders",
    )
    assert RunSpec.from_json(batch.config).driver == "stack"
    assert batch.counters["bytes_uploaded"] > 0
    assert bench.heard.figures["CreatesAnswered"] == 1


async def test_a_file_under_the_prefix_of_the_inbox_is_in_the_batch_of_the_folder_below_it(bench: Bench) -> None:
    await bench.configured()
    deployment = replace(bench.deployment, landing=BELOW_INCOMING)
    ref = await ingest(deployment, bench.drop("incoming/orders/a.csv"))
    assert ref is not None
    assert (ref.batch_id, ref.source) == ("landed-20260701-orders", "incoming/orders/a.csv")


async def test_a_file_that_waits_for_a_load_waits_also_below_the_prefix_of_the_inbox(bench: Bench) -> None:
    await bench.configured()
    deployment = replace(bench.deployment, landing=BELOW_INCOMING)
    assert await ingest(deployment, bench.drop("incoming/later/a.csv")) is None
    assert await bench.items() == {}


async def test_an_event_that_comes_again_finds_nothing_left_to_do(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    for _ in range(3):
        assert await bench.do(Queue.SUBMIT, landed) == Done()
    assert bench.uploads == ["orders/a.csv"]
    assert len(await bench.items()) == 1


async def test_two_functions_with_the_same_message_send_it_once(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    outcomes = await asyncio.gather(*(bench.do(Queue.SUBMIT, landed) for _ in range(4)))
    assert bench.vendor.seen.calls["create"] == 1
    assert outcomes == [Done()] * 4


async def test_a_function_that_came_second_says_nothing_about_the_work_of_the_first(bench: Bench) -> None:
    await bench.configured()
    await ingest(bench.deployment, bench.drop("orders/a.csv"))
    (item,) = (await bench.items()).values()
    deadline = Deadline(lambda: 900.0, longest_wait_s=45.0)
    async with hold_item(
        bench.deployment, item, item.source, deadline, claim=ItemState.CREATING, is_claimed=False
    ) as hold:
        await bench.ledger.advance(item, ItemState.CREATING, reason="the first function", attempts=1)
        with pytest.raises(StaleItem):
            await hold.deployment.transitions().advance(item, ItemState.CREATING, reason="the second", attempts=1)
    assert await bench.leases.seen(item.batch_id, item.source) is None


async def test_a_second_version_of_a_key_is_an_item_of_its_own_whichever_comes_first(bench: Bench) -> None:
    await bench.configured()
    first, second = bench.drop("orders/a.csv", mark="one"), bench.drop("orders/a.csv", mark="two")
    for landed in (second, first, second, first):
        await bench.do(Queue.SUBMIT, landed)
    assert bench.uploads == ["one", "two"]
    marked = sorted(await bench.items())
    assert len(marked) == 2
    assert marked[0] == "orders/a.csv"
    assert marked[1].startswith("orders/a@")


@pytest.mark.plan(versioned=False)
async def test_a_key_that_returns_to_earlier_content_on_the_same_day_is_sent_again(bench: Bench) -> None:
    await bench.configured()
    events = []
    for mark in ("a", "b", "a", "b"):
        events.append(bench.drop("orders/a.csv", mark=mark))
        for _ in range(2):
            await bench.do(Queue.SUBMIT, events[-1])
        await asyncio.sleep(60)
    for event in events:
        await bench.do(Queue.SUBMIT, event)
    assert bench.uploads == ["a", "a", "b", "b"]
    assert len(await bench.items()) == 4
    assert len({item.tag for item in (await bench.items()).values()}) == 4


@pytest.mark.plan(versioned=False)
async def test_without_versions_a_file_that_was_replaced_before_it_was_read_is_rejected_and_the_new_one_is_imported(
    bench: Bench,
) -> None:
    await bench.configured()
    first, second = bench.drop("orders/a.csv", mark="one"), bench.drop("orders/a.csv", mark="two")
    for landed in (first, second):
        await bench.do(Queue.SUBMIT, landed)
    assert bench.uploads == ["two"]
    assert sorted((await bench.states()).values()) == ["processing", "rejected"]


async def test_the_same_content_that_another_batch_has_sent_is_skipped(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    await bench.do(Queue.SUBMIT, landed)
    await bench.do(Queue.SUBMIT, replace(landed, at=landed.at.replace(day=2)))
    counts = [await bench.ledger.counts(batch.batch_id) for batch in await bench.ledger.batches()]
    assert counts == [{ItemState.PROCESSING: 1}, {ItemState.SKIPPED: 1}]
    assert len(bench.uploads) == 1


async def test_content_that_another_batch_may_yet_fail_to_send_is_waited_for_and_then_sent(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    bench.deployment, working = replace(bench.deployment, storage=Unreachable(NotSent("no"))), bench.deployment  # type: ignore[arg-type]
    with pytest.raises(NotYet):
        await bench.do(Queue.SUBMIT, landed)
    bench.deployment = working
    again = replace(landed, at=landed.at.replace(day=2))
    assert isinstance(await bench.do(Queue.SUBMIT, again), Requeued)
    (first, second) = await bench.ledger.batches()
    assert await bench.ledger.counts(second.batch_id) == {ItemState.QUEUED: 1}
    twin = await bench.ledger.item(first.batch_id, "orders/a.csv")
    assert twin is not None
    await bench.ledger.advance(twin, ItemState.FAILED, reason="upload_refused")
    for message in bench.take(Queue.SUBMIT):
        await bench.do(Queue.SUBMIT, message)
    assert await bench.ledger.counts(second.batch_id) == {ItemState.PROCESSING: 1}
    assert bench.uploads == ["orders/a.csv"]


async def test_content_that_another_batch_sends_all_day_is_told_of_and_not_waited_for_without_end(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    bench.deployment = replace(bench.deployment, storage=Unreachable(NotSent("no")))  # type: ignore[arg-type]
    with pytest.raises(NotYet):
        await bench.do(Queue.SUBMIT, landed)
    again = replace(landed, at=landed.at.replace(day=2))
    await bench.do(Queue.SUBMIT, again)
    await asyncio.sleep(25 * 3600)
    for receives in range(1, 6):
        with pytest.raises(DuplicatePending):
            await bench.do(Queue.SUBMIT, again, receives=receives)
    (_, second) = await bench.ledger.batches()
    item = await bench.ledger.item(second.batch_id, "orders/a.csv")
    assert item is not None
    assert (item.state, item.error_code) == (ItemState.REJECTED, "dead_letter")


async def test_an_item_of_a_runners_batch_is_left_to_its_runner(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    batch = await bench.batch()
    spec = replace(RunSpec.from_json(batch.config), driver="runner")
    await bench.ledger.start_batch(replace(batch, batch_id="theirs", config=spec.to_json()))
    await bench.ledger.add([Item(batch_id="theirs", source="b.csv")])
    assert await bench.do(Queue.SUBMIT, ItemRef(batch_id="theirs", source="b.csv")) == Done()
    item = await bench.ledger.item("theirs", "b.csv")
    assert item is not None
    assert item.revision == 0


@pytest.mark.parametrize("ref", [ItemRef(batch_id="none", source="a"), ItemRef(batch_id="b", source="none")])
async def test_a_message_of_nothing_that_is_known_is_done_with(bench: Bench, ref: ItemRef) -> None:
    now = bench.deployment.clock.now()
    await bench.ledger.start_batch(
        Batch(batch_id="b", source_uri="s3://inbox", account="", out="", started_at=now, config=_stack_config())
    )
    assert await bench.do(Queue.SUBMIT, ref) == Done()


def _stack_config() -> str:
    return (
        '{"source":{"kind":"s3","path":"s3://inbox/","files_from":null,"include":[],"exclude":[],"leave_out":[],'
        '"min_age_s":0.0,"order_by":"name"},"routes":[],"again":false,"driver":"stack"}'
    )


async def test_the_message_of_an_item_that_another_function_holds_is_sent_again(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    assert await ingest(bench.deployment, landed) is not None
    (item,) = (await bench.items()).values()
    await bench.ledger.advance(item, ItemState.CREATING, reason="the other function creates it")
    await bench.leases.take("landed-20260701-orders", "orders/a.csv", holder="other", for_s=100)
    assert isinstance(await bench.do(Queue.SUBMIT, landed), Requeued)
    assert 60 <= bench.delays(Queue.SUBMIT)[0] <= 65
    assert await bench.do(Queue.SUBMIT, landed) == Done(), "one message on its way is enough"
    assert bench.take(Queue.SUBMIT) == [ItemRef(batch_id="landed-20260701-orders", source="orders/a.csv")]
    assert bench.uploads == []


class Deaf:
    """Queues that take nothing."""

    async def send(self, *_: Any, **__: Any) -> None:
        raise Unavailable("SQS does not answer")


async def test_a_message_that_could_not_be_sent_again_does_not_count_as_sent(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    await _busy(bench, for_s=800)
    queues, bench.deployment = bench.deployment.queues, replace(bench.deployment, queues=Deaf())
    with pytest.raises(Unavailable):
        await bench.do(Queue.SUBMIT, landed)
    bench.deployment = replace(bench.deployment, queues=queues)
    await asyncio.sleep(retry_after_s(1))
    assert isinstance(await bench.do(Queue.SUBMIT, landed, receives=2), Requeued)
    assert len(bench.take(Queue.SUBMIT)) == 1


async def test_a_file_whose_name_says_next_is_not_taken_for_a_message_on_its_way(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("next a.csv"), bench.drop("a.csv")
    await _busy(bench, for_s=300)
    await bench.leases.take("landed-20260701-all", "next a.csv", holder="other", for_s=900)
    for one in landed:
        assert isinstance(await bench.do(Queue.SUBMIT, one), Requeued)
    assert len(bench.take(Queue.SUBMIT)) == 2


async def _busy(bench: Bench, *, for_s: float) -> None:
    """Let every slot of the quota be taken for so long."""
    until = bench.loop.time() + for_s
    while (turn := await bench.slots.first("account", count=20)).due_at < until:
        await bench.slots.swap("account", turn.number, seen=turn.slot, new=Slot(until=until, token="other"))


async def test_a_permit_that_is_far_off_is_waited_for_by_the_queue(bench: Bench) -> None:
    await bench.configured()
    await _busy(bench, for_s=300)
    began = bench.loop.time()
    assert isinstance(await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv")), Requeued)
    assert bench.loop.time() - began < 50
    assert 250 <= bench.delays(Queue.SUBMIT)[0] <= 260
    assert await bench.states() == {"orders/a.csv": "queued"}


async def test_a_backlog_fills_the_quota_and_few_of_its_messages_are_sent_again(bench: Bench) -> None:
    await bench.configured()
    for number in range(300):
        bench.post.put(Queue.SUBMIT, bench.drop(f"orders/{number:03}.csv"), now=bench.loop.time())

    async def serve() -> None:
        while True:
            envelope = await bench.post.next(Queue.SUBMIT, bench.loop, hidden_s=1800)
            await bench.do(Queue.SUBMIT, decode(envelope.text))
            bench.post.acknowledge(Queue.SUBMIT, envelope)

    servers = [asyncio.ensure_future(serve()) for _ in range(20)]
    await asyncio.sleep(600)
    for server in servers:
        server.cancel()
    await asyncio.gather(*servers, return_exceptions=True)
    assert bench.vendor.seen.calls["create"] >= 180
    assert not bench.vendor.state.counters.refused_create_times
    assert bench.post.sent[Queue.SUBMIT] - 300 <= 20 * 600 / 45


async def test_an_upload_needs_no_permit(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    storage, bench.deployment = (
        bench.deployment.storage,
        replace(bench.deployment, storage=Unreachable(NotSent("no"))),
    )  # type: ignore[arg-type]
    with pytest.raises(NotYet):
        await bench.do(Queue.SUBMIT, landed)
    assert await bench.states() == {"orders/a.csv": "created"}
    bench.deployment = replace(bench.deployment, storage=storage)
    await _busy(bench, for_s=300)
    assert await bench.do(Queue.SUBMIT, landed) == Done()
    assert bench.uploads == ["orders/a.csv"]


async def test_an_import_that_is_given_up_because_its_route_is_gone_is_no_failure(bench: Bench) -> None:
    await bench.configured('schema_id = "contacts"')
    landed = bench.drop("orders/a.csv")
    storage, bench.deployment = (
        bench.deployment.storage,
        replace(bench.deployment, storage=Unreachable(NotSent("no"))),
    )  # type: ignore[arg-type]
    with pytest.raises(NotYet):
        await bench.do(Queue.SUBMIT, landed)
    bench.deployment = replace(bench.deployment, storage=storage)
    await _forget_routes(bench)
    assert isinstance(await bench.do(Queue.SUBMIT, landed, receives=5), Requeued)
    assert await bench.states() == {"orders/a.csv": "queued"}
    for message in bench.take(Queue.SUBMIT):
        await bench.do(Queue.SUBMIT, message)
    assert [item.error_code for item in (await bench.items()).values()] == ["no_route"]
    assert bench.uploads == []


async def test_a_permit_that_is_near_is_waited_for(bench: Bench) -> None:
    await bench.configured()
    await _busy(bench, for_s=30)
    assert await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv")) == Done()
    assert await bench.states() == {"orders/a.csv": "processing"}


async def test_a_wait_for_a_permit_that_others_take_ends_after_45_seconds_and_is_no_failure(bench: Bench) -> None:
    await bench.configured()
    await _busy(bench, for_s=40)
    began = bench.loop.time()
    bench.loop.call_later(39, lambda: bench.loop.create_task(_taken_again(bench)))
    assert isinstance(await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv")), Requeued)
    assert 45 <= bench.loop.time() - began < 50
    assert await bench.states() == {"orders/a.csv": "queued"}


async def _taken_again(bench: Bench) -> None:
    for _ in range(20):
        turn = await bench.slots.first("account", count=20)
        later = Slot(until=turn.slot.until + 60, token="another")
        await bench.slots.swap("account", turn.number, seen=turn.slot, new=later)


async def test_with_little_time_left_nothing_is_begun(bench: Bench) -> None:
    await bench.configured()
    assert isinstance(await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"), left_s=9), Requeued)
    assert bench.vendor.seen.calls["create"] == 0
    assert len(bench.take(Queue.SUBMIT)) == 1


async def test_an_item_is_left_to_the_function_that_sends_it_and_can_be_taken_over_as_soon_as_that_ends(
    bench: Bench,
) -> None:
    await bench.configured()
    landed, storage = bench.drop("orders/a.csv"), bench.deployment.storage
    bench.deployment = replace(bench.deployment, storage=Stalled())  # type: ignore[arg-type]
    sending = asyncio.ensure_future(bench.do(Queue.SUBMIT, landed))
    for later_s in (1, LONG_S, NEW_S, 60):
        await asyncio.sleep(later_s)
        assert isinstance(await bench.do(Queue.SUBMIT, landed), Requeued)
        await asyncio.sleep(61)
    assert await bench.leases.seen("landed-20260701-orders", "orders/a.csv") is not None
    sending.cancel()
    await asyncio.wait({sending})
    bench.deployment = replace(bench.deployment, storage=storage)
    assert await bench.do(Queue.SUBMIT, landed) == Done()
    assert bench.uploads == ["orders/a.csv"]
    assert bench.vendor.seen.calls["create"] == 1


async def test_an_item_whose_function_died_a_moment_ago_is_sent_after_a_short_wait(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    assert await ingest(bench.deployment, landed) is not None
    (item,) = (await bench.items()).values()
    await bench.ledger.advance(item, ItemState.CREATING, reason="the function dies", attempts=1)
    answer = await bench.do(Queue.SUBMIT, landed)
    assert isinstance(answer, Requeued)
    assert answer.delay_s <= NEW_S + 5
    await asyncio.sleep(answer.delay_s)
    assert await bench.do(Queue.SUBMIT, landed) == Done()
    assert bench.uploads == ["orders/a.csv"]


async def test_an_upload_that_outlasts_the_function_is_released_and_resumed(bench: Bench) -> None:
    await bench.configured()
    landed, began = bench.drop("orders/a.csv"), bench.loop.time()
    storage = bench.deployment.storage
    bench.deployment = replace(bench.deployment, storage=Stalled())  # type: ignore[arg-type]
    assert isinstance(await bench.do(Queue.SUBMIT, landed, left_s=100), Requeued)
    assert bench.loop.time() - began < 100
    bench.deployment = replace(bench.deployment, storage=storage)
    await bench.work_off()
    assert bench.uploads == ["orders/a.csv"]
    assert bench.vendor.seen.calls["create"] == 1


async def test_functions_count_together_how_often_storage_refused_an_upload(bench: Bench) -> None:
    await bench.configured()
    refusing = Unreachable(UploadRefused("HTTP 403 AccessDenied", may_pass=True))
    bench.deployment = replace(bench.deployment, storage=refusing)  # type: ignore[arg-type]
    message = bench.drop("orders/a.csv")
    waits: list[int] = []
    while isinstance(outcome := await bench.do(Queue.SUBMIT, message), Requeued):
        [message] = bench.take(Queue.SUBMIT)
        waits.append(outcome.delay_s)
    assert len(waits) == 3
    assert all(wait >= least for wait, least in zip(waits, (2, 10, 30), strict=True))
    assert (await bench.items())["orders/a.csv"].error_code == "upload_refused"


async def test_a_poisoned_file_marks_its_own_item_alone(bench: Bench) -> None:
    await bench.configured()
    with pytest.raises(RuntimeError):
        await bench.do(Queue.SUBMIT, bench.drop("orders/poison.csv"), receives=5)
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    assert await bench.states() == {"orders/poison.csv": "rejected", "orders/a.csv": "processing"}
    assert "RuntimeError" in ((await bench.items())["orders/poison.csv"].error_message or "")


async def test_a_key_that_is_not_accepted_is_no_items_trouble(bench: Bench) -> None:
    await bench.configured()
    bench.with_api(Unreachable(AuthRefused("the key is not accepted")))
    with pytest.raises(AuthRefused):
        await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"), receives=5)
    assert await bench.states() == {"orders/a.csv": "queued"}


async def test_an_object_that_may_not_be_read_is_given_up_though_nothing_was_read_before_it(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")

    def denied(*_: Any) -> Any:
        raise ConfigError("cannot read it") from ItemRejected("access_denied", "S3 denies reading it")

    bench.bucket.read = denied  # type: ignore[method-assign]
    for receives, state in ((4, "queued"), (5, "rejected")):
        with pytest.raises(ConfigError):
            await bench.do(Queue.SUBMIT, landed, receives=receives)
        assert await bench.states() == {"orders/a.csv": state}
    assert len(bench.take(Queue.FINISH)) == 1


async def test_files_whose_key_cannot_be_used_wait_until_it_can(bench: Bench) -> None:
    await bench.configured()
    landed, read = bench.drop("orders/a.csv"), bench.bucket.read

    def disabled(*_: Any) -> Any:
        refused = refusal(400, "KMS.DisabledException", "the key is disabled")
        raise translation(refused, S3Place("inbox", "orders/a.csv"), Doing.READ) from refused

    bench.bucket.read = disabled  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="KMS key"):
        await bench.do(Queue.SUBMIT, landed, receives=5)
    assert await bench.states() == {"orders/a.csv": "queued"}
    bench.bucket.read = read  # type: ignore[method-assign]
    await asyncio.sleep(600)
    await bench.reconcile()
    (again,) = bench.take(Queue.SUBMIT)
    await bench.do(Queue.SUBMIT, again)
    assert bench.uploads == ["orders/a.csv"]


async def test_a_schema_that_the_vendor_does_not_have_is_told_on_the_item(bench: Bench) -> None:
    await bench.configured('schema_id = "nowhere"')
    with pytest.raises(SchemaNotFound):
        await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"), receives=5)
    assert (await bench.items())["orders/a.csv"].error_code == "dead_letter"


async def test_a_function_that_died_in_its_create_leaves_an_import_that_the_next_one_adopts(bench: Bench) -> None:
    await bench.configured()
    landed = bench.drop("orders/a.csv")
    await bench.do(Queue.SUBMIT, bench.drop("orders/other.csv"))

    async def lost(request: CreateRequest) -> RemoteImport:
        made = await create(request)
        bench.process.trace.note("died", made.import_id)
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    api = bench.deployment.api
    create, api.create = api.create, lost  # type: ignore[method-assign]
    dying = asyncio.ensure_future(bench.do(Queue.SUBMIT, landed))
    await asyncio.sleep(20)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    api.create = create  # type: ignore[method-assign]
    assert (await bench.states())["orders/a.csv"] == "creating"
    assert await bench.do(Queue.SUBMIT, landed) == Done()
    assert bench.vendor.seen.calls["create"] == 2
    assert bench.uploads == ["orders/a.csv", "orders/other.csv"]


async def test_a_ledger_that_was_not_compared_for_long_is_compared_before_anything_is_created(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    assert bench.vendor.seen.calls["list"] == 1
    await bench.do(Queue.SUBMIT, bench.drop("orders/b.csv"))
    assert bench.vendor.seen.calls["list"] == 1
    await asyncio.sleep(1000)
    await bench.do(Queue.SUBMIT, bench.drop("orders/c.csv"))
    assert bench.vendor.seen.calls["list"] == 2


async def test_a_json_create_waits_while_another_of_its_schema_has_an_unknown_outcome(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("json/a.json"))
    batch = await bench.batch()
    doubted = Item(batch_id=batch.batch_id, source="json/b.json", kind=ItemKind.JSON, schema_id="contacts")
    await bench.ledger.add([doubted])
    await bench.ledger.advance(doubted, ItemState.CREATING, reason="intent")
    assert isinstance(await bench.do(Queue.SUBMIT, bench.drop("json/c.json")), Requeued)
    assert (await bench.states())["json/c.json"] == "queued"
    assert await bench.do(Queue.SUBMIT, ItemRef(batch_id=batch.batch_id, source="json/b.json")) == Done()


async def test_a_doubt_that_a_runner_left_behind_long_ago_holds_no_json_create_back(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("json/a.json"))
    doubted = Item(
        batch_id=(await bench.batch()).batch_id, source="json/b.json", kind=ItemKind.JSON, schema_id="contacts"
    )
    await bench.ledger.add([doubted])
    await bench.ledger.advance(doubted, ItemState.CREATING, reason="intent", intent_at=bench.deployment.clock.now())
    landed = bench.drop("json/c.json")
    for minutes, state in ((1, "queued"), (17, "queued"), (2, "processing")):
        await asyncio.sleep(minutes * 60)
        await bench.do(Queue.SUBMIT, landed)
        assert (await bench.states())["json/c.json"] == state


async def test_json_creates_of_a_schema_go_one_after_another(bench: Bench) -> None:
    await bench.configured()
    both = [bench.do(Queue.SUBMIT, bench.drop(f"json/{name}.json")) for name in "ab"]
    outcomes = await asyncio.gather(*both)
    assert {type(outcome) for outcome in outcomes} == {Done, Requeued}
    await bench.work_off()
    assert bench.uploads == ["json/a.json", "json/b.json"]


async def test_a_file_without_a_route_is_rejected_and_its_batch_comes_to_rest(bench: Bench) -> None:
    assert await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv")) == Done()
    assert (await bench.items())["orders/a.csv"].error_code == "no_route"
    assert len(bench.take(Queue.FINISH)) == 1


async def test_a_file_that_failed_at_the_vendor_is_sent_at_once_when_it_was_redriven(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    (item,) = (await bench.items()).values()
    item = await bench.ledger.advance(item, ItemState.FAILED, reason="import failed", error_code="import_failed")
    await bench.ledger.advance(item, ItemState.QUEUED, reason="redriven", import_id=None, error_code=None)
    ref = ItemRef(batch_id=item.batch_id, source=item.source)
    assert await bench.do(Queue.SUBMIT, ref) == Done()
    assert await bench.states() == {"orders/a.csv": "processing"}


async def test_a_file_that_is_redriven_has_the_routes_that_are_in_force_by_then(bench: Bench) -> None:
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    (item,) = (await bench.items()).values()
    assert item.error_code == "no_route"
    await bench.configured('schema_id = "customers"')
    await bench.ledger.advance(item, ItemState.QUEUED, reason="redriven", error_code=None, error_message=None)
    await bench.do(Queue.SUBMIT, ItemRef(batch_id=item.batch_id, source=item.source))
    (item,) = (await bench.items()).values()
    assert (item.state, item.schema_id) == (ItemState.PROCESSING, "customers")


async def test_a_second_version_of_a_key_has_the_route_of_the_key(bench: Bench) -> None:
    routes = '[[routes]]\nmatch = "orders/?.CSV"\nschema_id = "contacts"\n'
    await bench.configured(routes + '[[routes]]\nmatch = "**"\nschema_id = "customers"\n')
    for mark in ("one", "two"):
        await bench.do(Queue.SUBMIT, bench.drop("orders/A.CSV", mark=mark))
    assert bench.uploads == ["one", "two"]
    assert [item.schema_id for item in (await bench.items()).values()] == ["contacts", "contacts"]


async def test_the_routes_in_force_now_are_those_of_the_days_batch(bench: Bench) -> None:
    await bench.configured('schema_id = "contacts"')
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    await bench.configured('schema_id = "customers"')
    await bench.do(Queue.SUBMIT, bench.drop("orders/b.csv"))
    schemas = {source: item.schema_id for source, item in (await bench.items()).items()}
    assert schemas == {"orders/a.csv": "contacts", "orders/b.csv": "customers"}


async def test_a_file_that_waits_keeps_the_route_that_it_had_when_it_arrived(bench: Bench) -> None:
    await bench.configured('schema_id = "contacts"')
    waiting = await ingest(bench.deployment, bench.drop("orders/a.csv"))
    assert waiting is not None
    for text in ('schema_id = "customers"', '[[routes]]\nmatch = "orders/b*"\nschema_id = "customers"'):
        await bench.configured(text)
        await bench.do(Queue.SUBMIT, bench.drop("orders/b.csv", mark=text))
    assert await bench.do(Queue.SUBMIT, waiting) == Done()
    sent = {item.source: (str(item.state), item.schema_id) for item in (await bench.items()).values()}
    assert sent["orders/a.csv"] == ("processing", "contacts")
    assert sent["orders/b.csv"] == ("processing", "customers")


async def test_an_import_that_waits_for_its_upload_is_not_given_up_for_other_routes(bench: Bench) -> None:
    await bench.configured('schema_id = "contacts"')
    storage = bench.deployment.storage
    bench.deployment = replace(bench.deployment, storage=Unreachable(NotSent("no")))  # type: ignore[arg-type]
    with pytest.raises(NotYet):
        await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    (created,) = (await bench.items()).values()
    assert created.state is ItemState.CREATED
    bench.deployment = replace(bench.deployment, storage=storage)
    await bench.configured('schema_id = "customers"')
    await bench.do(Queue.SUBMIT, ItemRef(batch_id=created.batch_id, source=created.source))
    (item,) = (await bench.items()).values()
    assert (item.state, item.import_id, item.schema_id) == (ItemState.PROCESSING, created.import_id, "contacts")


async def test_a_repeated_event_after_other_routes_adds_and_sends_nothing(bench: Bench) -> None:
    await bench.configured('schema_id = "contacts"')
    event = bench.drop("orders/a.csv")
    await bench.do(Queue.SUBMIT, event)
    await bench.configured('schema_id = "customers"')
    await bench.do(Queue.SUBMIT, event)
    assert bench.uploads == ["orders/a.csv"]
    assert len(await bench.items()) == 1


async def test_a_file_that_failed_and_is_redriven_has_the_routes_in_force_not_those_that_it_had(bench: Bench) -> None:
    await bench.configured('schema_id = "contacts"')
    ref = await ingest(bench.deployment, bench.drop("orders/a.csv"))
    assert ref is not None
    (item,) = (await bench.items()).values()
    await bench.configured('schema_id = "customers"')
    item = await bench.ledger.advance(item, ItemState.REJECTED, reason="empty", error_code="empty")
    item = await bench.ledger.advance(item, ItemState.QUEUED, reason="redriven", error_code=None)
    await bench.ledger.advance(item, ItemState.QUEUED, reason="noted once more")
    await bench.do(Queue.SUBMIT, ref)
    assert (await bench.items())["orders/a.csv"].schema_id == "customers"


async def test_a_file_whose_route_nobody_knows_any_more_is_rejected_until_a_person_redrives_it(bench: Bench) -> None:
    await bench.configured('schema_id = "contacts"')
    ref = await ingest(bench.deployment, bench.drop("orders/a.csv"))
    assert ref is not None
    await _forget_routes(bench)
    await bench.do(Queue.SUBMIT, ref)
    (item,) = (await bench.items()).values()
    assert (item.state, item.error_code) == (ItemState.REJECTED, "no_route")
    assert bench.uploads == []


async def test_earlier_routes_are_kept_as_long_as_the_ledger_has_room(bench: Bench) -> None:
    for number in range(30):
        label = f"{number} " + "x" * 30_000
        await bench.configured(f'[[routes]]\nmatch = "**"\nfields = [{{ key = "mark", label = "{label}" }}]\n')
        await ingest(bench.deployment, bench.drop(f"orders/{number}.csv"))
    batch = await bench.batch()
    assert len(batch.config) < 360_000
    kept = RunSpec.from_json(batch.config).earlier_routes.routes
    assert [str((route.fields or ({},))[0]["label"])[:2] for route in kept] == [str(n) for n in range(28, 18, -1)]


async def test_a_batch_whose_configuration_has_not_changed_is_recorded_as_in_version_0_1_0(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.SUBMIT, bench.drop("orders/a.csv"))
    assert "earlier_routes" not in (await bench.batch()).config


@pytest.mark.parametrize("is_rolling", [True, False])
async def test_with_a_new_table_json_waits_until_the_configuration_says_that_it_is_new(
    bench: Bench, *, is_rolling: bool
) -> None:
    await bench.configured()
    await bench.deployment.api.create(CreateRequest(schema_id="contacts", initial_data=b'[{"mark":"json/a.json"}]'))
    landed: ObjectCreated | ItemRef = bench.drop("json/a.json")
    if not is_rolling:
        landed = await _listed(bench, landed)
    for receives in range(1, 8):
        with pytest.raises(ConfigError) as told:
            await bench.do(Queue.SUBMIT, landed, receives=receives)
        assert "1 import " in str(told.value)
        assert "json_is_new = true" in told.value.hint
    assert await bench.do(Queue.SUBMIT, bench.drop("contacts/b.csv")) == Done()
    assert (await bench.states())["json/a.json"] == "queued"

    await bench.configured(f"json_is_new = true\n{CONFIG}")
    assert await bench.do(Queue.SUBMIT, landed) == Done()
    await bench.configured()
    assert await bench.do(Queue.SUBMIT, bench.drop("json/c.json")) == Done()
    assert "queued" not in (await bench.states()).values()


async def _forget_routes(bench: Bench) -> None:
    """Change the routes, and let the batch know no others."""
    await bench.configured('schema_id = "customers"')
    batch = await bench.batch()
    spec = replace(RunSpec.from_json(batch.config), routes=Routes.single(schema_id="customers"))
    await bench.ledger.update_batch(batch.batch_id, config=spec.to_json())


async def _listed(bench: Bench, landed: ObjectCreated) -> ItemRef:
    """Return an item of a batch that was started with the configuration of today."""
    with pytest.raises(ConfigError):
        await bench.do(Queue.SUBMIT, landed)
    batch = await bench.batch()
    await bench.ledger.start_batch(replace(batch, batch_id="listed", config=batch.config))
    item = (await bench.items())["json/a.json"]
    await bench.ledger.add([replace(item, batch_id="listed", revision=0)])
    return ItemRef(batch_id="listed", source="json/a.json")

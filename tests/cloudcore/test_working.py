"""Workers share queues, quota, and ledger with each other and with the functions, and give back what they hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from runner.cloud.context import Deployment
from runner.cloud.deliveries import Deliveries, Delivery
from runner.cloud.handlers.submit import submit
from runner.cloud.leases import worker_is_there
from runner.cloud.lifecycle import SUBMIT_QUEUES
from runner.cloud.messages import ItemRef, Message
from runner.cloud.ops import work
from runner.cloud.ops.stack import Stack
from runner.cloud.protocols import MAX_RECEIVES, Queue
from runner.cloud.sqs import MessageCounts
from runner.cloud.worker import HIDDEN_S, HIDE_AGAIN_S, WAIT_S, Inbound, Worker
from runner.config.settings import Settings
from runner.errors import AwsRefused, Unavailable
from runner.events import WorkerStands
from runner.models import Batch, Item
from runner.stop import StopReason, StopSignal
from sandbox.quotas import Rate
from tests.cloudcore.bench import Bench
from tests.cloudcore.functions import Envelope

pytestmark = pytest.mark.virtual_time


class Letters:
    """The queues of a bench as a worker sees them; implements Inbound."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._held: dict[str, Envelope] = {}
        self.refused: list[Exception] = []
        self.hidden: list[tuple[float, int]] = []

    async def receive(self, queue: Queue, *, at_most: int, wait_s: int, hidden_s: int) -> list[Delivery]:
        if self.refused:
            raise self.refused.pop(0)
        found: list[Delivery] = []
        try:
            async with asyncio.timeout(wait_s):
                envelope = await self._bench.post.next(queue, self._bench.loop, hidden_s=hidden_s)  # type: ignore[arg-type]
        except TimeoutError:
            return found
        while envelope is not None:
            receipt = f"{id(envelope)} {envelope.receives}"
            self._held[receipt] = envelope
            found.append(
                Delivery(
                    queue=queue, message_id=receipt, body=envelope.text, receipt=receipt, receives=envelope.receives
                )
            )
            if len(found) == at_most:
                break
            envelope = self._bench.post.take(queue, now=self._bench.loop.time(), hidden_s=hidden_s)
        return found

    async def send(self, queue: Queue, messages: list[Message], *, delay_s: int = 0) -> None:
        for message in messages:
            self._bench.post.put(queue, message, now=self._bench.loop.time(), delay_s=delay_s)

    async def count(self, queue: Queue) -> MessageCounts:
        return MessageCounts(waiting=len(self._bench.post.waiting[queue]), delayed=0, in_work=0)

    async def is_empty(self, queue: Queue, *, apart_from: int = 0) -> bool:
        return len(self._bench.post.waiting[queue]) <= apart_from

    async def hide(self, queue: Queue, receipt: str, *, for_s: int) -> None:
        self.hidden.append((self._bench.loop.time(), for_s))
        envelope = self._held[receipt]
        if for_s and envelope.receives >= MAX_RECEIVES:
            self._bench.post.dead[queue].append(envelope)
        envelope.visible_at = self._bench.loop.time() + for_s
        self._bench.post.news[queue].set()

    async def delete(self, delivery: Delivery) -> None:
        self._bench.post.acknowledge(delivery.queue, self._held.pop(delivery.receipt))


@dataclass
class Container:
    """A worker in the simulated world; `failures` are the sentences of its log."""

    bench: Bench
    at_once: int = 10
    ending: StopSignal = field(default_factory=StopSignal)
    now: StopSignal = field(default_factory=StopSignal)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        opened = self.bench._simulation.deployment(self.bench.process, judged=False)
        self._deployment = replace(opened, ending=self.ending)
        self.letters = Letters(self.bench)
        inbound: Inbound = self.letters  # type: ignore[assignment]
        self.worker = Worker(
            Deliveries(self, submit, ItemRef),  # type: ignore[arg-type]
            inbound, SUBMIT_QUEUES, at_once=self.at_once, ending=self.ending, now=self.now,
        )  # fmt: skip

    async def deployment(self, *, license_key: bool = True) -> Deployment:
        return self._deployment

    async def queues(self) -> Letters:
        return self.letters

    def failure(self, sentence: str, error: BaseException, **fields: object) -> None:
        self.failures.append(f"{sentence}: {error}")

    def reload_license_key(self) -> None:
        """The key of this world never changes."""

    @asynccontextmanager
    async def working(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.worker.run())
        try:
            yield task
        finally:
            self.ending.request(StopReason.TERMINATED)
            self.now.request(StopReason.TERMINATED)
            await asyncio.gather(task, return_exceptions=True)


async def waiting_load(bench: Bench, count: int) -> None:
    """Let a load have `count` files that wait for their creates."""
    await bench.configured()
    await bench.do(Queue.REGISTER, bench.drop("orders/first.csv"))
    batch = await bench.batch()
    await bench.ledger.start_batch(Batch(
        batch_id="load-1", source_uri="s3://inbox/big", account="account", out="s3://results/batches/load-1",
        config=batch.config, started_at=bench.deployment.clock.now(), listed=True,
    ))  # fmt: skip
    items = []
    for number in range(count):
        created = bench.drop(f"big/{number:04}.csv")
        items.append(Item(batch_id="load-1", source=created.key, version=f"{created.etag}-{created.size_bytes:x}"))
    await bench.ledger.add(items)
    for item in items:
        bench.post.put(Queue.LOAD, ItemRef(batch_id="load-1", source=item.source), now=bench.loop.time())


def assert_each_once(bench: Bench, count: int) -> None:
    assert Counter(bench.uploads).most_common(1)[0][1] == 1
    assert len(bench.uploads) == count
    assert bench.vendor.seen.calls["create"] == count
    assert not bench.vendor.state.counters.refused_create_times


@pytest.mark.plan(quota=Rate(300, 60.0))
async def test_a_worker_sends_what_waits_in_both_queues_each_file_once(bench: Bench) -> None:
    await waiting_load(bench, 60)
    async with Container(bench).working():
        await asyncio.sleep(120)
    assert_each_once(bench, 61)
    assert not bench.post.waiting[Queue.LOAD]
    assert not bench.post.waiting[Queue.SUBMIT]


async def test_counts_are_written_when_a_worker_has_a_break_and_when_it_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting_load(bench, 2)
    flushes: list[float] = []

    async def flush_counts() -> None:
        flushes.append(bench.loop.time())

    monkeypatch.setattr(bench.ledger, "flush_counts", flush_counts)
    async with Container(bench).working():
        await asyncio.sleep(60)
        in_breaks = len(flushes)
    assert in_breaks >= 1
    assert len(flushes) > in_breaks


async def test_two_workers_and_the_functions_beside_them_send_each_file_once_within_the_quota(bench: Bench) -> None:
    await waiting_load(bench, 60)
    bench.post.doubled = 0.3
    async with bench.serving(*SUBMIT_QUEUES), Container(bench).working(), Container(bench).working():
        await asyncio.sleep(420)
    assert_each_once(bench, 61)
    times = sorted(bench.vendor.state.counters.create_times)
    assert all(later - at >= 60 for at, later in zip(times, times[20:], strict=False))


@pytest.mark.plan(landed_share=0.25)
async def test_a_file_that_lands_does_not_wait_behind_a_load(bench: Bench) -> None:
    await waiting_load(bench, 600)
    async with Container(bench).working():
        await asyncio.sleep(300)
        await bench.do(Queue.REGISTER, bench.drop("orders/urgent.csv"))
        await asyncio.sleep(120)
        assert (await bench.items())["orders/urgent.csv"].intent_at is not None


async def test_on_a_stop_what_waits_for_a_permit_goes_back_at_once_and_nothing_is_sent_any_more(bench: Bench) -> None:
    await waiting_load(bench, 100)
    container = Container(bench)
    async with container.working() as task:
        await asyncio.sleep(100)
        sent, stopped_at = bench.vendor.seen.calls["create"], bench.loop.time()
        container.ending.request(StopReason.TERMINATED)
        await task
        assert bench.loop.time() - stopped_at < 5
        assert container.worker.in_work == 0
    assert bench.vendor.seen.calls["create"] == sent
    open_count = 101 - len(bench.uploads)
    assert len(bench.post.waiting[Queue.LOAD]) == open_count, "each file that is left has one message"
    assert all(one.visible_at - bench.loop.time() < 10 or one.receives == 0 for one in bench.post.waiting[Queue.LOAD])
    async with Container(bench).working():
        await asyncio.sleep(400)
    assert_each_once(bench, 101)


async def test_a_second_stop_gives_back_what_is_in_work_and_another_worker_continues_it(bench: Bench) -> None:
    await waiting_load(bench, 5)
    container = Container(bench)
    async with container.working() as task:
        await asyncio.sleep(0.2)
        assert container.worker.in_work == 6
        container.ending.request(StopReason.TERMINATED)
        container.now.request(StopReason.TERMINATED)
        await task
    assert container.letters.hidden, "what was in work was given back"
    assert {for_s for _, for_s in container.letters.hidden} == {0}
    async with Container(bench).working():
        await asyncio.sleep(1200)
        await bench.reconcile()
        await asyncio.sleep(600)
    assert len(bench.uploads) == len(set(bench.uploads)) == 6


async def test_a_message_stays_hidden_for_as_long_as_its_work_takes(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.REGISTER, bench.drop("orders/first.csv"))
    container = Container(bench)
    begun = bench.loop.time()

    async def slow(*_: object, **__: object) -> None:
        await asyncio.sleep(400)

    container.worker._deliveries = Deliveries(container, slow, ItemRef)  # type: ignore[arg-type]
    async with container.working():
        await asyncio.sleep(410)
    assert [for_s for _, for_s in container.letters.hidden] == [HIDDEN_S] * 6
    times = [begun, *(at for at, _ in container.letters.hidden)]
    assert all(later - at <= HIDE_AGAIN_S + 1 for at, later in pairwise(times))
    assert not bench.post.waiting[Queue.SUBMIT]


async def test_a_message_that_fails_comes_again_later_and_is_not_deleted(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.REGISTER, bench.drop("orders/first.csv"))
    container = Container(bench)

    async def failing(*_: object, **__: object) -> None:
        raise Unavailable("no answer")

    container.worker._deliveries = Deliveries(container, failing, ItemRef)  # type: ignore[arg-type]
    async with container.working():
        await asyncio.sleep(20)
    assert container.failures == ["message failed: no answer"]
    (left,) = bench.post.waiting[Queue.SUBMIT]
    assert left.receives == 1
    assert [for_s for _, for_s in container.letters.hidden] == [30]


async def test_queues_that_do_not_answer_are_asked_again_and_a_missing_permission_ends_the_worker(bench: Bench) -> None:
    await bench.configured()
    await bench.do(Queue.REGISTER, bench.drop("orders/first.csv"))
    refused = Container(bench)
    refused.letters.refused = [AwsRefused("not allowed", code="AccessDenied")]
    async with refused.working() as task:
        with pytest.raises(BaseExceptionGroup) as raised:
            await task
    assert raised.group_contains(AwsRefused)

    container = Container(bench)
    async with container.working():
        await asyncio.sleep(WAIT_S + 1)
        container.letters.refused = [Unavailable("no answer")] * 4
        await bench.do(Queue.REGISTER, bench.drop("orders/second.csv"))
        await asyncio.sleep(60)
    assert len(bench.uploads) == 2


class OneStack:
    """What a worker asks AWS for: secrets, and a place for metrics."""

    def __init__(self) -> None:
        self.key = "key-one"
        self.metrics: Counter[str] = Counter()
        self.is_refusing_metrics = False

    async def call(self, service: str, operation: str, **given: Any) -> dict[str, Any]:
        match operation:
            case "get_secret_value":
                return {"SecretString": self.key}
            case "put_metric_data":
                if self.is_refusing_metrics:
                    raise AwsRefused("not allowed", code="AccessDenied")
                assert given["Namespace"] == "Bulkhead"
                for one in given["MetricData"]:
                    assert one["Dimensions"] == [{"Name": "service", "Value": "bulkhead-submit"}]
                    self.metrics[one["MetricName"]] += int(one["StatisticValues"]["Sum"])
                return {}
        raise AssertionError(operation)


@dataclass
class Shop:
    """A worker of a stack in the simulated world; `keys` are those that it has worked with, `heard` its events."""

    bench: Bench
    monkeypatch: pytest.MonkeyPatch
    keys: list[str] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.aws = OneStack()
        names = ("TableName", "InboxBucketName", "ResultsBucketName", "EndedTopicArn", "LicenseKeySecretArn")
        stack = Stack(
            name="bulkhead", region="r", account="1", status="UPDATE_COMPLETE",
            outputs=dict.fromkeys(names, "x"), parameters={"SubmitBy": "container", "Quota": "20/60s"},
        )  # fmt: skip
        self.monkeypatch.setattr(work, "open_deployment", self._opened)
        letters: Any = Letters(self.bench)
        self.worker = work.StackWorker(
            stack, self.aws, letters, Settings(), license_key=None, listen=self.heard.append  # type: ignore[arg-type]
        )  # fmt: skip

    @asynccontextmanager
    async def _opened(self, *_: object, license_key: str, metrics: Any, **__: object) -> AsyncIterator[Deployment]:
        self.keys.append(license_key)
        yield replace(self.bench._simulation.deployment(self.bench.process, judged=False), metrics=metrics)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            self.worker.stop(StopReason.TERMINATED)
            assert await task is StopReason.TERMINATED


async def test_a_worker_says_every_minute_how_it_stands_and_writes_the_metrics_of_submit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting_load(bench, 100)
    shop = Shop(bench, monkeypatch)
    async with shop.open():
        await asyncio.sleep(185)
    stands = [event for event in shop.heard if isinstance(event, WorkerStands)]
    assert len(stands) == 5, "at once, every minute, and at the end"
    assert stands[-1].created == shop.aws.metrics["CreatesAnswered"] == bench.vendor.seen.calls["create"]
    assert stands[1].in_work >= 10
    assert stands[1].waiting >= 50
    assert stands[-1].in_work == 0
    assert await worker_is_there(bench.leases)


async def test_metrics_that_cannot_be_written_stop_nothing_and_are_written_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting_load(bench, 30)
    shop = Shop(bench, monkeypatch)
    shop.aws.is_refusing_metrics = True
    async with shop.open():
        await asyncio.sleep(130)
        assert not shop.aws.metrics
        shop.aws.is_refusing_metrics = False
        await asyncio.sleep(60)
    assert shop.aws.metrics["CreatesAnswered"] == 31
    assert_each_once(bench, 31)


async def test_a_key_that_is_replaced_in_the_secret_is_used_within_minutes_and_no_file_is_sent_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting_load(bench, 150)
    shop = Shop(bench, monkeypatch)
    async with shop.open():
        await asyncio.sleep(100)
        shop.aws.key = "key-two"
        await asyncio.sleep(500)
        assert shop.keys == ["key-one", "key-two"]
    assert_each_once(bench, 151)


async def test_during_an_outage_a_worker_calls_nobody_says_so_and_continues_afterwards(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting_load(bench, 40)
    shop = Shop(bench, monkeypatch)
    async with shop.open():
        await asyncio.sleep(30)
        bench.vendor.weather.outages = ((bench.loop.time(), bench.loop.time() + 3600),)
        await asyncio.sleep(3600)
        assert any(event.away for event in shop.heard if isinstance(event, WorkerStands))
        await asyncio.sleep(1200)
    assert len(bench.uploads) == len(set(bench.uploads)) == 41
    assert bench.vendor.seen.calls["create"] - 41 <= 20, "until the outage is noticed"
    assert not bench.post.dead[Queue.LOAD]

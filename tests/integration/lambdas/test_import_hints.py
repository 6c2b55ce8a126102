"""Which of many webhooks reaches collect, and what happens when a store does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from lambdas.import_hints import ImportHints
from runner.cloud.messages import ImportHint, decode
from runner.errors import Unavailable
from tests.support.functions import Stack

EPOCH = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
ID = str(uuid4())


class Queue:
    """Keeps what is sent; fails as often as `failures` says."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.failures = 0

    def send_message(self, **arguments: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessage")
        message = decode(arguments["MessageBody"])
        assert isinstance(message, ImportHint)
        self.sent.append((message.import_id, arguments["DelaySeconds"]))


class AnswerLost:
    """A table client whose first writes succeed, and whose answers are lost: what boto3 retries by itself."""

    def __init__(self, client: Any, *, lost: int) -> None:
        self._client = client
        self._lost = lost
        self.exceptions = client.exceptions

    def update_item(self, **arguments: Any) -> Any:
        if self._lost:
            self._lost -= 1
            self._client.update_item(**arguments)
        return self._client.update_item(**arguments)


class Hints:
    """ImportHints with a clock that the test sets."""

    def __init__(self, stack: Stack, table: Any = None) -> None:
        self.at_s = 0.0
        self.queue = Queue()
        self._hints = ImportHints(
            table_name="bulkhead",
            queue_url="url",
            now=lambda: EPOCH + timedelta(seconds=self.at_s),
            table=table or stack.table,
            queues=self.queue,
        )

    def enqueue(self, at_s: float, import_id: str = ID) -> bool:
        self.at_s = at_s
        return self._hints.enqueue(import_id)

    @property
    def delays(self) -> list[int]:
        return [delay_s for _, delay_s in self.queue.sent]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A second opinion on what DynamoDB does."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["ministack", "moto"])
def known(request: pytest.FixtureRequest) -> Stack:
    """A deployment whose ledger knows one import, on either stand-in for AWS."""
    arguments = request.getfixturevalue("aws").client_arguments
    if request.param == "moto":
        url = request.getfixturevalue("moto")
        urlopen(Request(f"{url}/moto-api/reset", method="POST"), timeout=10).close()
        arguments = arguments | {"endpoint_url": url}
    stack = Stack(arguments)
    stack.know(ID)
    return stack


def test_an_unknown_import_enqueues_nothing_and_leaves_nothing(known: Stack) -> None:
    hints = Hints(known)
    unknown = str(uuid4())
    assert not hints.enqueue(0, unknown)
    assert hints.queue.sent == []
    assert known.entry(unknown) is None


def test_the_first_webhook_is_enqueued_at_once(known: Stack) -> None:
    hints = Hints(known)
    assert hints.enqueue(0)
    assert hints.queue.sent == [(ID, 0)]


def test_a_webhook_soon_after_another_is_put_off_until_ten_seconds_are_over(known: Stack) -> None:
    hints = Hints(known)
    for at_s in (0, 3.5):
        assert hints.enqueue(at_s)
    assert hints.delays == [0, 7]


def test_webhooks_while_one_is_put_off_add_nothing(known: Stack) -> None:
    hints = Hints(known)
    for at_s in (0, 1, 2, 3, 9.999):
        assert hints.enqueue(at_s)
    assert hints.delays == [0, 9]


def test_a_burst_of_webhooks_reaches_collect_once_in_ten_seconds(known: Stack) -> None:
    hints = Hints(known)
    for quarter in range(160):
        hints.enqueue(quarter / 4)
    assert len(hints.queue.sent) <= 5


def test_after_every_webhook_another_one_reaches_collect(known: Stack) -> None:
    hints = Hints(known)
    instants = (0, 0.2, 4, 9.9, 10, 10.1, 19, 31, 31.001, 40.9, 41, 55)
    heard: list[float] = []
    for at_s in instants:
        before = len(hints.queue.sent)
        hints.enqueue(at_s)
        heard += [at_s + delay_s for delay_s in hints.delays[before:]]
        assert max(heard) >= at_s, "a change reported at this instant is never collected"


def test_a_webhook_after_ten_quiet_seconds_is_enqueued_at_once(known: Stack) -> None:
    hints = Hints(known)
    for at_s in (0, 10):
        hints.enqueue(at_s)
    assert hints.delays == [0, 0]


def test_the_rest_of_the_entry_stays_as_it_is(known: Stack) -> None:
    before = known.entry(ID)
    Hints(known).enqueue(0)
    after = known.entry(ID)
    assert before is not None
    assert after is not None
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"hint_at", "hint_by"}


def test_a_webhook_that_the_queue_refuses_is_not_counted(known: Stack) -> None:
    hints = Hints(known)
    hints.queue.failures = 1
    with pytest.raises(Unavailable, match="SendMessage"):
        hints.enqueue(0)
    assert hints.enqueue(0.5)
    assert hints.delays == [0]


def test_a_write_whose_answer_was_lost_still_enqueues(known: Stack) -> None:
    lossy = Hints(known, table=AnswerLost(known.table, lost=1))
    assert lossy.enqueue(0)
    assert lossy.delays == [0]


def test_a_put_off_write_whose_answer_was_lost_still_enqueues(known: Stack) -> None:
    Hints(known).enqueue(0)
    lossy = Hints(known, table=AnswerLost(known.table, lost=2))
    assert lossy.enqueue(4)
    assert lossy.delays == [6]


def test_many_webhooks_at_once_enqueue_at_most_twice(stack: Stack) -> None:
    stack.know(ID)
    many = [Hints(stack, table=stack.client("dynamodb")) for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(lambda hints: hints.enqueue(0), many))
    assert sorted(delay for hints in many for delay in hints.delays) == [0, 10]


def test_a_table_that_does_not_answer_is_an_error_without_details(known: Stack) -> None:
    table = known.client("dynamodb")
    known.table.delete_table(TableName="bulkhead")
    with pytest.raises(Unavailable, match="AWS refused UpdateItem: ResourceNotFoundException"):
        Hints(known, table=table).enqueue(0)

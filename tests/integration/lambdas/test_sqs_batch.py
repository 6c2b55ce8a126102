"""The records of a queue: each on its own; what is delivered again and when, and what is sent as a new message."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest

from lambdas.runtime import Container
from lambdas.sqs_batch import Records
from runner.cloud.deliveries import PUT_OFF_S
from runner.cloud.messages import ItemRef, ObjectCreated, StartLoad, encode
from runner.cloud.protocols import Done, Outcome, Queue, Requeued
from runner.errors import AuthRefused, ConfigError, ConnectionBarred, Unavailable
from tests.support.functions import LICENSE_KEY, Context, Opening, Stack, arrived, taken

LANDED = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "000000000000",
    "time": "2026-07-23T10:15:02Z",
    "region": "us-east-1",
    "resources": ["arn:aws:s3:::inbox"],
    "detail": {
        "version": "0",
        "bucket": {"name": "inbox"},
        "object": {"key": "orders/a b.csv", "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "00"},
        "request-id": "C3D13FE58DE4C810",
        "requester": "000000000000",
        "reason": "PutObject",
    },
}
TEST_EVENT = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-07-23T10:15:02Z", "Bucket": "inbox"}


def ref(number: int = 0) -> str:
    return encode(ItemRef(batch_id="b", source=f"{number}.csv"))


class Entry:
    """An entry point that notes what it is given; `does` says what happens to a source."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, int]] = []
        self.deployments: set[Any] = set()
        self.does: dict[str, Exception | Callable[[], Any]] = {}
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(
        self, deployment: Any, message: Any, *, time_left: Callable[[], float], receives: int = 1
    ) -> Outcome:
        self.given.append((message, receives))
        self.deployments.add(deployment)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.01)
            return await self._act(self.does.get(getattr(message, "source", "")))
        finally:
            self.at_once -= 1

    async def _act(self, what: Exception | Callable[[], Any] | None) -> Outcome:
        if isinstance(what, Exception):
            raise what
        if what is not None:
            return await what()
        return Done()


@pytest.fixture
def entry() -> Entry:
    return Entry()


@pytest.fixture
def records(container: Container, entry: Entry) -> Records:
    return Records(container, Queue.SUBMIT, entry, ObjectCreated, ItemRef)


def failed(records: Records, event: dict[str, Any], **context: int) -> list[str]:
    answer = records.answer(event, Context(**context))
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_all_records_are_worked_on_at_once_with_one_deployment(records: Records, entry: Entry) -> None:
    assert failed(records, arrived(*map(ref, range(10)))) == []
    assert entry.most_at_once == 10
    assert entry.deployments == {"deployment 1"}
    assert failed(records, arrived(ref())) == []
    assert entry.deployments == {"deployment 1"}


def test_a_file_that_landed_and_an_item_come_by_the_same_queue(records: Records, entry: Entry) -> None:
    assert failed(records, arrived(json.dumps(LANDED), ref())) == []
    landed, item = (message for message, _ in entry.given)
    assert isinstance(landed, ObjectCreated)
    assert landed.key == "orders/a b.csv"
    assert isinstance(item, ItemRef)


def test_an_entry_point_knows_how_often_its_message_came(records: Records, entry: Entry) -> None:
    failed(records, arrived(ref(), receives=4))
    assert [receives for _, receives in entry.given] == [4]


def test_a_record_that_fails_takes_no_other_with_it(records: Records, entry: Entry, log: io.StringIO) -> None:
    entry.does["1.csv"] = Unavailable("the vendor does not answer")
    entry.does["3.csv"] = KeyError("canary-row")
    assert failed(records, arrived(*map(ref, range(5)))) == ["1", "3"]
    assert "the vendor does not answer" in log.getvalue()
    assert "KeyError" in log.getvalue()
    assert "canary-row" not in log.getvalue()


def test_what_is_to_come_later_is_acknowledged(records: Records, entry: Entry) -> None:
    async def later() -> Outcome:
        return Requeued(30)

    entry.does["0.csv"] = later
    assert failed(records, arrived(ref())) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "{}",
        json.dumps(TEST_EVENT),
        json.dumps({**LANDED, "detail-type": "Object Deleted"}),
        json.dumps({"Records": [{"eventSource": "aws:s3"}]}),
        json.dumps({"kind": "item_ref"}),
        json.dumps({"kind": "no such kind"}),
        encode(StartLoad(uri="s3://inbox/nightly/")),
        "[" * 100_000,
    ],
    ids=lambda body: body[:20],
)
def test_a_message_of_an_unknown_shape_fails_alone_with_a_reason(
    records: Records, entry: Entry, log: io.StringIO, body: str
) -> None:
    assert failed(records, arrived(ref(0), body, ref(2))) == ["1"]
    assert [message.source for message, _ in entry.given] == ["0.csv", "2.csv"]
    [line] = [json.loads(line) for line in log.getvalue().splitlines() if "message failed" in line]
    assert line["error"] == "MessageInvalid"
    assert line["reason"]
    assert line["message_id"] == "1"


def test_a_message_that_nothing_can_be_made_of_is_in_the_dead_letter_queue_at_once(
    stack: Stack, records: Records, entry: Entry
) -> None:
    dead = stack.add_dead_letter_queue("submit", receives=5)
    stack.send("submit", json.dumps(TEST_EVENT))
    for _ in range(5):
        event = taken(stack, "submit")
        assert len(failed(records, event)) == 1
    assert stack.receive("submit") == []
    assert stack.depth(dead) == 1
    assert entry.given == []


def test_a_message_that_failed_is_hidden_for_longer_each_time(
    stack: Stack, records: Records, entry: Entry, log: io.StringIO
) -> None:
    entry.does["0.csv"] = Unavailable("the vendor does not answer")
    for receives in (1, 2, 3, 4):
        failed(records, arrived(ref(), receives=receives))
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["retry_in_s"] for line in lines] == [30, 90, 270, 810]


def test_a_message_that_failed_once_is_not_seen_before_its_time(stack: Stack, records: Records, entry: Entry) -> None:
    entry.does["0.csv"] = Unavailable("the vendor does not answer")
    stack.send("submit", ref())
    event = taken(stack, "submit")
    assert len(failed(records, event)) == 1
    assert stack.receive("submit") == []


def test_with_ten_seconds_left_nothing_is_started_and_all_is_sent_again(
    stack: Stack, records: Records, entry: Entry
) -> None:
    assert failed(records, arrived(ref(0), ref(1)), left_ms=9_999) == []
    assert entry.given == []
    assert sorted(message["source"] for message in stack.waiting("submit")) == ["0.csv", "1.csv"]


def test_work_that_does_not_end_is_broken_off_before_the_function_is_killed(records: Records, entry: Entry) -> None:
    ended: list[str] = []

    async def stuck() -> Outcome:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("stuck")
        return Done()

    entry.does["1.csv"] = stuck
    context = Context()
    left_ms = cycle([10_500, 2_100])
    context.get_remaining_time_in_millis = lambda: next(left_ms)
    answer = records.answer(arrived(ref(0), ref(1)), context)
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["1"]
    assert ended == ["stuck"]


def delayed(stack: Stack, queue: str = "submit") -> int:
    assert stack.receive(queue) == []
    return stack.delayed_count(queue)


def test_until_the_license_key_is_put_in_messages_wait_without_using_up_their_tries(
    stack: Stack, opening: Opening, entry: Entry
) -> None:
    container = Container(opening)
    records = Records(container, Queue.SUBMIT, entry, ObjectCreated, ItemRef)
    assert failed(records, arrived(ref(0), json.dumps(LANDED), receives=4)) == []
    assert entry.given == []
    assert delayed(stack) == 2
    stack.put_secret("license", LICENSE_KEY)
    assert failed(records, arrived(ref(0))) == []
    assert len(entry.given) == 1
    container.close()


def test_what_the_log_says_without_a_license_key_tells_what_to_do(
    stack: Stack, opening: Opening, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, stream = Container(opening), io.StringIO()
    monkeypatch.setattr(container.telemetry.logger.registered_handler, "stream", stream)
    failed(Records(container, Queue.SUBMIT, entry, ItemRef), arrived(ref()))
    [line] = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert line["reason"] == "the secret bulkhead/license has no value yet"
    assert "put-secret-value" in line["hint"]
    assert line["retry_in_s"] == PUT_OFF_S
    container.close()


def test_a_function_that_does_not_call_the_vendor_works_without_a_license_key(
    stack: Stack, opening: Opening, entry: Entry
) -> None:
    container = Container(opening)
    assert failed(Records(container, Queue.SUBMIT, entry, ItemRef, license_key=False), arrived(ref())) == []
    assert len(entry.given) == 1
    container.close()


def test_a_license_key_that_the_vendor_refuses_is_read_again_and_no_attempt_is_used_up(
    stack: Stack, records: Records, entry: Entry, opening: Opening
) -> None:
    entry.does["0.csv"] = AuthRefused("the API does not accept the license key")
    assert failed(records, arrived(ref(0), ref(1), receives=5)) == []
    assert delayed(stack) == 1
    stack.put_secret("license", "canary-second-key")
    entry.does.clear()
    assert failed(records, arrived(ref(0))) == []
    assert opening.keys == [LICENSE_KEY, "canary-second-key"]


def test_a_certificate_that_cannot_be_verified_uses_up_no_attempt_and_is_no_question_of_the_key(
    stack: Stack, records: Records, entry: Entry, log: io.StringIO
) -> None:
    entry.does["0.csv"] = ConnectionBarred("the certificate of api.example cannot be verified")
    assert failed(records, arrived(ref(0), receives=5)) == []
    assert delayed(stack) == 1
    assert "vendor not connected" in log.getvalue()
    assert "license key refused" not in log.getvalue()


def test_while_a_store_does_not_answer_messages_come_again_soon(
    stack: Stack, records: Records, opening: Opening, log: io.StringIO
) -> None:
    opening.failure = Unavailable("DynamoDB does not answer")
    assert failed(records, arrived(ref(), receives=5)) == []
    assert delayed(stack) == 1
    assert '"retry_in_s":30' in log.getvalue()


def test_a_bug_at_the_start_is_no_reason_to_send_messages_round_and_round(
    stack: Stack, records: Records, opening: Opening
) -> None:
    opening.failure = TypeError("canary")
    with pytest.raises(RuntimeError, match=r"^TypeError$"):
        failed(records, arrived(ref()))
    assert delayed(stack) == 0


def test_a_message_that_cannot_be_sent_again_stays_in_its_queue(
    stack: Stack, records: Records, opening: Opening
) -> None:
    opening.failure = ConfigError("broken")
    stack.queues.delete_queue(QueueUrl=stack.queue_urls["submit"])
    assert failed(records, arrived(ref())) == ["0"]


def test_without_the_url_of_a_queue_records_come_back(
    records: Records, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.delenv("BULKHEAD_FINISH_QUEUE_URL")
    assert failed(records, arrived(ref())) == ["0"]
    assert "the variable BULKHEAD_FINISH_QUEUE_URL is not set" in log.getvalue()


def test_no_secret_and_no_row_is_logged_at_debug(
    stack: Stack,
    records: Records,
    entry: Entry,
    log: io.StringIO,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def leaks() -> Outcome:
        runner_log = logging.getLogger("runner.stages.upload")
        runner_log.debug("upload begun", extra={"item": "0.csv"})
        raise ValueError({"email": "canary-cell"}) from OSError(
            "PUT https://s3.test/x?X-Amz-Signature=canary-signature"
        )

    entry.does["0.csv"] = leaks
    for name in ("", "runner", "lambdas"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        failed(records, arrived(ref(0), ref(1)))
    printed = capfd.readouterr()
    logged = log.getvalue() + printed.out + printed.err + caplog.text
    assert "message failed" in log.getvalue()
    assert [canary for canary in (LICENSE_KEY, "canary-signature", "canary-cell") if canary in logged] == []


def test_the_core_logs_as_json_beside_the_function(records: Records, entry: Entry, log: io.StringIO) -> None:
    async def says() -> Outcome:
        logging.getLogger("runner.cloud.handlers.submit").info("import created", extra={"import_id": "x"})
        return Done()

    entry.does["0.csv"] = says
    failed(records, arrived(ref()))
    [line] = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["message"], line["import_id"]) == ("import created", "x")
    assert line["request_id"] == Context().aws_request_id


def test_figures_are_printed_once_an_invocation(
    container: Container, records: Records, entry: Entry, capsys: pytest.CaptureFixture[str]
) -> None:
    async def counts() -> Outcome:
        container.telemetry.add_metric("CreatesAnswered", 1)
        return Done()

    entry.does = {"0.csv": counts, "1.csv": counts}
    failed(records, arrived(ref(0), ref(1)))
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert line["CreatesAnswered"] == [1.0, 1.0]
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Bulkhead"
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]

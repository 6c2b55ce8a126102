"""SQS, SNS and EventBridge behind the core's seams, on ministack."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runner.aws.services import Aws
from runner.cloud.messages import ItemRef, decode, encode
from runner.cloud.notify import AwsNotifier
from runner.cloud.protocols import Queue
from runner.cloud.sqs import SqsQueues
from runner.errors import AwsRefused, Unavailable
from runner.events import BatchFinished, BatchStarted
from runner.models import BatchState
from runner.notify.message import ended
from tests.support.functions import Stack

SUMMARY = {
    "batch_id": "landed-20260723-aufträge",
    "state": "complete",
    "items": 3,
    "by_state": {"collected": 2, "failed": 1, "queued": 0},
    "source": "s3://inbox/orders",
    "exit_code": 4,
    "earlier_review_count": 0,
    "reason": "all items came to an end\nSubject: x",
    "manifest": "s3://results/batches/landed-20260723-aufträge/manifest.jsonl",
    "end": "landed-20260723-aufträge-17",
}


@pytest.fixture
async def aws_clients(stack: Stack) -> AsyncIterator[Aws]:
    async with Aws() as opened:
        yield opened


@pytest.fixture
def queues(stack: Stack, aws_clients: Aws) -> SqsQueues:
    return SqsQueues(aws_clients, {queue: stack.queue_urls[queue] for queue in Queue})


def refs(count: int) -> list[ItemRef]:
    return [ItemRef(batch_id="b", source=f"orders/{number}.csv") for number in range(count)]


async def test_each_message_is_sent_once_whatever_their_number(stack: Stack, queues: SqsQueues) -> None:
    await queues.send(Queue.SUBMIT, refs(23))
    sent = stack.waiting("submit")
    assert sorted(message["source"] for message in sent) == sorted(ref.source for ref in refs(23))
    assert stack.waiting("collect") == []


async def test_nothing_is_sent_for_no_messages(queues: SqsQueues) -> None:
    await queues.send(Queue.SUBMIT, [])
    assert await queues.is_empty(Queue.SUBMIT)


async def test_messages_with_the_longest_keys_fit_into_one_request(stack: Stack, queues: SqsQueues) -> None:
    longest = [ItemRef(batch_id="b" * 200, source=f"{number}" + "\U0001f600" * 255) for number in range(10)]
    await queues.send(Queue.SUBMIT, longest)
    assert sum(len(encode(ref)) for ref in longest) < 256 * 1024
    assert len(stack.waiting("submit")) == 10


async def test_a_delayed_message_is_not_seen_yet(stack: Stack, queues: SqsQueues) -> None:
    await queues.send(Queue.FINISH, refs(1), delay_s=900)
    assert stack.waiting("finish") == []
    assert stack.delayed_count("finish") == 1
    assert not await queues.is_empty(Queue.FINISH)


async def test_a_queue_is_not_empty_while_a_message_is_worked_on(stack: Stack, queues: SqsQueues) -> None:
    assert await queues.is_empty(Queue.LIST)
    await queues.send(Queue.LIST, refs(1))
    assert not await queues.is_empty(Queue.LIST)
    stack.receive("list")
    assert not await queues.is_empty(Queue.LIST)


async def test_a_message_that_is_shown_again_counts_one_receive_more(stack: Stack, queues: SqsQueues) -> None:
    await queues.send(Queue.LIST, refs(1))
    [first] = stack.receive("list")
    assert stack.receive("list") == []
    await queues.hide(Queue.LIST, first["ReceiptHandle"], for_s=0)
    [second] = stack.receive("list")
    assert second["MessageId"] == first["MessageId"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"


async def test_a_queue_that_is_gone_is_refused_by_name(stack: Stack, queues: SqsQueues) -> None:
    stack.queues.delete_queue(QueueUrl=stack.queue_urls["submit"])
    with pytest.raises(AwsRefused, match="SendMessageBatch"):
        await queues.send(Queue.SUBMIT, refs(1))


class Picky:
    """Takes one message of each request, and refuses the others."""

    def __init__(self, *, takes: int) -> None:
        self._takes = takes
        self.taken: list[str] = []

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        taken, refused = arguments["Entries"][: self._takes], arguments["Entries"][self._takes :]
        self.taken += [decode(entry["MessageBody"]).source for entry in taken]
        return {"Failed": [{"Id": entry["Id"], "SenderFault": False} for entry in refused]}


async def test_what_the_queue_did_not_take_is_sent_again_alone() -> None:
    picky = Picky(takes=4)
    await SqsQueues(picky, {Queue.SUBMIT: "url"}).send(Queue.SUBMIT, refs(10))
    assert picky.taken == [ref.source for ref in refs(10)]


async def test_messages_that_are_never_taken_are_an_error() -> None:
    with pytest.raises(Unavailable, match="7 messages"):
        await SqsQueues(Picky(takes=1), {Queue.SUBMIT: "url"}).send(Queue.SUBMIT, refs(10))


async def test_an_end_is_told_to_the_topic_and_to_the_event_bus(stack: Stack, aws_clients: Aws) -> None:
    topic = stack.client("sns").create_topic(Name="ended")["TopicArn"]
    stack.listen_to_topic(topic, "collect")
    stack.listen_to_bus("finish", source="bulkhead")
    notifier = AwsNotifier(aws_clients, topic_arn=topic, event_bus="default")
    await notifier.batch_ended(SUMMARY, state=BatchState.COMPLETE)
    [notice] = stack.waiting("collect")
    assert notice["Subject"] == "Bulkhead: batch landed-20260723-auftr?ge is complete"
    assert json.loads(notice["Message"]) == {**SUMMARY, "state": "complete"}
    assert notice["MessageAttributes"]["state"]["Value"] == "complete"
    [event] = stack.waiting("finish")
    assert event["detail-type"] == "Batch Ended"
    assert event["detail"] == {**SUMMARY, "state": "complete"}


async def test_a_change_of_the_configuration_is_told_to_the_topic_in_two_forms(stack: Stack, aws_clients: Aws) -> None:
    topic = stack.client("sns").create_topic(Name="ended")["TopicArn"]
    stack.listen_to_topic(topic, "collect")
    notifier = AwsNotifier(aws_clients, topic_arn=topic, event_bus="default")
    await notifier.config_changed("It has changed.", ["a: 1 -> 2"], place="s3://config/config/bulkhead.toml")
    [notice] = stack.waiting("collect")
    assert notice["Subject"] == "Bulkhead: the configuration has changed"
    assert json.loads(notice["Message"])["changes"] == ["a: 1 -> 2"]
    assert notice["MessageAttributes"]["event"]["Value"] == "config_changed"
    assert "state" not in notice["MessageAttributes"], "who filters for the ends of batches gets none of these"
    listening = Listening()
    await AwsNotifier(listening, topic_arn="arn", event_bus="default").config_changed("It has.", ["a"], place="p")
    assert json.loads(listening.calls["publish"]["Message"])["email"] == "It has.\n\na\n\nConfiguration: p\n"


class Deaf:
    """An event bus that takes nothing."""

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        assert service == "events", "publish last where a repetition is harmless"
        return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}


async def test_an_end_the_bus_does_not_take_is_told_again_later() -> None:
    with pytest.raises(Unavailable, match="EventBridge"):
        await AwsNotifier(Deaf(), topic_arn="arn", event_bus="default").batch_ended(SUMMARY, state=BatchState.SETTLED)


class Listening:
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        self.calls[operation] = arguments
        return {}


async def test_a_letter_says_in_plain_words_what_became_of_the_items() -> None:
    listening = Listening()
    long = {**SUMMARY, "batch_id": "b" * 300}
    await AwsNotifier(listening, topic_arn="arn", event_bus="default").batch_ended(long, state=BatchState.SETTLED)
    published = listening.calls["publish"]
    assert len(published["Subject"]) < 100
    letter = json.loads(published["Message"])["email"]
    assert letter.splitlines()[1:] == [
        "3 items: 2 collected, 1 failed.",
        "all items came to an end\\nSubject: x",
        "Report: s3://results/batches/landed-20260723-aufträge/report.html",
        "Manifest: s3://results/batches/landed-20260723-aufträge/manifest.jsonl",
        f"Next: bulkhead cloud status {'b' * 300}",
    ]


@pytest.mark.parametrize(
    ("by_state", "code", "earlier", "next_step"),
    [
        ({"collected": 2}, 0, 0, ""),
        ({"collected": 2, "needs_review": 1}, 6, 0, "reviews"),
        ({"collected": 2}, 6, 1, "reviews"),
        ({"collected": 2, "failed": 1}, 4, 0, "status"),
    ],
)
async def test_a_letter_says_what_the_notification_of_a_run_says_about_the_same_end(
    by_state: dict[str, int], code: int, earlier: int, next_step: str
) -> None:
    listening = Listening()
    summary = {**SUMMARY, "by_state": by_state, "exit_code": code, "earlier_review_count": earlier, "batch_id": "b1"}
    await AwsNotifier(listening, topic_arn="arn", event_bus="default").batch_ended(summary, state=BatchState.SETTLED)
    letter = json.loads(listening.calls["publish"]["Message"])["email"].splitlines()
    out = SUMMARY["manifest"].rpartition("/")[0]  # type: ignore[attr-defined]
    local = ended(
        BatchFinished(
            batch_id="b1", state=BatchState.SETTLED, by_state=by_state, exit_code=code, reason=str(SUMMARY["reason"])
        ),
        BatchStarted(batch_id="b1", source_uri="s3://inbox/orders", out=out, resumed=False, by_state={}, slots_free=20),
        earlier_reviews=earlier,
        outage_told=False,
    ).body.splitlines()
    only_cloud = f"Manifest: {SUMMARY['manifest']}"
    assert [line.replace("bulkhead cloud ", "bulkhead ") for line in letter if line != only_cloud] == local
    assert (f"bulkhead cloud {next_step}" in letter[-1]) == bool(next_step)

"""AWS behind the seams of the event-driven core: SQS as the queues, SNS and EventBridge as those who are told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.cloud.messages import encode
from runner.errors import Unavailable

if TYPE_CHECKING:
    from runner.aws import Aws
    from runner.cloud.messages import Message
    from runner.cloud.ports import Queue
    from runner.models import BatchState

EVENT_SOURCE = "bulkhead"
EVENT_TYPE = "Batch Ended"

_AT_ONCE = 10
"""Messages that SQS takes in one request; ten of the longest keys stay far below its 1 MiB."""

_TRIES = 3
_MAX_SUBJECT_CHARS = 99
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


class SqsQueues:
    """The queues of a deployment, by their urls. All may raise AwsRefused, ConfigError and Unavailable."""

    def __init__(self, aws: Aws, urls: Mapping[Queue, str]) -> None:
        self._aws = aws
        self._urls = urls

    async def send(self, queue: Queue, messages: Sequence[Message], *, delay_s: int = 0) -> None:
        """Send any number of messages, each as one of its own; returns once all are kept."""
        bodies = [encode(message) for message in messages]
        for start in range(0, len(bodies), _AT_ONCE):
            await self._send_ten(self._urls[queue], bodies[start : start + _AT_ONCE], delay_s)

    async def is_empty(self, queue: Queue) -> bool:
        """Tell whether no message waits, is delayed or is being worked on, as far as the queue knows."""
        answer = await self._aws.call(
            "sqs", "get_queue_attributes", QueueUrl=self._urls[queue], AttributeNames=list(_COUNTS)
        )
        return not any(int(answer["Attributes"].get(name, 0)) for name in _COUNTS)

    async def hide(self, queue: Queue, receipt: str, *, for_s: int) -> None:
        """Let a message that was received, and is not acknowledged, be seen again after `for_s` seconds."""
        await self._aws.call(
            "sqs",
            "change_message_visibility",
            QueueUrl=self._urls[queue],
            ReceiptHandle=receipt,
            VisibilityTimeout=for_s,
        )

    async def _send_ten(self, url: str, bodies: Sequence[str], delay_s: int) -> None:
        """Send as one request, and again what SQS did not take of it."""
        waiting = {
            str(number): {"Id": str(number), "MessageBody": body, "DelaySeconds": delay_s}
            for number, body in enumerate(bodies)
        }
        for _ in range(_TRIES):
            answer = await self._aws.call("sqs", "send_message_batch", QueueUrl=url, Entries=list(waiting.values()))
            waiting = {refused["Id"]: waiting[refused["Id"]] for refused in answer.get("Failed", ())}
            if not waiting:
                return
        raise Unavailable(f"SQS does not take {len(waiting)} messages")


class AwsAnnouncer:
    """Tells a topic, for people and programs, and an event bus, for programs, that a batch ended."""

    def __init__(self, aws: Aws, *, topic_arn: str, event_bus: str) -> None:
        self._aws = aws
        self._topic_arn = topic_arn
        self._event_bus = event_bus

    async def batch_ended(self, summary: Mapping[str, Any], *, state: BatchState) -> None:
        """Tell of an end; who is told twice knows it by `end`. Raises AwsRefused, ConfigError, Unavailable."""
        detail = json.dumps({**summary, "state": str(state)}, ensure_ascii=False)
        await self._put_event(detail)
        subject = f"Bulkhead: batch {summary['batch_id']} is {state}"
        await self._aws.call(
            "sns",
            "publish",
            TopicArn=self._topic_arn,
            Subject=_line(subject),
            MessageStructure="json",
            Message=json.dumps({"default": detail, "email": _letter(subject, summary)}, ensure_ascii=False),
            MessageAttributes={"state": {"DataType": "String", "StringValue": str(state)}},
        )

    async def _put_event(self, detail: str) -> None:
        entry = {
            "Source": EVENT_SOURCE,
            "DetailType": EVENT_TYPE,
            "Detail": detail,
            "EventBusName": self._event_bus,
        }
        answer = await self._aws.call("events", "put_events", Entries=[entry])
        if answer.get("FailedEntryCount"):
            raise Unavailable("EventBridge does not take the end of the batch")


def _line(text: str) -> str:
    """Return a text as SNS takes it for a subject: printable ASCII, below 100 characters."""
    plain = "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
    return plain[:_MAX_SUBJECT_CHARS]


def _letter(subject: str, summary: Mapping[str, Any]) -> str:
    """Return what a person reads: the end, its reason, how many items are in which state, where the manifest lies."""
    states = [f"{count:>9,}  {state}" for state, count in summary["by_state"].items() if count]
    lines = [subject, str(summary.get("reason", "")), "", *states, "", f"Manifest: {summary.get('manifest', '')}"]
    return "\n".join(lines) + "\n"

"""SQS as the queues of the event-driven core, and how full they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.cloud.messages import encode
from runner.errors import Unavailable

if TYPE_CHECKING:
    from runner.aws.services import Aws
    from runner.cloud.messages import Message
    from runner.cloud.ports import Queue

MOST_AT_ONCE = 10
"""Messages that SQS takes or gives in one request; ten of the longest keys stay far below its 1 MiB."""

_TRIES = 3
_COUNTS = {
    "waiting": "ApproximateNumberOfMessages",
    "delayed": "ApproximateNumberOfMessagesDelayed",
    "in_work": "ApproximateNumberOfMessagesNotVisible",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCounts:
    """About how many messages a queue of SQS holds: ready, to come later, and being worked on."""

    waiting: int
    delayed: int
    in_work: int

    @property
    def total(self) -> int:
        return self.waiting + self.delayed + self.in_work


async def message_counts(aws: Aws, url: str) -> MessageCounts:
    """Ask SQS how full a queue is. Raises AwsRefused, ConfigError and Unavailable."""
    answer = await aws.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=list(_COUNTS.values()))
    return MessageCounts(**{name: int(answer["Attributes"].get(word, 0)) for name, word in _COUNTS.items()})


class SqsQueues:
    """The queues of a deployment, by their urls. All may raise AwsRefused, ConfigError and Unavailable."""

    def __init__(self, aws: Aws, urls: Mapping[Queue, str]) -> None:
        self._aws = aws
        self._urls = urls

    async def send(self, queue: Queue, messages: Sequence[Message], *, delay_s: int = 0) -> None:
        """Send any number of messages, each as one of its own; returns once all are kept."""
        bodies = [encode(message) for message in messages]
        for start in range(0, len(bodies), MOST_AT_ONCE):
            await self._send_ten(self._urls[queue], bodies[start : start + MOST_AT_ONCE], delay_s)

    async def is_empty(self, queue: Queue) -> bool:
        """Tell whether no message waits, is delayed or is being worked on, as far as the queue knows."""
        return (await message_counts(self._aws, self._urls[queue])).total == 0

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

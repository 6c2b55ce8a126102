"""SQS: sending messages, counting them, and returning dead letters to their queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.cloud.deliveries import Delivery
from runner.cloud.messages import encode
from runner.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.aws.services import Aws
    from runner.cloud.messages import Message
    from runner.cloud.ops.stack import Stack
    from runner.cloud.protocols import Queue


MAX_BATCH_MESSAGES = 10
"""Messages in one request to SQS, either way; ten messages with the longest keys stay far below its limit of 1 MiB."""

_TRIES = 3
_HIDDEN_S = 60
_WAIT_S = 1
"""A receive that waits asks all of a queue's servers; one that does not wait may miss messages."""

_RECEIVES = "ApproximateReceiveCount"
_COUNTS = {
    "waiting": "ApproximateNumberOfMessages",
    "delayed": "ApproximateNumberOfMessagesDelayed",
    "in_work": "ApproximateNumberOfMessagesNotVisible",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCounts:
    """About how many messages a queue holds: ready, delayed, and being processed."""

    waiting: int
    delayed: int
    in_work: int

    @property
    def total(self) -> int:
        return self.waiting + self.delayed + self.in_work


async def message_counts(aws: Aws, url: str) -> MessageCounts:
    """Ask SQS how many messages a queue holds. Raises AwsRefused, ConfigError, Unavailable."""
    answer = await aws.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=list(_COUNTS.values()))
    return MessageCounts(**{name: int(answer["Attributes"].get(word, 0)) for name, word in _COUNTS.items()})


class SqsQueues:
    """Implements `protocols.Queues` over SQS, by url. Every method may raise AwsRefused, ConfigError, Unavailable."""

    def __init__(self, aws: Aws, urls: Mapping[Queue, str]) -> None:
        self._aws = aws
        self._urls = urls

    async def send(self, queue: Queue, messages: Sequence[Message], *, delay_s: int = 0) -> None:
        """Send any number of messages, each separately; returns when SQS has stored all of them."""
        bodies = [encode(message) for message in messages]
        for start in range(0, len(bodies), MAX_BATCH_MESSAGES):
            await self._send_ten(self._urls[queue], bodies[start : start + MAX_BATCH_MESSAGES], delay_s)

    async def is_empty(self, queue: Queue, *, apart_from: int = 0) -> bool:
        """Return whether the queue knows of at most `apart_from` messages: waiting, delayed, or being processed."""
        return (await self.count(queue)).total <= apart_from

    def named_in(self, arn: str, among: Sequence[Queue]) -> Queue:
        """Return which of some queues an ARN is of; the first if it is of none."""
        name = arn.rpartition(":")[2]
        return next((queue for queue in among if self._urls[queue].rpartition("/")[2] == name), among[0])

    async def receive(self, queue: Queue, *, at_most: int, wait_s: int, hidden_s: int) -> list[Delivery]:
        """Receive up to ten messages, and hide them for `hidden_s` seconds; wait up to `wait_s` if there are none."""
        answer = await self._aws.call(
            "sqs",
            "receive_message",
            QueueUrl=self._urls[queue],
            MaxNumberOfMessages=at_most,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=hidden_s,
            MessageSystemAttributeNames=[_RECEIVES],
        )
        return [
            Delivery(
                queue=queue,
                message_id=raw["MessageId"],
                body=raw["Body"],
                receipt=raw["ReceiptHandle"],
                receives=int(raw["Attributes"][_RECEIVES]),
            )
            for raw in answer.get("Messages", ())
        ]

    async def delete(self, delivery: Delivery) -> None:
        """Delete a received message."""
        await self._aws.call(
            "sqs", "delete_message", QueueUrl=self._urls[delivery.queue], ReceiptHandle=delivery.receipt
        )

    async def count(self, queue: Queue) -> MessageCounts:
        """Return about how many messages a queue holds."""
        return await message_counts(self._aws, self._urls[queue])

    async def hide(self, queue: Queue, receipt: str, *, for_s: int) -> None:
        """Hide a received message for `for_s` seconds; then SQS delivers it again."""
        await self._aws.call(
            "sqs",
            "change_message_visibility",
            QueueUrl=self._urls[queue],
            ReceiptHandle=receipt,
            VisibilityTimeout=for_s,
        )

    async def _send_ten(self, url: str, bodies: Sequence[str], delay_s: int) -> None:
        """Send the messages in one request, and send the ones that SQS refused again."""
        waiting = {
            str(number): {"Id": str(number), "MessageBody": body, "DelaySeconds": delay_s}
            for number, body in enumerate(bodies)
        }
        for _ in range(_TRIES):
            answer = await self._aws.call("sqs", "send_message_batch", QueueUrl=url, Entries=list(waiting.values()))
            waiting = {refused["Id"]: waiting[refused["Id"]] for refused in answer.get("Failed", ())}
            if not waiting:
                return
        raise Unavailable(f"SQS did not accept {len(waiting)} messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """About how many messages a queue holds, and how many its dead-letter queue holds (`dead`)."""

    queue: Queue
    messages: MessageCounts
    dead: int


async def depth_of(aws: Aws, stack: Stack, queue: Queue) -> QueueDepth:
    """Count the messages of a queue and its dead-letter queue. Raises AwsRefused, ConfigError, Unavailable."""
    messages = await message_counts(aws, stack.queue_url(queue))
    dead = await message_counts(aws, stack.dead_letter_url(queue))
    return QueueDepth(queue=queue, messages=messages, dead=dead.total)


async def return_dead_letters(
    aws: Aws, stack: Stack, queue: Queue, *, before: Callable[[str], Awaitable[None]] | None = None
) -> int:
    """Move a queue's dead letters back to it, and return how many; `before` is called with each body before it is sent.

    Each is sent before it is deleted, so an interruption loses none, and a message that arrives twice does no harm.
    Only as many are moved as there were at the start: messages that fail again meanwhile stay. Raises AwsRefused,
    ConfigError, Unavailable.
    """
    source, target = stack.dead_letter_url(queue), stack.queue_url(queue)
    most = (await message_counts(aws, source)).waiting
    moved = 0
    while moved < most:
        found = await _receive(aws, source, at_most=min(MAX_BATCH_MESSAGES, most - moved))
        if not found:
            break
        if before is not None:
            for message in found:
                await before(message["Body"])
        await _batch(aws, "send_message_batch", target, [{"MessageBody": one["Body"]} for one in found])
        await _batch(aws, "delete_message_batch", source, [{"ReceiptHandle": one["ReceiptHandle"]} for one in found])
        moved += len(found)
    return moved


async def _receive(aws: Aws, url: str, *, at_most: int) -> list[dict[str, Any]]:
    answer = await aws.call(
        "sqs",
        "receive_message",
        QueueUrl=url,
        MaxNumberOfMessages=at_most,
        VisibilityTimeout=_HIDDEN_S,
        WaitTimeSeconds=_WAIT_S,
    )
    return list(answer.get("Messages", ()))


async def _batch(aws: Aws, operation: str, url: str, entries: list[dict[str, str]]) -> None:
    named = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
    answer = await aws.call("sqs", operation, QueueUrl=url, Entries=named)
    if answer.get("Failed"):
        raise Unavailable(f"SQS did not accept all of {len(entries)} messages: {answer['Failed'][0].get('Message')}")

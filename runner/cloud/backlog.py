"""What waits in the queues of a deployment, and dead letters put back to where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.cloud.sqs import MOST_AT_ONCE, MessageCounts, message_counts
from runner.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.aws.services import Aws
    from runner.cloud.ports import Queue
    from runner.cloud.stack import Stack

_HIDDEN_S = 60
_WAIT_S = 1
"""A receive that waits asks all of a queue's servers; one that does not may find nothing where there is something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """About how many messages a queue holds, and how many were given up (`dead`)."""

    queue: Queue
    messages: MessageCounts
    dead: int


async def depth_of(aws: Aws, stack: Stack, queue: Queue) -> QueueDepth:
    """Ask SQS how full a queue and its dead-letter queue are. Raises AwsRefused, Unavailable, ConfigError."""
    messages = await message_counts(aws, stack.queue_url(queue))
    dead = await message_counts(aws, stack.dead_letter_url(queue))
    return QueueDepth(queue=queue, messages=messages, dead=dead.total)


async def return_dead_letters(
    aws: Aws, stack: Stack, queue: Queue, *, before: Callable[[str], Awaitable[None]] | None = None
) -> int:
    """Move a queue's dead letters back to it, and return how many; `before` is told each body before it is sent.

    Each is sent before it is deleted, so none is lost where this is cut short; one that comes twice does no harm. No
    more are moved than there were at the beginning: what fails again meanwhile stays. Raises Unavailable, AwsRefused.
    """
    source, target = stack.dead_letter_url(queue), stack.queue_url(queue)
    most = (await message_counts(aws, source)).waiting
    moved = 0
    while moved < most:
        found = await _receive(aws, source, at_most=min(MOST_AT_ONCE, most - moved))
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
        raise Unavailable(f"SQS did not take all of {len(entries)} messages: {answer['Failed'][0].get('Message')}")

"""Deliveries: what is done with each message that a queue delivers, concurrently and independently.

A message that fails affects no other: it alone is delivered again, after growing delays, and ends in the dead-letter
queue. If nothing can be worked on, because the license key is missing, the vendor refuses it, or the stack doesn't
accept the configuration's hooks any more, the messages are sent again as new ones, so that they don't use up their
attempts while a person fixes the cause.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from runner.cloud.deadline import RESERVE_S
from runner.cloud.messages import decode
from runner.cloud.protocols import Queue, retry_after_s
from runner.errors import (
    AuthRefused,
    BulkheadError,
    ConnectionBarred,
    HooksRefused,
    MessageInvalid,
    TransientError,
)
from runner.masking import log_fields

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.messages import Message
    from runner.cloud.protocols import Mailbox, Outcome, TimeLeft

logger = logging.getLogger(__name__)

PUT_OFF_S = 300
"""How long a message waits if a person has to fix something first."""

ANSWER_S = 2.0
"""Work is cancelled this long before the function's end, so that finished messages are acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message as its queue delivered it: `receives` counts from 1, `receipt` hides or deletes it."""

    queue: Queue
    message_id: str
    body: str
    receipt: str
    receives: int


class Workplace(Protocol):
    """What the work on messages needs, opened on first use and kept."""

    async def deployment(self, *, license_key: bool = True) -> Deployment:
        """Return the deployment; without the license key, it must not call the vendor. Raises BulkheadError."""
        ...

    async def queues(self) -> Mailbox:
        """Return the queues, which need no secret. Raises ConfigError."""
        ...

    def failure(self, sentence: str, error: BaseException, **fields: object) -> None:
        """Log an error, without secrets and rows."""
        ...

    def reload_license_key(self) -> None:
        """Read the license key again before long, because the vendor refuses the current one."""
        ...


class Work(Protocol):
    """What is done with each message."""

    async def __call__(self, queue: Queue, message: Message, *, receives: int) -> None: ...


class EntryPoint(Protocol):
    """What `runner.cloud.handlers` does with a message of one queue."""

    async def __call__(
        self, deployment: Deployment, message: Any, *, time_left: TimeLeft, receives: int = 1
    ) -> Outcome: ...


class Deliveries:
    """Passes messages of `kinds` to an entry point; the deployment is opened without the key if that needs none."""

    def __init__(self, place: Workplace, entry: EntryPoint, *kinds: type[Message], license_key: bool = True) -> None:
        self._place = place
        self._entry = entry
        self._kinds = kinds
        self._license_key = license_key

    async def work(self, time_left: TimeLeft) -> Work:
        """Return what is done with each message: the entry point, or only sending it again."""
        try:
            deployment = await self._place.deployment(license_key=self._license_key)
        except BulkheadError as error:
            delay_s = retry_after_s(1) if isinstance(error, TransientError) else PUT_OFF_S
            self._place.failure("function cannot work", error, retry_in_s=delay_s)
            return partial(self._resend, delay_s=delay_s)
        return partial(self._process, deployment, time_left=time_left)

    async def failed(self, delivery: Delivery, work: Work) -> bool:
        """Return whether a message failed and has to be delivered again; raises nothing."""
        try:
            await work(delivery.queue, self._message(delivery), receives=delivery.receives)
        except Exception as error:  # noqa: BLE001 - any error concerns this message alone
            is_permanent = isinstance(error, MessageInvalid)
            await self._retry(delivery, error, after_s=0 if is_permanent else retry_after_s(delivery.receives))
            return True
        return False

    async def flush_counts(self) -> None:
        """Write what moves have left to be counted; an error is only logged."""
        try:
            deployment = await self._place.deployment(license_key=self._license_key)
            await deployment.ledger.flush_counts()
        except BulkheadError as error:
            logger.warning("counts are not written yet", extra=log_fields(error))

    async def _process(
        self, deployment: Deployment, queue: Queue, message: Message, *, time_left: TimeLeft, receives: int
    ) -> None:
        if time_left() < RESERVE_S:
            await self._resend(queue, message)
            return
        try:
            async with asyncio.timeout(time_left() - ANSWER_S):
                await self._entry(deployment, message, time_left=time_left, receives=receives)
        except AuthRefused as error:
            what = "vendor not connected" if isinstance(error, ConnectionBarred) else "license key refused"
            self._place.failure(what, error, retry_in_s=PUT_OFF_S)
            self._place.reload_license_key()
            await self._resend(queue, message, delay_s=PUT_OFF_S)
        except HooksRefused as error:
            self._place.failure("configuration refused", error, retry_in_s=PUT_OFF_S)
            await self._resend(queue, message, delay_s=PUT_OFF_S)

    def _message(self, delivery: Delivery) -> Message:
        message = decode(delivery.body)
        if not isinstance(message, self._kinds):
            raise MessageInvalid(f"a message of the kind {type(message).__name__} is in the wrong queue")
        return message

    async def _resend(self, queue: Queue, message: Message, *, delay_s: int = 0, receives: int = 1) -> None:  # noqa: ARG002
        queues = await self._place.queues()
        await queues.send(queue, [message], delay_s=delay_s)

    async def _retry(self, delivery: Delivery, error: Exception, *, after_s: int) -> None:
        fields = {"message_id": delivery.message_id, "receives": delivery.receives, "retry_in_s": after_s}
        self._place.failure("message failed", error, **fields)
        with suppress(BulkheadError):
            queues = await self._place.queues()
            await queues.hide(delivery.queue, delivery.receipt, for_s=after_s)

"""The records of an SQS event, processed concurrently and independently.

A record that fails affects no other: it alone is delivered again, after growing delays, and ends in the dead-letter
queue. If the function itself cannot work, because the license key is missing, the vendor refuses it, or the stack
doesn't accept the configuration's hooks any more, the messages are sent again as new ones, so that they don't use up
their attempts while a person fixes the cause.

This does not use powertools' batch processor, which runs records on an event loop of its own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from aws_lambda_powertools.utilities.data_classes import SQSEvent

from runner.cloud.deadline import RESERVE_S
from runner.cloud.messages import decode
from runner.cloud.protocols import Queue, retry_after_s
from runner.errors import AuthRefused, BulkheadError, ConnectionBarred, HooksRefused, MessageInvalid, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from lambdas.runtime import Container
    from runner.cloud.context import Deployment
    from runner.cloud.messages import Message
    from runner.cloud.protocols import Outcome, TimeLeft

PUT_OFF_S = 300
"""How long a message waits if a person has to fix something first."""

ANSWER_S = 2.0
"""Work is cancelled this long before the function's end, so that finished records are acknowledged."""


class _Work(Protocol):
    """What is done with each message of an invocation."""

    async def __call__(self, message: Message, *, receives: int) -> None: ...


class EntryPoint(Protocol):
    """What `runner.cloud.handlers` does with a message of one queue."""

    async def __call__(
        self, deployment: Deployment, message: Any, *, time_left: TimeLeft, receives: int = 1
    ) -> Outcome: ...


class Records:
    """Passes the records of `queues`, whose messages are of `kinds`, to an entry point."""

    def __init__(
        self,
        container: Container,
        queues: Queue | Sequence[Queue],
        entry: EntryPoint,
        *kinds: type[Message],
        license_key: bool = True,
    ) -> None:
        self._container = container
        self._queues = (queues,) if isinstance(queues, Queue) else tuple(queues)
        self._queue = self._queues[0]
        self._entry = entry
        self._kinds = kinds
        self._license_key = license_key

    def answer(self, event: Mapping[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
        """Process an event of SQS; returns which records failed."""
        records = list(SQSEvent(dict(event)).records)
        return self._container.run(lambda time_left: self._all(records, time_left), context)

    async def _all(self, records: list[SQSRecord], time_left: TimeLeft) -> PartialItemFailureResponse:
        if len(self._queues) > 1 and records:
            self._queue = (await self._container.queues()).named_in(records[0].event_source_arn, self._queues)
        work = await self._work(time_left)
        failed = await asyncio.gather(*(self._failed(record, work) for record in records))
        return {
            "batchItemFailures": [
                {"itemIdentifier": record.message_id} for record, is_bad in zip(records, failed, strict=True) if is_bad
            ]
        }

    async def _work(self, time_left: TimeLeft) -> _Work:
        """Return what is done with each message: the entry point, or only sending it again."""
        try:
            deployment = await self._container.deployment(license_key=self._license_key)
        except BulkheadError as error:
            delay_s = retry_after_s(1) if isinstance(error, TransientError) else PUT_OFF_S
            self._container.telemetry.failure("function cannot work", error, retry_in_s=delay_s)
            return partial(self._resend, delay_s=delay_s)
        return partial(self._process, deployment, time_left=time_left)

    async def _failed(self, record: SQSRecord, work: _Work) -> bool:
        """Return whether a record failed and has to be delivered again; raises nothing."""
        receives = int(record.attributes.approximate_receive_count)
        try:
            await work(self._message(record), receives=receives)
        except Exception as error:  # noqa: BLE001 - any error concerns this record alone
            is_permanent = isinstance(error, MessageInvalid)
            await self._retry(record, error, receives, after_s=0 if is_permanent else retry_after_s(receives))
            return True
        return False

    async def _process(self, deployment: Deployment, message: Message, *, time_left: TimeLeft, receives: int) -> None:
        if time_left() < RESERVE_S:
            await self._resend(message)
            return
        try:
            async with asyncio.timeout(time_left() - ANSWER_S):
                await self._entry(deployment, message, time_left=time_left, receives=receives)
        except AuthRefused as error:
            what = "vendor not connected" if isinstance(error, ConnectionBarred) else "license key refused"
            self._container.telemetry.failure(what, error, retry_in_s=PUT_OFF_S)
            self._container.reload_license_key()
            await self._resend(message, delay_s=PUT_OFF_S)
        except HooksRefused as error:
            self._container.telemetry.failure("configuration refused", error, retry_in_s=PUT_OFF_S)
            await self._resend(message, delay_s=PUT_OFF_S)

    def _message(self, record: SQSRecord) -> Message:
        message = decode(record.body)
        if not isinstance(message, self._kinds):
            raise MessageInvalid(f"a message of the kind {type(message).__name__} is in the wrong queue")
        return message

    async def _resend(self, message: Message, *, delay_s: int = 0, receives: int = 1) -> None:  # noqa: ARG002
        queues = await self._container.queues()
        await queues.send(self._queue, [message], delay_s=delay_s)

    async def _retry(self, record: SQSRecord, error: Exception, receives: int, *, after_s: int) -> None:
        fields = {"message_id": record.message_id, "receives": receives, "retry_in_s": after_s}
        self._container.telemetry.failure("message failed", error, **fields)
        with suppress(BulkheadError):
            queues = await self._container.queues()
            await queues.hide(self._queue, record.receipt_handle, for_s=after_s)

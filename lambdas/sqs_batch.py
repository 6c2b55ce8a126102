"""The records of an SQS event, each of which is a delivery.

This does not use powertools' batch processor, which runs records on an event loop of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes import SQSEvent

from runner.cloud.deliveries import Deliveries, Delivery
from runner.cloud.protocols import Queue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from lambdas.runtime import Container
    from runner.cloud.deliveries import EntryPoint
    from runner.cloud.messages import Message
    from runner.cloud.protocols import TimeLeft


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
        self._deliveries = Deliveries(container, entry, *kinds, license_key=license_key)

    def answer(self, event: Mapping[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
        """Process an event of SQS; returns which records failed."""
        records = list(SQSEvent(dict(event)).records)
        return self._container.run(lambda time_left: self._all(records, time_left), context)

    async def _all(self, records: list[SQSRecord], time_left: TimeLeft) -> PartialItemFailureResponse:
        queue = await self._queue(records)
        work = await self._deliveries.work(time_left)
        failed = await asyncio.gather(*(self._deliveries.failed(_delivery(record, queue), work) for record in records))
        return {
            "batchItemFailures": [
                {"itemIdentifier": record.message_id} for record, is_bad in zip(records, failed, strict=True) if is_bad
            ]
        }

    async def _queue(self, records: Sequence[SQSRecord]) -> Queue:
        """Return the queue of all records of an event."""
        if len(self._queues) == 1 or not records:
            return self._queues[0]
        return (await self._container.queues()).named_in(records[0].event_source_arn, self._queues)


def _delivery(record: SQSRecord, queue: Queue) -> Delivery:
    return Delivery(
        queue=queue,
        message_id=record.message_id,
        body=record.body,
        receipt=record.receipt_handle,
        receives=int(record.attributes.approximate_receive_count),
    )

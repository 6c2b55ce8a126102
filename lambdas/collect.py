"""collect: asks the vendor what became of an import, moves its item, and brings its result home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.bootstrap import container, tracer
from lambdas.sqs_batch import Records
from runner.cloud.handlers.collect import collect
from runner.cloud.messages import ImportHint
from runner.cloud.protocols import Queue

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

records = Records(container, Queue.COLLECT, collect, ImportHint)


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer an event of SQS with the records that are to come back."""
    return records.answer(event, context)

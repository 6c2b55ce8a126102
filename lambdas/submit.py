"""submit: creates imports for the items of files that arrived, and of loads, and uploads small files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.bootstrap import container, tracer
from lambdas.sqs_batch import Records
from runner.cloud.handlers.submit import submit
from runner.cloud.messages import ItemRef, ObjectCreated
from runner.cloud.protocols import Queue

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

records = Records(container, (Queue.SUBMIT, Queue.LOAD), submit, ObjectCreated, ItemRef)


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Process an event of SQS, and return the records that failed and have to be delivered again."""
    return records.answer(event, context)

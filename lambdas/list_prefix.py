"""list_prefix: adds one page of a load's keys to the ledger, or compares one page of the inbox with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.bootstrap import container, tracer
from lambdas.sqs_batch import Records
from runner.cloud.handlers.list import list_page
from runner.cloud.messages import ListPage, StartLoad, SweepPage
from runner.cloud.protocols import Queue

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

records = Records(container, Queue.LIST, list_page, StartLoad, ListPage, SweepPage)


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Process an event of SQS, and return the records that failed and have to be delivered again."""
    return records.answer(event, context)

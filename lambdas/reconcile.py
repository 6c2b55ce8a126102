"""reconcile: compares the ledger with the vendor every few minutes, and re-enqueues what no function works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.bootstrap import container, tracer
from runner.cloud.reconcile import reconcile
from runner.errors import AuthRefused

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from runner.cloud.protocols import TimeLeft


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> None:
    """Do one pass; the schedule's event is ignored. Raises RuntimeError if a step failed."""
    container.run(_reconcile, context)


async def _reconcile(time_left: TimeLeft) -> None:
    try:
        await reconcile(await container.deployment(), time_left=time_left)
    except AuthRefused:
        container.reload_license_key()
        raise

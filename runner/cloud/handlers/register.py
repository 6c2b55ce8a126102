"""Register: add a file that arrived to the ledger at once, whatever the quota, and enqueue its item for submit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cloud.ingest import ingest
from runner.cloud.protocols import Done, Outcome, Queue

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.messages import ObjectCreated
    from runner.cloud.protocols import TimeLeft


async def register(
    deployment: Deployment,
    message: ObjectCreated,
    *,
    time_left: TimeLeft,  # noqa: ARG001 - a file takes less than a second
    receives: int = 1,  # noqa: ARG001 - what is not in the ledger cannot record dead letters there
) -> Outcome:
    """Add a file to the ledger, from which reconcile enqueues it again if its message is lost.

    Raises LedgerError, TransientError, and ConfigError, which make the message come back.
    """
    ref = await ingest(deployment, message)
    if ref is not None:
        await deployment.queues.send(Queue.SUBMIT, [ref])
    return Done()

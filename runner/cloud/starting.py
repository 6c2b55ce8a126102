"""Starting: a load is asked for by a message; a batch that the stack drives is made once, whoever comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.aws.s3 import S3Place
from runner.cloud.messages import StartLoad
from runner.cloud.naming import load_id
from runner.cloud.ports import Queue
from runner.errors import LedgerError
from runner.models import Batch

if TYPE_CHECKING:
    from datetime import datetime

    from runner.cloud.deployment import Deployment
    from runner.cloud.ports import Queues
    from runner.config.run_spec import RunSpec


async def start_load(queues: Queues, uri: str, *, name: str, at: datetime) -> str:
    """Ask the stack to import everything under an `s3://` url of its inbox; returns the id of the batch to come.

    The batch is in the ledger once the message was read, which takes seconds. Raises ConfigError where `uri` names no
    place in S3, and TransientError.
    """
    load = StartLoad(uri=str(S3Place.parse(uri)), name=name, at=at)
    await queues.send(Queue.LIST, [load])
    return load_id(load.uri, name, at)


async def start_batch(deployment: Deployment, spec: RunSpec, batch_id: str) -> Batch:
    """Start a batch that the stack drives, unless somebody was faster; returns it either way. Raises LedgerError."""
    batch = Batch(
        batch_id=batch_id,
        source_uri=deployment.places.source(spec.source).uri,
        account=deployment.account,
        out=deployment.out(batch_id),
        config=spec.to_json(),
        started_at=deployment.clock.now(),
    )
    try:
        await deployment.ledger.start_batch(batch)
    except LedgerError:
        started = await deployment.ledger.batch(batch_id)
        if started is None:
            raise
        return started
    return batch

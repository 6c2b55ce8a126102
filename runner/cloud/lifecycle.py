"""Starting: a load is asked for by a message; a batch that the stack drives is made once, whoever comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.aws.s3 import S3Place
from runner.cloud.batch_ids import is_rolling, load_id
from runner.cloud.messages import BatchRef, StartLoad
from runner.cloud.protocols import Queue
from runner.errors import LedgerError
from runner.models import OPEN_STATES, Batch, BatchState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from runner.cloud.context import Deployment
    from runner.cloud.protocols import Queues
    from runner.config.run_spec import RunSpec
    from runner.models import Batch, ItemState


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


ENDS = frozenset({BatchState.SETTLED, BatchState.COMPLETE})


def is_at_rest(batch: Batch, by_state: Mapping[ItemState, int]) -> bool:
    """Tell whether nothing is being done in a batch. A rolling batch may rest before all of it is there."""
    return not any(by_state.get(state) for state in OPEN_STATES) and (batch.listed or is_rolling(batch.batch_id))


async def ring_if_at_rest(deployment: Deployment, batch_id: str) -> bool:
    """Let the manifest be written where the batch is at rest; the counters are exact."""
    batch = await deployment.ledger.batch(batch_id)
    if batch is None or not is_at_rest(batch, await deployment.ledger.counts(batch_id)):
        return False
    await deployment.queues.send(Queue.FINISH, [BatchRef(batch_id=batch_id)])
    return True


async def open_again(deployment: Deployment, batch_id: str) -> None:
    """Let a batch that was at its end go on, since it has work again; to be called after the item was added."""
    batch = await deployment.ledger.batch(batch_id)
    if batch is not None and batch.state in ENDS:
        await deployment.ledger.update_batch(batch_id, state=BatchState.RUNNING, finished_at=None, exit_code=None)

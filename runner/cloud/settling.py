"""Settling: whether a batch has come to rest, who is rung then, and how a batch that was at its end is opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cloud.messages import BatchRef
from runner.cloud.naming import is_rolling
from runner.cloud.ports import Queue
from runner.models import OPEN_STATES, BatchState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.cloud.deployment import Deployment
    from runner.models import Batch, ItemState

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

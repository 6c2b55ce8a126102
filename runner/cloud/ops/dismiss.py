"""Dismiss: end items of the stack's batches that nobody will look into, and let the functions show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cloud.messages import BatchRef
from runner.cloud.protocols import Queue
from runner.local.dismiss import batches_of, dismiss, has_dismissible

if TYPE_CHECKING:
    from runner.cloud.protocols import Queues
    from runner.ledger.protocol import Ledger
    from runner.models import Batch, Item
    from runner.stages.transitions import Transitions


async def newest_dismissible(ledger: Ledger) -> Batch | None:
    """Return the newest batch of the stack that has something to dismiss, or else its newest; None if it has none."""
    newest_first = [batch for batch in reversed(await ledger.batches()) if batch.driver == "stack"]
    for batch in newest_first:
        if await has_dismissible(ledger, batch.batch_id):
            return batch
    return next(iter(newest_first), None)


async def dismiss_items(
    ledger: Ledger, queues: Queues, batch_id: str, *, match: str | None, reason: str, transitions: Transitions
) -> list[Item]:
    """Dismiss items as `local.dismiss` says, then enqueue finish for each batch that changed; return them as they were.

    Finish is enqueued even if no item is left to dismiss: after an interruption, a second call makes up for it.
    Raises ConfigError, LedgerError, TransientError.
    """
    items = await dismiss(ledger, batch_id, match=match, reason=reason, transitions=transitions)
    await queues.send(Queue.FINISH, [BatchRef(batch_id=one) for one in batches_of(batch_id, items)])
    return items

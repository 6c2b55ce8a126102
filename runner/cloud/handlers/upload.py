"""Upload: stream a large file to the upload url of its import, one file per execution."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.cloud.batch_routes import with_routes_of
from runner.cloud.context import is_driven_by_stack
from runner.cloud.dead_letters import mark_dead_lettered
from runner.cloud.deadline import Deadline
from runner.cloud.leases import hold_lease, requeue
from runner.cloud.lifecycle import enqueue_finish_if_idle, is_rolling, submit_queue
from runner.cloud.messages import ItemRef
from runner.cloud.protocols import Done, Outcome, Queue
from runner.errors import NotYet, StaleItem, TransientError, Unavailable
from runner.models import TERMINAL_STATES, UPLOAD_TOO_SLOW, Item, ItemState

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.protocols import TimeLeft
    from runner.models import Batch
    from runner.stages.factory import Stages

logger = logging.getLogger(__name__)

MOST_LIVES = 3
"""How many functions one upload may outlive before its item fails."""

HELD_RETRY_S = 60.0
"""Another function works on the item: retry this late, in case that function dies."""

_OUTLIVED = "the upload took longer than a function may run"
_TOO_SLOW = f"the upload did not end within the life of a function, {MOST_LIVES} times"

_S = ItemState


async def upload(deployment: Deployment, message: ItemRef, *, time_left: TimeLeft, receives: int = 1) -> Outcome:
    """Upload the file of an item whose import is made; an item that has to be created again goes back to submit.

    Waiting is not a failure, and neither is an outage: the message is requeued. What this raises is a failure: the
    message comes back, and on the last delivery the item records the reason. `receives` counts from 1.
    """
    if (wait_s := await deployment.breaker.wait_s()) is not None:
        return await _requeue(deployment, message, wait_s)
    try:
        return await _with_lease(deployment, message, Deadline(time_left, longest_wait_s=deployment.longest_wait_s))
    except StaleItem:
        logger.info("another function moved the item", extra={"item": message.source})
        return Done()
    except Exception as error:
        if isinstance(error, TransientError) and (wait_s := await deployment.breaker.wait_s()) is not None:
            return await _requeue(deployment, message, wait_s)
        await mark_dead_lettered(deployment, message.batch_id, message.source, error, receives=receives)
        raise


async def note_outlived(deployment: Deployment, item: Item) -> None:
    """Record that a function's time was over during the upload of an item, so that the next functions count on."""
    current = await deployment.ledger.item(item.batch_id, item.source)
    if current is not None and current.state is _S.CREATED:
        await deployment.transitions().advance(current, current.state, reason=_OUTLIVED)


async def _requeue(deployment: Deployment, ref: ItemRef, seconds: float) -> Outcome:
    return await requeue(deployment, Queue.UPLOAD, ref, seconds, batch_id=ref.batch_id, name=ref.source)


async def _with_lease(deployment: Deployment, ref: ItemRef, deadline: Deadline) -> Outcome:
    batch = await deployment.ledger.batch(ref.batch_id)
    if batch is None or not is_driven_by_stack(batch):
        return Done()
    async with hold_lease(deployment, ref.batch_id, ref.source, deadline) as left_s:
        if left_s is not None:
            return await _requeue(deployment, ref, min(left_s, HELD_RETRY_S))
        item = await deployment.ledger.item(ref.batch_id, ref.source)
        if item is None or item.state not in (_S.QUEUED, _S.CREATING, _S.CREATED):
            return Done()
        if item.state is not _S.CREATED:
            return await _back_to_submit(deployment, ref)
        if ref.import_id not in (None, item.import_id):
            logger.info("the item has another import by now", extra={"item": ref.source})
            return Done()
        if is_rolling(batch.batch_id):
            batch = await with_routes_of(deployment, batch, item)
        return await _Upload(deployment, batch, ref, deadline).run(item)


async def _back_to_submit(deployment: Deployment, ref: ItemRef) -> Outcome:
    await deployment.queues.send(submit_queue(ref.batch_id), [replace(ref, import_id=None)])
    return Done()


class _Upload:
    """The upload of one item; the caller holds its lease."""

    def __init__(self, deployment: Deployment, batch: Batch, ref: ItemRef, deadline: Deadline) -> None:
        self._deployment = deployment
        self._ref = ref
        self._deadline = deadline
        self._stages: Stages = deployment.stages(batch, deadline)

    async def run(self, item: Item) -> Outcome:
        after = item
        try:
            async with self._deadline.watched():
                after = await self._uploaded(item)
        except NotYet as error:
            if error.in_trouble:
                raise
            return await _requeue(self._deployment, self._ref, error.wait_s)
        if self._deadline.timed_out:
            await note_outlived(self._deployment, item)
            return await _requeue(self._deployment, self._ref, 1.0)
        return await self._after(after)

    async def _uploaded(self, item: Item) -> Item:
        if await self._lives(item) >= MOST_LIVES:
            return await self._give_up(item)
        after = (await self._stages.submitter.upload(item)).item
        if uploaded := self._stages.uploader.bytes_uploaded:
            await self._deployment.ledger.count_up(item.batch_id, bytes_uploaded=uploaded)
        return after

    async def _lives(self, item: Item) -> int:
        """Return how many functions the upload to the item's import has outlived."""
        history = await self._deployment.ledger.history(item.batch_id, item.source)
        return sum(entry.reason == _OUTLIVED and entry.import_id == item.import_id for entry in history)

    async def _give_up(self, item: Item) -> Item:
        """Fail the item, unless its data has arrived after all."""
        looked = await self._stages.uploader.advance_if_arrived_late(item)
        if looked is not None:
            return looked
        return await self._stages.transitions.advance(
            item, _S.FAILED, reason=UPLOAD_TOO_SLOW, error_code=UPLOAD_TOO_SLOW, error_message=_TOO_SLOW
        )

    async def _after(self, item: Item) -> Outcome:
        if item.state in TERMINAL_STATES:
            await enqueue_finish_if_idle(self._deployment, item.batch_id)
        if item.state is _S.QUEUED:
            return await _back_to_submit(self._deployment, self._ref)
        if item.state is not _S.CREATED:
            return Done()
        if self._deadline.requested:
            return await _requeue(self._deployment, self._ref, max(self._deadline.asked_s, 1.0))
        raise Unavailable("the upload did not succeed")

"""Collect: ask the vendor about an import that may have ended, and download its result to the batch's sink."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from runner.cloud.context import is_driven_by_stack
from runner.cloud.dead_letters import mark_dead_lettered
from runner.cloud.deadline import Deadline
from runner.cloud.leases import hold_item, requeue
from runner.cloud.lifecycle import enqueue_finish_if_idle
from runner.cloud.protocols import Done, Outcome, Queue
from runner.errors import ImportNotFound, StaleItem, TransientError, Unavailable
from runner.events import ignore
from runner.models import OPEN_STATES, REVIEW_DISMISSED, ImportStatus, Item, ItemState
from runner.retry import repeat_read
from runner.stages.track import Tracker
from runner.stages.untaken import UntakenUploads

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.messages import ImportHint
    from runner.cloud.protocols import TimeLeft
    from runner.models import Batch
    from runner.stages.factory import Stages

logger = logging.getLogger(__name__)

HELD_RETRY_S = 10.0
"""Another function works on the import: retry this late, in case that function dies."""

RUNNER_WRITES_S = 5.0
RUNNER_WRITES_WITHIN = timedelta(minutes=2)
"""How long to wait for a runner to record its upload when the import has already ended, and how often to look."""

_S = ItemState
_BOUND = frozenset({_S.CREATED, _S.PROCESSING, _S.NEEDS_REVIEW})


async def collect(deployment: Deployment, message: ImportHint, *, time_left: TimeLeft, receives: int = 1) -> Outcome:
    """Move the item of an import to the vendor's state; if the stack drives its batch, download the result to the sink.

    An import that the ledger does not know is only counted. What this raises makes the message come back;
    on the last delivery the item records the reason. `receives` counts from 1.
    """
    owner = (await deployment.ledger.owners([message.import_id])).get(message.import_id)
    if owner is None:
        deployment.metrics.add_metric("WebhookUnknown", 1)
        return Done()
    if (wait_s := await deployment.breaker.wait_s()) is not None:
        return await _requeue(deployment, message, wait_s, batch_id=owner[0])
    try:
        return await _with_lease(
            deployment, message, owner, Deadline(time_left, longest_wait_s=deployment.longest_wait_s)
        )
    except StaleItem:
        return await _requeue(deployment, message, HELD_RETRY_S, batch_id=owner[0])
    except Exception as error:
        if isinstance(error, TransientError) and (wait_s := await deployment.breaker.wait_s()) is not None:
            return await _requeue(deployment, message, wait_s, batch_id=owner[0])
        await mark_dead_lettered(deployment, *owner, error, receives=receives)
        raise


async def _with_lease(deployment: Deployment, hint: ImportHint, owner: tuple[str, str], deadline: Deadline) -> Outcome:
    batch = await deployment.recent_batch(owner[0])
    item = await deployment.ledger.item(*owner)
    if batch is None or item is None or item.import_id != hint.import_id:
        return Done()
    if item.state is _S.COLLECTED:
        if is_driven_by_stack(batch):
            await enqueue_finish_if_idle(deployment, batch.batch_id)
        return Done()
    is_claimed = item.state is _S.SUCCEEDED
    async with hold_item(deployment, item, hint.import_id, deadline, claim=_S.SUCCEEDED, is_claimed=is_claimed) as hold:
        if hold.left_s is not None:
            return await _requeue(deployment, hint, min(hold.left_s, HELD_RETRY_S), batch_id=batch.batch_id)
        collection = _Collection(hold.deployment, batch, hint, deadline)
        outcome = await collection.run(item)
        hold.is_over = collection.is_over
        return outcome


async def _requeue(deployment: Deployment, hint: ImportHint, seconds: float, *, batch_id: str) -> Outcome:
    return await requeue(deployment, Queue.COLLECT, hint, seconds, batch_id=batch_id, name=hint.import_id)


def _is_awaited(item: Item) -> bool:
    """Return whether the vendor's state of an import can move its item; a dismissed review may be finished anyway."""
    return item.state in _BOUND or item.error_code == REVIEW_DISMISSED


class _Collection:
    """One import that may have ended; nobody else downloads its result."""

    def __init__(self, deployment: Deployment, batch: Batch, hint: ImportHint, deadline: Deadline) -> None:
        self._deployment = deployment
        self._batch = batch
        self._hint = hint
        self._deadline = deadline
        self._is_ours = is_driven_by_stack(batch)
        self.is_over = False
        """Whether there is no result to download, or it is saved."""
        self._transitions = deployment.transitions()
        self._tracker = Tracker(
            api=deployment.api,
            transitions=self._transitions,
            untaken=UntakenUploads(
                settle_s=deployment.settings.settle_s,
                stuck_after_s=deployment.settings.stuck_after,
                vendor_time=deployment.vendor_time,
                emit=ignore,
            ),
        )

    @cached_property
    def _stages(self) -> Stages:
        """Return the stages of a batch of the stack; the spec and the files of a runner's batch may be unreadable."""
        return self._deployment.stages(self._batch, self._deadline, transitions=self._transitions)

    async def run(self, item: Item) -> Outcome:
        if item.state is _S.CREATED and not self._is_ours:
            return await self._leave_to_its_runner()
        moved = item
        async with self._deadline.watched():
            moved = await self._observed(item) if _is_awaited(item) else item
            if moved.state is _S.SUCCEEDED and self._tracker.is_overtaken:
                return await self._leave_to_the_faster()
            if moved.state is _S.SUCCEEDED and self._is_ours:
                moved = await self._stages.collector.collect(moved, seen=self._tracker.last_whole)
        if self._deadline.timed_out:
            return await self._requeue(1.0)
        return await self._after(item, moved)

    async def _observed(self, item: Item) -> Item:
        """Return the item moved to the vendor's state of its import. Raises TransientError."""
        import_id = item.bound_id
        if item.state in (_S.PROCESSING, _S.NEEDS_REVIEW):
            return await self._tracker.check(item)
        try:
            remote = await repeat_read(lambda: self._deployment.api.retrieve(import_id))
        except ImportNotFound:
            return item
        if item.is_dismissed:
            self._tracker.watch(item)
            return await self._tracker.apply(remote, is_whole=True) or item
        if remote.status == ImportStatus.AWAITING_UPLOAD:
            return item
        item = await self._stages.uploader.record_arrival(item, remote.status, reason="the data had arrived")
        self._tracker.watch(item)
        return await self._tracker.apply(remote, is_whole=True) or item

    async def _after(self, before: Item, item: Item) -> Outcome:
        self.is_over = item.state is not _S.SUCCEEDED
        if item.state is _S.COLLECTED and before.state is not _S.COLLECTED:
            self._record_latency()
        if not self._is_ours:
            return Done()
        if item.state not in OPEN_STATES:
            await enqueue_finish_if_idle(self._deployment, item.batch_id)
        if item.state is not _S.SUCCEEDED:
            return Done()
        if self._deadline.requested:
            return await self._requeue(max(self._deadline.asked_s, 1.0))
        raise Unavailable("the result could not be downloaded")

    async def _leave_to_the_faster(self) -> Outcome:
        """Leave the result to the function that has recorded that it is there; look again, in case that one dies."""
        self.is_over = True
        return await self._requeue(HELD_RETRY_S)

    async def _leave_to_its_runner(self) -> Outcome:
        hinted_at = self._hint.at
        if hinted_at is not None and self._deployment.clock.now() - hinted_at < RUNNER_WRITES_WITHIN:
            return await self._requeue(RUNNER_WRITES_S)
        return Done()

    def _record_latency(self) -> None:
        if self._hint.at is not None:
            took = self._deployment.clock.now() - self._hint.at
            self._deployment.metrics.add_metric(
                "WebhookToCollectedMilliseconds", round(took.total_seconds() * 1000), "Milliseconds"
            )

    async def _requeue(self, seconds: float) -> Outcome:
        return await _requeue(self._deployment, self._hint, seconds, batch_id=self._batch.batch_id)

"""Submitting: a file that landed, or an item of a batch, is taken as far as one function gets it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.batch_ids import is_rolling
from runner.cloud.context import is_driven_here
from runner.cloud.dead_letters import mark_dead_lettered
from runner.cloud.deadline import Deadline
from runner.cloud.ingest import as_configured, register
from runner.cloud.leases import JsonTurn, later, leased
from runner.cloud.lifecycle import ring_if_at_rest
from runner.cloud.messages import ItemRef, ObjectCreated
from runner.cloud.protocols import Done, Outcome, Queue
from runner.errors import DuplicatePending, SchemaNotFound, StaleItem, Unavailable
from runner.models import TERMINAL_STATES, Item, ItemKind, ItemState
from runner.stages.submit import SubmitOutcome, SubmitResult

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.protocols import TimeLeft
    from runner.models import Batch

logger = logging.getLogger(__name__)

RECONCILED_WITHIN = timedelta(minutes=15)
"""A ledger that has not been compared with the vendor for so long may be an old copy: that is done first then."""

TAKEN_AGAIN_S = 60.0
"""Another function works on the item: if that one dies, this message is not lost."""

TWIN_AGAIN_S = 20.0
LONGEST_WAIT_FOR_TWIN = timedelta(days=1)

_S = ItemState


async def submit(
    deployment: Deployment, message: ObjectCreated | ItemRef, *, time_left: TimeLeft, receives: int = 1
) -> Outcome:
    """Register a file that landed, then take its item further, as its state asks for.

    Waiting is no failure: the work is sent anew then. What is raised is one: the message is to come back, and with the
    last time that it does the reason is put on the item. `receives` counts from 1.
    """
    ref = await register(deployment, message) if isinstance(message, ObjectCreated) else message
    if ref is None:
        return Done()
    try:
        return await _take_on(deployment, ref, Deadline(time_left, longest_wait_s=deployment.longest_wait_s))
    except StaleItem:
        logger.info("item moved by somebody else", extra={"item": ref.source})
        return Done()
    except Exception as error:
        await mark_dead_lettered(deployment, ref.batch_id, ref.source, error, receives=receives)
        raise


async def _take_on(deployment: Deployment, ref: ItemRef, deadline: Deadline) -> Outcome:
    batch = await deployment.ledger.batch(ref.batch_id)
    if batch is None or not is_driven_here(batch) or await _open_item(deployment, ref) is None:
        return Done()
    if deadline.left_s() <= 0:
        return await _later(deployment, ref, 1.0)
    async with leased(deployment, ref.batch_id, ref.source, deadline) as left_s:
        if left_s is not None:
            return await _later(deployment, ref, min(left_s, TAKEN_AGAIN_S))
        item = await _open_item(deployment, ref)
        if item is None:
            return Done()
        if is_rolling(batch.batch_id):
            batch = await as_configured(deployment, batch)
        return await _Submission(deployment, batch, ref, deadline).run(item)


async def _later(deployment: Deployment, ref: ItemRef, seconds: float) -> Outcome:
    return await later(deployment, Queue.SUBMIT, ref, seconds, batch_id=ref.batch_id, name=ref.source)


async def _open_item(deployment: Deployment, ref: ItemRef) -> Item | None:
    """Return the item if there is something to submit; a JSON create in doubt is settled by reconcile."""
    item = await deployment.ledger.item(ref.batch_id, ref.source)
    if item is None or item.state not in (_S.QUEUED, _S.CREATING, _S.CREATED):
        return None
    return None if item.state is _S.CREATING and item.kind is ItemKind.JSON else item


class _Submission:
    """One item on its way through the stages, its lease held."""

    def __init__(self, deployment: Deployment, batch: Batch, ref: ItemRef, deadline: Deadline) -> None:
        self._deployment = deployment
        self._ref = ref
        self._deadline = deadline
        self._stages = deployment.stages(batch, deadline)

    async def run(self, item: Item) -> Outcome:
        result = SubmitResult(item, SubmitOutcome.NOT_THROUGH)
        try:
            async with self._deadline.watched():
                if item.kind is ItemKind.JSON:
                    return await self._run_json(item)
                result = await self._submitted(item)
        except DuplicatePending as error:
            return await self._wait_for_twin(item, error)
        has_released = item.state is _S.CREATED and result.item.state is _S.QUEUED
        if self._deadline.timed_out or has_released:
            return await self._later(1.0)
        return await self._after(result)

    async def _run_json(self, item: Item) -> Outcome:
        """Send one JSON create of a schema at a time: whose import is whose could not be told otherwise."""
        turn = JsonTurn(self._deployment, item)
        wait_s = await turn.take()
        if wait_s is not None:
            return await self._later(wait_s)
        try:
            result = await self._submitted(item)
        except DuplicatePending:
            await turn.over(item)
            raise
        await turn.over(result.item)
        return await self._after(result)

    async def _wait_for_twin(self, item: Item, error: DuplicatePending) -> Outcome:
        """Come back for an item whose content another is sending, less often the longer that lasts, for a day.

        Raises DuplicatePending after that: the other one is given up, or nobody drives its batch.
        """
        history = await self._deployment.ledger.history(item.batch_id, item.source)
        waited = self._deployment.clock.now() - history[-1].at
        if waited >= LONGEST_WAIT_FOR_TWIN:
            raise error
        return await self._later(max(TWIN_AGAIN_S, waited.total_seconds() / 4))

    async def _submitted(self, item: Item) -> SubmitResult:
        submitter = self._stages.submitter
        await self._know_the_vendor(item)
        if item.state is _S.CREATED:
            result = await submitter.upload(item)
        else:
            result = await submitter.submit(await self._queued(item))
        if uploaded := self._stages.uploader.bytes_uploaded:
            await self._deployment.ledger.count_up(item.batch_id, bytes_uploaded=uploaded)
        return result

    async def _know_the_vendor(self, item: Item) -> None:
        """Find imports of ours that the ledger does not know, where a function died in a create, or it is an old copy.

        Their names must tell them. Raises TransientError.
        """
        if not self._deployment.settings.filename_tag:
            return
        known_to = await self._deployment.ledger.reconciled_to(self._deployment.endpoint)
        is_fresh = known_to is not None and self._deployment.vendor_time.now() - known_to < RECONCILED_WITHIN
        if item.state is _S.CREATING or not is_fresh:
            await self._stages.orphans.reconcile()

    async def _queued(self, item: Item) -> Item:
        """Return an item whose create was not recorded to where it was before; if it took effect, its tag tells."""
        if item.state is not _S.CREATING:
            return item
        reason = "the function ended before the answer to its create was recorded"
        return await self._stages.transitions.advance(item, _S.QUEUED, reason=reason)

    async def _after(self, result: SubmitResult) -> Outcome:
        item = result.item
        if item.state in TERMINAL_STATES:
            await ring_if_at_rest(self._deployment, item.batch_id)
        if item.state not in (_S.QUEUED, _S.CREATED):
            return Done()
        if self._deadline.requested:
            return await self._later(max(self._deadline.asked_s, 1.0))
        if result.outcome is SubmitOutcome.SCHEMA_MISSING:
            raise SchemaNotFound(result.reason)
        if result.outcome is SubmitOutcome.NO_PERMIT:
            return await self._later(await self._deployment.pacer.due_in_s())
        raise Unavailable("no create or upload got through")

    async def _later(self, seconds: float) -> Outcome:
        return await _later(self._deployment, self._ref, seconds)

"""Submit: create the import of an item, and upload its file unless it is large."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.batch_routes import with_routes_of, with_word_about_json
from runner.cloud.context import is_driven_by_stack
from runner.cloud.dead_letters import mark_dead_lettered, wait_for_weather
from runner.cloud.deadline import Deadline
from runner.cloud.handlers.register import ingest
from runner.cloud.handlers.upload import note_outlived
from runner.cloud.leases import JsonTurn, hold_item, requeue
from runner.cloud.lifecycle import enqueue_finish_if_idle, is_rolling, submit_queue
from runner.cloud.messages import ItemRef, ObjectCreated
from runner.cloud.protocols import Done, Outcome, Queue
from runner.errors import ConfigError, DuplicatePending, HooksRefused, NotYet, SchemaNotFound, StaleItem, Unavailable
from runner.models import TERMINAL_STATES, Item, ItemKind, ItemState
from runner.stages.submit import SubmitOutcome, SubmitResult

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.protocols import TimeLeft
    from runner.models import Batch
    from runner.quota.pacer import CreatePacer

logger = logging.getLogger(__name__)

RECONCILED_WITHIN = timedelta(minutes=15)
"""A ledger that was not compared with the vendor within this time may be an old copy: compare it before any create."""

HELD_RETRY_S = 60.0
"""Another function works on the item: retry this late, in case that function dies."""

DUPLICATE_RETRY_S = 20.0
LONGEST_DUPLICATE_WAIT = timedelta(days=1)

LANDED_WAITS_S = 120.0
"""How long loads leave a share of the slots to files that arrived, after one of those found no slot free."""

_FRESH_S = 5.0
_SHARE, _LANDED = "share", "landed"
_RECONCILED = "reconciled"

_S = ItemState


async def submit(
    deployment: Deployment, message: ObjectCreated | ItemRef, *, time_left: TimeLeft, receives: int = 1
) -> Outcome:
    """Create and upload an item, from whatever state it is in.

    Version 0.1.0 sent files that arrived here, and some may still wait: they are added to the ledger first.

    Waiting is not a failure, and neither is an outage: the message is requeued. What this raises is a failure: the
    message comes back, and on the last delivery the item records the reason. `receives` counts from 1.
    """
    ref = await ingest(deployment, message) if isinstance(message, ObjectCreated) else message
    if ref is None:
        return Done()
    if (wait_s := await deployment.breaker.wait_s()) is not None:
        return await _requeue(deployment, ref, wait_s)
    try:
        deadline = Deadline(time_left, longest_wait_s=deployment.longest_wait_s, ending=deployment.ending)
        return await _with_lease(deployment, ref, deadline)
    except StaleItem:
        logger.info("another function moved the item", extra={"item": ref.source})
        return Done()
    except HooksRefused:
        raise
    except Exception as error:
        if (wait_s := await wait_for_weather(deployment, ref, error, receives=receives)) is not None:
            return await _requeue(deployment, ref, wait_s)
        await mark_dead_lettered(deployment, ref.batch_id, ref.source, error, receives=receives)
        raise


async def _with_lease(deployment: Deployment, ref: ItemRef, deadline: Deadline) -> Outcome:
    batch = await _batch(deployment, ref.batch_id)
    if batch is None or not is_driven_by_stack(batch) or (item := await _open_item(deployment, ref)) is None:
        return Done()
    if deadline.left_s() <= 0:
        return await _requeue(deployment, ref, 1.0)
    if item.state is _S.CREATED and (item.size_bytes or 0) > deployment.upload_apart_bytes:
        return await _to_upload(deployment, item)
    is_claimed = item.state is not _S.QUEUED
    async with hold_item(deployment, item, ref.source, deadline, claim=_S.CREATING, is_claimed=is_claimed) as hold:
        if hold.left_s is not None:
            return await _requeue(deployment, ref, min(hold.left_s, HELD_RETRY_S))
        if is_rolling(batch.batch_id):
            batch = await with_routes_of(deployment, batch, item)
        elif item.kind is ItemKind.JSON:
            batch = await with_word_about_json(deployment, batch)
        pacer = await _pacer_of(deployment, ref.batch_id)
        submission = _Submission(hold.deployment, batch, ref, deadline, pacer=pacer)
        outcome = await submission.run(item)
        hold.is_over = submission.is_over
        return outcome


async def _batch(deployment: Deployment, batch_id: str) -> Batch | None:
    """Return the batch of an item; that of a load has the same spec at any time."""
    return await (deployment.ledger.batch(batch_id) if is_rolling(batch_id) else deployment.recent_batch(batch_id))


async def _pacer_of(deployment: Deployment, batch_id: str) -> CreatePacer | None:
    """Return the pacer for an item of a batch, None for the usual one.

    While files that arrived wait for permits, loads leave a share of the slots to them.
    """
    if not deployment.landed_share:
        return None
    if not is_rolling(batch_id):
        waits = await deployment.recent.of(
            (_SHARE, _LANDED),
            lambda: deployment.leases.seen(_SHARE, _LANDED),
            now=deployment.clock.ticks(),
            for_s=_FRESH_S,
        )
        return deployment.pacer_of_loads if waits is not None else None
    if await deployment.pacer.due_in_s() > 0:
        await deployment.leases.take(_SHARE, _LANDED, holder=_LANDED, for_s=LANDED_WAITS_S)
    return None


async def _to_upload(deployment: Deployment, item: Item) -> Outcome:
    ref = ItemRef(batch_id=item.batch_id, source=item.source, import_id=item.import_id)
    await deployment.queues.send(Queue.UPLOAD, [ref])
    return Done()


async def _requeue(deployment: Deployment, ref: ItemRef, seconds: float) -> Outcome:
    return await requeue(deployment, submit_queue(ref.batch_id), ref, seconds, batch_id=ref.batch_id, name=ref.source)


async def _open_item(deployment: Deployment, ref: ItemRef) -> Item | None:
    """Return the item if it needs to be submitted; reconcile settles JSON creates whose outcome is unknown."""
    item = await deployment.ledger.item(ref.batch_id, ref.source)
    if item is None or item.state not in (_S.QUEUED, _S.CREATING, _S.CREATED):
        return None
    return None if item.state is _S.CREATING and item.kind is ItemKind.JSON else item


class _Submission:
    """One item on its way through the stages."""

    def __init__(
        self, deployment: Deployment, batch: Batch, ref: ItemRef, deadline: Deadline, *, pacer: CreatePacer | None
    ) -> None:
        self._deployment = deployment
        self._ref = ref
        self._deadline = deadline
        self._stages = deployment.stages(batch, deadline, pacer=pacer)
        self.is_over = False
        """Whether the item is neither being created nor created, or left to another function."""

    async def run(self, item: Item) -> Outcome:
        result = SubmitResult(item, SubmitOutcome.UNFINISHED)
        try:
            async with self._deadline.watched():
                if item.kind is ItemKind.JSON:
                    return await self._run_json(item)
                result = await self._submitted(item)
        except DuplicatePending as error:
            return await self._wait_for_duplicate(item, error)
        except NotYet as error:
            if error.in_trouble:
                raise
            return await self._requeue(error.wait_s)
        if self._deadline.timed_out:
            await note_outlived(self._deployment, item)
        has_released = item.state is _S.CREATED and result.item.state is _S.QUEUED
        if self._deadline.timed_out or has_released:
            return await self._requeue(1.0)
        return await self._after(result)

    async def _run_json(self, item: Item) -> Outcome:
        """Submit while holding the schema's turn: two JSON creates at once could not be told apart."""
        turn = JsonTurn(self._deployment, item)
        wait_s = await turn.take()
        if wait_s is not None:
            return await self._requeue(wait_s)
        try:
            result = await self._submitted(item)
        except DuplicatePending:
            await turn.over(item)
            raise
        await turn.over(result.item)
        return await self._after(result)

    async def _wait_for_duplicate(self, item: Item, error: DuplicatePending) -> Outcome:
        """Requeue an item while another item sends the same content, with growing delays, for up to a day.

        Raises DuplicatePending after that: the other item has failed for good, or nobody resumes its batch.
        """
        history = await self._deployment.ledger.history(item.batch_id, item.source)
        waited = self._deployment.clock.now() - history[-1].at
        if waited >= LONGEST_DUPLICATE_WAIT:
            raise error
        return await self._requeue(max(DUPLICATE_RETRY_S, waited.total_seconds() / 4))

    async def _submitted(self, item: Item) -> SubmitResult:
        submitter = self._stages.submitter
        await self._find_orphans(item)
        if item.state is _S.CREATED:
            result = await submitter.upload(item)
        else:
            result = await submitter.submit(await self._queued(item))
        if uploaded := self._stages.uploader.bytes_uploaded:
            await self._deployment.ledger.count_up(item.batch_id, bytes_uploaded=uploaded)
        return result

    async def _find_orphans(self, item: Item) -> None:
        """Find our imports that the ledger lacks, if a function died in a create or the ledger may be an old copy.

        Imports are recognized by the tag in their file name; without tags nothing is done. Raises TransientError.
        """
        if not self._deployment.settings.filename_tag:
            return
        deployment, endpoint = self._deployment, self._deployment.endpoint
        reconciled_to = await deployment.recent.of(
            (_RECONCILED, endpoint),
            lambda: deployment.ledger.reconciled_to(endpoint),
            now=deployment.clock.ticks(),
            for_s=_FRESH_S,
        )
        is_fresh = reconciled_to is not None and deployment.vendor_time.now() - reconciled_to < RECONCILED_WITHIN
        if item.state is _S.CREATING or not is_fresh:
            await self._stages.orphans.reconcile()
            deployment.recent.forget((_RECONCILED, endpoint))

    async def _queued(self, item: Item) -> Item:
        """Queue an item whose create was not recorded; if the create took effect, the tag finds its import."""
        if item.state is not _S.CREATING:
            return item
        reason = "the function ended before the answer to its create was recorded"
        return await self._stages.transitions.advance(item, _S.QUEUED, reason=reason)

    async def _after(self, result: SubmitResult) -> Outcome:
        item = result.item
        self.is_over = item.state not in (_S.CREATING, _S.CREATED) or result.outcome is SubmitOutcome.UPLOAD_APART
        if result.outcome is SubmitOutcome.UPLOAD_APART:
            return await _to_upload(self._deployment, item)
        if item.state in TERMINAL_STATES:
            await enqueue_finish_if_idle(self._deployment, item.batch_id)
        if item.state not in (_S.QUEUED, _S.CREATED):
            return Done()
        if self._deadline.requested:
            return await self._requeue(max(self._deadline.asked_s, 1.0))
        if result.outcome is SubmitOutcome.SCHEMA_MISSING:
            raise SchemaNotFound(result.reason)
        if result.outcome is SubmitOutcome.JSON_IN_DOUBT:
            raise ConfigError(result.reason, hint="set json_is_new = true in config/bulkhead.toml")
        if result.outcome is SubmitOutcome.NO_PERMIT:
            return await self._requeue(await self._deployment.pacer.due_in_s())
        raise Unavailable("neither create nor upload succeeded")

    async def _requeue(self, seconds: float) -> Outcome:
        return await _requeue(self._deployment, self._ref, seconds)

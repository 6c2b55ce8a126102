"""Reconcile: every few minutes, compare ledger and vendor, and re-enqueue what no function is working on."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.dead_letters import is_dead_lettered
from runner.cloud.deadline import Deadline
from runner.cloud.handlers.sweep import start_sweep
from runner.cloud.leases import hold_lease, in_turn, leave, pending_name
from runner.cloud.lifecycle import ENDS, day_is_over, enqueue_finish_if_idle, is_idle, is_rolling, submit_queue
from runner.cloud.messages import BatchRef, ImportHint, ItemRef, ListPage
from runner.cloud.missed_webhooks import enqueue_missed
from runner.cloud.protocols import Queue
from runner.cloud.snapshot import ReconcileSnapshot, first_items, take_snapshot
from runner.errors import StaleItem, TransientError
from runner.models import BatchState, Item, ItemKind, ItemState, iso
from runner.retry import repeat_read
from runner.stages.orphans import Orphans

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from runner.cloud.context import Deployment
    from runner.cloud.protocols import TimeLeft
    from runner.cloud.snapshot import BatchView
    from runner.models import Batch

    _Step = Callable[[], Awaitable[None]]

logger = logging.getLogger(__name__)

LATE_EVENTS = timedelta(minutes=15)
"""How long a rolling batch stays open after its day: events of its last files may still arrive."""

STALE_AFTER = timedelta(seconds=60)
"""The age of a create or upload after which its function should have finished."""

QUEUED_FOR = timedelta(minutes=5)
"""How long an item must have been queued before an empty queue proves that its message was lost."""

QUEUED_TOO_LONG = timedelta(hours=6)
"""Longer than a message usually waits; an item queued for longer is enqueued again, once in this time."""

HEALED_EVERY = timedelta(hours=1)
"""How often an item is enqueued again whose message is in a dead-letter queue, and whose data is at the vendor."""

LONGEST_DOUBT = timedelta(hours=6)
"""How long a JSON create may stay of unknown outcome if no pass can list the imports to the end."""

MAX_ENQUEUED = 500
"""Items of one kind that one pass enqueues; the next pass continues. A quota for more in ENQUEUED_FOR allows more."""

ENQUEUED_FOR = timedelta(minutes=10)

TURN_S = 30.0
"""With less time than this, a step has not had its turn, and is the first again."""

_AT_ONCE = 50
_RECONCILE = "reconcile"
_VENDOR_STEPS = "reconcile/steps"

_S = ItemState


async def reconcile(deployment: Deployment, *, time_left: TimeLeft) -> None:
    """Do one pass: each step independently, while there is time. At the end, raises the first error of a step.

    If the vendor is down, or one batch causes an error, the steps that do not depend on it are still done. An outage
    of the vendor is no error. While another pass is in progress, nothing is done.
    """
    deadline = Deadline(time_left, longest_wait_s=deployment.longest_wait_s)
    async with hold_lease(deployment, _RECONCILE, _RECONCILE, deadline) as left_s:
        if left_s is not None:
            logger.warning("another pass is in progress")
            return
        await _pass(deployment, deadline)


async def _pass(deployment: Deployment, deadline: Deadline) -> None:
    is_away = await deployment.breaker.wait_s() is not None
    deployment.metrics.add_metric("VendorAway", int(is_away))
    seen = await take_snapshot(deployment, deadline)
    one_pass = _Pass(deployment, seen, deadline)
    errors = [error async for error in one_pass.do_all()]
    if await deployment.breaker.wait_s() is not None:
        errors = [error for error in errors if not isinstance(error, TransientError)]
    if errors:
        raise errors[0]


class _Pass:
    """One pass over everything that is not complete."""

    def __init__(self, deployment: Deployment, seen: ReconcileSnapshot, deadline: Deadline) -> None:
        self._deployment = deployment
        self._seen = seen
        self._deadline = deadline

    @property
    def _most_enqueued(self) -> int:
        per_minute = self._deployment.pacer.quota.per_minute
        return max(MAX_ENQUEUED, round(per_minute * ENQUEUED_FOR.total_seconds() / 60))

    async def do_all(self) -> AsyncIterator[Exception]:
        """Do each step for which there is time, and yield the errors.

        Those that wait for the vendor come last, so that the others always have their turn. The first of them that did
        not end in time comes before the others in the next pass, unless it was the first here already.
        """
        for step in self._own_steps():
            if (error := await self._attempt(step)) is not None:
                yield error
        of_vendor = {step.__name__: step for step in self._vendor_steps()}
        for number, name in enumerate(await in_turn(self._deployment.leases, _VENDOR_STEPS, list(of_vendor))):
            left_s = self._deadline.left_s()
            if (error := await self._attempt(of_vendor[name])) is not None:
                yield error
            had_its_turn = number == 0 and left_s >= TURN_S
            if self._deadline.left_s() <= 0 and not had_its_turn:
                await leave(self._deployment.leases, _VENDOR_STEPS, name)
                return

    def _own_steps(self) -> tuple[_Step, ...]:
        return (
            self.record_metrics,
            self.start_sweep,
            self.close_past_days,
            self.enqueue_stale,
            self.enqueue_unlisted,
            self.enqueue_idle,
            self.enqueue_queued,
        )

    def _vendor_steps(self) -> tuple[_Step, ...]:
        return self.find_orphans, self.find_missed_webhooks, self.settle_lost_creates

    async def _attempt(self, step: _Step) -> Exception | None:
        """Do a step, unless the time is up; return the error that ended it."""
        if self._deadline.left_s() <= 0:
            logger.warning("step left to the next pass", extra={"step": step.__name__})
            return None
        try:
            async with self._deadline.watched():
                await step()
        except Exception as error:  # noqa: BLE001 - it is raised when the other steps are done
            logger.warning("step failed", extra={"step": step.__name__, "error": type(error).__name__})
            return error
        return None

    async def record_metrics(self) -> None:
        for name, (value, unit) in self._seen.metrics(self._deployment.clock.now()).items():
            self._deployment.metrics.add_metric(name, value, unit)

    async def start_sweep(self) -> None:
        """Start a sweep of the inbox if it is time for one."""
        await start_sweep(self._deployment, [view.batch for view in self._seen.views])

    async def close_past_days(self) -> None:
        """Mark rolling batches as listed when no more files can arrive for them."""
        now = self._deployment.clock.now()
        for number, view in enumerate(self._seen.views):
            batch = view.batch
            if is_rolling(batch.batch_id) and not batch.listed and day_is_over(batch.batch_id, now, grace=LATE_EVENTS):
                closed = await self._deployment.ledger.update_batch(batch.batch_id, listed=True)
                self._seen.views[number] = replace(view, batch=closed)

    async def find_orphans(self) -> None:
        """Record our imports that the ledger does not know, for the items with their tags."""
        deployment = self._deployment
        if not deployment.settings.filename_tag:
            await repeat_read(lambda: deployment.api.list_page(limit=1, offset=0))
            return
        orphans = Orphans(
            deployment.api, deployment.ledger, endpoint=deployment.endpoint, vendor_time=deployment.vendor_time
        )
        await orphans.reconcile()

    async def find_missed_webhooks(self) -> None:
        """Enqueue imports for collect whose webhook was lost; a runner records the arrival of its own uploads."""
        bound = [
            *self._seen.items(_S.PROCESSING, _S.NEEDS_REVIEW),
            *self._seen.items(_S.CREATED, ours=True),
        ]
        self._deployment.metrics.add_metric("DuplicateRisk", await enqueue_missed(self._deployment, bound))

    async def settle_lost_creates(self) -> None:
        """Settle JSON creates whose response was lost, when their quiet period is over."""
        for view in self._seen.ours:
            quiet = [item for item in view.items if self._is_quiet(item)]
            if quiet:
                await self._settle(view, quiet)

    async def _settle(self, view: BatchView, items: list[Item]) -> None:
        deployment = self._deployment
        lost_creates = deployment.stages(view.batch, self._deadline).lost_creates
        given_up_at = deployment.vendor_time.now() - LONGEST_DOUBT
        try:
            for item in (item for item in items if item.intent_at and item.intent_at < given_up_at):
                await lost_creates.give_up(item)
            items = [item for item in items if not item.intent_at or item.intent_at >= given_up_at]
            settled = await lost_creates.settle(items, waits=False) if items else []
        except StaleItem:
            logger.info("another function settled a lost create", extra={"batch": view.batch.batch_id})
            return
        await self._enqueue_submit([item for item in settled if item.state is _S.QUEUED])
        await enqueue_finish_if_idle(deployment, view.batch.batch_id)

    def _is_quiet(self, item: Item) -> bool:
        if item.state is not _S.CREATING or item.kind is not ItemKind.JSON or item.intent_at is None:
            return False
        quiet_period = timedelta(seconds=self._deployment.settings.quiet_period_s)
        return self._deployment.vendor_time.now() - item.intent_at >= quiet_period

    async def enqueue_stale(self) -> None:
        """Enqueue items whose function has ended early: no function holds their lease."""
        submits = [
            item
            for item in self._seen.items(_S.CREATING, _S.CREATED, ours=True)
            if item.kind is ItemKind.FILE
            and self._is_stale(item)
            and await self._is_due_again(item)
            and not await self._is_leased(item, item.source)
        ]
        await self._enqueue_submit([item for item in submits if item.state is _S.CREATING][: self._most_enqueued])
        uploads = [replace(_ref(item), import_id=item.import_id) for item in submits if item.state is _S.CREATED]
        await self._deployment.queues.send(Queue.UPLOAD, uploads[: self._most_enqueued])
        collects = [
            ImportHint(import_id=item.import_id)
            for item in self._seen.items(_S.SUCCEEDED, ours=True)
            if item.import_id and await self._is_due_again(item) and not await self._is_leased(item, item.import_id)
        ]
        await self._deployment.queues.send(Queue.COLLECT, collects[: self._most_enqueued])

    def _is_stale(self, item: Item) -> bool:
        started_at = item.created_at or item.intent_at
        now = self._deployment.vendor_time.now()
        return started_at is None or now - started_at >= STALE_AFTER

    async def _is_due_again(self, item: Item) -> bool:
        """Return whether to enqueue an item; one whose message was given up is tried again once in HEALED_EVERY."""
        return not is_dead_lettered(item) or await self._is_due(
            item.batch_id, f"\0healed {item.source}", every=HEALED_EVERY
        )

    async def _is_leased(self, item: Item, name: str) -> bool:
        """Return whether a function works on the item, or a requeued message for it is pending."""
        leases = self._deployment.leases
        held = await leases.seen(item.batch_id, name) or await leases.seen(item.batch_id, pending_name(name))
        return held is not None

    async def enqueue_queued(self) -> None:
        """Enqueue queued items whose message was lost or has expired.

        An empty queue proves that. If the queue is never empty, items that have waited very long are enqueued again.
        """
        for queue in (Queue.SUBMIT, Queue.LOAD):
            views = [view for view in self._seen.ours if submit_queue(view.batch.batch_id) is queue]
            await self._enqueue_queued(queue, [view for view in views if view.counts.get(_S.QUEUED)])

    async def _enqueue_queued(self, queue: Queue, views: Sequence[BatchView]) -> None:
        if not views:
            return
        is_empty = await self._deployment.queues.is_empty(queue)
        is_lost = self._has_waited if is_empty else self._has_waited_too_long
        left = self._most_enqueued
        for view in views:
            if left > 0:
                waiting = await first_items(self._deployment, view.batch.batch_id, _S.QUEUED, limit=left)
                left -= len(waiting)
                await self._enqueue_submit(await _those(waiting, is_lost))

    async def _has_waited(self, item: Item, at_least: timedelta = QUEUED_FOR) -> bool:
        history = await self._deployment.ledger.history(item.batch_id, item.source)
        return not history or self._deployment.clock.now() - history[-1].at >= at_least

    async def _has_waited_too_long(self, item: Item) -> bool:
        if not await self._has_waited(item, QUEUED_TOO_LONG) or await self._is_leased(item, item.source):
            return False
        return await self._is_due(item.batch_id, f"\0enqueued {item.source}")

    async def enqueue_unlisted(self) -> None:
        """Restart the listing of loads that stopped in the middle, each once in `QUEUED_TOO_LONG`."""
        unlisted = [view.batch for view in self._seen.ours if _is_being_listed(view.batch)]
        if not unlisted or not await self._deployment.queues.is_empty(Queue.LIST):
            return
        lap = iso(self._deployment.clock.now())
        pages = [
            ListPage(batch_id=one.batch_id, lap=lap) for one in unlisted if await self._is_due(one.batch_id, "\0listed")
        ]
        await self._deployment.queues.send(Queue.LIST, pages)

    async def _is_due(self, batch_id: str, name: str, *, every: timedelta = QUEUED_TOO_LONG) -> bool:
        """Return whether this was not enqueued within a time, and claim it for that long."""
        leases, holder = self._deployment.leases, self._deployment.holder()
        return await leases.take(batch_id, name, holder=holder, for_s=every.total_seconds()) is None

    async def enqueue_idle(self) -> None:
        """Enqueue finish for idle batches whose manifest is stale."""
        unfinished = [view.batch.batch_id for view in self._seen.ours if await self._is_unfinished(view)]
        await self._deployment.queues.send(Queue.FINISH, [BatchRef(batch_id=batch_id) for batch_id in unfinished])

    async def _is_unfinished(self, view: BatchView) -> bool:
        if not is_idle(view.batch, view.counts):
            return False
        moves, manifest_moves = await self._deployment.ledger.moves_of(view.batch.batch_id)
        return moves != manifest_moves or (view.batch.listed and view.batch.state not in ENDS)

    async def _enqueue_submit(self, items: list[Item]) -> None:
        for queue in (Queue.SUBMIT, Queue.LOAD):
            refs = [_ref(item) for item in items if submit_queue(item.batch_id) is queue]
            await self._deployment.queues.send(queue, refs)


async def _those(items: Sequence[Item], is_wanted: Callable[[Item], Awaitable[bool]]) -> list[Item]:
    """Return the wanted items; a few are asked about at the same time."""
    found: list[Item] = []
    for start in range(0, len(items), _AT_ONCE):
        some = items[start : start + _AT_ONCE]
        wanted = await asyncio.gather(*map(is_wanted, some))
        found += [item for item, is_one in zip(some, wanted, strict=True) if is_one]
    return found


def _ref(item: Item) -> ItemRef:
    return ItemRef(batch_id=item.batch_id, source=item.source)


def _is_being_listed(batch: Batch) -> bool:
    """Return whether a load has pages left to list; a paused load has a source that cannot be listed."""
    return batch.state is BatchState.RUNNING and not batch.listed and not is_rolling(batch.batch_id)

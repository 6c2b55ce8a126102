"""Reconciling: every few minutes what nobody works on is rung for again, and ledger and vendor are compared."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.batch_ids import day_is_over, is_rolling
from runner.cloud.dead_letters import is_dead_lettered
from runner.cloud.deadline import Deadline
from runner.cloud.leases import next_of
from runner.cloud.lifecycle import ENDS, is_at_rest, ring_if_at_rest
from runner.cloud.messages import BatchRef, ImportHint, ItemRef, ListPage
from runner.cloud.missed_webhooks import watch
from runner.cloud.protocols import Queue
from runner.cloud.snapshot import ReconcileSnapshot, first_items, outlook
from runner.errors import StaleItem
from runner.models import BatchState, Item, ItemKind, ItemState
from runner.retry import repeat_read
from runner.stages.orphans import Orphans

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.cloud.context import Deployment
    from runner.cloud.protocols import TimeLeft
    from runner.cloud.snapshot import BatchView
    from runner.models import Batch

logger = logging.getLogger(__name__)

LATE_EVENTS = timedelta(minutes=15)
"""A rolling batch stays open so long after its day: events of its last files may still be on their way."""

STALE_AFTER = timedelta(seconds=60)
QUEUED_FOR = timedelta(minutes=5)
QUEUED_TOO_LONG = timedelta(hours=6)
"""Longer than an item's message waits unless very many do; an item is rung for all the same then, once in that time."""

MOST_RUNG = 500
"""Items that one pass rings for, of a kind: the next pass goes on."""

_S = ItemState


async def reconcile(deployment: Deployment, *, time_left: TimeLeft) -> None:
    """Do one pass: each step by itself, as far as the time goes. Raises the first error of a step, at the end.

    With the vendor down, or trouble with one batch, what does not depend on it is done all the same.
    """
    seen = await outlook(deployment)
    sweep = _Sweep(deployment, seen, Deadline(time_left, longest_wait_s=deployment.longest_wait_s))
    troubles = [trouble for step in sweep.steps() if (trouble := await sweep.tried(step)) is not None]
    if troubles:
        raise troubles[0]


class _Sweep:
    """One pass over everything that is not complete."""

    def __init__(self, deployment: Deployment, seen: ReconcileSnapshot, deadline: Deadline) -> None:
        self._deployment = deployment
        self._seen = seen
        self._deadline = deadline

    def steps(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (
            self.tell_figures,
            self.close_past_days,
            self.know_the_vendor,
            self.look_for_news,
            self.settle_doubts,
            self.ring_for_stale,
            self.ring_for_queued,
            self.ring_for_unlisted,
            self.ring_for_rest,
        )

    async def tried(self, step: Callable[[], Awaitable[None]]) -> Exception | None:
        """Do a step, unless the time is over; returns what was in its way."""
        if self._deadline.left_s() <= 0:
            logger.warning("step left to the next pass", extra={"step": step.__name__})
            return None
        try:
            async with self._deadline.watched():
                await step()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised once the other steps are done
            logger.warning("step cut short", extra={"step": step.__name__, "error": type(error).__name__})
            return error
        return None

    async def tell_figures(self) -> None:
        for name, (value, unit) in self._seen.figures(self._deployment.clock.now()).items():
            self._deployment.gauges.gauge(name, value, unit)

    async def close_past_days(self) -> None:
        """Mark rolling batches as listed once no file can land for them any more."""
        now = self._deployment.clock.now()
        for number, view in enumerate(self._seen.views):
            batch = view.batch
            if is_rolling(batch.batch_id) and not batch.listed and day_is_over(batch.batch_id, now, grace=LATE_EVENTS):
                closed = await self._deployment.ledger.update_batch(batch.batch_id, listed=True)
                self._seen.views[number] = replace(view, batch=closed)

    async def know_the_vendor(self) -> None:
        """Keep the imports of ours that the ledger does not know, for whoever bears their tag."""
        deployment = self._deployment
        if not deployment.settings.filename_tag:
            await repeat_read(lambda: deployment.api.list_page(limit=1, offset=0))
            return
        orphans = Orphans(
            deployment.api, deployment.ledger, endpoint=deployment.endpoint, vendor_time=deployment.vendor_time
        )
        await orphans.reconcile()

    async def look_for_news(self) -> None:
        """Ring collect where a webhook was lost; a runner tells by itself when an upload of its own has arrived."""
        bound = [
            *self._seen.items(_S.PROCESSING, _S.NEEDS_REVIEW),
            *self._seen.items(_S.CREATED, ours=True),
        ]
        self._deployment.gauges.gauge("DuplicateRisk", await watch(self._deployment, bound))

    async def settle_doubts(self) -> None:
        """Decide what became of JSON creates whose answer was lost, once their quiet period is over."""
        for view in self._seen.ours:
            quiet = [item for item in view.items if self._is_quiet(item)]
            if quiet:
                await self._settle(view, quiet)

    async def _settle(self, view: BatchView, items: list[Item]) -> None:
        deployment = self._deployment
        try:
            settled = await deployment.stages(view.batch, self._deadline).lost_creates.settle(items)
        except StaleItem:
            logger.info("a doubt was settled by somebody else", extra={"batch": view.batch.batch_id})
            return
        await self._ring_submit([item for item in settled if item.state is _S.QUEUED])
        await ring_if_at_rest(deployment, view.batch.batch_id)

    def _is_quiet(self, item: Item) -> bool:
        if item.state is not _S.CREATING or item.kind is not ItemKind.JSON or item.intent_at is None:
            return False
        quiet_period = timedelta(seconds=self._deployment.settings.quiet_period_s)
        return self._deployment.vendor_time.now() - item.intent_at >= quiet_period

    async def ring_for_stale(self) -> None:
        """Ring for items whose function died: nobody holds their lease."""
        submits = [
            item
            for item in self._seen.items(_S.CREATING, _S.CREATED, ours=True)
            if item.kind is ItemKind.FILE and self._is_stale(item) and not await self._is_leased(item, item.source)
        ]
        await self._ring_submit(submits[:MOST_RUNG])
        collects = [
            ImportHint(import_id=item.import_id)
            for item in self._seen.items(_S.SUCCEEDED, ours=True)
            if item.import_id and not is_dead_lettered(item) and not await self._is_leased(item, item.import_id)
        ]
        await self._deployment.queues.send(Queue.COLLECT, collects[:MOST_RUNG])

    def _is_stale(self, item: Item) -> bool:
        begun_at = item.created_at or item.intent_at
        now = self._deployment.vendor_time.now()
        return not is_dead_lettered(item) and (begun_at is None or now - begun_at >= STALE_AFTER)

    async def _is_leased(self, item: Item, name: str) -> bool:
        """Tell whether a function works on the item, or a message for it is on its way."""
        leases = self._deployment.leases
        held = await leases.seen(item.batch_id, name) or await leases.seen(item.batch_id, next_of(name))
        return held is not None

    async def ring_for_queued(self) -> None:
        """Ring for items that wait although no message does: theirs was lost, or has outlived its queue.

        A queue that is never empty does not tell: what waits very long is rung for now and then.
        """
        if not any(view.counts.get(_S.QUEUED) for view in self._seen.ours):
            return
        is_empty = await self._deployment.queues.is_empty(Queue.SUBMIT)
        is_lost = self._has_waited if is_empty else self._has_waited_too_long
        left = MOST_RUNG
        for view in self._seen.ours:
            if view.counts.get(_S.QUEUED) and left > 0:
                waiting = await first_items(self._deployment, view.batch.batch_id, _S.QUEUED, limit=left)
                left -= len(waiting)
                await self._ring_submit([item for item in waiting if await is_lost(item)])

    async def _has_waited(self, item: Item, at_least: timedelta = QUEUED_FOR) -> bool:
        history = await self._deployment.ledger.history(item.batch_id, item.source)
        return not history or self._deployment.clock.now() - history[-1].at >= at_least

    async def _has_waited_too_long(self, item: Item) -> bool:
        if not await self._has_waited(item, QUEUED_TOO_LONG) or await self._is_leased(item, item.source):
            return False
        return await self._is_due(item.batch_id, f"\0rung {item.source}")

    async def ring_for_unlisted(self) -> None:
        """Let loads be listed anew whose listing was given up, each once in a while: what is listed already stays."""
        unlisted = [view.batch for view in self._seen.ours if _is_being_listed(view.batch)]
        if not unlisted or not await self._deployment.queues.is_empty(Queue.LIST):
            return
        pages = [ListPage(batch_id=one.batch_id) for one in unlisted if await self._is_due(one.batch_id, "\0listed")]
        await self._deployment.queues.send(Queue.LIST, pages)

    async def _is_due(self, batch_id: str, name: str) -> bool:
        """Tell whether something was not rung for in the last hours; it is to be now."""
        leases, holder = self._deployment.leases, self._deployment.holder()
        return await leases.take(batch_id, name, holder=holder, for_s=QUEUED_TOO_LONG.total_seconds()) is None

    async def ring_for_rest(self) -> None:
        """Ring finish for batches that have come to rest and whose manifest does not show it."""
        unfinished = [view.batch.batch_id for view in self._seen.ours if await self._is_unfinished(view)]
        await self._deployment.queues.send(Queue.FINISH, [BatchRef(batch_id=batch_id) for batch_id in unfinished])

    async def _is_unfinished(self, view: BatchView) -> bool:
        if not is_at_rest(view.batch, view.counts):
            return False
        moves, manifest_moves = await self._deployment.ledger.moves_of(view.batch.batch_id)
        return moves != manifest_moves or (view.batch.listed and view.batch.state not in ENDS)

    async def _ring_submit(self, items: list[Item]) -> None:
        refs = [ItemRef(batch_id=item.batch_id, source=item.source) for item in items]
        await self._deployment.queues.send(Queue.SUBMIT, refs)


def _is_being_listed(batch: Batch) -> bool:
    """Tell whether pages of a load are still to be listed; one that is paused has a source that cannot be."""
    return batch.state is BatchState.RUNNING and not batch.listed and not is_rolling(batch.batch_id)

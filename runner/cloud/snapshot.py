"""The snapshot: what one pass of reconcile reads of the batches that are not complete.

A pass counts the items of all batches, and reads those at work batch by batch while its share of the time lasts; the
next pass begins with the batch after the last one. Settled batches have only open reviews left, which may wait for
months: they are read once an hour, or in every pass as long as one pass has no time for all of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.context import is_driven_by_stack
from runner.cloud.leases import in_turn, leave
from runner.concurrency import handle_all
from runner.models import OPEN_STATES, BatchState, ItemState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from runner.cloud.context import Deployment
    from runner.cloud.deadline import Deadline
    from runner.models import Batch, Item

logger = logging.getLogger(__name__)

MAX_ITEMS = 10_000
"""Items of one batch in one state that a pass reads."""

SHARE = 1 / 3
"""The share of the time left that reading the items at work may take, and then that of the settled batches."""

SETTLED_EVERY = timedelta(minutes=55)
"""How often settled batches are read: a little less than an hour, so that every hour has their metrics."""

_BATCHES, _SETTLED, _ALL_READ = "reconcile/batches", "reconcile/settled", "\0all read"
_COUNTED_AT_ONCE = 16

_PAGE = 500
_S = ItemState
_AT_WORK = (_S.CREATING, _S.CREATED, _S.PROCESSING, _S.NEEDS_REVIEW, _S.SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView:
    """One batch: its counts, and its items that are neither queued nor ended, from an index that may lag.

    Exact are the numbers of items in each state in which an item ends, and of all open items together. Without items
    is also a batch that the pass did not come to.
    """

    batch: Batch
    counts: dict[ItemState, int]
    items: list[Item] = field(repr=False)

    @property
    def is_ours(self) -> bool:
        return is_driven_by_stack(self.batch)


@dataclass(frozen=True, slots=True)
class ReconcileSnapshot:
    """The batches that are not complete; the settled ones among them only if `has_settled`."""

    views: list[BatchView]
    has_settled: bool = True

    @property
    def ours(self) -> Iterator[BatchView]:
        return (view for view in self.views if view.is_ours)

    def items(self, *states: ItemState, ours: bool = False) -> Iterator[Item]:
        """Yield the items in any of the states; with `ours` only those of batches that the stack drives."""
        views: Iterable[BatchView] = self.ours if ours else self.views
        return (item for view in views for item in view.items if item.state in states)

    def metrics(self, now: datetime) -> dict[str, tuple[float, str]]:
        """Return the metrics of the batches: {name: (value, unit)}; those of reviews only with the settled batches.

        The ages are of the items that were read, the counts of all.
        """
        at_work = (*OPEN_STATES - {_S.QUEUED},)
        found: dict[str, tuple[float, str]] = {
            "ItemsQueued": (self._count(_S.QUEUED), "Count"),
            "ItemsToSend": (sum(view.counts.get(_S.QUEUED, 0) for view in self.ours), "Count"),
            "ItemsOpen": (self._count(*at_work), "Count"),
            "OldestOpenAgeSeconds": (_oldest_s(self.items(*at_work, ours=True), now), "Seconds"),
        }
        if not self.has_settled:
            return found
        reviews = self.items(_S.NEEDS_REVIEW)
        return found | {
            "ReviewsWaiting": (self._count(_S.NEEDS_REVIEW), "Count"),
            "OldestReviewAgeSeconds": (_oldest_s(reviews, now), "Seconds"),
        }

    def _count(self, *states: ItemState) -> int:
        return sum(view.counts.get(state, 0) for view in self.views for state in states)


async def take_snapshot(deployment: Deployment, deadline: Deadline) -> ReconcileSnapshot:
    """Read the batches that are not complete, the settled ones if it is time. Raises LedgerError, TransientError."""
    has_settled = await deployment.leases.seen(_SETTLED, _ALL_READ) is None
    batches = [
        batch
        for batch in await deployment.ledger.incomplete_batches()
        if has_settled or batch.state is not BatchState.SETTLED
    ]
    counts = await handle_all(lambda batch: deployment.ledger.counts(batch.batch_id), batches, at_once=_COUNTED_AT_ONCE)
    views = {
        batch.batch_id: BatchView(batch=batch, counts=counted, items=[])
        for batch, counted in zip(batches, counts, strict=True)
    }
    settled = [batch.batch_id for batch in batches if batch.state is BatchState.SETTLED]
    await _read_items(deployment, deadline, views, sorted(views.keys() - settled), what=_BATCHES)
    if has_settled and await _read_items(deployment, deadline, views, sorted(settled), what=_SETTLED):
        await deployment.leases.take(_SETTLED, _ALL_READ, holder=_SETTLED, for_s=SETTLED_EVERY.total_seconds())
    return ReconcileSnapshot(list(views.values()), has_settled=has_settled)


async def _read_items(
    deployment: Deployment, deadline: Deadline, views: dict[str, BatchView], batch_ids: list[str], *, what: str
) -> bool:
    """Put the items into these views, each in its turn, for a share of the time; return whether all were read."""
    least_s = deadline.left_s() * (1 - SHARE)
    for number, batch_id in enumerate(await in_turn(deployment.leases, what, batch_ids)):
        if number > 0 and deadline.left_s() <= least_s:
            logger.warning("too many batches for one pass", extra={"what": what, "left": len(batch_ids) - number})
            await leave(deployment.leases, what, batch_id)
            return False
        views[batch_id] = await _with_items(deployment, views[batch_id])
    return True


async def _with_items(deployment: Deployment, view: BatchView) -> BatchView:
    found: dict[ItemState, list[Item]] = {}
    for state in _AT_WORK:
        if view.counts.get(state) or (state in OPEN_STATES and _open_in(view.counts)):
            found[state] = await first_items(deployment, view.batch.batch_id, state, limit=MAX_ITEMS)
    items = [item for some in found.values() for item in some]
    return replace(view, counts=_as_found(view.counts, found), items=items)


def _open_in(counts: Mapping[ItemState, int]) -> int:
    return sum(counts.get(state, 0) for state in OPEN_STATES)


def _as_found(counts: Mapping[ItemState, int], found: Mapping[ItemState, list[Item]]) -> dict[ItemState, int]:
    """Return counts whose open items are in the states in which they were found, the others queued.

    The ledger knows how many are open in all, but a function that died may have left it wrong about their states.
    """
    at_work = {state: len(items) for state, items in found.items() if state in OPEN_STATES}
    if any(count >= MAX_ITEMS for count in at_work.values()):
        return dict(counts)
    queued = max(0, _open_in(counts) - sum(at_work.values()))
    ended = {state: count for state, count in counts.items() if state not in OPEN_STATES}
    return {state: count for state, count in (ended | at_work | {_S.QUEUED: queued}).items() if count}


async def first_items(deployment: Deployment, batch_id: str, state: ItemState, *, limit: int) -> list[Item]:
    """Return up to `limit` items of a batch in one state, in the order of the batch."""
    found: list[Item] = []
    after: tuple[int, str] | None = None
    while len(found) < limit:
        page = await deployment.ledger.page(batch_id, state, after=after, limit=min(_PAGE, limit - len(found)))
        if not page:
            break
        found += page
        after = (page[-1].rank, page[-1].source)
    return found


def _oldest_s(items: Iterable[Item], now: datetime) -> float:
    """Return how many seconds ago the oldest of the items was uploaded or created, or its create was started."""
    started = (item.uploaded_at or item.created_at or item.intent_at for item in items)
    oldest = min((at for at in started if at is not None), default=now)
    return max(0.0, (now - oldest).total_seconds())

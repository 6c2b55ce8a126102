"""Dismiss: end reviews, failures, and uncertain items that nobody will look into, with a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from runner.concurrency import handle_all
from runner.errors import ConfigError, StaleItem
from runner.formatting import storable
from runner.globs import Globs
from runner.models import DISMISSED, FAILED_BEFORE, REVIEW_DISMISSED, BatchState, Item, ItemState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from runner.ledger.protocol import Ledger
    from runner.models import Batch
    from runner.stages.transitions import Transitions

DISMISSIBLE_STATES = frozenset({ItemState.NEEDS_REVIEW, ItemState.FAILED, ItemState.UNCERTAIN})
LONGEST_REASON = 500

LOOKED_FOR = timedelta(days=30)
"""For how long after its dismissal a review is looked for in lists (choice): it makes them reach back to its import."""

_ENDED = frozenset({BatchState.SETTLED, BatchState.COMPLETE})
"""States of batches that end again, now, when an item of theirs is dismissed."""


async def dismiss(
    ledger: Ledger, batch_id: str, *, match: str | None, reason: str, transitions: Transitions
) -> list[Item]:
    """Dismiss the items of a batch whose source matches the glob `match`, all without one; return them.

    An item that was not sent because an earlier one failed becomes skipped, and the earlier one is dismissed.
    Raises ConfigError if the reason or the glob cannot be used, LedgerError.
    """
    why = _checked(reason)
    globs = None if match is None else Globs([match])
    found = [
        item
        async for item in ledger.items(batch_id, states=DISMISSIBLE_STATES)
        if not item.is_dismissed and (globs is None or globs.matches(item.source))
    ]
    ended = await handle_all(lambda item: _is_dismissed_now(ledger, item, why, transitions), found)
    return [item for item, is_dismissed in zip(found, ended, strict=True) if is_dismissed]


def _checked(reason: str) -> str:
    """Return a reason on one line. Raises ConfigError if it is empty or too long."""
    why = " ".join(storable(reason).split())
    if not why or len(why) > LONGEST_REASON:
        raise ConfigError(
            f"--reason must have 1 to {LONGEST_REASON} characters", hint='for example: --reason "the customer left"'
        )
    return why


async def _is_dismissed_now(ledger: Ledger, item: Item, why: str, transitions: Transitions) -> bool:
    """Dismiss an item; return False if another process moved it first."""
    try:
        if item.error_code != FAILED_BEFORE:
            await _end(item, why, transitions)
            return True
        for earlier in await _refused_before(ledger, item):
            await _end(earlier, why, transitions)
        await transitions.advance(
            item, ItemState.SKIPPED, reason="dismissed", error_code=None, error_message=f"dismissed: {why}"
        )
    except StaleItem:
        return False
    return True


async def _refused_before(ledger: Ledger, item: Item) -> list[Item]:
    """Return the earlier item because of which an item was not sent, unless it is dismissed or queued again."""
    of_file = (await ledger.by_file([item.file_key])).get(item.file_key, []) if item.file_key else []
    named = [one for one in of_file if one.batch_id == item.earlier_batch_id]
    return [one for one in named if one.was_refused][-1:]


async def _end(item: Item, why: str, transitions: Transitions) -> None:
    is_review = item.state is ItemState.NEEDS_REVIEW
    await transitions.advance(
        item,
        ItemState.FAILED,
        reason="dismissed",
        error_code=REVIEW_DISMISSED if is_review else DISMISSED,
        error_message=f"dismissed: {why}",
    )


async def has_dismissible(ledger: Ledger, batch_id: str) -> bool:
    """Return whether a batch has an open review, or a failed or uncertain item that is not dismissed yet."""
    counts = await ledger.counts(batch_id)
    if any(counts.get(state) for state in DISMISSIBLE_STATES - {ItemState.FAILED}):
        return True
    return counts.get(ItemState.FAILED, 0) > await dismissed_count(ledger, batch_id)


def batches_of(batch_id: str, items: Iterable[Item]) -> list[str]:
    """Return the batches that dismissing the items of a batch has changed, the batch itself last.

    `items` are as they were: where one was not sent because an earlier one failed, the earlier one was dismissed.
    """
    earlier = {item.earlier_batch_id for item in items if item.error_code == FAILED_BEFORE}
    return [*sorted(filter(None, earlier - {batch_id})), batch_id]


async def dismissed_reviews(ledger: Ledger, batch: Batch, *, now: datetime) -> list[Item]:
    """Return the items of a batch whose review was dismissed lately: somebody may finish it anyway.

    Raises LedgerError.
    """
    since = now - LOOKED_FOR
    is_over = batch.state in _ENDED and batch.finished_at is not None and batch.finished_at < since
    if is_over or not (await ledger.counts(batch.batch_id)).get(ItemState.FAILED):
        return []
    return [
        item
        async for item in ledger.items(batch.batch_id, states={ItemState.FAILED})
        if item.error_code == REVIEW_DISMISSED and (item.finished_at is None or item.finished_at >= since)
    ]


async def dismissed_count(ledger: Ledger, batch_id: str) -> int:
    """Return how many items of a batch are dismissed. Raises LedgerError."""
    if not (await ledger.counts(batch_id)).get(ItemState.FAILED):
        return 0
    return sum([item.is_dismissed async for item in ledger.items(batch_id, states={ItemState.FAILED})])

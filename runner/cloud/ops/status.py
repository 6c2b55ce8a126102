"""The status of batches for a person: items by state, how current the manifest is, and the open reviews."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.models import BatchState, BatchStatus, ItemState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from runner.ledger.protocol import CloudLedger, Ledger
    from runner.models import Batch, HistoryEntry, Item, ItemState


RECENT = 20
"""Batches that an overview shows."""

PAGE = 100
"""Items with open reviews that are read at once."""

_READS_AT_ONCE = 16


async def batch_status(ledger: CloudLedger, batch: Batch) -> BatchStatus:
    """Read the status of one batch. Raises LedgerError."""
    moves, manifest_moves = await ledger.moves_of(batch.batch_id)
    return BatchStatus(
        batch=batch,
        by_state=await ledger.counts(batch.batch_id),
        moves=moves,
        manifest_moves=manifest_moves,
        rows=await ledger.row_totals(batch.batch_id),
    )


async def batch_statuses(ledger: CloudLedger, *, recent: int = RECENT) -> list[BatchStatus]:
    """Read the status of the `recent` newest batches and of all running ones, oldest first. Raises LedgerError."""
    batches = await ledger.batches()
    newest = batches[-recent:] if recent else []
    shown = {batch.batch_id for batch in newest}
    return await _of(
        [batch for batch in batches if batch.batch_id in shown or batch.state is BatchState.RUNNING], ledger
    )


async def _of(batches: Iterable[Batch], ledger: CloudLedger) -> list[BatchStatus]:
    limit = asyncio.Semaphore(_READS_AT_ONCE)

    async def one(batch: Batch) -> BatchStatus:
        async with limit:
            return await batch_status(ledger, batch)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(batch)) for batch in batches]
    return [task.result() for task in tasks]


_MAY_HAVE_REVIEWS = frozenset(BatchState) - {BatchState.COMPLETE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One file that waits for a person: since when, and the url of its review page at the vendor."""

    batch_id: str
    source: str
    import_id: str | None
    schema_id: str | None
    since: datetime | None
    review_url: str | None


async def open_reviews(ledger: Ledger, batch: Batch | None = None) -> AsyncIterator[Review]:
    """Yield the open reviews of a batch, or of all batches. Raises LedgerError."""
    batches = [batch] if batch else [one for one in await ledger.batches() if one.state in _MAY_HAVE_REVIEWS]
    for one in batches:
        async for item in _waiting(ledger, one.batch_id):
            history = await ledger.history(one.batch_id, item.source)
            yield Review(
                batch_id=one.batch_id,
                source=item.source,
                import_id=item.import_id,
                schema_id=item.schema_id,
                since=_since(history),
                review_url=item.review_url,
            )


async def _waiting(ledger: Ledger, batch_id: str) -> AsyncIterator[Item]:
    after: tuple[int, str] | None = None
    while page := await ledger.page(batch_id, ItemState.NEEDS_REVIEW, after=after, limit=PAGE):
        for item in page:
            yield item
        after = page[-1].rank, page[-1].source


def _since(history: list[HistoryEntry]) -> datetime | None:
    """Return when the item came to need a review; later entries of the same state do not count."""
    since = None
    for entry in reversed(history):
        if entry.state is not ItemState.NEEDS_REVIEW:
            break
        since = entry.at
    return since

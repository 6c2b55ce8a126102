"""The status of batches for a person: items by state, how current the manifest is, and the open reviews."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.local.open_reviews import open_reviews
from runner.models import BatchState, BatchStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.ledger.protocol import CloudLedger, Ledger
    from runner.models import Batch
    from runner.reviews import OpenReview


RECENT = 20
"""Batches that an overview shows."""

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
    newest = {batch.batch_id: batch for batch in await ledger.recent_batches(recent)}
    running = [one for one in await ledger.incomplete_batches() if one.state is BatchState.RUNNING]
    older = [batch for batch in running if batch.batch_id not in newest]
    return await _of([*sorted(older, key=lambda batch: batch.number or 0), *newest.values()], ledger)


async def _of(batches: Iterable[Batch], ledger: CloudLedger) -> list[BatchStatus]:
    limit = asyncio.Semaphore(_READS_AT_ONCE)

    async def one(batch: Batch) -> BatchStatus:
        async with limit:
            return await batch_status(ledger, batch)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(batch)) for batch in batches]
    return [task.result() for task in tasks]


_MAY_HAVE_REVIEWS = frozenset(BatchState) - {BatchState.COMPLETE}


async def reviews_of(ledger: Ledger, batch: Batch | None = None) -> list[OpenReview]:
    """Return the open reviews of a batch, or of all that are not complete, oldest first. Raises LedgerError."""
    if batch is not None:
        return await open_reviews(ledger, [batch])
    return await open_reviews(ledger, [one for one in await ledger.batches() if one.state in _MAY_HAVE_REVIEWS])

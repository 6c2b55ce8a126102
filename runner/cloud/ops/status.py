"""Standing: where the batches of a deployment stand, and where their manifests lie."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.config.run_spec import driver_of
from runner.models import BatchState, ItemState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from runner.ledger.protocol import CloudLedger, Ledger
    from runner.models import Batch, HistoryEntry, Item, ItemState


RECENT = 20
_ASKED_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A batch, how many of its items are in each state, who takes them further, and how late its manifest is.

    `moves` counts what has happened in the batch, `manifest_moves` is up to which of it the manifest was written.
    """

    batch: Batch
    by_state: dict[ItemState, int]
    driver: str
    moves: int
    manifest_moves: int

    @property
    def manifest(self) -> str | None:
        """Return where the stack has written the manifest; None where it has not, or a runner does."""
        if self.driver == "runner" or not self.manifest_moves:
            return None
        return f"{self.batch.out}/manifest.jsonl"

    @property
    def manifest_is_current(self) -> bool:
        """Tell whether nothing has happened since the manifest was written."""
        return self.manifest is not None and self.manifest_moves >= self.moves


async def standing(ledger: CloudLedger, batch: Batch) -> Standing:
    """Read where one batch stands."""
    moves, manifest_moves = await ledger.moves_of(batch.batch_id)
    return Standing(
        batch=batch,
        by_state=await ledger.counts(batch.batch_id),
        driver=driver_of(batch.config),
        moves=moves,
        manifest_moves=manifest_moves,
    )


async def standings(ledger: CloudLedger, *, recent: int = RECENT) -> list[Standing]:
    """Read where the newest batches stand, and all that are running, oldest first."""
    batches = await ledger.batches()
    newest = batches[-recent:] if recent else []
    shown = {batch.batch_id for batch in newest}
    return await _of(
        [batch for batch in batches if batch.batch_id in shown or batch.state is BatchState.RUNNING], ledger
    )


async def _of(batches: Iterable[Batch], ledger: CloudLedger) -> list[Standing]:
    turn = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def one(batch: Batch) -> Standing:
        async with turn:
            return await standing(ledger, batch)

    async with asyncio.TaskGroup() as asking:
        tasks = [asking.create_task(one(batch)) for batch in batches]
    return [task.result() for task in tasks]


PAGE = 100
_MAY_WAIT = frozenset(BatchState) - {BatchState.COMPLETE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One file that waits for a person: since when, and the vendor's page on which to finish it."""

    batch_id: str
    source: str
    import_id: str | None
    schema_id: str | None
    since: datetime | None
    review_url: str | None


async def open_reviews(ledger: Ledger, batch: Batch | None = None) -> AsyncIterator[Review]:
    """Yield the reviews of a batch that are open, or those of all batches, a page of items at a time."""
    batches = [batch] if batch else [one for one in await ledger.batches() if one.state in _MAY_WAIT]
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
    """Return when the item came to where it is; later entries of the same state do not count."""
    since = None
    for entry in reversed(history):
        if entry.state is not ItemState.NEEDS_REVIEW:
            break
        since = entry.at
    return since

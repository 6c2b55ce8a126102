"""Reviews: the imports that wait for a person, since when, and where to finish them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.models import BatchState, ItemState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from runner.ledger import Ledger
    from runner.models import Batch, HistoryEntry, Item

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

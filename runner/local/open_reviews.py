"""Open reviews: the imports of a ledger that wait for a person, whichever batch they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner import identity
from runner.models import ItemState
from runner.reviews import LISTED_MOST, EarlierReviews, OpenReview

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from runner.ledger.protocol import Ledger
    from runner.models import Batch, Item

_AT_ONCE = 500


async def open_reviews(
    ledger: Ledger, batches: Iterable[Batch], *, wanted: Collection[tuple[str, str]] = ()
) -> list[OpenReview]:
    """Return the open reviews of batches, oldest first.

    The reviews of the items `wanted`, each as (batch id, source), are not superseded. Raises LedgerError.
    """
    found: list[OpenReview] = []
    for batch in batches:
        if not (await ledger.counts(batch.batch_id)).get(ItemState.NEEDS_REVIEW):
            continue
        some: list[Item] = []
        async for item in ledger.items(batch.batch_id, states={ItemState.NEEDS_REVIEW}):
            some.append(item)
            if len(some) == _AT_ONCE:
                found += await _reviews(ledger, batch, some, wanted)
                some = []
        found += await _reviews(ledger, batch, some, wanted)
    return sorted(found, key=_by_age)


async def reviews_of_source(
    ledger: Ledger,
    source_uri: str,
    *,
    endpoint: str,
    before: Batch | None = None,
    wanted: Collection[tuple[str, str]] = (),
) -> list[OpenReview]:
    """Return the needed reviews in the batches of a source at an API, only in those `before` a batch, oldest first.

    `wanted` as in `open_reviews`. Raises LedgerError.
    """
    others = [
        one
        for one in await ledger.batches(source_uri=source_uri)
        if (before is None or _order(one) < _order(before)) and identity.endpoint_of(one.account) == endpoint
    ]
    return [review for review in await open_reviews(ledger, others, wanted=wanted) if not review.is_superseded]


async def earlier_reviews(
    ledger: Ledger, wanted: Collection[tuple[str, str]], *, others: Sequence[OpenReview] = ()
) -> EarlierReviews:
    """Return the open reviews of the items `wanted`, each as (batch id, source), and `others`.

    Raises LedgerError.
    """
    unread = set(wanted) - {(review.batch_id, review.source) for review in others}
    batches = [await ledger.batch(batch_id) for batch_id in sorted({batch_id for batch_id, _ in unread})]
    named = [
        review
        for review in await open_reviews(ledger, filter(None, batches), wanted=unread)
        if (review.batch_id, review.source) in unread
    ]
    oldest_first = sorted([*others, *named], key=_by_age)
    return EarlierReviews(count=len(oldest_first), first=tuple(oldest_first[:LISTED_MOST]))


def _order(batch: Batch) -> tuple[datetime, str]:
    return batch.started_at, batch.batch_id


def _by_age(review: OpenReview) -> tuple[datetime, str, str]:
    return review.opened_at, review.batch_id, review.source


async def _reviews(
    ledger: Ledger, batch: Batch, items: Sequence[Item], wanted: Collection[tuple[str, str]]
) -> list[OpenReview]:
    keys = {item.file_key for item in items if item.file_key}
    of_file = await ledger.by_file(keys) if keys else {}
    return [
        OpenReview(
            batch_id=batch.batch_id,
            source=item.source,
            schema_id=item.schema_id,
            import_id=item.import_id,
            review_url=item.review_url,
            why=item.error_message,
            opened_at=item.created_at or batch.started_at,
            is_superseded=(batch.batch_id, item.source) not in wanted
            and _is_superseded(item, of_file.get(item.file_key, ())),
        )
        for item in items
    ]


def _is_superseded(item: Item, of_file: Sequence[Item]) -> bool:
    """Return whether another content of the file, or the same under another binding, was sent after the item's."""
    place = next((at for at, one in enumerate(of_file) if one.is_same_as(item)), len(of_file))
    sent = (item.fingerprint, item.binding)
    return any((later.fingerprint, later.binding) != sent for later in of_file[place + 1 :])

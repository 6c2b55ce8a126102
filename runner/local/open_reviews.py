"""Open reviews: the imports of a ledger that wait for a person, whichever batch they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner import identity
from runner.models import ItemState, iso

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime
    from typing import Any

    from runner.ledger.protocol import Ledger
    from runner.models import Batch, Item

_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReview:
    """An import that waits for a person: `why` is a sentence, `opened_at` when the import was created.

    `is_superseded`: another version of the file was sent since, so the review is no longer needed.
    """

    batch_id: str
    source: str
    schema_id: str | None
    import_id: str | None
    review_url: str | None = field(repr=False)
    why: str | None
    opened_at: datetime
    is_superseded: bool = False

    def age_s(self, now: datetime) -> float:
        """Return for how many seconds the review has been open."""
        return max(0.0, (now - self.opened_at).total_seconds())

    def document(self, now: datetime | None = None) -> dict[str, Any]:
        """Return the fields of the review in JSON, with its age at an instant."""
        age = {} if now is None else {"age_s": round(self.age_s(now))}
        return {
            "batch_id": self.batch_id,
            "source": self.source,
            "schema_id": self.schema_id,
            "import_id": self.import_id,
            "review_url": self.review_url,
            "why": self.why,
            "opened_at": iso(self.opened_at),
            **age,
            "superseded": self.is_superseded,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierReviews:
    """The reviews in earlier batches of a source that are still needed: how many, and the oldest of them."""

    count: int = 0
    first: tuple[OpenReview, ...] = ()


NO_EARLIER_REVIEWS = EarlierReviews()
LISTED_MOST = 20


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
    but: str | None = None,
    wanted: Collection[tuple[str, str]] = (),
) -> list[OpenReview]:
    """Return the needed reviews in the batches of a source at an API, but in one batch, oldest first.

    `wanted` as in `open_reviews`. Raises LedgerError.
    """
    others = [
        one
        for one in await ledger.batches(source_uri=source_uri)
        if one.batch_id != but and identity.endpoint_of(one.account) == endpoint
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

"""Reviews: an import that waits for a person, and those of earlier batches that are still needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.models import iso

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any


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

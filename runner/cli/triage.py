"""What of a batch needs a person: open reviews, failures and rejections by message, items in doubt or given up."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from runner.models import OPEN_STATES, Item, ItemState

LISTED_MOST = 20
_CLUSTERS_KEPT = 1000
_NUMBER = re.compile(r"\d+")

NEEDING_A_PERSON = frozenset({ItemState.NEEDS_REVIEW, ItemState.FAILED, ItemState.REJECTED, ItemState.UNCERTAIN})


@dataclass(slots=True)
class Cluster:
    """Items that ended alike: `message` and `sample` are of the first of them."""

    code: str
    message: str
    sample: str
    count: int = 0


@dataclass(slots=True)
class Triage:
    """At most `LISTED_MOST` reviews and uncertain items are kept by name; all are counted."""

    reviews: list[tuple[str, str | None]] = field(default_factory=list)
    review_count: int = 0
    uncertain: list[tuple[str, str]] = field(default_factory=list)
    uncertain_count: int = 0
    failed: dict[tuple[str, str], Cluster] = field(default_factory=dict)
    rejected: dict[tuple[str, str], Cluster] = field(default_factory=dict)
    given_up: dict[tuple[str, str], Cluster] = field(default_factory=dict)

    def take(self, item: Item) -> None:
        """Sort an item in."""
        if item.state is ItemState.NEEDS_REVIEW:
            self.review_count += 1
            if len(self.reviews) < LISTED_MOST:
                self.reviews.append((item.source, item.review_url))
        elif item.state is ItemState.UNCERTAIN:
            self.uncertain_count += 1
            if len(self.uncertain) < LISTED_MOST:
                self.uncertain.append((item.source, item.error_message or ""))
        elif item.state is ItemState.FAILED:
            _cluster(self.failed, item)
        elif item.state is ItemState.REJECTED:
            _cluster(self.rejected, item)
        elif item.state in OPEN_STATES and item.error_code:
            _cluster(self.given_up, item)


async def needing_a_person(items: AsyncIterator[Item]) -> Triage:
    """Read a batch's items once, with flat memory."""
    attention = Triage()
    async for item in items:
        attention.take(item)
    return attention


def _cluster(clusters: dict[tuple[str, str], Cluster], item: Item) -> None:
    """Count an item with those whose message differs in nothing but numbers."""
    code, message = item.error_code or "", item.error_message or "no message was given"
    key = (code, _NUMBER.sub("#", message))
    if key not in clusters and len(clusters) >= _CLUSTERS_KEPT:
        key = ("", "")
        code, message = "", "other messages"
    clusters.setdefault(key, Cluster(code, message, item.source)).count += 1

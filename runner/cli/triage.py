"""Triage: the items of a batch that need a person. Open reviews, uncertain items, and failures grouped by message."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from runner.models import OPEN_STATES, Item, ItemState

LISTED_MOST = 20
_GROUPS_KEPT = 1000
_NUMBER = re.compile(r"\d+")

NEEDING_A_PERSON = frozenset({ItemState.NEEDS_REVIEW, ItemState.FAILED, ItemState.REJECTED, ItemState.UNCERTAIN})


@dataclass(slots=True)
class FailureGroup:
    """Items with the same error code and a similar message; `message` and `sample` are those of the first item."""

    code: str
    message: str
    sample: str
    count: int = 0


@dataclass(slots=True)
class Triage:
    """Counts every item, and keeps at most `LISTED_MOST` reviews and uncertain items by name.

    `held_count` counts failed items whose data may be at the vendor, so that only a redrive sends them again.
    `given_up` holds items that are still open but have an error: no function works on them any more.
    """

    reviews: list[tuple[str, str | None]] = field(default_factory=list)
    review_count: int = 0
    uncertain: list[tuple[str, str]] = field(default_factory=list)
    uncertain_count: int = 0
    dismissed_count: int = 0
    held_count: int = 0
    failed: dict[tuple[str, str], FailureGroup] = field(default_factory=dict)
    rejected: dict[tuple[str, str], FailureGroup] = field(default_factory=dict)
    given_up: dict[tuple[str, str], FailureGroup] = field(default_factory=dict)

    def take(self, item: Item) -> None:
        """Add an item."""
        if item.state is ItemState.NEEDS_REVIEW:
            self.review_count += 1
            if len(self.reviews) < LISTED_MOST:
                self.reviews.append((item.source, item.review_url))
        elif item.state is ItemState.UNCERTAIN:
            self.uncertain_count += 1
            if len(self.uncertain) < LISTED_MOST:
                self.uncertain.append((item.source, item.error_message or ""))
        elif item.is_dismissed:
            self.dismissed_count += 1
        elif item.state is ItemState.FAILED:
            self.held_count += item.is_held
            _group(self.failed, item)
        elif item.state is ItemState.REJECTED:
            _group(self.rejected, item)
        elif item.state in OPEN_STATES and item.error_code:
            _group(self.given_up, item)


async def needing_a_person(items: AsyncIterator[Item]) -> Triage:
    """Read a batch's items once, in constant memory."""
    triage = Triage()
    async for item in items:
        triage.take(item)
    return triage


def _group(groups: dict[tuple[str, str], FailureGroup], item: Item) -> None:
    """Count an item with those whose message differs only in numbers."""
    code, message = item.error_code or "", item.error_message or "no error message"
    key = (code, _NUMBER.sub("#", message))
    if key not in groups and len(groups) >= _GROUPS_KEPT:
        key = ("", "")
        code, message = "", "other messages"
    groups.setdefault(key, FailureGroup(code, message, item.source)).count += 1

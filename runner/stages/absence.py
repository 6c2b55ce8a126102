"""Absence: what proves that the vendor no longer has an import, or no result of it.

One answer proves nothing: a list and a retrieve may lag, and what answers in the API's place may say 404. The evidence
is in the ledger, as entries at the end of the item's history, so a later run or another function continues from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

from runner.models import IMPORT_MISSING, RESULT_MISSING, ItemState
from runner.stages.shared_lists import SharedLists

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.models import HistoryEntry, Item, RemoteImport
    from runner.protocols import ImportsApi
    from runner.stages.transitions import Transitions

ANSWERS = 3
"""How often the vendor must have answered that it has no such import, each time with a complete list that agrees."""

OVER = timedelta(minutes=5)
"""For how long the vendor must have given these answers."""

OVER_IF_LISTED = timedelta(minutes=30)
"""The same for a result whose import the vendor's list still shows: the result is more likely late than gone."""

LONGEST_GAP = timedelta(minutes=4)
"""What counts of the time between two answers: the clock that dates them may be set, and nobody asked in between."""

PAUSE_S = OVER.total_seconds() / (ANSWERS - 1) + 5.0

_SAID = {
    IMPORT_MISSING: "the vendor does not find the import",
    RESULT_MISSING: "the vendor does not find the result of the import",
}
_NOW = "; now "
"""Stands between the message of a review and what is suspected about its import."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The item with the evidence recorded, whether that is enough, and a sentence about it."""

    item: Item
    is_proved: bool
    sentence: str


def is_suspected(item: Item) -> bool:
    """Return whether the vendor's last answer about an open item was that it does not find its import or its result."""
    if item.state is ItemState.NEEDS_REVIEW:
        return (item.error_message or "").endswith(_NOW + _SAID[IMPORT_MISSING])
    return item.error_code in _SAID and item.state is not ItemState.FAILED


class Absence:
    """Collects the evidence. Every method may raise TransientError, and ItemOvertaken where another process is faster.

    While the evidence is not enough, an item keeps its state, and its error code says what is suspected.
    """

    def __init__(self, *, api: ImportsApi, transitions: Transitions) -> None:
        self._transitions = transitions
        self._lists = SharedLists(api, _ids, for_absence=True)

    async def of_import(self, item: Item) -> Finding:
        """Note that the API answered 404 for an item's import; a complete list that shows the import outweighs that."""
        if await self._is_listed(item):
            sentence = f"{_SAID[IMPORT_MISSING]}, but its list shows it"
            return Finding(await self.found(item), is_proved=False, sentence=sentence)
        return await self._noted(item, IMPORT_MISSING)

    async def of_result(self, item: Item) -> Finding:
        """Note that the API gave no result of a successful import."""
        is_listed = await self._is_listed(item)
        return await self._noted(item, RESULT_MISSING, over=OVER_IF_LISTED if is_listed else OVER)

    async def found(self, item: Item) -> Item:
        """Drop the evidence, if there is any: the vendor has shown the import."""
        if not is_suspected(item):
            return item
        is_review = item.state is ItemState.NEEDS_REVIEW
        return await self._transitions.advance(
            item,
            item.state,
            reason="found again",
            error_code=item.error_code if is_review else None,
            error_message=(item.error_message or "").partition(_NOW)[0] if is_review else None,
        )

    async def _is_listed(self, item: Item) -> bool:
        """Return whether a list that begins now, and goes back to the creation of an item's import, shows it."""
        return item.bound_id in await self._lists.since(item.created_at)

    async def _noted(self, item: Item, code: str, *, over: timedelta = OVER) -> Finding:
        is_review = item.state is ItemState.NEEDS_REVIEW
        review = (item.error_message or "").partition(_NOW)[0] + _NOW if is_review else ""
        item = await self._transitions.advance(
            item,
            item.state,
            reason=code,
            error_code=item.error_code if is_review else code,
            error_message=review + _SAID[code],
        )
        entries = _evidence(await self._transitions.history(item), item, code)
        is_proved = len(entries) >= ANSWERS and _lasted(entries) >= over
        return Finding(item, is_proved=is_proved, sentence=_SAID[code])


def _evidence(history: list[HistoryEntry], item: Item, code: str) -> list[HistoryEntry]:
    """Return the latest entries of a history if they are evidence about the item's import, newest first."""
    return list(takewhile(lambda entry: entry.reason == code and entry.import_id == item.import_id, reversed(history)))


def _lasted(entries: list[HistoryEntry]) -> timedelta:
    """Return over how long the vendor gave the same answer; newest entry first."""
    gaps = (later.at - earlier.at for later, earlier in pairwise(entries))
    return sum((min(max(gap, timedelta(0)), LONGEST_GAP) for gap in gaps), timedelta(0))


async def _ids(imports: AsyncIterator[RemoteImport]) -> set[str]:
    return {remote.import_id async for remote in imports}

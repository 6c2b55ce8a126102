"""DeferredItems: items that a run leaves to a later one, since nothing got through for them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from runner.events import EventHook, Notice
from runner.stop import StopReason, StopSignal

if TYPE_CHECKING:
    from runner.errors import DuplicatePending
    from runner.models import Item

IN_A_ROW_BEFORE_PAUSE = 3
"""So many items in a row that no create or upload got through for: the trouble is not theirs."""

TWIN_PAUSE_S = 5.0
MOST_WAITS_FOR_TWIN = 36
"""Pauses of an item whose content another batch is sending: it may be a batch that nobody drives."""

MOST_TIMES_OVERTAKEN = 5
"""So often an item is followed to where somebody else moved it; the work of others ends, so it is seldom twice."""


class DeferredItems:
    """The deferred sources of one run. An item may be put back `most_returns` times before it is deferred as well."""

    def __init__(self, *, stop: StopSignal, emit: EventHook, most_returns: int) -> None:
        self._stop = stop
        self._emit = emit
        self._most_returns = most_returns
        self._sources: set[str] = set()
        self._returns: Counter[str] = Counter()
        self._overtaken: Counter[str] = Counter()
        self._in_a_row = 0
        self._waits: Counter[str] = Counter()

    def __contains__(self, source: str) -> bool:
        return source in self._sources

    def __len__(self) -> int:
        return len(self._sources)

    def add(self, item: Item, why: str) -> None:
        """Leave an item to a later run; when trouble hits one after the other, ask for a stop."""
        self._sources.add(item.source)
        if self._stop.requested:
            return
        self._in_a_row += 1
        self._emit(Notice(code="item_deferred", message=f"{item.source}: {why}; a later run continues it"))
        if self._in_a_row >= IN_A_ROW_BEFORE_PAUSE:
            self._stop.request(StopReason.TROUBLE, f"the vendor cannot be reached: {why}")

    async def wait_for_twin(self, item: Item, error: DuplicatePending) -> None:
        """Pause for an item whose content is being sent for another; one that waits too long is left to a later run."""
        self._waits[item.source] += error.batch_id != item.batch_id
        if self._waits[item.source] <= MOST_WAITS_FOR_TWIN:
            await self._stop.sleep(TWIN_PAUSE_S)
        elif not self._stop.requested:
            self._sources.add(item.source)
            self._emit(Notice(code="item_deferred", message=f"{item.source}: {error}; a later run continues it"))

    def got_through(self) -> None:
        """Say that something got through: whatever the trouble was, it was not everybody's."""
        self._in_a_row = 0

    def may_go_on(self, item: Item) -> bool:
        """Tell whether an item that others keep moving may be taken up once more: not without end."""
        self._overtaken[item.source] += 1
        return self._overtaken[item.source] <= MOST_TIMES_OVERTAKEN

    def may_return(self, item: Item) -> bool:
        """Tell whether an item that gave up its import may have another now: not without end."""
        self._returns[item.source] += 1
        return item.attempts < self._most_returns and self._returns[item.source] < self._most_returns

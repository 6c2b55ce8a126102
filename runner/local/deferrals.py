"""DeferredItems: items that a run leaves to a later one because no request for them succeeds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from runner.events import EventHook, Notice
from runner.stop import StopReason, StopSignal

if TYPE_CHECKING:
    from runner.errors import DuplicatePending
    from runner.models import Item

IN_A_ROW_BEFORE_STOP = 3
"""After this many deferred items in a row, the problem is not with the items, and the run stops."""

DUPLICATE_PAUSE_S = 5.0
DUPLICATE_PAUSES_MAX = 36
"""Pauses of an item whose content another batch is sending. They are limited: maybe no run works on that batch."""

TIMES_OVERTAKEN_MAX = 5
"""How often an item is continued from where another process moved it. More than twice is rare."""


class DeferredItems:
    """The sources that one run has deferred. An item may be queued again `max_returns` times before it is deferred."""

    def __init__(self, *, stop: StopSignal, emit: EventHook, max_returns: int) -> None:
        self._stop = stop
        self._emit = emit
        self._max_returns = max_returns
        self._sources: set[str] = set()
        self._returns: Counter[str] = Counter()
        self._overtaken: Counter[str] = Counter()
        self._pauses: Counter[str] = Counter()
        self._in_a_row = 0

    def __contains__(self, source: str) -> bool:
        return source in self._sources

    def __len__(self) -> int:
        return len(self._sources)

    def add(self, item: Item, why: str) -> None:
        """Leave an item to a later run; if several items in a row are deferred, request a stop."""
        self._sources.add(item.source)
        if self._stop.requested:
            return
        self._in_a_row += 1
        self._emit(Notice(code="item_deferred", message=f"{item.source}: {why}; a later run continues it"))
        if self._in_a_row >= IN_A_ROW_BEFORE_STOP:
            self._stop.request(StopReason.TROUBLE, f"the vendor cannot be reached: {why}")

    def end_streak(self) -> None:
        """Note that a request succeeded: an earlier problem did not affect all items."""
        self._in_a_row = 0

    async def wait_for_duplicate(self, item: Item, error: DuplicatePending) -> None:
        """Pause while the same content is sent for another item; after too many pauses, leave it to a later run."""
        self._pauses[item.source] += error.batch_id != item.batch_id
        if self._pauses[item.source] <= DUPLICATE_PAUSES_MAX:
            await self._stop.sleep(DUPLICATE_PAUSE_S)
        elif not self._stop.requested:
            self._sources.add(item.source)
            self._emit(Notice(code="item_deferred", message=f"{item.source}: {error}; a later run continues it"))

    def may_continue(self, item: Item) -> bool:
        """Return whether an item that another process moved may be continued here; the number of times is limited."""
        self._overtaken[item.source] += 1
        return self._overtaken[item.source] <= TIMES_OVERTAKEN_MAX

    def may_return(self, item: Item) -> bool:
        """Return whether an item that gave up its import may get another now; the number of times is limited."""
        self._returns[item.source] += 1
        return item.attempts < self._max_returns and self._returns[item.source] < self._max_returns

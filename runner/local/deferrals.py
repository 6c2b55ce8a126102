"""Deferrals: items that wait outside the workers, and items that a run leaves to a later one."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from typing import TYPE_CHECKING

from runner.events import EventHook, Notice
from runner.models import TERMINAL_STATES, Deferral, Deferrals
from runner.stages.patience import Patience
from runner.stages.submit import SubmitOutcome
from runner.stop import StopReason, StopSignal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from runner.errors import DuplicatePending, NotYet
    from runner.ledger.protocol import ItemStore
    from runner.models import Item
    from runner.stages.submit import SubmitResult

UNCREATED_MOST = 3
"""After this many items in a row whose creates failed, the problem is not with the items, and the run stops."""

DUPLICATE_PAUSE_S = 5.0
DUPLICATE_PAUSES_MAX = 36
"""Pauses of an item whose content another batch is sending. They are limited: maybe no run works on that batch."""

TIMES_OVERTAKEN_MAX = 5
"""How often an item is continued from where another process moved it. More than twice is rare."""


NAMED_MOST = 100
"""So many deferred items are named at the end of a run; the notices of the run name all."""


async def still_deferred(ledger: ItemStore, batch_id: str, reasons: Mapping[str, str]) -> Deferrals:
    """Return the deferred items of a run, without those among the first that another process has taken to their end."""
    named = sorted(reasons)[:NAMED_MOST]
    items = await ledger.look_up(batch_id, named) if named else {}
    first = [source for source in named if source in items and items[source].state not in TERMINAL_STATES]
    return Deferrals(
        count=len(reasons) - len(named) + len(first),
        first=tuple(Deferral(source=source, reason=reasons[source]) for source in first),
    )


class WaitingItems:
    """Items that wait outside the workers for their time; `on_due` is awaited with each when it has come."""

    def __init__(self, on_due: Callable[[Item], Awaitable[None]]) -> None:
        self._on_due = on_due
        self._due: list[tuple[float, int, Item]] = []
        self._numbers = itertools.count()
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, item: Item, wait_s: float) -> None:
        due_at = asyncio.get_running_loop().time() + wait_s
        heapq.heappush(self._due, (due_at, next(self._numbers), item))
        self._added.set()

    async def run(self) -> None:
        """Pass on each item in its time, until canceled."""
        while True:
            self._added.clear()
            wait_s = self._due[0][0] - asyncio.get_running_loop().time() if self._due else None
            if wait_s is not None and wait_s <= 0:
                await self._on_due(heapq.heappop(self._due)[2])
                continue
            try:
                async with asyncio.timeout(wait_s):
                    await self._added.wait()
            except TimeoutError:
                continue


class DeferredItems:
    """The sources that one run has deferred, and why.

    An item may be queued again `max_returns` times before it is deferred, and may be in trouble for `stuck_after_s`.
    """

    def __init__(self, *, stop: StopSignal, emit: EventHook, max_returns: int, stuck_after_s: float) -> None:
        self._stop = stop
        self._emit = emit
        self._max_returns = max_returns
        self._patience = Patience(stuck_after_s)
        self._waits: dict[str, str] = {}
        self._uncreated = 0
        self.reasons: dict[str, str] = {}
        self._returns: Counter[str] = Counter()
        self._overtaken: Counter[str] = Counter()
        self._pauses: Counter[str] = Counter()

    def __contains__(self, source: str) -> bool:
        return source in self.reasons

    def __len__(self) -> int:
        return len(self.reasons)

    def add(self, item: Item, why: str) -> None:
        """Leave an item to a later run."""
        self.reasons[item.source] = why
        if not self._stop.requested:
            self._emit(Notice(code="item_deferred", message=f"{item.label}: {why}; a later run continues it"))

    def add_uncreated(self, item: Item, why: str) -> None:
        """Leave an item without an import to a later run. After several of them in a row, request a stop."""
        self.add(item, why)
        self._uncreated += 1
        if self._uncreated >= UNCREATED_MOST:
            self._stop.request(StopReason.TROUBLE, f"the vendor creates no imports: {why}")

    def pause_s(self, item: Item, error: NotYet) -> float | None:
        """Return how long an item waits until its next try; None once it has been in trouble for too long."""
        pause_s = error.wait_s if not error.in_trouble else self._patience.pause_s(item.source, shortest_s=error.wait_s)
        if pause_s is not None and self._waits.get(item.source) != str(error):
            self._waits[item.source] = str(error)
            self._emit(Notice(code="item_waits", message=f"{item.label}: {error}; it is tried again"))
        return pause_s

    def has_moved(self, item: Item) -> None:
        """Note that an item got on: trouble that it meets from now on is new."""
        self._uncreated = 0
        self._patience.forget(item.source)
        self._waits.pop(item.source, None)

    async def wait_for_duplicate(self, item: Item, error: DuplicatePending) -> None:
        """Pause while the same content is sent for another item; after too many pauses, leave it to a later run."""
        self._pauses[item.source] += error.batch_id != item.batch_id
        if self._pauses[item.source] <= DUPLICATE_PAUSES_MAX:
            await self._stop.sleep(DUPLICATE_PAUSE_S)
        elif not self._stop.requested:
            self.add(item, str(error))

    def may_continue(self, item: Item) -> bool:
        """Return whether an item that another process moved may be continued here; the number of times is limited."""
        self._overtaken[item.source] += 1
        return self._overtaken[item.source] <= TIMES_OVERTAKEN_MAX

    def may_return(self, result: SubmitResult) -> bool:
        """Return whether an item that gave up its import may get another now; the times in one run are limited."""
        source = result.item.source
        self._returns[source] += 1
        return result.outcome is not SubmitOutcome.NOT_CREATED and self._returns[source] < self._max_returns

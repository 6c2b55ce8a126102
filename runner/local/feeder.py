"""The feed: queued items from the ledger into the submit queue, while discovery may still be adding more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.models import Item, ItemState

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.ledger.protocol import Ledger


_PAGE = 200
RECHECK_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses between passes over a store whose pages are behind its counts; each pass that finds an item begins anew."""


class Feeder:
    """Goes through the queued items in order, again and again, until a whole pass after discovery found nothing new.

    Pages of a `shared` ledger may lack items for a moment: they are waited for, since the ledger's counts are exact.
    """

    def __init__(
        self,
        *,
        batch_id: str,
        ledger: Ledger,
        inflight: InFlight,
        queue: asyncio.Queue[Item],
        discovered: asyncio.Event,
        skip: Callable[[Item], bool],
        list_first: bool,
        shared: bool = False,
    ) -> None:
        self._batch_id = batch_id
        self._ledger = ledger
        self._inflight = inflight
        self._queue = queue
        self._discovered = discovered
        self._skip = skip
        self._list_first = list_first
        self._shared = shared
        self._more = asyncio.Event()
        self._held_back = 0
        self._rechecks = 0

    def more(self) -> None:
        """Say that discovery has added items, or has ended."""
        self._more.set()

    again = more
    """Say that an item was put back and wants another pass."""

    async def run(self) -> None:
        """Feed until nothing is left to feed and nothing in flight can come back. Cancel it to stop."""
        if self._list_first:
            await self._discovered.wait()
        while True:
            self._more.clear()
            complete = self._discovered.is_set()
            if await self._pass():
                self._rechecks = 0
                continue
            if self._more.is_set():
                continue
            if not complete:
                await self._more.wait()
            elif not await self._comes_back() and not await self._is_behind():
                return

    async def _pass(self) -> int:
        fed = self._held_back = 0
        after: tuple[int, str] | None = None
        while page := await self._ledger.page(self._batch_id, ItemState.QUEUED, after=after, limit=_PAGE):
            for item in page:
                if item.source in self._inflight:
                    continue
                if self._skip(item):
                    self._held_back += 1
                else:
                    self._inflight.take(item.source)
                    await self._queue.put(item)
                    fed += 1
            after = (page[-1].rank, page[-1].source)
        return fed

    async def is_missing_some(self) -> bool:
        """Tell whether the ledger counts more queued items than the last pass has seen and held back."""
        counts = await self._ledger.counts(self._batch_id)
        return counts.get(ItemState.QUEUED, 0) > self._held_back

    async def _is_behind(self) -> bool:
        """Tell whether another pass may see what the last did not, after a pause; not without end."""
        if not self._shared or self._rechecks == len(RECHECK_PAUSES_S) or not await self.is_missing_some():
            return False
        await asyncio.sleep(RECHECK_PAUSES_S[self._rechecks])
        self._rechecks += 1
        return True

    async def _comes_back(self) -> bool:
        """Wait until nothing is in flight; True where something was put back meanwhile."""
        idle = asyncio.ensure_future(self._inflight.idle())
        more = asyncio.ensure_future(self._more.wait())
        try:
            await asyncio.wait({idle, more}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
            more.cancel()
        return self._more.is_set()


class InFlight:
    """Sources taken up in this run; bounded by the queues in front of the stages."""

    def __init__(self) -> None:
        self._sources: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __contains__(self, source: str) -> bool:
        return source in self._sources

    def take(self, source: str) -> None:
        self._sources.add(source)
        self._idle.clear()

    def release(self, source: str) -> None:
        self._sources.discard(source)
        if not self._sources:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        await self._idle.wait()

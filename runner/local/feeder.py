"""What a run takes from the ledger: the items of an earlier run that are unfinished, then the queued ones, in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.errors import StaleItem
from runner.models import Item, ItemKind, ItemState
from runner.stages.transitions import ItemOvertaken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runner.ledger.protocol import ItemStore
    from runner.stages.transitions import Transitions

_S = ItemState
WITH_IMPORT = frozenset({_S.CREATED, _S.PROCESSING, _S.SUCCEEDED})
"""States in which an item has an import and the run has something to do for it."""

_UNFINISHED = WITH_IMPORT | {_S.CREATING}
_PAGE = 200
RECHECK_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses between passes over a store whose pages are behind its counts. A pass that finds an item starts over."""


async def unfinished(ledger: ItemStore, batch_id: str, *, transitions: Transitions) -> AsyncIterator[Item]:
    """Yield the items that an earlier run left neither queued nor ended.

    A file whose create was not recorded is queued again and not yielded: if the create took effect, its import is an
    empty orphan that is found by its tag. A JSON item is yielded in state `creating`. Raises LedgerError.
    """
    async for item in ledger.items(batch_id, states=_UNFINISHED):
        if item.state is not _S.CREATING or item.kind is ItemKind.JSON:
            yield item
            continue
        try:
            await transitions.advance(
                item, _S.QUEUED, reason="the run ended before the answer to its create was recorded"
            )
        except ItemOvertaken as error:
            if error.current.state in WITH_IMPORT:
                yield error.current
        except StaleItem:
            continue


class Feeder:
    """Passes over the queued items in order until a whole pass, begun after discovery ended, finds nothing new.

    Pages of a `shared` ledger may lack items for a moment. The feeder waits for them, because counts are exact.
    """

    def __init__(
        self,
        *,
        batch_id: str,
        ledger: ItemStore,
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
        """Announce that discovery has added items, or has ended."""
        self._more.set()

    again = more
    """Announce that an item is queued again and needs another pass."""

    async def run(self) -> None:
        """Feed until nothing is left to feed and nothing in flight can be queued again. Cancel it to stop.

        Raises LedgerError.
        """
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
            elif not await self._is_queued_again() and not await self._is_behind():
                return

    async def _pass(self) -> int:
        fed = self._held_back = 0
        after: tuple[int, str] | None = None
        while page := await self._ledger.page(self._batch_id, _S.QUEUED, after=after, limit=_PAGE):
            for item in page:
                if item.source in self._inflight:
                    continue
                if self._skip(item):
                    self._held_back += 1
                else:
                    self._inflight.add(item.source)
                    await self._queue.put(item)
                    fed += 1
            after = (page[-1].rank, page[-1].source)
        return fed

    async def is_missing_some(self) -> bool:
        """Return whether the ledger counts more queued items than the last pass held back."""
        counts = await self._ledger.counts(self._batch_id)
        return counts.get(_S.QUEUED, 0) > self._held_back

    async def _is_behind(self) -> bool:
        """Pause, and tell whether another pass may see what the last one did not; the number of pauses is limited."""
        if not self._shared or self._rechecks == len(RECHECK_PAUSES_S) or not await self.is_missing_some():
            return False
        await asyncio.sleep(RECHECK_PAUSES_S[self._rechecks])
        self._rechecks += 1
        return True

    async def _is_queued_again(self) -> bool:
        """Wait until nothing is in flight, or an item is queued again; return True in the second case."""
        idle = asyncio.ensure_future(self._inflight.idle())
        more = asyncio.ensure_future(self._more.wait())
        try:
            await asyncio.wait({idle, more}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
            more.cancel()
        return self._more.is_set()


class InFlight:
    """Sources of the items that this run is working on; their number is bounded by the queues of the stages."""

    def __init__(self) -> None:
        self._sources: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __contains__(self, source: str) -> bool:
        return source in self._sources

    def add(self, source: str) -> None:
        self._sources.add(source)
        self._idle.clear()

    def release(self, source: str) -> None:
        self._sources.discard(source)
        if not self._sources:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        await self._idle.wait()

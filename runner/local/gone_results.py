"""Gone results: collected items whose results are no longer where they were saved, and how they are fetched again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.errors import ConfigError, SinkFailed, StaleItem, Unavailable
from runner.events import Notice
from runner.globs import Globs
from runner.local.reconcile import Difference, DifferenceKind
from runner.models import BatchState, Item, ItemState
from runner.stages.pack_ends import pack_again
from runner.stages.result_places import ResultPlaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.models import Batch
    from runner.protocols import Sink
    from runner.stages.transitions import Transitions

LOOK_AT_ONCE = 32
"""In S3, each look is a request."""


class GoneResults:
    """The collected items of one batch whose results are not in the batch's sink.

    A result that a newer version of the file has replaced is not gone. Methods raise LedgerError; and ConfigError,
    SinkFailed, and Unavailable if the sink cannot be read.
    """

    def __init__(self, ledger: Ledger, batch: Batch, sink: Sink, *, transitions: Transitions, emit: EventHook) -> None:
        self._ledger = ledger
        self._batch = batch
        self._sink = sink
        self._transitions = transitions
        self._emit = emit
        self._places = ResultPlaces(ledger, transitions=transitions, emit=emit)

    async def differences(self) -> list[Difference]:
        """Return one difference per gone result; none, but a Notice, if the sink cannot be read."""
        try:
            return [self._difference(item) async for item in self._gone()]
        except (ConfigError, SinkFailed, Unavailable) as error:
            self._emit(Notice(code="results_not_checked", message=f"results are not checked: {error}"))
            return []

    def _difference(self, item: Item) -> Difference:
        return Difference(
            source=item.source,
            import_id=item.carrying_id or "",
            kind=DifferenceKind.RESULT_GONE,
            detail=f"the result is no longer at {self._batch.out.rstrip('/')}/{item.result}",
        )

    async def fetch_again(self, match: str | None) -> int:
        """Let the next `resume` fetch the gone results of items whose source matches the glob; return how many.

        The items are `succeeded` until then, so their content is not sent again. Raises ConfigError if the glob is
        malformed.
        """
        count = 0
        for item in await self.matching(match):
            count += await self.reopen(item) is not None
        if count:
            await self._ledger.update_batch(self._batch.batch_id, state=BatchState.PAUSED)
        return count

    async def matching(self, match: str | None) -> list[Item]:
        """Return the items whose results are gone and whose source matches the glob, as `fetch_again` does."""
        globs = None if match is None else Globs([match])
        return [item async for item in self._gone() if globs is None or globs.matches(item.source)]

    async def reopen(self, item: Item) -> Item | None:
        """Return the item as `succeeded`, so that its result is fetched; None if another process moved it first.

        The member of a pack is `packed`, and its pack `succeeded`.
        """
        reason = "redriven: its result is gone"
        try:
            if item.import_id is None:
                is_open = await pack_again(
                    [item],
                    ItemState.SUCCEEDED,
                    ledger=self._ledger,
                    transitions=self._transitions,
                    reason=reason,
                    emit=self._emit,
                )
                return await self._ledger.item(item.batch_id, item.source) if is_open else None
            return await self._transitions.advance(item, ItemState.SUCCEEDED, reason=reason, finished_at=None)
        except StaleItem:
            return None

    async def _gone(self) -> AsyncIterator[Item]:
        async for some in self._collected():
            is_there = await asyncio.gather(*[self._sink.has(item.result or "") for item in some])
            for item, has_result in zip(some, is_there, strict=True):
                if not has_result and not await self._places.is_replaced(item):
                    yield item

    async def _collected(self) -> AsyncIterator[list[Item]]:
        some: list[Item] = []
        async for item in self._ledger.items(self._batch.batch_id, states={ItemState.COLLECTED}):
            if item.result and item.carrying_id:
                some.append(item)
            if len(some) == LOOK_AT_ONCE:
                yield some
                some = []
        yield some

"""Continuing: an unfinished batch under the options of another run: what applies, what is refused, what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.run_spec import RunSpec
from runner.errors import ConfigError
from runner.events import Notice
from runner.formatting import counted
from runner.local.redrive import retry_refused
from runner.models import FILTERED_OUT, Item, ItemKind, ItemState, batch_of_packs
from runner.stages.transitions import ItemOvertaken, Transitions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.ledger.protocol import ItemStore, Ledger
    from runner.models import Batch
    from runner.protocols import Source
    from runner.stages.context import RunContext
    from runner.stop import StopSignal

_S = ItemState
_CHUNK = 500


def refuse_changes(batch: Batch, spec: RunSpec, *, out: str, by_state: Mapping[ItemState, int]) -> None:
    """Raise ConfigError if a run asks for something that an unfinished batch cannot take over."""
    earlier = RunSpec.from_json(batch.config)
    unfinished = f"batch {batch.batch_id} of this source is unfinished"
    finish = f"finish it first with `bulkhead resume {batch.batch_id}`"
    if out != batch.out:
        raise ConfigError(
            f"{unfinished} and its results are in {batch.out}, so --out {out} cannot apply",
            hint=f"remove --out to continue that batch, or {finish}",
        )
    if spec.source.order_by != earlier.source.order_by:
        raise ConfigError(
            f"{unfinished} and takes its files by {earlier.source.order_by}, so --order-by {spec.source.order_by}"
            " cannot apply",
            hint=f"use --order-by {earlier.source.order_by} to continue that batch, or {finish}",
        )
    if spec.again and not earlier.again and by_state.get(_S.SKIPPED):
        raise ConfigError(
            f"{unfinished} and has skipped unchanged files, so --again cannot apply",
            hint=f"remove --again to continue that batch, or {finish}",
        )


async def take_over(batch: Batch, spec: RunSpec, context: RunContext) -> None:
    """Continue the batch of another run with the filters and routes of this one, and say so. Raises LedgerError."""
    ledger, by_state = context.ledger, await context.ledger.counts(batch.batch_id)
    transitions = Transitions(ledger, clock=context.clock, emit=context.emit, by_state=by_state)
    if spec.retry_failed:
        await retry_refused(ledger, batch.batch_id, transitions=transitions)
    in_packs = await _unsent_in_packs(batch.batch_id, ledger) if by_state.get(_S.PACKED) else 0
    context.emit(_continuing_notice(batch, transitions.by_state, in_packs=in_packs))
    selection = Selection(batch.batch_id, ledger=ledger, source=context.source, transitions=transitions)
    if not await selection.apply(context.stop):
        return
    if selection.left_out:
        context.emit(left_out_notice(selection.left_out))
    await ledger.update_batch(batch.batch_id, config=spec.to_json())


async def _unsent_in_packs(batch_id: str, ledger: Ledger) -> int:
    """Return how many items of a batch are in packs for which no create is recorded."""
    packs = ledger.items(batch_of_packs(batch_id), states={_S.QUEUED, _S.CREATING})
    unsent = {pack.source async for pack in packs}
    return sum([item.pack in unsent async for item in ledger.items(batch_id, states={_S.PACKED})])


def _continuing_notice(batch: Batch, by_state: Mapping[ItemState, int], *, in_packs: int) -> Notice:
    """Return what a run says first if it continues a batch."""
    queued = counted(by_state.get(_S.QUEUED, 0) + in_packs, "item")
    packed = f", {in_packs:,} of them in packs" if in_packs else ""
    return Notice(
        code="continuing_batch",
        message=f"continuing batch {batch.batch_id} of {batch.started_at.astimezone():%H:%M}, {queued} queued{packed}",
    )


def left_out_notice(count: int) -> Notice:
    """Return what a run says about items that its filters leave out."""
    what = f"{counted(count, 'item')} of it {'is' if count == 1 else 'are'} left out"
    return Notice(
        code=FILTERED_OUT, message=f"{what} by the filters of this run; a later run takes what its filters take"
    )


class Selection:
    """Applies the filters of a run to the items of the batch that it continues: to those that were not created yet.

    Items in packs are left to `runner.local.packing`, which first learns whether a pack was sent.
    """

    def __init__(self, batch_id: str, *, ledger: ItemStore, source: Source, transitions: Transitions) -> None:
        self._batch_id = batch_id
        self._ledger = ledger
        self._source = source
        self._transitions = transitions
        self.left_out = 0
        """How many items the filters leave out that were to be sent before."""

    async def apply(self, stop: StopSignal) -> bool:
        """Skip what the filters leave out, and queue again what only earlier filters left out.

        Returns False if a stop came first. Raises LedgerError.
        """
        chunk: list[Item] = []
        async for item in self._ledger.items(self._batch_id, states={_S.QUEUED, _S.CREATING, _S.SKIPPED}):
            if not _is_open_to_filters(item):
                continue
            chunk.append(item)
            if len(chunk) == _CHUNK:
                await self._apply(chunk)
                chunk = []
            if stop.requested:
                return False
        await self._apply(chunk)
        return True

    async def _apply(self, items: list[Item]) -> None:
        taken = await self._source.selection([item.source for item in items])
        for item in items:
            takes = taken.get(item.source)
            try:
                if takes is False and item.state is not _S.SKIPPED:
                    await self.leave_out(item)
                elif takes is True and item.state is _S.SKIPPED:
                    await self._transitions.advance(
                        item,
                        _S.QUEUED,
                        reason="the filters take it",
                        error_code=None,
                        error_message=None,
                        finished_at=None,
                    )
            except ItemOvertaken:
                continue

    async def left_out_of(self, items: Sequence[Item]) -> set[str]:
        """Return the sources of those items that the filters leave out."""
        taken = await self._source.selection([item.source for item in items])
        return {source for source, takes in taken.items() if not takes}

    async def leave_out(self, item: Item) -> None:
        """Skip an item that was not created yet. Raises ItemOvertaken."""
        if item.state is _S.CREATING:
            item = await self._transitions.advance(item, _S.QUEUED, reason="the answer to its create was not recorded")
        await self._transitions.advance(
            item,
            _S.SKIPPED,
            reason=FILTERED_OUT,
            error_code=FILTERED_OUT,
            error_message="the filters of the run that continued the batch leave it out; a later run takes it",
        )
        self.left_out += 1


def _is_open_to_filters(item: Item) -> bool:
    if item.state is _S.SKIPPED:
        return item.error_code == FILTERED_OUT
    return item.state is _S.QUEUED or item.kind is ItemKind.FILE

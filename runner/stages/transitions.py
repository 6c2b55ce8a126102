"""Transitions: the only way an item changes state: first in the ledger, then in counts, log, and events."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack, cast

from runner.errors import StaleItem
from runner.events import MOVED_BY_ANOTHER, ItemMoved
from runner.models import FAILED_BEFORE, TERMINAL_STATES, ItemKind, ItemState
from runner.row_counts import NO_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.events import EventHook
    from runner.ledger.protocol import ItemStore, Move, PackLedger
    from runner.models import HistoryEntry, Item, ItemChanges
    from runner.protocols import Clock

logger = logging.getLogger(__name__)


class ItemOvertaken(StaleItem):
    """Another process moved the item first; `current` is the item as it is now."""

    def __init__(self, message: str, *, current: Item) -> None:
        super().__init__(message)
        self.current = current


class Transitions:
    """Moves items of one batch and counts them: `by_state` as they are now, `ended` those that ended in this run.

    `ended` lacks those that failed before: their failures were counted when they were sent. `rows` are the rows of the
    results that were saved in this run.
    """

    def __init__(self, ledger: ItemStore, *, clock: Clock, emit: EventHook, by_state: Mapping[ItemState, int]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._emit = emit
        self.by_state: Counter[ItemState] = Counter(by_state)
        self.ended: Counter[ItemState] = Counter()
        self.rows = NO_ROWS

    async def advance(
        self, item: Item, state: ItemState, *, reason: str, share_tag: bool = False, **changes: Unpack[ItemChanges]
    ) -> Item:
        """Move the item as `ItemStore.advance` does, count it, and emit ItemMoved.

        Raises ItemOvertaken where another process moved the item first, and otherwise as `ItemStore.advance`.
        """
        if state in TERMINAL_STATES and "finished_at" not in changes:
            changes["finished_at"] = self._clock.now()
        try:
            moved = await self._ledger.advance(item, state, reason=reason, share_tag=share_tag, **changes)
        except StaleItem as error:
            current = await self._ledger.item(item.batch_id, item.source)
            if current is None:
                raise
            self.observe_remote(item, current)
            raise ItemOvertaken(str(error), current=current) from error
        if moved.state != item.state:
            self._note(item, moved, reason)
        return moved

    async def advance_all(self, moves: Sequence[Move], *, add: Sequence[Item] = ()) -> list[Item]:
        """Move items together as `PackLedger.advance_all` does; count those that are no packs, and emit ItemMoved.

        Raises StaleItem if another process moved one of them first, and otherwise as `PackLedger.advance_all`.
        """
        now = self._clock.now()
        ended = [
            replace(move, changes={**move.changes, "finished_at": now}) if move.state in TERMINAL_STATES else move
            for move in moves
        ]
        moved = await cast("PackLedger", self._ledger).advance_all(ended, add=add)
        for move, item in zip(moves, moved, strict=True):
            if item.state is not move.item.state:
                self._note(move.item, item, move.reason)
        return moved

    async def history(self, item: Item) -> list[HistoryEntry]:
        """Return the item's history, oldest entry first."""
        return await self._ledger.history(item.batch_id, item.source)

    def observe_remote(self, known: Item, current: Item) -> None:
        """Count and report the transition of an item that another process made."""
        if current.state != known.state:
            self._note(known, current, MOVED_BY_ANOTHER)

    def foreign_changes(self, counts: Mapping[ItemState, int]) -> dict[ItemState, int]:
        """Return by how much the ledger's counts differ from `by_state` because others have moved items."""
        differences = {state: counts.get(state, 0) - self.by_state[state] for state in ItemState}
        return {state: difference for state, difference in differences.items() if difference}

    async def recount(self, batch_id: str) -> None:
        """Read the counts from the ledger, which has the transitions of all processes."""
        self.by_state = Counter(await self._ledger.counts(batch_id))

    def added(self, items: Mapping[ItemState, int]) -> None:
        """Count items that have joined the batch."""
        self.by_state.update(items)

    def _note(self, item: Item, moved: Item, reason: str) -> None:
        """Count and report a move; a pack is no item of the batch, so only its members are counted."""
        if moved.kind is ItemKind.PACK:
            logger.info("pack moved", extra={"pack": item.source, "from": item.state, "to": moved.state})
            return
        self.by_state[item.state] -= 1
        self.by_state[moved.state] += 1
        is_end = moved.state in TERMINAL_STATES or moved.state is ItemState.NEEDS_REVIEW
        if is_end and moved.error_code != FAILED_BEFORE:
            self.ended[moved.state] += 1
            self.rows += moved.row_totals
        logger.info(
            "item moved",
            extra={"item": item.source, "from": item.state, "to": moved.state, "import_id": moved.import_id},
        )
        self._emit(
            ItemMoved(
                source=item.source,
                old=item.state,
                new=moved.state,
                reason=reason,
                import_id=moved.carrying_id,
                error_code=moved.error_code,
                error_message=moved.error_message,
                review_url=moved.review_url,
                attempts=moved.attempts,
                row_count=moved.row_count,
                rows_in=moved.rows_in,
                rows_left_out=moved.rows_left_out,
            )
        )

"""Moves: the one way an item changes state during a run: ledger first, then counts, log and listeners."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from runner.events import ItemMoved
from runner.models import TERMINAL_STATES, ItemState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.events import EventHook
    from runner.ledger import Ledger
    from runner.models import Item
    from runner.ports import Clock

logger = logging.getLogger(__name__)


class Moves:
    """Moves items of one batch and keeps count: `by_state` as of now, `ended` those that ended in this run."""

    def __init__(self, ledger: Ledger, *, clock: Clock, emit: EventHook, by_state: Mapping[ItemState, int]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._emit = emit
        self.by_state: Counter[ItemState] = Counter(by_state)
        self.ended: Counter[ItemState] = Counter()

    async def advance(
        self, item: Item, state: ItemState, *, reason: str, share_tag: bool = False, **changes: Any
    ) -> Item:
        """Move the item as `Ledger.advance` does, and tell."""
        if state in TERMINAL_STATES:
            changes.setdefault("finished_at", self._clock.now())
        moved = await self._ledger.advance(item, state, reason=reason, share_tag=share_tag, **changes)
        if moved.state != item.state:
            self._note(item, moved, reason)
        return moved

    def added(self, items: Mapping[ItemState, int]) -> None:
        """Count items that have joined the batch."""
        self.by_state.update(items)

    def _note(self, item: Item, moved: Item, reason: str) -> None:
        self.by_state[item.state] -= 1
        self.by_state[moved.state] += 1
        if moved.state in TERMINAL_STATES or moved.state is ItemState.NEEDS_REVIEW:
            self.ended[moved.state] += 1
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
                import_id=moved.import_id,
                error_code=moved.error_code,
                error_message=moved.error_message,
                review_url=moved.review_url,
                attempts=moved.attempts,
            )
        )

"""A ledger whose pages lag like an index of DynamoDB: they lack recent changes, but show no false ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from runner.ledger import rules
from runner.ledger.memory import MemoryLedger
from runner.models import Item, ItemChanges, ItemState


class LaggingLedger(MemoryLedger):
    """`lag_s()` returns the seconds until a page shows a write; the writes of one item appear in order."""

    def __init__(self, *, lag_s: Callable[[], float], **options: Any) -> None:
        super().__init__(**options)
        self._lag_s = lag_s
        self._writes: dict[tuple[str, str], list[tuple[float, Item]]] = {}

    def truth(self) -> MemoryLedger:
        """Return the same ledger without the lag, for the oracles."""
        view = MemoryLedger.__new__(MemoryLedger)
        view.__dict__ = self.__dict__
        return view

    async def add(self, items: Sequence[Item]) -> int:
        known = {item.source: await self.item(item.batch_id, item.source) for item in items}
        added = await super().add(items)
        for item in items:
            if known[item.source] is None:
                self._wrote(rules.as_stored(item))
        return added

    async def advance(self, item: Item, state: ItemState, *, reason: str, **changes: Unpack[ItemChanges]) -> Item:
        moved = await super().advance(item, state, reason=reason, **changes)
        self._wrote(moved)
        return moved

    async def page(self, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int) -> list[Item]:
        known = await self.look_up(batch_id, [item.source for item in self._shown(batch_id) if item.state is state])
        shown = [item for item in known.values() if item.state is state]
        first = (after[0], rules.source_key(after[1])) if after else None
        return [item for item in sorted(shown, key=_place) if first is None or _place(item) > first][:limit]

    def _wrote(self, item: Item) -> None:
        writes = self._writes.setdefault((item.batch_id, item.source), [])
        shown_at = asyncio.get_running_loop().time() + self._lag_s()
        writes.append((max(shown_at, writes[-1][0] if writes else 0.0), item))

    def _shown(self, batch_id: str) -> list[Item]:
        """Return each item of the batch as the index shows it, without those that it doesn't show yet."""
        now = asyncio.get_running_loop().time()
        shown = (
            [item for at, item in writes if at <= now] for key, writes in self._writes.items() if key[0] == batch_id
        )
        return [versions[-1] for versions in shown if versions]


def _place(item: Item) -> tuple[int, bytes]:
    return item.rank, rules.source_key(item.source)

"""Settling: a run's queue of JSON items whose create got no response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runner.errors import AuthRefused, ListUnusable, Stopped, StorageFull, TransientError
from runner.events import Notice
from runner.formatting import counted
from runner.stages.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.events import EventHook
    from runner.models import Item
    from runner.stages.lost_creates import LostCreates
    from runner.stages.submit import HeldSchemas
    from runner.stop import StopSignal

_LIST_AGAIN_S = 30.0


class LostCreateQueue:
    """Settles items together that are waiting at the same time, and holds their schemas until then.

    `on_settled` is awaited with each item as it is then, or as it was if a stop came first; `on_released` is called
    once the schemas are no longer held; `on_fatal` gets an error that concerns the whole batch. If the lists of the
    vendor are unusable for `stuck_after_s` seconds, the items become `uncertain`.
    """

    def __init__(
        self,
        lost_creates: LostCreates,
        held_schemas: HeldSchemas,
        *,
        stop: StopSignal,
        emit: EventHook,
        quiet_period_s: float,
        stuck_after_s: float,
        on_settled: Callable[[Item], Awaitable[None]],
        on_released: Callable[[], None],
        on_fatal: Callable[[AuthRefused | StorageFull], None],
    ) -> None:
        self._lost_creates = lost_creates
        self._held_schemas = held_schemas
        self._stop = stop
        self._emit = emit
        self._quiet_period_s = quiet_period_s
        self._stuck_after_s = stuck_after_s
        self._on_settled = on_settled
        self._on_released = on_released
        self._on_fatal = on_fatal
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    def add(self, item: Item) -> None:
        """Add an item in state `creating`, and hold its schema."""
        self._held_schemas.outcome_unknown.add(item.schema_id)
        self._items.put_nowait(item)

    async def run(self) -> None:
        """Settle items until it is canceled. Raises LedgerError."""
        while True:
            items = [await self._items.get()]
            while not self._items.empty():
                items.append(self._items.get_nowait())
            self._notice(
                "create_in_doubt",
                f"the answer to {counted(len(items), 'JSON create')} was lost; the run lists imports after a quiet"
                f" period of {self._quiet_period_s:.0f} s to find out whether they exist",
            )
            await self._settle(items)

    async def _settle(self, items: list[Item]) -> None:
        settled = items
        patience = Patience(self._stuck_after_s)
        while not self._stop.requested:
            try:
                settled = await self._settled(items, patience)
            except (AuthRefused, StorageFull) as error:
                self._on_fatal(error)
                continue
            except Stopped:
                break
            except TransientError as error:
                self._notice("vendor_unreachable", f"cannot list imports yet: {error}")
                await self._stop.sleep(_LIST_AGAIN_S)
                continue
            if not self._stop.requested:
                self._held_schemas.outcome_unknown -= {item.schema_id for item in items}
                self._on_released()
            break
        for item in settled:
            await self._on_settled(item)

    async def _settled(self, items: list[Item], patience: Patience) -> list[Item]:
        """Settle the items, or give them up once lists have been unusable for too long. Raises as `settle` does."""
        try:
            return await self._lost_creates.settle(items)
        except ListUnusable:
            if patience.pause_s("lists") is not None:
                raise
            return [await self._lost_creates.give_up(item) for item in items]

    def _notice(self, code: str, message: str) -> None:
        self._emit(Notice(code=code, message=message))

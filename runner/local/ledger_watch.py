"""LedgerWatcher: tracks a batch by its ledger, where webhooks move items, and lists imports that they missed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runner.errors import StorageFull, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from runner.ledger.protocol import ItemStore
    from runner.models import ItemState
    from runner.stages.track import Tracker
    from runner.stages.transitions import Transitions

logger = logging.getLogger(__name__)

FIRST_READ_S = 5.0


class LedgerWatcher:
    """Reads the ledger every 5 s, or every 30 s while nothing changes, and lists imports every `safety_list_s` seconds.

    Whether webhooks work shows in the ledger. If no other process has moved an item since the last list, and that list
    found an item to move, the vendor is listed after each read, until another process moves an item. `trusting`:
    whether the watcher relies on webhooks at first.
    """

    def __init__(
        self,
        *,
        tracker: Tracker,
        ledger: ItemStore,
        transitions: Transitions,
        batch_id: str,
        safety_list_s: float,
        trusting: bool,
    ) -> None:
        self._tracker = tracker
        self._ledger = ledger
        self._transitions = transitions
        self._batch_id = batch_id
        self._safety_list_s = safety_list_s
        self._trusting = trusting
        self._others_moved = False
        self._listed_at = 0.0
        self._foreign_changes: Mapping[ItemState, int] = {}

    async def run(self) -> NoReturn:
        """Watch until canceled. Raises AuthRefused, StorageFull, and LedgerError."""
        self._listed_at = self._now()
        while True:
            await self._tracker.pause(FIRST_READ_S)
            try:
                await self._read()
            except StorageFull:
                raise
            except TransientError as error:
                logger.warning("ledger could not be read; it will be retried", extra={"error": type(error).__name__})
            if self._others_moved:
                self._trusting = True
            if not self._trusting or self._now() - self._listed_at >= self._safety_list_s:
                await self._list()

    async def _read(self) -> None:
        """Read the open items, if the ledger's counts show that another process moved any since the last read."""
        counts = await self._ledger.counts(self._batch_id)
        if self._transitions.foreign_changes(counts) == self._foreign_changes:
            return
        found = await self._tracker.read(self._ledger)
        self._others_moved = self._others_moved or found.others_moved > 0
        self._foreign_changes = self._transitions.foreign_changes(counts)

    async def _list(self) -> None:
        found = await self._tracker.list_or_retry()
        self._listed_at = self._now()
        if self._others_moved or found.others_moved:
            self._trusting = True
        elif found.moved:
            self._trusting = False
        self._others_moved = False

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

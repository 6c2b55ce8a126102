"""CallCounts: writes to the ledger what a run has called, and up to when it knows the vendor's imports."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runner.errors import LedgerUnavailable, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.dromo.clock import VendorTime
    from runner.ledger.protocol import Ledger

logger = logging.getLogger(__name__)

_FLUSH_EVERY_S = 10.0


class CallCounts:
    """Adds the growth of `counted()` to a batch's counters."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        batch_id: str,
        endpoint: str,
        vendor_time: VendorTime,
        counted: Callable[[], Mapping[str, int]],
    ) -> None:
        self._ledger = ledger
        self._batch_id = batch_id
        self._endpoint = endpoint
        self._vendor_time = vendor_time
        self._counted = counted
        self._flushed: Mapping[str, int] = {}
        self._is_reconciled = False

    def mark_reconciled(self) -> None:
        """Record with each flush that the ledger knows the vendor's imports up to now."""
        self._is_reconciled = True

    async def flush(self) -> None:
        """Write the growth since the last flush. Raises StorageFull, LedgerUnavailable."""
        if self._is_reconciled:
            await self._ledger.set_reconciled(self._endpoint, self._vendor_time.now())
        now = self._counted()
        new = {name: count - self._flushed.get(name, 0) for name, count in now.items()}
        if any(new.values()):
            await self._ledger.count_up(self._batch_id, **new)
            self._flushed = now

    async def flush_often(self, on_trouble: Callable[[StorageFull | LedgerUnavailable], None]) -> None:
        """Flush every ten seconds until canceled."""
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            try:
                await self.flush()
            except (StorageFull, LedgerUnavailable) as error:
                on_trouble(error)

    async def flush_last(self) -> None:
        """Flush; if the ledger cannot write them, the last counts are lost, and the run still ends gracefully."""
        try:
            await self.flush()
        except (StorageFull, LedgerUnavailable):
            logger.warning("the last counts could not be written")

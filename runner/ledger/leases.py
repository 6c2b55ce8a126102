"""Leases: who works on an item or a batch, and until when. They avoid double work; correctness does not need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

WHOLE_BATCH = ""
"""The `source` of the lease of a whole batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease that has not ended: who holds it, and for how many more seconds."""

    holder: str
    left_s: float


class Leases(Protocol):
    """Leases of items, and of batches under `WHOLE_BATCH`. Every method may raise LedgerUnavailable."""

    async def take(self, batch_id: str, source: str, *, holder: str, for_s: float) -> float | None:
        """Take or renew the lease for `for_s` seconds; None if the holder has it now.

        Otherwise returns for how many more seconds another holder has it.
        """
        ...

    async def release(self, batch_id: str, source: str, *, holder: str) -> None:
        """Give up the lease, if the holder still has it."""
        ...

    async def seen(self, batch_id: str, source: str) -> Lease | None:
        """Return the current lease, or None."""
        ...


class MemoryLeases:
    """Leases within one process."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._taken: dict[tuple[str, str], tuple[str, datetime]] = {}

    async def take(self, batch_id: str, source: str, *, holder: str, for_s: float) -> float | None:
        other = await self.seen(batch_id, source)
        if other is not None and other.holder != holder:
            return other.left_s
        self._taken[batch_id, source] = (holder, self._now() + timedelta(seconds=for_s))
        return None

    async def release(self, batch_id: str, source: str, *, holder: str) -> None:
        if self._taken.get((batch_id, source), ("",))[0] == holder:
            del self._taken[batch_id, source]

    async def seen(self, batch_id: str, source: str) -> Lease | None:
        holder, until = self._taken.get((batch_id, source), ("", self._now()))
        left_s = (until - self._now()).total_seconds()
        return Lease(holder=holder, left_s=left_s) if left_s > 0 else None

"""Leases: who works on an item, or drives a batch, until when; they spare double work, and nothing depends on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

WHOLE_BATCH = ""
"""The source under which a batch as a whole is leased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease that has not ended: who holds it, and for how many seconds more."""

    holder: str
    left_s: float


class Leases(Protocol):
    """Leases of items, and of batches under `WHOLE_BATCH`. May raise LedgerUnavailable."""

    async def take(self, batch_id: str, source: str, *, holder: str, for_s: float) -> float | None:
        """Take the lease, or take it anew, for that long; None where it is the holder's now.

        Else returns how many seconds the lease of another holder still lasts.
        """
        ...

    async def release(self, batch_id: str, source: str, *, holder: str) -> None:
        """Give the lease up, if it still is the holder's."""
        ...

    async def seen(self, batch_id: str, source: str) -> Lease | None:
        """Return the lease that somebody holds now."""
        ...


class MemoryLeases:
    """Leases of one process."""

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

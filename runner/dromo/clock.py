"""VendorTime: what the vendor's clock shows, whatever this machine's own is set to, or is set to meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from runner.protocols import Clock

LONGEST_ROUND_TRIP_S = 10.0
"""An answer that took longer, as in a process that was frozen meanwhile, does not tell what time it is now."""


class VendorTime:
    """The time of the vendor's last answer, carried on by a clock that never steps; until there is one, our own.

    An answer's time is in whole seconds and may be as old as its round trip: `now()` is behind the vendor's clock by
    that much, never ahead of it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor: tuple[datetime, float] | None = None

    def ticks(self) -> float:
        return self._clock.ticks()

    def answered(self, server_time: datetime, *, asked_at: float) -> None:
        """Take note of the time that an answer bears, as soon as it is there; `asked_at` are the ticks before."""
        ticks = self.ticks()
        if ticks - asked_at <= LONGEST_ROUND_TRIP_S:
            self._anchor = (server_time, ticks)

    def now(self) -> datetime:
        return self.at(self.ticks())

    def at(self, ticks: float) -> datetime:
        """Return what the vendor's clock showed, or will show, at an instant of `ticks()`."""
        if self._anchor is None:
            self._anchor = (self._clock.now(), self.ticks())
        shown, then = self._anchor
        return shown + timedelta(seconds=ticks - then)

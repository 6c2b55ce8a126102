"""VendorTime: the vendor's clock, independent of this machine's own clock and of changes to it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from runner.protocols import Clock

LONGEST_ROUND_TRIP_S = 10.0
"""An answer that took longer, for example in a frozen process, does not tell the current time."""

CLOCKS_DIFFER_BY = timedelta(days=1)
"""How far a clock of ours that is wrong counts: with one of another year, nothing would ever be over."""


class VendorTime:
    """The time of the vendor's last answer,
    continued by a clock that never steps; until there is an answer, our own time.

    An answer's time is in whole seconds and may be as old as its round trip: `now()` is behind the vendor's clock by
    that much, never ahead of it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor: tuple[datetime, float] | None = None

    def ticks(self) -> float:
        return self._clock.ticks()

    def answered(self, server_time: datetime, *, asked_at: float) -> None:
        """Update the time from a new answer; `asked_at` is `ticks()` before the request."""
        ticks = self.ticks()
        if ticks - asked_at <= LONGEST_ROUND_TRIP_S:
            self._anchor = (server_time, ticks)

    def now(self) -> datetime:
        return self.at(self.ticks())

    def earliest_now(self) -> datetime:
        """Return the earliest time that it may be: one of the vendor's clock and ours may be wrong, ours by a day."""
        vendors = self.now()
        return max(min(vendors, self._clock.now()), vendors - CLOCKS_DIFFER_BY)

    def at(self, ticks: float) -> datetime:
        """Return what the vendor's clock showed, or will show, at an instant of `ticks()`."""
        if self._anchor is None:
            self._anchor = (self._clock.now(), self.ticks())
        shown, then = self._anchor
        return shown + timedelta(seconds=ticks - then)

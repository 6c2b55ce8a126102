"""SharedTime: the wall clock that all users of a table agree on, whatever their own clocks show."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from runner.clock import http_date, system_now, system_ticks
from runner.errors import LedgerError

TOLERABLE_SKEW_S = 30.0
"""A clock that differs by more is wrong, and so would be signatures and displayed times."""

_DATE_GRAIN_S = 1.0
_DRIFT = 1e-4
"""How fast an uncorrected clock drifts, in seconds per second."""


class SharedTime:
    """Seconds since 1970 UTC on the store's clock, derived from the `Date` of its responses and a monotonic clock.

    Each response bounds the difference between the two clocks, and the bounds narrow to less than a second. Before the
    first response, the machine's own wall clock counts.
    """

    def __init__(self, *, now: Callable[[], datetime] = system_now, ticks: Callable[[], float] = system_ticks) -> None:
        self._now = now
        self._ticks = ticks
        self._lower: float | None = None
        self._upper = 0.0
        self._updated_at = 0.0

    def ticks(self) -> float:
        """Return the machine's seconds since boot, for `answered`."""
        return self._ticks()

    def answered(self, date: str | None, *, asked_at: float) -> None:
        """Update the time from the `Date` of a new response; `asked_at` is `ticks()` before the request."""
        instant = http_date(date)
        if instant is None:
            return
        shown = instant.timestamp()
        ticks = self._ticks()
        lower, upper = shown - ticks, shown + _DATE_GRAIN_S - asked_at
        if self._lower is not None:
            drift = (ticks - self._updated_at) * _DRIFT
            both = max(lower, self._lower - drift), min(upper, self._upper + drift)
            if both[0] <= both[1]:
                lower, upper = both
        self._lower, self._upper, self._updated_at = lower, upper, ticks

    def now_s(self) -> float:
        """Return the shared time. Raises LedgerError if this machine's clock differs by more than TOLERABLE_SKEW_S."""
        own = self._now().timestamp()
        if self._lower is None:
            return own
        shared = self._ticks() + (self._lower + self._upper) / 2
        if abs(own - shared) > TOLERABLE_SKEW_S:
            raise LedgerError(
                f"this machine's clock is {abs(own - shared):.0f} s {'ahead of' if own > shared else 'behind'} that of "
                "the shared ledger",
                hint="set this machine's clock, for example with NTP",
            )
        return shared

"""SharedTime: the wall clock that all users of a table agree on, whatever their own clocks show."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from runner.clock import http_date, system_now, system_ticks
from runner.errors import LedgerError

TOLERABLE_SKEW_S = 30.0
"""A clock that differs by more is set wrong: signatures and displayed times would be wrong as well."""

_DATE_GRAIN_S = 1.0
_DRIFT = 1e-4
"""How far a clock without correction drifts, in seconds per second."""


class SharedTime:
    """Seconds since 1970 UTC on the store's clock, derived from the `Date` of its answers and a clock that never steps.

    Each answer bounds the difference between the two clocks, and the bounds narrow to less than a second. Before the
    first answer, the machine's own wall clock counts.
    """

    def __init__(self, *, now: Callable[[], datetime] = system_now, ticks: Callable[[], float] = system_ticks) -> None:
        self._now = now
        self._ticks = ticks
        self._least: float | None = None
        self._most = 0.0
        self._updated_at = 0.0

    def ticks(self) -> float:
        """Return the machine's seconds since boot, for `answered`."""
        return self._ticks()

    def answered(self, date: str | None, *, asked_at: float) -> None:
        """Update the time from the `Date` of a new answer; `asked_at` is `ticks()` before the request."""
        instant = http_date(date)
        if instant is None:
            return
        shown = instant.timestamp()
        ticks = self._ticks()
        least, most = shown - ticks, shown + _DATE_GRAIN_S - asked_at
        if self._least is not None:
            drift = (ticks - self._updated_at) * _DRIFT
            both = max(least, self._least - drift), min(most, self._most + drift)
            if both[0] <= both[1]:
                least, most = both
        self._least, self._most, self._updated_at = least, most, ticks

    def now_s(self) -> float:
        """Return the shared time. Raises LedgerError if this machine's clock differs by more than TOLERABLE_SKEW_S."""
        own = self._now().timestamp()
        if self._least is None:
            return own
        shared = self._ticks() + (self._least + self._most) / 2
        if abs(own - shared) > TOLERABLE_SKEW_S:
            raise LedgerError(
                f"this machine's clock is {abs(own - shared):.0f} s {'ahead of' if own > shared else 'behind'} that of "
                "the shared ledger",
                hint="set this machine's clock, for example with NTP",
            )
        return shared

"""SharedTime: the wall clock that all who share a table read alike, whatever their own clocks are set to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime

from runner.clock import system_now, system_ticks
from runner.errors import LedgerError

TOLERABLE_SKEW_S = 30.0
"""A clock that is further off is wrong, not late: signatures, and what people read, would be wrong as well."""

_DATE_GRAIN_S = 1.0
_DRIFT = 1e-4
"""How far a clock without correction runs away, in seconds a second."""


class SharedTime:
    """Seconds since 1970 UTC by the store's clock, learnt from the `Date` of its answers, carried on by a clock that
    never steps.

    Each answer bounds the difference between the two clocks, and the bounds narrow to less than a second; until there
    is an answer the machine's own wall clock is taken.
    """

    def __init__(self, *, now: Callable[[], datetime] = system_now, ticks: Callable[[], float] = system_ticks) -> None:
        self._now = now
        self._ticks = ticks
        self._least: float | None = None
        self._most = 0.0
        self._learnt_at = 0.0

    def ticks(self) -> float:
        """Return what the machine's clock since boot shows, for `answered`."""
        return self._ticks()

    def answered(self, date: str | None, *, asked_at: float) -> None:
        """Take note of an answer's `Date`, as soon as it is there; `asked_at` are the ticks before."""
        shown = _seconds(date)
        if shown is None:
            return
        ticks = self._ticks()
        least, most = shown - ticks, shown + _DATE_GRAIN_S - asked_at
        if self._least is not None:
            drift = (ticks - self._learnt_at) * _DRIFT
            both = max(least, self._least - drift), min(most, self._most + drift)
            if both[0] <= both[1]:
                least, most = both
        self._least, self._most, self._learnt_at = least, most, ticks

    def now_s(self) -> float:
        """Return the shared time. Raises LedgerError where this machine's clock is far from it."""
        own = self._now().timestamp()
        if self._least is None:
            return own
        shared = self._ticks() + (self._least + self._most) / 2
        if abs(own - shared) > TOLERABLE_SKEW_S:
            raise LedgerError(
                f"this machine's clock is {abs(own - shared):.0f} s {'ahead of' if own > shared else 'behind'} that of "
                "the shared ledger, and nothing can be timed by it",
                hint="set this machine's clock, by NTP for example",
            )
        return shared


def _seconds(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None

"""Time: the real clocks, which nothing else in the core reads, and the dates that HTTP answers carry."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

_DATE_LIMIT = 100


def system_now() -> datetime:
    return datetime.now(UTC)


def system_ticks() -> float:
    """Return seconds since boot, including sleep if the system counts it; all processes read the same."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class SystemClock:
    """The system's wall time, and the clock since boot that all processes of the machine share."""

    def now(self) -> datetime:
        return system_now()

    def ticks(self) -> float:
        return system_ticks()


class WallClock(SystemClock):
    """The wall clock alone, for a process that is frozen between two tasks: the clock since boot may stop then."""

    def ticks(self) -> float:
        return system_now().timestamp()


EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
LATEST = datetime(2999, 1, 1, tzinfo=UTC)
"""Instants that others tell are between these, so that a sum with any duration of ours is an instant too."""


def plausible(instant: datetime) -> datetime | None:
    """Return an aware instant in UTC, None if it is at the ends of time."""
    return instant.astimezone(UTC) if EARLIEST <= instant <= LATEST else None


@lru_cache(maxsize=16)
def http_date(value: str | None) -> datetime | None:
    """Return the instant of an HTTP date, such as a `Date` header; UTC if it names no zone, None if it is malformed."""
    try:
        instant = parsedate_to_datetime((value or "")[:_DATE_LIMIT])
    except (TypeError, ValueError, OverflowError, LookupError):
        return None
    return plausible(instant if instant.tzinfo else instant.replace(tzinfo=UTC))

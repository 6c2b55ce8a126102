"""The real clocks; nothing else in the core reads the time of day."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def system_now() -> datetime:
    return datetime.now(UTC)


def system_ticks() -> float:
    """Return seconds since boot, sleep included where the system counts it; the same for all processes."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class SystemClock:
    """Wall time of the system, and the clock since boot that all processes of the machine share."""

    def now(self) -> datetime:
        return system_now()

    def ticks(self) -> float:
        return system_ticks()


class WallClock(SystemClock):
    """The wall clock alone, for who is frozen between two pieces of work: the clock since boot may stand still then."""

    def ticks(self) -> float:
        return system_now().timestamp()

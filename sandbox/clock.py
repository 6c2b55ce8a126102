"""The sandbox's clock: real time, faster or shifted on demand."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

LATEST_AT = 32_500_000_000.0
MAX_SPEED = 1_000_000


@dataclass(frozen=True)
class Reading:
    """A clock that showed `at` when the real time was `since` (both epoch seconds) and runs at `speed`."""

    at: float
    since: float
    speed: float


class SandboxClock:
    """Epoch seconds that run `speed` times as fast as `wall` and may be advanced.

    Raises ValueError unless `speed` is positive.
    """

    def __init__(self, *, speed: float = 1.0, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._speed = checked_speed(speed)
        self._since = self._at = wall()

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def reading(self) -> Reading:
        return Reading(self._at, self._since, self._speed)

    def resume(self, kept: Reading) -> None:
        """Continue from a saved clock as if it had kept running; the speed stays this clock's own."""
        wall = self._wall()
        self._at, self._since = kept.at + max(0.0, wall - kept.since) * kept.speed, wall

    def now(self) -> float:
        return self._at + (self._wall() - self._since) * self._speed

    def set_speed(self, speed: float) -> None:
        """Raises ValueError unless `speed` is positive."""
        now, wall = self.now(), self._wall()
        self._speed = checked_speed(speed)
        self._at, self._since = now, wall

    def advance(self, seconds: float) -> None:
        """Raises ValueError for a negative number, or beyond the year 3000."""
        if math.isnan(seconds) or seconds < 0:
            raise ValueError("the clock only goes forward")
        if self.now() + seconds > LATEST_AT:
            raise ValueError("the clock ends with the year 3000")
        self._at += seconds

    def real_seconds_until(self, at: float) -> float:
        """Return the real time until `at`; 0 if it is past."""
        return max(0.0, (at - self.now()) / self._speed)


def checked_speed(speed: float) -> float:
    """Return the speed of a clock. Raises ValueError unless it is positive and at most MAX_SPEED."""
    if not 0 < speed <= MAX_SPEED:
        raise ValueError(f"the clock's speed must be positive and at most {MAX_SPEED}")
    return speed

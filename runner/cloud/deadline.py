"""Deadline: how long a function may work, and how long it may wait for anything."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from runner.stop import StopReason, StopSignal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.cloud.protocols import TimeLeft

RESERVE_S = 10.0
"""With less time left, a function starts nothing new."""

LAST_MOMENT_S = 4.0
"""With less time left, a function cancels its work; another function continues it."""


class Deadline(StopSignal):
    """A stop signal that requests a stop when a function's time is nearly over, or when a wait would be too long.

    `asked_s` is the longest wait that was refused, in seconds: retrying earlier would be refused again. `timed_out`
    tells whether `watched` cancelled work.
    """

    def __init__(self, time_left: TimeLeft, *, longest_wait_s: float, ending: StopSignal | None = None) -> None:
        """`ending` stops this work, too; a function has none."""
        super().__init__()
        self._time_left = time_left
        self._longest_wait_s = longest_wait_s
        self._ending = ending or StopSignal()
        self.asked_s = 0.0
        self.timed_out = False

    async def sleep(self, seconds: float) -> bool:
        """Sleep like `StopSignal.sleep`; if the wait is too long, request a stop instead and return True at once."""
        if seconds > min(self._longest_wait_s, self.left_s()):
            self.asked_s = max(self.asked_s, seconds)
            self.request(StopReason.OUT_OF_TIME, "the wait is longer than the function may run")
            return True
        return await super().sleep(seconds)

    def left_s(self) -> float:
        """Return the seconds in which work may still be started."""
        return max(0.0, self._time_left() - RESERVE_S)

    def lease_s(self) -> float:
        """Return how long a lease must last to outlive the function, even if the function is killed."""
        return self._time_left() + LAST_MOMENT_S

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Request a stop when the time is nearly over; cancel work that does not stop, and set `timed_out`."""
        loop = asyncio.get_running_loop()
        asking = loop.call_later(self.left_s(), self.request, StopReason.OUT_OF_TIME, "the function's time is over")
        try:
            with self._ending.passed_on(self):
                async with asyncio.timeout(max(0.0, self._time_left() - LAST_MOMENT_S)) as limit:
                    yield
        except TimeoutError:
            if not limit.expired():
                raise
            self.timed_out = True
        finally:
            asking.cancel()

"""Deadline: how long a function may go on, and how long it may wait for anything."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from runner.stop import StopReason, StopSignal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.cloud.protocols import TimeLeft

RESERVE_S = 10.0
"""With so little time left nothing new is begun."""

LAST_MOMENT_S = 4.0
"""With so little time left what is under way is let go of: another function goes on with it."""


class Deadline(StopSignal):
    """A stop signal that asks to stop when a function's time is nearly over, or when a wait is longer than it is worth.

    `asked_s` is the longest wait that was refused: to come back earlier is of no use.
    """

    def __init__(self, time_left: TimeLeft, *, longest_wait_s: float) -> None:
        super().__init__()
        self._deadline = time_left
        self._longest_wait_s = longest_wait_s
        self.asked_s = 0.0
        self.timed_out = False

    async def sleep(self, seconds: float) -> bool:
        """Sleep as `StopSignal.sleep`; a wait that is too long is not begun, but asks to stop."""
        if seconds > min(self._longest_wait_s, self.left_s()):
            self.asked_s = max(self.asked_s, seconds)
            self.request(StopReason.OUT_OF_TIME, "the wait is longer than the function's")
            return True
        return await super().sleep(seconds)

    def left_s(self) -> float:
        """Return the seconds in which something may still be begun."""
        return max(0.0, self._deadline() - RESERVE_S)

    def lease_s(self) -> float:
        """Return how long a lease must last that ends with the function, however that ends."""
        return self._deadline() + LAST_MOMENT_S

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask to stop when the time is nearly over; what goes on all the same is cut short, and that noted."""
        loop = asyncio.get_running_loop()
        asking = loop.call_later(self.left_s(), self.request, StopReason.OUT_OF_TIME, "the function's time is over")
        try:
            async with asyncio.timeout(max(0.0, self._deadline() - LAST_MOMENT_S)) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            self.timed_out = True
        finally:
            asking.cancel()

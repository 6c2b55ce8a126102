"""Signals: the first one drains a run, the second one stops it immediately. The batch can be resumed after either.

A run that is told by SIGTERM or SIGHUP to end within some seconds is stopped by the clock instead of a second signal.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from runner.stop import StopReason

REASONS = {
    signal.SIGINT: StopReason.INTERRUPTED,
    signal.SIGTERM: StopReason.TERMINATED,
    signal.SIGHUP: StopReason.TERMINATED,
}

DRAINING = "stopping: finishing what is in progress; press Ctrl-C again to stop now"
STOPPING_NOW = "stopping now; the ledger is safe"


class Stoppable(Protocol):
    """What a signal stops: the first call drains, the second one stops it immediately."""

    def stop(self, reason: StopReason) -> None: ...


class Interruption:
    """Passes on the first two signals, and ignores the rest.

    If the first one is not from a keyboard, its work may take `within_s` seconds, any time if that is 0.
    """

    def __init__(self, target: Stoppable, tell: Callable[[str], None], *, within_s: float = 0.0) -> None:
        self._target = target
        self._tell = tell
        self._within_s = within_s
        self._received = 0
        self._last_call: asyncio.TimerHandle | None = None

    def receive(self, number: signal.Signals) -> None:
        self._received += 1
        if self._received > 2:
            return
        self._tell(DRAINING if self._received == 1 else STOPPING_NOW)
        self._target.stop(REASONS[number])
        if self._received == 1 and self._within_s and number is not signal.SIGINT:
            self._last_call = asyncio.get_running_loop().call_later(self._within_s, self.receive, number)

    def end(self) -> None:
        """Stop nothing any more."""
        if self._last_call is not None:
            self._last_call.cancel()


@contextmanager
def interrupting(target: Stoppable, *, tell: Callable[[str], None], within_s: float = 0.0) -> Iterator[None]:
    """Send SIGINT, SIGTERM, and SIGHUP to `target.stop` while the block runs in the current event loop."""
    interruption = Interruption(target, tell, within_s=within_s)
    with on_signals(interruption.receive):
        try:
            yield
        finally:
            interruption.end()


@contextmanager
def on_signals(receive: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call `receive` with each signal of REASONS that arrives while the block runs in the current event loop."""
    loop = asyncio.get_running_loop()
    for number in REASONS:
        loop.add_signal_handler(number, receive, number)
    try:
        yield
    finally:
        for number in REASONS:
            loop.remove_signal_handler(number)

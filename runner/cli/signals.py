"""Signals: the first one drains a run, the second one stops it immediately. The batch can be resumed after either."""

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
    """Passes on the first two signals, and ignores the rest."""

    def __init__(self, target: Stoppable, tell: Callable[[str], None]) -> None:
        self._target = target
        self._tell = tell
        self._received = 0

    def receive(self, number: signal.Signals) -> None:
        self._received += 1
        if self._received > 2:
            return
        self._tell(DRAINING if self._received == 1 else STOPPING_NOW)
        self._target.stop(REASONS[number])


@contextmanager
def interrupting(target: Stoppable, *, tell: Callable[[str], None]) -> Iterator[None]:
    """Send SIGINT, SIGTERM, and SIGHUP to `target.stop` while the block runs in the current event loop."""
    with on_signals(Interruption(target, tell).receive):
        yield


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

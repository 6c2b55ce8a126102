"""An event loop whose time is virtual: it jumps to the next timer, and runs what is ready in an order from a seed."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

MOST_TURNS = 50_000
"""Any program that makes progress needs fewer turns of the loop at one instant."""

TURN_S = 1e-6
"""The duration of a turn: if time stood still, code that waits out its own rounding error would wait forever."""

_T = TypeVar("_T")


class Deadlock(RuntimeError):
    """Nothing is ready, nothing is scheduled, and the program has not ended."""


class DeadlineExceeded(RuntimeError):
    """The program was still running at the virtual deadline."""


class BusyLoop(RuntimeError):
    """The program keeps running, and no time passes."""


class ThreadUsed(RuntimeError):
    """Something requested a thread, whose timing would not be reproducible."""


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: when a real loop would sleep, the virtual time jumps."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing is ready and nothing is scheduled")
        if timeout > 0:
            self.loop.jump_to_next_timer()
        self.loop.take_turn()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at `start`, jumps to the next timer, and advances by a microsecond per turn.

    With a `seed`, callbacks that are ready together are shuffled. `deadline` is an instant of `time()`. Sockets,
    signals, and threads are not available.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, *, seed: int | None = None, start: float = 0.0, deadline: float = float("inf")) -> None:
        self._virtual_now = start
        self._turns = 0
        self._order = None if seed is None else random.Random(seed)
        self.deadline = deadline
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual_now

    def freeze(self, seconds: float) -> None:
        """Let time pass while nothing runs, as for a process that is stopped."""
        self._virtual_now += seconds

    def jump_to_next_timer(self) -> None:
        self._virtual_now = max(self._virtual_now, self._scheduled[0].when())
        self._turns = 0
        if self._virtual_now > self.deadline:
            raise DeadlineExceeded(f"still running at {self.deadline:.0f} s of virtual time")

    def take_turn(self) -> None:
        """Order the callbacks that are ready. Raises BusyLoop."""
        self._turns += 1
        self._virtual_now += TURN_S
        if self._turns > MOST_TURNS:
            raise BusyLoop(f"{MOST_TURNS} turns at {self._virtual_now:.3f} s of virtual time")
        if self._order is not None and len(self._ready) > 1:
            handles = list(self._ready)
            self._order.shuffle(handles)
            self._ready.clear()
            self._ready.extend(handles)

    def run_in_executor(self, *_args: Any, **_options: Any) -> NoReturn:  # type: ignore[override]
        raise ThreadUsed("a thread was asked for")

    def end(self) -> None:
        """Cancel the remaining tasks without letting time pass, then close. Raises RuntimeError if tasks don't end."""
        self.deadline = float("inf")
        self._turns = 0
        for _ in range(100):
            left = asyncio.all_tasks(self)
            if not left:
                break
            for task in left:
                task.cancel()
            self.call_soon(self.stop)
            self.run_forever()
        else:
            raise RuntimeError(f"{len(left)} tasks do not end when cancelled")
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    def _write_to_self(self) -> None:
        """Do nothing: no thread ever wakes this loop."""


def run_virtually(
    program: Coroutine[Any, Any, _T], *, seed: int | None = None, start: float = 0.0, deadline: float = float("inf")
) -> _T:
    """Run a program to its end in virtual time.

    Raises Deadlock, BusyLoop, DeadlineExceeded and what the program raises.
    """
    loop = VirtualLoop(seed=seed, start=start, deadline=deadline)
    try:
        return loop.run_until_complete(program)
    finally:
        loop.end()

"""Stopping is an event, not a cancellation: the reason for it, and sleeps that end when it is requested."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

T = TypeVar("T")


class StopReason(StrEnum):
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    OUT_OF_TIME = "out_of_time"
    TOO_MANY_FAILURES = "too_many_failures"
    TOO_MANY_ROWS_LOST = "too_many_rows_lost"
    AUTH_REFUSED = "auth_refused"
    TROUBLE = "trouble"
    VENDOR_UNREACHABLE = "vendor_unreachable"
    LEDGER_REPLACED = "ledger_replaced"
    FOREIGN_IMPORTS = "foreign_imports"


class StopSignal:
    """The first request decides the reason; later ones change nothing."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._others: list[StopSignal] = []
        self.reason: StopReason | None = None
        self.detail = ""
        self.hint: str | None = None

    def request(self, reason: StopReason, detail: str = "", *, hint: str | None = None) -> None:
        if self.reason is None:
            self.reason, self.detail, self.hint = reason, detail, hint
        self._event.set()
        for other in self._others:
            other.request(reason, detail, hint=hint)

    @contextmanager
    def passed_on(self, other: StopSignal) -> Iterator[None]:
        """Request a stop of the other, too, if one is requested here before the block ends."""
        self._others.append(other)
        if self.reason is not None:
            other.request(self.reason, self.detail, hint=self.hint)
        try:
            yield
        finally:
            self._others.remove(other)

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def unless_requested(self, work: Callable[[], Coroutine[None, None, T]]) -> T | None:
        """Do the work until a stop is requested; return None if it has no result by then. Raises what it raises."""
        if self.requested:
            return None
        working, stopping = asyncio.ensure_future(work()), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            working.cancel()
        return None if working.cancelled() or not working.done() else working.result()

    async def sleep(self, seconds: float) -> bool:
        """Sleep for at most `seconds`, or until a stop is requested; returns whether one was."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass
        return self.requested


async def limited(work: Coroutine[None, None, None], *stops: StopSignal, longest_s: float) -> bool:
    """Do the work for at most `longest_s`, or until one of the stops is requested; return whether the time was up.

    Raises what the work raises.
    """
    working = asyncio.ensure_future(work)
    stopping = [asyncio.ensure_future(stop.wait()) for stop in stops]
    try:
        done, _ = await asyncio.wait({working, *stopping}, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, *stopping):
            task.cancel()
        ended, *_ = await asyncio.gather(working, *stopping, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended
    return not done

"""OutageWatch: what a run does while the vendor's API does not answer: it says so, asks again, and gives up in time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from runner.dromo.contact import WatchedApi
from runner.errors import BulkheadError
from runner.events import OutageBegan, OutageEnded
from runner.stop import StopReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.protocols import ImportsApi
    from runner.stages.context import RunContext

ASK_EVERY_S = 30.0
"""How often the vendor is asked during an outage, and how long an outage may last before it is announced."""

UNREACHABLE_SINCE = "vendor unreachable since"
"""How the sentence about an outage begins, also in the reason of a run that ended during it."""

JUST_NOW_S = 10.0
ONCE_ANSWERED = 8
"""How many times longer the run waits for a vendor that has answered it before: its address and key are right."""


class OutageWatch:
    """Watches the calls of one run. `api` is the run's API, which reports to the watch.

    An outage begins with the first call that gets no answer from the API, and ends with the next answer. After
    `give_up_after_s` seconds of it the run is stopped. `record` is awaited with the sentence about an outage when it is
    announced, and with None when it has ended.
    """

    def __init__(self, context: RunContext, *, record: Callable[[str | None], Awaitable[None]]) -> None:
        self._stop = context.stop
        self._emit = context.emit
        self._ticks = context.clock.ticks
        self._give_up_after_s = context.options.give_up_after_s
        self._record = record
        self._began, self._ended = asyncio.Event(), asyncio.Event()
        self._asking = asyncio.Lock()
        self._is_announced = self._is_recorded = False

        self._watched = WatchedApi(context.api.inner, clock=context.clock, on_change=self._note)
        self.api = context.api.over(self._watched)
        self._asked: ImportsApi = self.api

    @property
    def sentence(self) -> str | None:
        """Return `vendor unreachable since hh:mm: reason`; None while the vendor answers."""
        outage = self._watched.outage
        if outage is None:
            return None
        return f"{UNREACHABLE_SINCE} {outage.since.astimezone():%H:%M}: {outage.reason}"

    def ask_through(self, api: ImportsApi) -> None:
        """Ask through an API over this one from now on, because also the answer to this question shows an import."""
        self._asked = api

    async def run(self) -> None:
        """Ask during each outage whether it has ended, until it has lasted too long."""
        while True:
            await self._began.wait()
            while not await self._ends_within(min(ASK_EVERY_S, self._left_s())):
                if self._left_s() <= 0:
                    self._stop.request(StopReason.VENDOR_UNREACHABLE, self.sentence or "")
                    return
                async with self._asking:
                    await self._ask()
            if self._is_recorded:
                self._is_recorded = False
                await self._record(None)

    async def outlasted(self) -> bool:
        """Wait for the end of an outage; return whether there was one, and it ended before the run was stopped.

        Trouble with one kind of request is no outage as long as the vendor answers others: one is sent to find out.
        """
        async with self._asking:
            if not (self._is_announced or self._has_just_answered() or self._stop.requested):
                await self._ask()
        if not self._is_announced:
            return False
        ended = asyncio.ensure_future(self._ended.wait())
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            stopped.cancel()
        return not self._stop.requested

    def _has_just_answered(self) -> bool:
        answered = self._watched.answered_ticks
        return self._watched.outage is None and answered is not None and self._ticks() - answered < JUST_NOW_S

    def _left_s(self) -> float:
        """Return in how many seconds the run gives up."""
        outage = self._watched.outage
        if outage is None or not self._give_up_after_s:
            return float("inf")
        patience_s = self._give_up_after_s * (ONCE_ANSWERED if self._watched.has_answered else 1)
        return outage.since_ticks + patience_s - self._ticks()

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def _ask(self) -> None:
        """Ask for the shortest answer that the vendor has, and announce an outage if there is none."""
        left_s = self._left_s()
        with suppress(BulkheadError, TimeoutError):
            async with asyncio.timeout(None if left_s == float("inf") else max(left_s, 0.0)):
                await self._asked.list_page(limit=1, offset=0)
        outage, sentence = self._watched.outage, self.sentence
        if outage is None or sentence is None or self._is_announced:
            return
        self._is_announced = self._is_recorded = True
        self._emit(OutageBegan(since=outage.since, reason=outage.reason, message=sentence))
        await self._record(sentence)

    def _note(self) -> None:
        """Take note that an outage has begun or ended."""
        if self._watched.outage is not None:
            self._ended.clear()
            self._began.set()
            return
        self._began.clear()
        self._ended.set()
        if self._is_announced:
            self._is_announced = False
            self._emit(OutageEnded(message="the vendor answers again"))

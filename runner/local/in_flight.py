"""InFlight: which items a run has taken up and not yet laid down, and the moment when there are none."""

from __future__ import annotations

import asyncio


class InFlight:
    """Sources taken up in this run; bounded by the queues in front of the stages."""

    def __init__(self) -> None:
        self._sources: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __contains__(self, source: str) -> bool:
        return source in self._sources

    def take(self, source: str) -> None:
        self._sources.add(source)
        self._idle.clear()

    def lay_down(self, source: str) -> None:
        self._sources.discard(source)
        if not self._sources:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        await self._idle.wait()

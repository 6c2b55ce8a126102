"""SharedLists: walks through the vendor's list of imports that several questions share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from runner.dromo.listing import imports_since

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from runner.models import RemoteImport
    from runner.protocols import ImportsApi

T = TypeVar("T")


@dataclass(slots=True)
class _List(Generic[T]):
    """The next list: how far back it has to go, None for all, and what was gathered from it."""

    since: datetime | None
    gathered: T | None = None

    def reach(self, since: datetime | None) -> None:
        self.since = None if self.since is None or since is None else min(self.since, since)


class SharedLists(Generic[T]):
    """Answers each question from a list that begins after it; the questions that come during one list share the next.

    `gather` reads a list; `for_absence` is as in `imports_since`.
    """

    def __init__(
        self,
        api: ImportsApi,
        gather: Callable[[AsyncIterator[RemoteImport]], Awaitable[T]],
        *,
        for_absence: bool = False,
    ) -> None:
        self._api = api
        self._gather = gather
        self._for_absence = for_absence
        self._turn = asyncio.Lock()
        self._next: _List[T] | None = None

    async def since(self, since: datetime | None) -> T:
        """Return what was gathered from a list that goes back to `since`, or further. Raises TransientError."""
        if self._next is None:
            self._next = _List(since)
        asked = self._next
        asked.reach(since)
        async with self._turn:
            if asked.gathered is None:
                if self._next is asked:
                    self._next = None
                asked.gathered = await self._gather(
                    imports_since(self._api, asked.since, for_absence=self._for_absence)
                )
            return asked.gathered

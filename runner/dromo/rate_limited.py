"""RateLimitedApi: the API behind the limits that fit a leaky bucket, with a count of its calls."""

from __future__ import annotations

from collections import Counter, OrderedDict
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from aiolimiter import AsyncLimiter

from runner.errors import Stopped

if TYPE_CHECKING:
    from runner.models import CreateRequest, ImportPage, RemoteImport
    from runner.protocols import ImportsApi
    from runner.stop import StopSignal

LISTS_PER_MINUTE = 12
_REMEMBERED_IMPORTS = 1024
"""Imports that were retrieved last: no import is retrieved as often as its quota allows while so many others are."""


class WrappedApi:
    """An ImportsApi that passes every call on to another one; subclasses override the calls that they change."""

    def __init__(self, api: ImportsApi) -> None:
        self.inner = api

    async def create(self, request: CreateRequest) -> RemoteImport:
        return await self.inner.create(request)

    async def retrieve(self, import_id: str) -> RemoteImport:
        return await self.inner.retrieve(import_id)

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        return await self.inner.list_page(limit=limit, offset=offset)

    async def results_url(self, import_id: str) -> str:
        return await self.inner.results_url(import_id)

    async def delete(self, import_id: str) -> None:
        await self.inner.delete(import_id)

    async def schema_names(self) -> dict[str, str]:
        return await self.inner.schema_names()

    async def schema(self, schema_id: str) -> dict[str, Any]:
        return await self.inner.schema(schema_id)


class RateLimitedApi(WrappedApi):
    """Limits retrieves per import and list calls, and counts both. Creates pass through: the pacer limits them."""

    def __init__(
        self,
        api: ImportsApi,
        *,
        poll_count: float = 12,
        poll_per_s: float = 60,
        lists_per_minute: float = LISTS_PER_MINUTE,
    ) -> None:
        super().__init__(api)
        self._poll_count, self._poll_per_s = poll_count, poll_per_s
        self._lists = AsyncLimiter(lists_per_minute, 60)
        self._polls: OrderedDict[str, AsyncLimiter] = OrderedDict()
        self.calls: Counter[str] = Counter()
        self.stop: StopSignal | None = None

    def over(self, api: ImportsApi) -> Self:
        """Return another API behind the same limiters, with the same counts."""
        other = copy(self)
        other.inner = api
        return other

    def until(self, stop: StopSignal) -> Self:
        """Return the same API, whose lists end with Stopped once a stop is requested.

        A long list takes many calls, and each waits for its turn; what it is for can wait for a later run.
        """
        other = copy(self)
        other.stop = stop
        return other

    def counted_apart(self) -> Self:
        """Return the same API, behind the same limiters, that counts its own calls from zero."""
        apart = copy(self)
        apart.calls = Counter()
        return apart

    async def retrieve(self, import_id: str) -> RemoteImport:
        async with self._poll_limiter(import_id):
            self.calls["retrieve_calls"] += 1
            return await self.inner.retrieve(import_id)

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        if self.stop is None:
            return await self._page(limit, offset)
        page = await self.stop.unless_requested(lambda: self._page(limit, offset))
        if page is None:
            raise Stopped("the list of imports was not read to its end before the stop")
        return page

    async def _page(self, limit: int, offset: int) -> ImportPage:
        async with self._lists:
            self.calls["list_calls"] += 1
            return await self.inner.list_page(limit=limit, offset=offset)

    def _poll_limiter(self, import_id: str) -> AsyncLimiter:
        limiter = self._polls.pop(import_id, None) or self._new_poll_limiter()
        self._polls[import_id] = limiter
        if len(self._polls) > _REMEMBERED_IMPORTS:
            self._polls.popitem(last=False)
        return limiter

    def _new_poll_limiter(self) -> AsyncLimiter:
        """Half the quota as burst and half as refill, so that no window ever holds more than the quota."""
        if self._poll_count < 2:
            return AsyncLimiter(1, 2 * self._poll_per_s / self._poll_count)
        return AsyncLimiter(self._poll_count / 2, self._poll_per_s)

"""WatchedApi: the API, watched for whether it answers at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from runner.dromo.rate_limited import WrappedApi
from runner.errors import BulkheadError, ConnectionBarred, RateLimited, TransientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from runner.models import CreateRequest, ImportPage, RemoteImport
    from runner.protocols import Clock, ImportsApi

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The API does not answer: `since` and `since_ticks` are when the first such call began, by both clocks.

    `reason` is the sentence of the latest error.
    """

    since: datetime
    since_ticks: float
    reason: str


def is_unanswered(error: BulkheadError) -> bool:
    """Return whether a call that raised this error got no answer of the API itself; a refusal is one."""
    if isinstance(error, RateLimited):
        return not error.is_of_the_api
    return isinstance(error, TransientError)


def _nothing() -> None:
    """Ignore that an outage has begun or ended."""


class WatchedApi(WrappedApi):
    """Notes whether the API answers. An answer is anything below 500 that the API itself wrote, refusals included.

    `answered_ticks` is when it last did, `has_answered` whether it ever did, `outage` is None while it does. Put limits
    around it, not inside: waiting for them is no outage. `on_change` is called when an outage has begun or ended.
    """

    def __init__(self, api: ImportsApi, *, clock: Clock, on_change: Callable[[], None] = _nothing) -> None:
        super().__init__(api)
        self._clock = clock
        self._on_change = on_change
        self.answered_ticks: float | None = None
        self.outage: Outage | None = None

    @property
    def has_answered(self) -> bool:
        return self.answered_ticks is not None

    async def create(self, request: CreateRequest) -> RemoteImport:
        return await self._watched(super().create(request))

    async def retrieve(self, import_id: str) -> RemoteImport:
        return await self._watched(super().retrieve(import_id))

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        return await self._watched(super().list_page(limit=limit, offset=offset))

    async def results_url(self, import_id: str) -> str:
        return await self._watched(super().results_url(import_id))

    async def delete(self, import_id: str) -> None:
        await self._watched(super().delete(import_id))

    async def schema(self, schema_id: str) -> dict[str, Any]:
        return await self._watched(super().schema(schema_id))

    async def _watched(self, call: Awaitable[_T]) -> _T:
        began = (self._clock.now(), self._clock.ticks())
        try:
            found = await call
        except BulkheadError as error:
            if is_unanswered(error):
                self._not_answered(*began, reason=str(error))
            elif not isinstance(error, ConnectionBarred):
                self._answered()
            raise
        self._answered()
        return found

    def _answered(self) -> None:
        self.answered_ticks = self._clock.ticks()
        if self.outage is not None:
            self.outage = None
            self._on_change()

    def _not_answered(self, began: datetime, began_ticks: float, *, reason: str) -> None:
        """Note a call without an answer, unless the API answered another one that began later."""
        if self.outage is not None:
            self.outage = replace(self.outage, reason=reason)
        elif self.answered_ticks is None or self.answered_ticks <= began_ticks:
            self.outage = Outage(since=began, since_ticks=began_ticks, reason=reason)
            self._on_change()

"""Breaker: while the vendor does not answer, no function calls it, and one of them asks once a minute whether it does.

An outage is in the table as a lease, so that all functions know of it. It ends with the first answer to a question, or
if nobody asks for so long that nothing is known any more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from runner.dromo.contact import is_unanswered
from runner.dromo.rate_limited import WrappedApi
from runner.errors import BulkheadError, VendorAway
from runner.formatting import lasting

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from runner.ledger.leases import Leases
    from runner.models import CreateRequest, ImportPage, RemoteImport
    from runner.protocols import Clock, ImportsApi

logger = logging.getLogger(__name__)

FAILURES = 3
"""After so many calls of one function in a row without an answer, the vendor is asked whether it answers at all."""

ASK_EVERY_S = 60.0
KNOWN_FOR_S = 1800.0
"""How long after the last question the table says that the vendor does not answer."""

SHORTEST_WAIT_S, LONGEST_WAIT_S = 30.0, 840.0
_SHARE_OF_OUTAGE = 0.1
"""Messages wait for a tenth of the time that the outage has lasted, within these bounds.

The shortest wait is half of the time between questions: a message that comes back just before the next question is due
does not wait for two of them.
"""

_FRESH_S = 5.0
"""How long a function relies on what it has read."""

_PLACE, _AWAY, _ASKING = "breaker", "away", "asking"

_T = TypeVar("_T")


class Breaker:
    """Whether the vendor may be called; the functions share one by the leases of the table.

    `api` is the vendor's API, asked for its shortest answer. Every method may raise what the leases raise.
    """

    def __init__(self, api: ImportsApi, leases: Leases, *, clock: Clock, rng: random.Random) -> None:
        self._api = api
        self._leases = leases
        self._clock = clock
        self._rng = rng
        self._failures = 0
        self._since: float | None = None
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def wait_s(self) -> float | None:
        """Return None if the vendor may be called, else in how many seconds to try again; asks it if it is time to."""
        since = await self._away_since()
        if since is None or (await self._is_turn() and await self._answers()):
            return None
        lasted_s = self._clock.now().timestamp() - since
        return min(max(SHORTEST_WAIT_S, lasted_s * _SHARE_OF_OUTAGE), LONGEST_WAIT_S)

    async def require_vendor(self) -> None:
        """Raise VendorAway if the vendor must not be called."""
        since = await self._away_since()
        if since is not None:
            lasted_s = max(0.0, self._clock.now().timestamp() - since)
            raise VendorAway(f"the vendor has not answered for {lasting(lasted_s)}; nothing is sent until it does")

    async def unanswered(self) -> None:
        """Count a call without an answer; after several, find out whether others are answered."""
        self._failures += 1
        if self._failures >= FAILURES and await self._is_turn():
            await self._answers()

    def answered(self) -> None:
        self._failures = 0

    async def _is_turn(self) -> bool:
        """Return whether nobody has asked within a minute, and claim the question."""
        holder = f"{self._rng.getrandbits(64):016x}"
        return await self._leases.take(_PLACE, _ASKING, holder=holder, for_s=ASK_EVERY_S) is None

    async def _answers(self) -> bool:
        """Ask the vendor, and record whether it answered."""
        try:
            await self._api.list_page(limit=1, offset=0)
        except BulkheadError as error:
            if is_unanswered(error):
                await self._record_outage(error)
                return False
        await self._record_answer()
        return True

    async def _record_outage(self, error: BulkheadError) -> None:
        known = await self._leases.seen(_PLACE, _AWAY)
        since = known.holder if known else str(round(self._clock.now().timestamp()))
        await self._leases.take(_PLACE, _AWAY, holder=since, for_s=KNOWN_FOR_S)
        self._note(float(since))
        logger.warning("the vendor does not answer", extra={"error": type(error).__name__})

    async def _record_answer(self) -> None:
        self._failures = 0
        known = await self._leases.seen(_PLACE, _AWAY)
        if known is not None:
            await self._leases.release(_PLACE, _AWAY, holder=known.holder)
            logger.info("the vendor answers again")
        self._note(None)

    async def _away_since(self) -> float | None:
        """Return since when the vendor does not answer, in seconds since 1970; None while it does."""
        async with self._reading:
            now = self._clock.ticks()
            if self._read_at is None or now - self._read_at >= _FRESH_S:
                known = await self._leases.seen(_PLACE, _AWAY)
                self._note(float(known.holder) if known else None)
            return self._since

    def _note(self, since: float | None) -> None:
        self._since, self._read_at = since, self._clock.ticks()


class GuardedApi(WrappedApi):
    """An ImportsApi that tells a breaker of every call, and makes none while the vendor does not answer.

    Every call may raise VendorAway, which means that it was not made. Put limits around it, not inside.
    """

    def __init__(self, api: ImportsApi, breaker: Breaker) -> None:
        super().__init__(api)
        self._breaker = breaker

    async def create(self, request: CreateRequest) -> RemoteImport:
        return await self._guarded(lambda: self.inner.create(request))

    async def retrieve(self, import_id: str) -> RemoteImport:
        return await self._guarded(lambda: self.inner.retrieve(import_id))

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        return await self._guarded(lambda: self.inner.list_page(limit=limit, offset=offset))

    async def results_url(self, import_id: str) -> str:
        return await self._guarded(lambda: self.inner.results_url(import_id))

    async def delete(self, import_id: str) -> None:
        await self._guarded(lambda: self.inner.delete(import_id))

    async def schema(self, schema_id: str) -> dict[str, Any]:
        return await self._guarded(lambda: self.inner.schema(schema_id))

    async def _guarded(self, call: Callable[[], Awaitable[_T]]) -> _T:
        await self._breaker.require_vendor()
        try:
            found = await call()
        except BulkheadError as error:
            if is_unanswered(error):
                await self._breaker.unanswered()
            else:
                self._breaker.answered()
            raise
        self._breaker.answered()
        return found

"""PackingSetup: whether and how a run makes packs; and the rules that each route has for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from runner.errors import RequestInvalid, SchemaNotFound
from runner.packing.canary import PredictImport
from runner.packing.planner import PackLimits
from runner.packing.refusals import Refusal
from runner.packing.rules import rules_of
from runner.retry import READ_ATTEMPTS, repeat_read

if TYPE_CHECKING:
    from runner.config.routes import Route
    from runner.packing.rules import PackRules


READ_AGAIN_S = 60.0
"""After so long, a saved schema is read again before a pack is sent: somebody may have changed it (choice)."""

_T = TypeVar("_T")


class InEngine(Protocol):
    """Does work that takes time, and returns what it returns."""

    async def __call__(self, work: Callable[[], _T], /) -> _T: ...


async def _here(work: Callable[[], _T], /) -> _T:
    return work()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackingSetup:
    """`predict` returns, for the binding of a route, what predicts the import of one of its files, or None.

    Without it, no packs are made; those that an earlier run made are finished. What it returns is called by way of
    `in_engine`, which may do the work on another thread.
    """

    ignored: frozenset[str] = frozenset()
    """Tags of packs that no ledger here knows, and that a person has looked at."""
    limits: PackLimits = field(default_factory=PackLimits)
    members_of: Callable[[Route], int] | None = None
    """Returns how many files of a route a pack has at most, 0 for none; without it, `limits` say so."""
    is_off: Callable[[Route], bool] = lambda _: False
    """Returns whether a person has said that files of a route are not packed: packs that were not sent are given up."""
    predict: Callable[[str], Awaitable[PredictImport | None]] | None = None
    in_engine: InEngine = field(default_factory=lambda: _here)


class RulesOfRoutes:
    """Reads the saved schema of each route with `read`, by its id, which may raise SchemaNotFound.

    `attempts`: how often a read is tried; once if `read` repeats it itself.
    """

    def __init__(self, read: Callable[[str], Awaitable[Mapping[str, Any]]], *, attempts: int = READ_ATTEMPTS) -> None:
        self._read_schema = read
        self._attempts = attempts
        self._first: dict[str, PackRules | Refusal] = {}
        self._latest: dict[str, tuple[PackRules | Refusal, float]] = {}
        self._reading = asyncio.Lock()

    async def of(self, route: Route) -> PackRules | Refusal:
        """Return the rules of a route, or why none of its files is packed; its schema is read once.

        Raises TransientError, AuthRefused.
        """
        async with self._reading:
            if route.binding not in self._first:
                self._first[route.binding] = await self._read(route)
        return self._first[route.binding]

    async def still(self, route: Route) -> PackRules | Refusal | None:
        """Return the rules of a route if they are as they were at first, or why none of its files is packed now.

        Returns None if they are other rules now. The schema is read again if that was more than `READ_AGAIN_S` ago.
        Raises as `of`.
        """
        first = await self.of(route)
        async with self._reading:
            now, read_at = self._latest[route.binding]
            if route.schema_id is not None and asyncio.get_running_loop().time() - read_at > READ_AGAIN_S:
                now = await self._read(route)
        return now if isinstance(now, Refusal) or now == first else None

    async def _read(self, route: Route) -> PackRules | Refusal:
        read_at = asyncio.get_running_loop().time()
        rules = rules_of(route, await self._saved(route.schema_id) if route.schema_id is not None else None)
        self._latest[route.binding] = rules, read_at
        return rules

    async def _saved(self, schema_id: str) -> Mapping[str, Any] | None:
        try:
            return await repeat_read(lambda: self._read_schema(schema_id), attempts=self._attempts)
        except (SchemaNotFound, RequestInvalid):
            return None

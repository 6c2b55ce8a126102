"""PackingSetup: whether and how a run makes packs; and the rules that each route has for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from runner.errors import RequestInvalid, SchemaNotFound
from runner.packing.canary import PredictImport
from runner.packing.planner import PackLimits
from runner.packing.rules import rules_of
from runner.retry import repeat_read

if TYPE_CHECKING:
    from runner.config.routes import Route
    from runner.packing.refusals import Refusal
    from runner.packing.rules import PackRules


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
    """Reads the saved schema of each route once, by its id, with `read`, which may raise SchemaNotFound."""

    def __init__(self, read: Callable[[str], Awaitable[Mapping[str, Any]]]) -> None:
        self._read_schema = read
        self._known: dict[str, PackRules | Refusal] = {}
        self._reading = asyncio.Lock()

    async def of(self, route: Route) -> PackRules | Refusal:
        """Return the rules of a route, or why none of its files is packed. Raises TransientError, AuthRefused."""
        async with self._reading:
            if route.binding not in self._known:
                self._known[route.binding] = await self._read(route)
        return self._known[route.binding]

    async def _read(self, route: Route) -> PackRules | Refusal:
        schema_id = route.schema_id
        if schema_id is None:
            return rules_of(route)
        try:
            return rules_of(route, await repeat_read(lambda: self._read_schema(schema_id)))
        except (SchemaNotFound, RequestInvalid):
            return rules_of(route)

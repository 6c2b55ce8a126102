"""RunContext: all that a run works with and does not own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random

    from runner.config.options import RunOptions
    from runner.config.routes import Route, Routes
    from runner.dromo.clock import VendorTime
    from runner.dromo.rate_limited import RateLimitedApi
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.models import Item
    from runner.protocols import Clock, Sink, Source, SourceEntry, Storage
    from runner.quota.pacer import CreatePacer
    from runner.stop import StopSignal


class Gate(Protocol):
    """Judges items before anything of them is sent."""

    async def admit(self, item: Item, route: Route) -> None:
        """Raise ItemRejected where an item is refused. May raise AuthRefused and TransientError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Ledger, API, storage, source, sink, clocks and options; `endpoint` as in `identity.endpoint`.

    `gate` judges each item before its first create; None lets all through. `shared`: others move the ledger's items as
    well, and its pages may lag.
    """

    ledger: Ledger
    api: RateLimitedApi
    storage: Storage
    source: Source
    routes: Routes
    sink: Sink
    pacer: CreatePacer
    clock: Clock
    vendor_time: VendorTime
    rng: random.Random
    emit: EventHook
    stop: StopSignal
    options: RunOptions
    rank_of: Callable[[SourceEntry], int]
    endpoint: str = ""
    gate: Gate | None = None
    shared: bool = False

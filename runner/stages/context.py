"""RunContext: what a run works with and does not own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
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
    from runner.stages.packing_setup import PackingSetup
    from runner.stop import StopSignal


class Gate(Protocol):
    """Judges items before any of their data is sent."""

    async def admit(self, item: Item, route: Route) -> None:
        """Raise ItemRejected if an item is refused. May raise AuthRefused and TransientError."""
        ...


async def _nothing(_tag: str, _source: str) -> None:
    """Prevent no create."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Ledger, API, storage, source, sink, clocks, and options; `endpoint` as in `identity.endpoint`.

    `open_source` and `open_sink` are called when a stage first needs the one or the other, and may raise ConfigError.
    `account`, as in `identity.account`, is what the batch is bound to once the vendor has accepted the key.
    `check_files` raises LedgerReplaced if the files that keep other runs away are no longer in their place; None if
    there are no such files.
    `before_create` gets the tag and the source of an item that is about to be sent, and raises ForeignImports,
    TagInUse if the item must look again for what was sent before, or TransientError if nobody can tell now.
    `out` is where the batch saves its results.
    `packing` says how files are packed; None packs none, and only finishes packs that an earlier run made.
    `gate` judges each item before its first create; None admits all. `shared`: others write the ledger too, and its
    pages may lag. `shares_out`: the sink may have results of other batches, and things that no ledger knows.
    """

    ledger: Ledger
    api: RateLimitedApi
    storage: Storage
    open_source: Callable[[], Source]
    open_sink: Callable[[], Sink]
    routes: Routes
    pacer: CreatePacer
    clock: Clock
    vendor_time: VendorTime
    rng: random.Random
    emit: EventHook
    stop: StopSignal
    options: RunOptions
    rank_of: Callable[[SourceEntry], int]
    endpoint: str = ""
    account: str = ""
    check_files: Callable[[], None] | None = None
    before_create: Callable[[str, str], Awaitable[None]] = _nothing
    gate: Gate | None = None
    packing: PackingSetup | None = None
    out: str = ""
    shared: bool = False
    shares_out: bool = False

    @cached_property
    def source(self) -> Source:
        return self.open_source()

    @cached_property
    def sink(self) -> Sink:
        return self.open_sink()

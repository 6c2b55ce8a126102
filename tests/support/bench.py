"""A complete run in virtual time against a scripted vendor, with everything in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

from runner import identity
from runner.config.options import RunOptions
from runner.config.routes import Routes
from runner.config.units import Rate
from runner.dromo.clock import VendorTime
from runner.dromo.rate_limited import RateLimitedApi
from runner.events import Event
from runner.ledger.memory import MemoryLedger
from runner.local.pipeline import RunResult, Scope, run_batch
from runner.models import TRANSITIONS, Batch, CreateRequest, Item, ItemState
from runner.protocols import Occupant, Place, SavedResult
from runner.quota.pacer import CreatePacer
from runner.quota.slots import MemorySlots
from runner.sources.file_types import kind_of
from runner.stages.context import RunContext
from runner.stop import StopSignal
from tests.support.scripted import EPOCH, LoopClock, ScriptedVendor
from tests.support.sources import MemorySource

BATCH_ID = "b1"


class MemorySink:
    """Keeps results by source."""

    def __init__(self) -> None:
        self.results: dict[str, bytes] = {}

    async def prepare(self) -> None:
        """Accept every batch."""

    async def save_result(self, source: str, chunks: AsyncIterator[bytes], place: Place | None = None) -> SavedResult:
        data = b"".join([chunk async for chunk in chunks])
        rows = orjson.loads(data)
        saved = SavedResult(path=f"results/{source}.json", row_count=len(rows), sha256=sha256(data).hexdigest())
        if place is not None:
            saved = replace(saved, path=await place.choose(saved.path, self._look, saved=saved))
        self.results[saved.path.removeprefix("results/").removesuffix(".json")] = data
        return saved

    async def _look(self, path: str) -> Occupant | None:
        found = self.results.get(path.removeprefix("results/").removesuffix(".json"))
        return None if found is None else Occupant(sha256=sha256(found).hexdigest())

    async def has(self, path: str) -> bool:
        return await self._look(path) is not None

    async def read(self, name: str) -> bytes | None:
        return self.results.get(name)

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        self.results[name] = b"".join([chunk async for chunk in chunks])
        return name


class SkewedClock(LoopClock):
    """A machine's clocks; `skew()` is how far its wall clock is ahead."""

    def __init__(self, skew: Callable[[], timedelta]) -> None:
        self._skew = skew

    def now(self) -> datetime:
        return super().now() + self._skew()


@dataclass
class Bench:
    """Everything a run needs; make it inside the loop."""

    files: Mapping[str, bytes]
    options: RunOptions = field(default_factory=RunOptions)
    routes: Routes = field(default_factory=lambda: Routes.single(schema_id="s1"))
    url_life_s: int = 1800
    skew: timedelta = timedelta(0)
    """How far the wall clock of the run's machine is ahead of the vendor's."""
    date_ahead: timedelta = timedelta(0)
    """How far the `Date` of the vendor's answers is ahead of the clock that signs its urls."""

    def __post_init__(self) -> None:
        self.clock = SkewedClock(lambda: self.skew)
        self.vendor = ScriptedVendor(LoopClock(), url_life_s=self.url_life_s)
        self.ledger = MemoryLedger(now=self.clock.now)
        self.slots = MemorySlots()
        self.source = MemorySource(self.files)
        self.sink = MemorySink()
        self.events: list[Event] = []
        self.stop = StopSignal()

    async def start(self) -> Batch:
        batch = Batch(
            batch_id=BATCH_ID, source_uri=self.source.uri, account="e-a", out="out", config="{}", started_at=EPOCH
        )
        await self.ledger.start_batch(batch)
        return batch

    def context(self) -> RunContext:
        rng = random.Random(1)
        self.stop = StopSignal()
        vendor_time = VendorTime(self.clock)
        self.vendor.on_answer = lambda: vendor_time.answered(
            self.vendor.clock.now() + self.date_ahead, asked_at=vendor_time.ticks()
        )
        self.api = RateLimitedApi(self.vendor)
        return RunContext(
            ledger=self.ledger,
            api=self.api,
            storage=self.vendor,
            open_source=lambda: self.source,
            open_sink=lambda: self.sink,
            routes=self.routes,
            pacer=CreatePacer(self.slots, quota_key="k", quota=Rate(20, 60), clock=self.clock, rng=rng),
            clock=self.clock,
            vendor_time=vendor_time,
            rng=rng,
            emit=self.events.append,
            stop=self.stop,
            options=self.options,
            rank_of=lambda _: 0,
            endpoint="e",
        )

    async def run(self, *, scope: Scope = Scope.RUN) -> RunResult:
        """Run the batch, and start it first if necessary."""
        batch = await self.ledger.batch(BATCH_ID) or await self.start()
        return await run_batch(batch, self.context(), scope=scope)

    async def batch(self) -> Batch:
        found = await self.ledger.batch(BATCH_ID)
        assert found is not None
        return found

    async def run_later(self, **changes: Any) -> Batch:
        """Run another batch over the same source, with changes to the context, and return it."""
        later = replace(await self.batch(), batch_id="later")
        await self.ledger.start_batch(later)
        await run_batch(later, replace(self.context(), **changes))
        return later

    async def states(self) -> dict[str, str]:
        return {item.source: str(item.state) async for item in self.ledger.items(BATCH_ID)}

    async def item(self, source: str) -> Item:
        found = await self.ledger.item(BATCH_ID, source)
        assert found is not None
        return found

    async def leave(self, source: str, state: ItemState, **changes: object) -> Item:
        """Put an item into the ledger as an earlier run could have left it."""
        if await self.ledger.batch(BATCH_ID) is None:
            await self.start()
        binding = self.routes.routes[0].binding
        await self.ledger.add(
            [Item(batch_id=BATCH_ID, source=source, kind=kind_of(source), schema_id="s1", binding=binding)]
        )
        item = await self.item(source)
        item = await self.ledger.advance(item, ItemState.CREATING, reason="earlier", intent_at=self.clock.now())
        if state is ItemState.CREATING:
            return item if not changes else await self.ledger.advance(item, state, reason="earlier", **changes)
        if state not in TRANSITIONS[ItemState.CREATING]:
            item = await self.ledger.advance(item, ItemState.PROCESSING, reason="earlier")
        return await self.ledger.advance(item, state, reason="earlier", **changes)

    async def leave_expired(self, source: str, *, attempts: int = 1) -> None:
        """Leave an item as `leave_uploading` does, whose upload url has ended and is not renewed."""
        self.vendor.renews_urls, self.vendor.url_life_s = False, 60
        await self.leave_uploading(source, attempts=attempts)
        self.vendor.url_life_s = 1800
        await asyncio.sleep(70)

    async def leave_uploading(self, source: str, *, attempts: int = 1) -> str:
        """Leave an item whose import an earlier run has made, and whose data it may have sent; returns the import's id.

        The vendor has not noticed any data.
        """
        remote = self.vendor.add(CreateRequest(schema_id="s1", original_filename=source))
        fingerprint = f"sha256:{sha256(self.source.files[source]).hexdigest()}"
        await self.leave(
            source,
            ItemState.CREATED,
            import_id=remote.import_id,
            status=remote.status,
            fingerprint=fingerprint,
            created_at=remote.created_at,
            attempts=attempts,
        )
        return remote.import_id

    def tag(self, source: str) -> str:
        """Return the tag that the core derives for a file with this source."""
        fingerprint = f"sha256:{sha256(self.source.files[source]).hexdigest()}"
        uri = f"{self.source.uri}/{source}"
        return identity.tag(uri, fingerprint, self.routes.routes[0].binding, endpoint="e")

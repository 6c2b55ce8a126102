"""Status calls for a thousand open imports over an hour of virtual time, through the tracker and its limits."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.figures import Figure, report
from runner.config.options import RunOptions
from runner.dromo.rate_limited import RateLimitedApi
from runner.events import ignore
from runner.ledger.memory import MemoryLedger
from runner.local.ledger_watch import LedgerWatcher
from runner.models import STATE_OF_STATUS, Batch, ImportPage, Item, ItemState, RemoteImport
from runner.stages.track import Tracker
from runner.stages.transitions import Transitions
from tests.support.vloop import VirtualLoop, run_virtually

IMPORTS = 1000
HOUR_S = 3600.0
CALL_S = 0.25
SEED = 2026
SAFETY_LIST_S = RunOptions().safety_list_s
STARTED_AT = datetime(2026, 7, 1, tzinfo=UTC)
ENDS = ("SUCCESSFUL",) * 17 + ("NEEDS_REVIEW",) * 2 + ("FAILED",)


@dataclass(frozen=True)
class Clock:
    loop: VirtualLoop

    def now(self) -> datetime:
        return STARTED_AT + timedelta(seconds=self.loop.time())

    def ticks(self) -> float:
        return self.loop.time()


class Vendor:
    """Imports that end one after the other; `open_s` counts the seconds for which each was open within the hour."""

    def __init__(self, rng: random.Random, *, ending: bool) -> None:
        drawn = [(rng.uniform(0, 2 * HOUR_S) if ending else 2 * HOUR_S, rng.choice(ENDS)) for _ in range(IMPORTS)]
        self.ends = {f"import-{number}": end for number, end in enumerate(drawn)}
        self.open_s = sum(min(end_at, HOUR_S) for end_at, _ in drawn)

    async def retrieve(self, import_id: str) -> RemoteImport:
        await asyncio.sleep(CALL_S)
        end_at, end = self.ends[import_id]
        status = end if asyncio.get_running_loop().time() >= end_at else "RUNNING"
        return RemoteImport(import_id=import_id, status=status, created_at=STARTED_AT)

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        await asyncio.sleep(CALL_S)
        now = asyncio.get_running_loop().time()
        page = tuple(
            RemoteImport(import_id=import_id, status=end if now >= end_at else "RUNNING", created_at=STARTED_AT)
            for import_id, (end_at, end) in list(self.ends.items())[offset : offset + limit]
        )
        return ImportPage(count=IMPORTS, imports=page, has_next=offset + limit < IMPORTS)


async def collect(vendor: Vendor, ledger: MemoryLedger, api: RateLimitedApi) -> None:
    """Do what the functions do: a second after an import's end, retrieve it and move its item."""
    loop = asyncio.get_running_loop()
    for import_id, (end_at, _) in sorted(vendor.ends.items(), key=lambda end: end[1]):
        await asyncio.sleep(max(0.0, end_at + 1.0 - loop.time()))
        remote = await api.retrieve(import_id)
        item = await ledger.item("b", import_id)
        if item is not None and item.state is ItemState.PROCESSING:
            await ledger.advance(item, STATE_OF_STATUS[remote.status], reason="webhook", status=remote.status)


async def watch(vendor: Vendor, *, by_ledger: bool) -> RateLimitedApi:
    """Track all imports for an hour; by ledger, the functions' calls are counted as well."""
    clock = Clock(asyncio.get_running_loop())
    ledger = MemoryLedger(now=clock.now)
    await ledger.start_batch(
        Batch(batch_id="b", source_uri="x", account="a", out="o", config="{}", started_at=STARTED_AT)
    )
    items = [
        Item(batch_id="b", source=import_id, state=ItemState.PROCESSING, import_id=import_id, created_at=STARTED_AT)
        for import_id in vendor.ends
    ]
    await ledger.add(items)
    api = RateLimitedApi(vendor)

    async def moved(_item: Item) -> None:
        """Let the item rest: collecting is not tracking."""

    transitions = Transitions(ledger, clock=clock, emit=ignore, by_state=await ledger.counts("b"))
    tracker = Tracker(api=api, transitions=transitions, on_move=moved)
    watcher = LedgerWatcher(
        tracker=tracker,
        ledger=ledger,
        transitions=transitions,
        batch_id="b",
        safety_list_s=SAFETY_LIST_S,
        trusting=True,
    )
    for item in items:
        tracker.watch(item)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HOUR_S):
            if by_ledger:
                await asyncio.gather(watcher.run(), collect(vendor, ledger, api))
            else:
                await tracker.run()
    return api


def rate(*, ending: bool, by_ledger: bool = False) -> tuple[float, dict[str, int]]:
    """Return the status calls an import and minute while it was open, and all calls by kind."""
    vendor = Vendor(random.Random(SEED), ending=ending)
    calls = run_virtually(watch(vendor, by_ledger=by_ledger), seed=SEED).calls
    return calls.total() / (vendor.open_s / 60), dict(calls)


def main() -> int:
    still, still_calls = rate(ending=False)
    ending, ending_calls = rate(ending=True)
    still_told, still_told_calls = rate(ending=False, by_ledger=True)
    told, told_calls = rate(ending=True, by_ledger=True)
    print(f"{IMPORTS} open imports, one hour; the vendor allows 12 calls an import a minute")
    print(f"none ends: {still_calls}; half end, one in seven not well: {ending_calls}")
    print(f"by ledger, the functions' calls among them: none ends: {still_told_calls}; half end: {told_calls}")
    return report(
        [
            Figure("status calls, none ends", still, "/min/imp.", at_most=0.1),
            Figure("status calls, half end within the hour", ending, "/min/imp.", at_most=0.1),
            Figure("status calls by ledger, none ends", still_told, "/min/imp.", at_most=0.02),
            Figure("status calls by ledger, half end within the hour", told, "/min/imp.", at_most=0.02),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

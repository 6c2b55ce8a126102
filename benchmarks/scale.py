"""A million files on disk: listed into a ledger, resumed to the first create, and written as a manifest.

The files are made first, outside the figures: 100 bytes each, without blocks on disk. Every phase runs in a process of
its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, peak_rss_mb, report
from runner.config.options import RunOptions
from runner.config.routes import Routes
from runner.config.units import Rate
from runner.dromo.clock import VendorTime
from runner.dromo.rate_limited import RateLimitedApi
from runner.errors import Unavailable
from runner.events import ignore
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.local.pipeline import run_batch
from runner.manifest import write_manifest
from runner.models import Batch, CreateRequest, ImportPage, RemoteImport
from runner.quota.pacer import CreatePacer
from runner.quota.slots import MemorySlots
from runner.sinks import LocalSink
from runner.sources import open_source, source_spec
from runner.stages.context import RunContext
from runner.stages.discover import Discovery
from runner.stages.transitions import Transitions
from runner.stop import StopReason, StopSignal

BATCH_ID = "scale"
FILES_PER_FOLDER = 1000
ROUTES = Routes.single(schema_id="s1")


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def ticks(self) -> float:
        return time.monotonic()


class FirstCreate:
    """A vendor without imports that notes when the first create comes, and ends the run there."""

    def __init__(self, stop: StopSignal) -> None:
        self.stop = stop
        self.at: float | None = None

    async def create(self, request: CreateRequest) -> RemoteImport:
        self.at = self.at or time.perf_counter()
        self.stop.request(StopReason.INTERRUPTED)
        raise Unavailable("not there")

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        return ImportPage(count=0, imports=(), has_next=False)


def make_files(folder: Path, count: int) -> None:
    for number in range(count):
        if number % FILES_PER_FOLDER == 0:
            home = folder / f"{number // FILES_PER_FOLDER:05}"
            home.mkdir(parents=True)
        file = os.open(home / f"customers-{number:07}.csv", os.O_CREAT | os.O_WRONLY)
        os.ftruncate(file, 100)
        os.close(file)


async def list_files(work: Path) -> float:
    """Return the seconds in which the whole directory came into a new ledger."""
    clock = Clock()
    started = time.perf_counter()
    ledger = SqliteLedger.open(work / "ledger.db", now=clock.now)
    source = open_source(source_spec(str(work / "inbox")), now=clock.now())
    await ledger.start_batch(
        Batch(batch_id=BATCH_ID, source_uri=source.uri, account="a", out=str(work), config="{}", started_at=clock.now())
    )
    discovery = Discovery(
        batch_id=BATCH_ID, ledger=ledger, source=source, routes=ROUTES, rank_of=lambda _: 0, endpoint="e",
        again=False, clock=clock,
    )  # fmt: skip
    transitions = Transitions(ledger, clock=clock, emit=ignore, by_state={})
    await discovery.run(ledger, transitions, ignore, lambda: None)
    await ledger.close()
    return time.perf_counter() - started


async def resume(work: Path) -> float:
    """Return the seconds from opening the ledger to the first create."""
    clock, stop = Clock(), StopSignal()
    started = time.perf_counter()
    ledger = SqliteLedger.open(work / "ledger.db", now=clock.now)
    batch = await ledger.batch(BATCH_ID)
    vendor = FirstCreate(stop)
    rng = random.Random(1)
    context = RunContext(
        ledger=ledger, api=RateLimitedApi(vendor), storage=vendor, routes=ROUTES,
        open_source=lambda: open_source(source_spec(str(work / "inbox")), now=clock.now()),
        open_sink=lambda: LocalSink(work / "out"),
        pacer=CreatePacer(MemorySlots(), quota_key="k", quota=Rate(20, 60.0), clock=clock, rng=rng),
        clock=clock, vendor_time=VendorTime(clock), rng=rng, emit=ignore, stop=stop, options=RunOptions(),
        rank_of=lambda _: 0, endpoint="e",
    )  # fmt: skip
    await run_batch(batch, context, list_source=False)
    await ledger.close()
    return vendor.at - started


async def manifest(work: Path) -> float:
    """Return the seconds in which manifest.jsonl, manifest.csv and summary.json were written."""
    clock = Clock()
    started = time.perf_counter()
    ledger = SqliteLedger.open(work / "ledger.db", now=clock.now, read_only=True)
    batch = await ledger.batch(BATCH_ID)
    await write_manifest(ledger, batch, LocalSink(work / "out"), exit_code=0, now=clock.now())
    await ledger.close()
    return time.perf_counter() - started


PHASES = {"list": list_files, "resume": resume, "manifest": manifest}


def run_phase(name: str, work: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory of a phase."""
    return asyncio.run(PHASES[name](work)), peak_rss_mb()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-scale-") as folder:
        work = Path(folder)
        make_files(work / "inbox", options.items)
        context = multiprocessing.get_context("spawn")
        measured = {}
        for phase in PHASES:
            with context.Pool(1) as pool:
                measured[phase] = pool.apply(run_phase, (phase, work))
    (list_s, list_mb), (resume_s, resume_mb), (manifest_s, manifest_mb) = measured.values()
    return report(
        [
            Figure("listed into the ledger", options.items / list_s, "items/s", at_least=25_000),
            Figure("peak memory while listing", list_mb, "MB", at_most=150),
            Figure("from resume to the first create", resume_s, "s", at_most=3),
            Figure("peak memory of the resume", resume_mb, "MB", at_most=150),
            Figure("manifest as JSON lines and CSV", manifest_s, "s", at_most=60),
            Figure("peak memory of the manifest", manifest_mb, "MB", at_most=150),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

"""Lists many synthetic items into a ledger file and reads them back; each figure is printed against its limit."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runner import identity
from runner.ledger.sqlite import SqliteLedger
from runner.models import Batch, Item, ItemState

BATCH_ID = "scale"
CHUNK_ITEMS = 1000
FILES_PER_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and the limit it is held against, if there is one."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def __str__(self) -> str:
        limit = f">= {self.at_least:,}" if self.at_least is not None else ""
        limit = f"<= {self.at_most:,}" if self.at_most is not None else limit
        return f"{self.name:34} {self.value:14,.3f} {self.unit:8} {limit:14} {'' if self.holds else 'MISSED'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-scale-") as folder:
        figures = asyncio.run(measure(Path(folder) / "ledger.db", items=options.items))
    if options.json:
        print(json.dumps({figure.name: figure.value for figure in figures}))
    else:
        print(*figures, sep="\n")
    return 0 if all(figure.holds for figure in figures) else 1


async def measure(path: Path, *, items: int) -> list[Figure]:
    listing_s = await list_into(path, items=items)
    listing_rss_mb = peak_rss_mb()
    size_mb = file_mb(path)
    started = time.perf_counter()
    ledger = SqliteLedger.open(path, now=utc_now)
    first = await ledger.page(BATCH_ID, ItemState.QUEUED, after=None, limit=1000)
    resume_s = time.perf_counter() - started
    assert first, "the batch was listed"
    counts_s = await seconds_of_counts(ledger)
    advance_s = await seconds_of_advance(ledger, first)
    started = time.perf_counter()
    read = 0
    async for _ in ledger.items(BATCH_ID):
        read += 1
    iterating_s = time.perf_counter() - started
    started = time.perf_counter()
    async for _ in ledger.items(BATCH_ID, states={ItemState.CREATING}):
        pass
    sparse_s = time.perf_counter() - started
    await ledger.close()
    assert read == items, f"{read} of {items} items were read"
    return [
        Figure("listing", items / listing_s, "items/s", at_least=25_000),
        Figure("peak RSS after listing", listing_rss_mb, "MB", at_most=150),
        Figure("ledger file", size_mb, "MB"),
        Figure("resume: open and first page", resume_s, "s", at_most=3),
        Figure("counts", counts_s, "s"),
        Figure("advance, durable", advance_s, "s"),
        Figure("iterating all items", iterating_s, "s", at_most=60),
        Figure("iterating the items of one state", sparse_s, "s"),
        Figure("peak RSS at the end", peak_rss_mb(), "MB", at_most=150),
    ]


async def list_into(path: Path, *, items: int) -> float:
    ledger = SqliteLedger.open(path, now=utc_now)
    await ledger.start_batch(
        Batch(batch_id=BATCH_ID, source_uri="file:///data", account="a", out="out", config="{}", started_at=utc_now())
    )
    started = time.perf_counter()
    added = 0
    for chunk in chunks(items):
        added += await ledger.add(chunk)
    seconds = time.perf_counter() - started
    await ledger.close()
    assert added == items, f"{added} of {items} items were new"
    return seconds


def chunks(items: int) -> Iterator[list[Item]]:
    for start in range(0, items, CHUNK_ITEMS):
        yield [synthetic(number) for number in range(start, min(start + CHUNK_ITEMS, items))]


def synthetic(number: int) -> Item:
    source = f"tenant-{number // FILES_PER_FOLDER:05}/customers-{number % FILES_PER_FOLDER:04}.csv"
    version = f"{1000 + number}:1767225600000000000"
    return Item(
        batch_id=BATCH_ID,
        source=source,
        size_bytes=1000 + number,
        version=version,
        version_key=identity.version_key(f"file:///data/{source}", version, "0123456789abcdef", endpoint="e"),
        binding="0123456789abcdef",
        schema_id="3f1c9b0e-0d55-4b6e-9f43-4a4f1f4b6a11",
    )


async def seconds_of_counts(ledger: SqliteLedger) -> float:
    started = time.perf_counter()
    await ledger.counts(BATCH_ID)
    return time.perf_counter() - started


async def seconds_of_advance(ledger: SqliteLedger, items: list[Item]) -> float:
    started = time.perf_counter()
    for item in items:
        await ledger.advance(item, ItemState.CREATING, reason="intent", attempts=1, intent_at=utc_now())
    return (time.perf_counter() - started) / len(items)


def file_mb(path: Path) -> float:
    return path.stat().st_size / 1e6


def peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def utc_now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())

"""The finish function on a large batch: what an item costs it, and how long a million items would take.

The function is a process of its own, its handler called as Lambda calls it; DynamoDB, S3, and SQS are ministack. The
reckoning is for Lambda: CPU time at the share of a core that the function's memory buys, or, where that is longer,
the time for which it waits for the pages of the table there; each page is read while the one before is written.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3

from benchmarks.cloud_large import child, deployed
from benchmarks.figures import Figure, peak_rss_mb, report
from runner.clock import SystemClock
from runner.cloud.messages import BatchRef, encode
from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.ledger.protocol import Recorded
from runner.manifest import MANIFEST_JSONL
from runner.models import Batch, HistoryEntry, Item, ItemState
from runner.sources.spec import SourceSpec
from tests.acceptance.vendors import SandboxVendor
from tests.support.aws import LocalAws, running_ministack
from tests.support.functions import Context, Stack, arrived

ITEMS = 50_000
RECKONED = 1_000_000
HALF_OF_TIMEOUT_S = 450.0
MEMORY_MB, MEMORY_OF_A_CORE_MB = 1024, 1769
WAIT_OF_A_PAGE_S = 0.1
BATCH = "load-20260701-220000-abcdef"
AT = datetime(2026, 7, 1, 22, tzinfo=UTC)
SPEC = RunSpec(
    source=SourceSpec(kind="s3", path="s3://bulkhead-inbox/nightly"),
    routes=Routes.single(schema_id="customers"),
    driver="stack",
)
_PAGE = 500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, count = options.child
        if what == "fill":
            asyncio.run(fill(int(count)))
        else:
            print(json.dumps(finish()))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return report(measure(Path(folder), count=options.items))


def measure(folder: Path, *, count: int) -> list[Figure]:
    schemas = folder / "schemas"
    schemas.mkdir()
    with running_ministack(folder) as aws, SandboxVendor(schemas=schemas) as vendor:
        environ = deployed(Stack(aws.client_arguments), aws, vendor)
        child(environ, "fill", str(count), module=__spec__.name)
        found = child(environ, "finish", str(count), module=__spec__.name)
        lines = manifest_lines(aws)
    assert lines == count, f"the manifest has {lines} of {count} items"
    return figures(found, count)


def figures(found: dict[str, float], count: int) -> list[Figure]:
    times = RECKONED / count
    cpu_s = found["cpu_s"] * times * MEMORY_OF_A_CORE_MB / MEMORY_MB
    waits_s = found["pages"] * times * WAIT_OF_A_PAGE_S
    return [
        Figure(f"finish of {count:,} items", found["took_s"], "s"),
        Figure("CPU an item", found["cpu_s"] / count * 1e6, "us"),
        Figure("items a page", count / found["pages"], "items"),
        Figure("peak memory", found["rss_mb"], "MB", at_most=MEMORY_MB / 2),
        Figure("a million items, CPU of the function", cpu_s, "s"),
        Figure("a million items, waits for pages", waits_s, "s"),
        Figure("a million items", max(cpu_s, waits_s), "s", at_most=HALF_OF_TIMEOUT_S),
    ]


def manifest_lines(aws: LocalAws) -> int:
    """Return how many lines the manifest in the results bucket has."""
    s3 = boto3.client("s3", **aws.client_arguments)
    body = s3.get_object(Bucket="bulkhead-results", Key=f"batches/{BATCH}/{MANIFEST_JSONL}")["Body"]
    return sum(1 for _ in body.iter_lines())


async def fill(count: int) -> None:
    """Put a load with so many collected items into the table."""
    from runner.ledger.dynamodb.ledger import DynamoLedger  # noqa: PLC0415 - as in `finish`
    from runner.ledger.dynamodb.table import DynamoTable  # noqa: PLC0415

    async with DynamoTable.open("bulkhead") as table:
        ledger = DynamoLedger(table, now=SystemClock().now, counter_shards=8)
        await ledger.start_batch(Batch(
            batch_id=BATCH, source_uri=SPEC.source.path, account="account",
            out=f"s3://bulkhead-results/batches/{BATCH}", config=SPEC.to_json(), started_at=AT, listed=True,
        ))  # fmt: skip
        for start in range(0, count, _PAGE):
            await ledger.restore([recorded(number) for number in range(start, min(start + _PAGE, count))])
        await ledger.close()


def recorded(number: int) -> Recorded:
    """Return an item with the steps that a file of a load goes through."""
    digest, import_id = hashlib.sha256(str(number).encode()).hexdigest(), str(UUID(int=number))
    item = Item(
        batch_id=BATCH, source=f"nightly/2026-07-01/customers-{number:07}.csv", rank=number, size_bytes=2_000,
        file_key=digest[:32], version=f"{digest[:32]}-7d0", version_key=digest[:40], binding=digest[8:40],
        schema_id="customers", state=ItemState.COLLECTED, fingerprint=f"sha256:{digest}", tag=digest[:10],
        original_filename=f"customers-{number:07}.~{digest[:10]}.csv", status="SUCCESSFUL", attempts=1,
        import_id=import_id, row_count=20, rows_in=20, left_out_reasons=(), result_sha256=digest,
        result=f"nightly/2026-07-01/customers-{number:07}.csv.json",
        intent_at=AT, created_at=AT, uploaded_at=AT, finished_at=AT + timedelta(seconds=20),
    )  # fmt: skip
    steps = (
        (ItemState.QUEUED, "listed"), (ItemState.CREATING, "create"), (ItemState.CREATED, "created"),
        (ItemState.PROCESSING, "uploaded"), (ItemState.SUCCEEDED, "SUCCESSFUL"), (ItemState.COLLECTED, "result saved"),
    )  # fmt: skip
    history = [
        HistoryEntry(at=AT, state=state, reason=reason, attempts=n and 1, import_id=import_id if n > 1 else None)
        for n, (state, reason) in enumerate(steps)
    ]
    return Recorded(item, history)


def finish() -> dict[str, float]:
    """Call the handler once, after a call that found nothing to do, and return what it took."""
    from lambdas.bootstrap import container  # noqa: PLC0415 - the environment must be there before
    from lambdas.finish import lambda_handler  # noqa: PLC0415

    def handle(batch_id: str) -> None:
        answer = lambda_handler(arrived(encode(BatchRef(batch_id=batch_id))), Context(left_ms=900_000))
        assert answer == {"batchItemFailures": []}, answer

    handle("unknown")
    started, cpu = time.perf_counter(), time.process_time()
    with counted_pages() as pages:
        handle(BATCH)
    took = {"took_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu, "pages": len(pages)}
    container.close()
    return {**took, "rss_mb": peak_rss_mb()}


@contextmanager
def counted_pages() -> Iterator[list[str]]:
    """Gather the items' pages of the table that are read."""
    from runner.ledger.dynamodb import queries  # noqa: PLC0415 - as in `finish`

    read: list[str] = []
    source_rows = queries.source_rows

    async def counting(table: Any, batch_id: str) -> AsyncIterator[Any]:
        async for page in source_rows(table, batch_id):
            read.append(batch_id)
            yield page

    queries.source_rows = counting
    try:
        yield read
    finally:
        queries.source_rows = source_rows


if __name__ == "__main__":
    sys.exit(main())

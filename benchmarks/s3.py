"""An object of S3 on its way to an upload url, and a result on its way to S3: speed, and memory whatever their size.

S3 is ministack on loopback, in a process of its own like the server that takes the upload; its speed limits both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, peak_rss_mb, report
from benchmarks.upload import sink
from runner.aws.s3 import S3Client, open_s3
from runner.dromo.storage import HttpStorage
from runner.models import Item
from runner.sinks import open_sink
from runner.sources import open_source, source_spec
from tests.support.aws import LocalAws, running_ministack

MIB = 1 << 20
RSS_LIMIT_MB = 160.0
KEY = "large.csv"


async def upload(client: S3Client, url: str) -> None:
    """Send the object as a run does."""
    source = open_source(source_spec("s3://inbox"), now=datetime.now(UTC), s3=client)
    prepared = await source.prepare(Item(batch_id="b", source=KEY))
    assert prepared.body is not None
    async with HttpStorage(url) as storage:
        assert await storage.put(url, prepared.body, only_if_absent=True)


async def collect(client: S3Client, *, size_mib: int) -> None:
    """Store a result as a run does."""

    async def rows() -> AsyncIterator[bytes]:
        row = b'{"name":"%s"},' % (b"x" * 1010)
        yield b"["
        for _ in range(size_mib * 16):
            yield row * 64
        yield b"{}]"

    saved = await open_sink("s3://inbox/out", s3=client).save_result(KEY, rows())
    assert saved.row_count == size_mib * 1024 + 1


async def measured(direction: str, url: str, *, size_mib: int) -> dict[str, float]:
    async with open_s3() as client:
        started = time.perf_counter()
        await (upload(client, url) if direction == "upload" else collect(client, size_mib=size_mib))
        return {"mb_s": size_mib * MIB / 1e6 / (time.perf_counter() - started), "rss_mb": peak_rss_mb()}


async def fill(size_mib: int) -> None:
    async with open_s3() as client:
        await client.create_bucket(Bucket="inbox")  # type: ignore[attr-defined]
        await client.put_object(Bucket="inbox", Key=KEY, Body=os.urandom(size_mib * MIB))


def child(aws: LocalAws, *arguments: str) -> dict[str, float]:
    """Run this script as a process of its own, since peak memory is that of a process."""
    command = [sys.executable, "-m", "benchmarks.s3", "--child", *arguments]
    done = subprocess.run(command, env={**os.environ, **aws.variables}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout or "{}")


def measure(folder: Path, *, size_mib: int) -> list[Figure]:
    with running_ministack(folder) as aws, sink() as url:
        child(aws, "fill", url, str(size_mib))
        sent = child(aws, "upload", url, str(size_mib))
        stored = child(aws, "collect", url, str(size_mib))
    return [
        Figure(f"S3 to upload url, {size_mib} MiB", sent["mb_s"], "MB/s"),
        Figure("peak memory", sent["rss_mb"], "MB", at_most=RSS_LIMIT_MB),
        Figure(f"result to S3, {size_mib} MiB", stored["mb_s"], "MB/s"),
        Figure("peak memory", stored["rss_mb"], "MB", at_most=RSS_LIMIT_MB),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=256)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        direction, url, size_mib = options.child
        if direction == "fill":
            asyncio.run(fill(int(size_mib)))
        else:
            print(json.dumps(asyncio.run(measured(direction, url, size_mib=int(size_mib)))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return report(measure(Path(folder), size_mib=options.size_mib))


if __name__ == "__main__":
    sys.exit(main())

"""Small files from a directory to saved results: the runner with its ledger, a bare loop of aiohttp, and curl.

The vendor is a process of its own that answers at once. The bare loop makes the same calls over kept connections,
without a ledger, a quota, or a list; `curl -Z` makes them in four passes. They take turns in one run of the script.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from benchmarks.bare_vendor import BareVendor
from benchmarks.figures import Figure, peak_rss_mb, report
from runner import Bulkhead, Routes, RunSpec, source_spec
from runner.config.settings import Settings
from runner.config.units import Rate
from runner.models import ItemState

AT_ONCE = 12
CONTENT = b"name,city\nAda,London\nLinus,Helsinki\n"
QUOTAS = (600, 2_000, 5_000)
"""Creates a minute that a run is to follow."""

WINDOW_S = 6.0
"""The time in which a share of these quotas is counted, so that a run of seconds has several windows."""


@dataclass(frozen=True)
class Spent:
    """What a client took for so many items, in a process of its own."""

    items: int
    wall_s: float
    cpu_s: float
    rss_mb: float

    @property
    def per_s(self) -> float:
        return self.items / self.wall_s

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu_s / self.items


def run_bulkhead(port: int, inbox: Path, work: Path, quota: Rate) -> Spent:
    """Import all files with the library, as a command does."""
    settings = Settings(
        api_url=f"http://127.0.0.1:{port}/api/v1", license_key=SecretStr("key"), ledger=work / "ledger.db",
        quota_store=work / "quota.db", create_quota=quota, list_quota=Rate(1_000_000, 60.0),
    )  # fmt: skip

    async def run() -> int:
        async with Bulkhead(settings) as bulkhead:
            spec = RunSpec(source=source_spec(str(inbox)), routes=Routes.single(schema_id="s1"), out=str(work / "out"))
            outcome = await bulkhead.run(spec)
            return outcome.by_state.get(ItemState.COLLECTED, 0)

    return measured(run)


def run_bare_loop(port: int, inbox: Path, work: Path) -> Spent:
    """Make the same calls, `AT_ONCE` at a time, and save the results."""
    files = iter(sorted(inbox.rglob("*.csv")))
    base = f"http://127.0.0.1:{port}/api/v1/headless/imports/"
    done = 0

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal done
        for file in files:
            body = {"schema_id": "s1", "original_filename": file.name}
            async with session.post(base, json=body) as response:
                made = await response.json()
            async with session.put(made["upload"], data=file.read_bytes()) as response:
                await response.read()
            async with session.get(f"{base}{made['id']}/url/") as response:
                url = (await response.json())["presigned_url"]
            async with session.get(url) as response:
                (work / f"{file.name}.json").write_bytes(await response.read())
            done += 1

    async def run() -> int:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(worker(session))
        return done

    return measured(run)


def run_curl(port: int, inbox: Path, work: Path) -> Spent:
    """Make as many calls of the same kinds with `curl -Z`, one kind after the other."""
    files = sorted(inbox.rglob("*.csv"))
    base = f"http://127.0.0.1:{port}/api/v1/headless/imports/"
    entries = {
        "create": [f'url = "{base}"\ndata = "{{}}"' for _ in files],
        "upload": [f'url = "http://127.0.0.1:{port}/upload/1"\nupload-file = "{file}"' for file in files],
        "url": [f'url = "{base}1/url/"' for _ in files],
        "result": [f'url = "http://127.0.0.1:{port}/result/1"' for _ in files],
    }
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for kind, lines in entries.items():
        config = work / f"{kind}.curl"
        config.write_text("\nnext\n".join(f"{line}\nsilent\noutput = /dev/null" for line in lines))
        subprocess.run(["curl", "-Z", "--parallel-max", str(AT_ONCE), "-K", str(config)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(len(files), time.perf_counter() - began, cpu_s, after.ru_maxrss * 1024 / 1e6)


def measured(run: Callable[[], Awaitable[int]]) -> Spent:
    logging.disable(logging.INFO)
    began, cpu_began = time.perf_counter(), time.process_time()
    items = asyncio.run(run())  # type: ignore[arg-type]
    return Spent(items, time.perf_counter() - began, time.process_time() - cpu_began, peak_rss_mb())


@contextmanager
def place(under: Path | None, count: int) -> Iterator[tuple[Path, Path]]:
    """Make a directory of so many small files, and one to work in."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-pipeline-", dir=under) as folder:
        inbox, work = Path(folder) / "inbox", Path(folder) / "work"
        inbox.mkdir()
        work.mkdir()
        for number in range(count):
            (inbox / f"customers-{number:06}.csv").write_bytes(CONTENT)
        yield inbox, work


def played(client: Callable[..., Spent], under: Path | None, count: int, *options: object) -> Spent:
    """Run a client in a new process against a new vendor."""
    spawned = multiprocessing.get_context("spawn")
    with place(under, count) as (inbox, work), BareVendor() as vendor, spawned.Pool(1) as pool:
        spent = pool.apply(client, (vendor.port, inbox, work, *options))
    assert spent.items == count, f"{spent.items} of {count} items were collected"
    return spent


def followed(per_minute: int, under: Path | None) -> float:
    """Return the time of a run that a quota bounds, against the least time that the quota allows."""
    quota = Rate(round(per_minute * WINDOW_S / 60), WINDOW_S)
    windows = 3
    count = quota.count * windows + 1
    with place(under, count) as (inbox, work), BareVendor() as vendor:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(run_bulkhead, (vendor.port, inbox, work, quota))
        first, last = vendor.creates()
    return (last - first) / (windows * quota.per_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2_000, help="files of each run")
    parser.add_argument("--many", type=int, default=20_000, help="files of the run whose memory is measured")
    parser.add_argument("--disk", type=Path, default=Path.cwd(), help="a directory on a disk")
    parser.add_argument("--only", choices=["tmpfs", "disk", "many", "quota"], help="one part only")
    options = parser.parse_args()
    unlimited, figures = Rate(1_000_000, 60.0), []
    for name, under, at_least in (("tmpfs", Path("/dev/shm"), 0.4), ("disk", options.disk, 0.25)):
        if options.only not in {None, name}:
            continue
        bare = played(run_bare_loop, under, options.items)
        ours = played(run_bulkhead, under, options.items, unlimited)
        figures += [
            Figure(f"{name}: bare loop of aiohttp", bare.per_s, "items/s"),
            Figure(f"{name}: Bulkhead", ours.per_s, "items/s"),
            Figure(f"{name}: Bulkhead / bare loop", ours.per_s / bare.per_s, "x", at_least=at_least),
            Figure(f"{name}: CPU of the bare loop", bare.cpu_ms, "ms/item"),
            Figure(f"{name}: CPU of Bulkhead", ours.cpu_ms, "ms/item", at_most=4),
        ]
        if shutil.which("curl"):
            curl = played(run_curl, under, options.items)
            figures += [Figure(f"{name}: curl -Z, four passes", curl.per_s, "items/s")]
    if options.only in {None, "many"}:
        many = played(run_bulkhead, Path("/dev/shm"), options.many, unlimited)
        figures += [
            Figure(f"{options.many:,} items: Bulkhead", many.per_s, "items/s"),
            Figure(f"{options.many:,} items: peak memory", many.rss_mb, "MB", at_most=100),
        ]
    if options.only in {None, "quota"}:
        figures += [
            Figure(f"{quota:,} creates a minute: time / least", followed(quota, Path("/dev/shm")), "x", at_most=1.1)
            for quota in QUOTAS
        ]
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())

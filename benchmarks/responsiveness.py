"""The sandbox's API while two imports of a million rows run: how long a retrieve, a list and a create take.

`python -m benchmarks.responsiveness [ROWS]` starts the sandbox as a process of its own and calls it over loopback at an
even pace, each call on time whatever became of the one before. The account already holds the imports of `--kept`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from benchmarks.engine import FIELDS, make_file
from benchmarks.figures import Figure, report

IMPORTS = "/headless/imports/"
KEY = {"X-Dromo-License-Key": "k"}
PACE_S = 0.008
P99_MAX_MS = 50.0
ENDED = {"SUCCESSFUL", "NEEDS_REVIEW", "FAILED"}
SCHEMA = {"id": "bench", "name": "Bench", "fields": FIELDS}


class Sandbox:
    """A running sandbox and a session with it; times every call by the name it was given."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._base_url = base_url
        self.taken_ms: defaultdict[str, list[float]] = defaultdict(list)

    async def call(self, name: str, method: str, path: str, body: object = None) -> Any:
        started = time.perf_counter()
        async with self._session.request(method, self._base_url + path, json=body, headers=KEY) as response:
            assert response.status < 300, await response.text()
            answer = await response.json()
        self.taken_ms[name].append((time.perf_counter() - started) * 1000)
        return answer

    async def create(self) -> Any:
        return await self.call("create", "POST", IMPORTS, {"schema_id": "bench", "original_filename": "a.csv"})

    async def upload(self, path: Path) -> str:
        created = await self.create()
        with path.open("rb") as stream:
            async with self._session.put(URL(created["upload"], encoded=True), data=stream) as response:
                assert response.status == 200
        return str(created["id"])

    async def status(self, import_id: str) -> str:
        return str((await self.call("retrieve", "GET", f"{IMPORTS}{import_id}/"))["status"])


async def start(data: Path, schemas: Path) -> tuple[Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", "--port", "0", "--data", str(data), "--schemas", str(schemas),
        "--create-quota", "1000000/60s", "--poll-quota", "1000000/60s", stdout=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode().split()[-1]


async def ask_until(sandbox: Sandbox, running: set[str]) -> float:
    """Call at an even pace until the running imports have ended; returns for how long."""
    started, number = time.perf_counter(), 0
    known = sorted(running)
    pending: set[asyncio.Task[None]] = set()

    async def one(kind: int) -> None:
        if kind == 0:
            known.append((await sandbox.create())["id"])
        elif kind == 1:
            await sandbox.call("list of 1000", "GET", f"{IMPORTS}?limit=1000")
        elif kind == 2:
            await sandbox.call("list of 100", "GET", IMPORTS)
        elif await sandbox.status(asked := random.choice([*running, random.choice(known)])) in ENDED:
            running.discard(asked)

    while running:
        pending.add(task := asyncio.create_task(one(number % 4)))
        task.add_done_callback(pending.discard)
        number += 1
        await asyncio.sleep(max(0.0, started + number * PACE_S - time.perf_counter()))
    await asyncio.gather(*pending)
    return time.perf_counter() - started


async def fill(sandbox: Sandbox, data: Path, process: Process, count: int) -> None:
    """Make one import, end the sandbox, and write copies of that import next to it."""
    await sandbox.create()
    process.terminate()
    await process.wait()
    with sqlite3.connect(data / "sandbox.sqlite") as database:
        definition, body = database.execute("SELECT definition, body FROM imports").fetchone()
        ids = (str(uuid.uuid4()) for _ in range(count))
        copies = ((one, definition, json.dumps({**json.loads(body), "id": one})) for one in ids)
        database.executemany("INSERT INTO imports (id, definition, body) VALUES (?, ?, ?)", copies)
    database.close()


def p(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100)[round(share * 100) - 1]


async def measure(work: Path, *, rows: int, kept: int) -> list[Figure]:
    schemas = work / "schemas"
    schemas.mkdir()
    (schemas / "bench.json").write_text(json.dumps(SCHEMA))
    file = work / "customers.csv"
    make_file(file, rows)
    process, base_url = await start(work / "data", schemas)
    async with aiohttp.ClientSession() as session:
        if kept:
            await fill(Sandbox(session, base_url), work / "data", process, kept)
            process, base_url = await start(work / "data", schemas)
        sandbox = Sandbox(session, base_url)
        try:
            running = {await sandbox.upload(file) for _ in range(2)}
            sandbox.taken_ms.clear()
            lasted_s = await ask_until(sandbox, running)
        finally:
            process.terminate()
            await process.wait()
    figures = [Figure(f"both imports of {rows:,} rows", lasted_s, "s")]
    for name, values in sorted(sandbox.taken_ms.items()):
        figures.append(Figure(f"{name}, p50 of {len(values)}", p(values, 0.5), "ms"))
        figures.append(Figure(f"{name}, p99", p(values, 0.99), "ms", at_most=P99_MAX_MS))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--kept", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-responsiveness-") as folder:
        return report(asyncio.run(measure(Path(folder), rows=options.rows, kept=options.kept)))


if __name__ == "__main__":
    sys.exit(main())

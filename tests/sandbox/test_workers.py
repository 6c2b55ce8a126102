"""Imports in worker processes: each can fail alone, and none outlives the sandbox."""

import asyncio
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandbox.api_state import SandboxState
from sandbox.clock import SandboxClock
from sandbox.context import SandboxContext, run_engine
from sandbox.engine import Outcome
from sandbox.faults import FaultPlan
from sandbox.imports import Job
from sandbox.limits import MEGABYTE, MEMORY_MIN_BYTES, RunStopped, WorkerLimits
from sandbox.storage import Storage
from sandbox.webhooks import Webhooks
from sandbox.workers import WorkerPool
from tests.support.processes import Watched, children_of
from tests.support.sandbox import CUSTOMERS, running_sandbox

ROOT = Path(__file__).parents[2]
CSV = b"Full Name,Email\nAda,ada@x.example\n"
SCHEMA = {"fields": CUSTOMERS["fields"], "settings": {}, "hooks": {}}
TIME_S = 60.0
BLANK_LINES = b"Full Name\n" + b"\n" * 8_000_000  # rows of 56 bytes each, once they are in memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched as Linux shows them")


@pytest.fixture(autouse=True)
def scratch(tmp_path_factory, monkeypatch):
    """The directory for the workers' temporary directories; it must be empty at the end."""
    place = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


@asynccontextmanager
async def running_pool(*, count=1, limits=None):
    pool = WorkerPool(count=count, limits=limits or WorkerLimits())
    try:
        yield pool
    finally:
        await pool.close()


def job(directory, content, *, name="a", **fields):
    source = directory / name
    source.write_bytes(content)
    given = {"import_id": name, "filename": f"{name}.csv", "schema": SCHEMA, "user": None}
    return Job(source=source, result_path=directory / f"{name}.blob", **given | fields)


def endless_job(directory):
    """A job whose file is a pipe that never ends."""
    os.mkfifo(directory / "pipe")
    given = {"import_id": "endless", "filename": "a.csv", "schema": SCHEMA, "user": None}
    return Job(source=directory / "pipe", result_path=directory / "endless.blob", **given)


def greedy_job(directory):
    """A job whose file a worker reads as a whole; it takes no space on the disk."""
    greedy = job(directory, b"", name="greedy", is_json=True)
    os.truncate(greedy.source, MEMORY_MIN_BYTES)
    return greedy


async def opened_by_a_worker(directory):
    """Wait until a worker reads the pipe of the endless job, and return the end to write."""
    return await asyncio.to_thread(os.open, directory / "pipe", os.O_WRONLY)


async def stopped(pool, given, *, time_s=TIME_S):
    with pytest.raises(RunStopped) as stop:
        await pool.run(given, time_s=time_s)
    return str(stop.value)


async def test_a_worker_imports_a_file_and_writes_the_result_to_the_given_path(tmp_path):
    async with running_pool() as pool:
        finished = await pool.run(job(tmp_path, CSV), time_s=TIME_S)
    content = (tmp_path / "a.blob").read_bytes()
    assert json.loads(content) == [{"name": "Ada", "email": "ada@x.example"}]
    assert (finished.outcome.status, finished.outcome.rows) == ("SUCCESSFUL", None)
    assert finished.result.source == tmp_path / "a.blob"
    assert finished.result.size_bytes == len(content)
    assert finished.result.sha256 == hashlib.sha256(content).hexdigest()


async def test_a_worker_reads_the_rows_of_json_itself(tmp_path):
    async with running_pool() as pool:
        await pool.run(job(tmp_path, b'[{"name": "Ada"}]', is_json=True), time_s=TIME_S)
    assert json.loads((tmp_path / "a.blob").read_bytes()) == [{"name": "Ada", "email": None, "credit": None}]


async def test_a_failed_import_has_no_result(tmp_path):
    async with running_pool() as pool:
        finished = await pool.run(job(tmp_path, b""), time_s=TIME_S)
    assert (finished.outcome.status, finished.result) == ("FAILED", None)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_a_worker_is_kept_for_the_next_import(tmp_path):
    before = set(children_of(os.getpid()))
    async with running_pool() as pool:
        kept = []
        for name in ("a", "b"):
            await pool.run(job(tmp_path, CSV, name=name), time_s=TIME_S)
            kept.append(set(children_of(os.getpid())) - before)
    assert len(kept[0]) == 1
    assert kept[0] == kept[1]


async def test_no_more_workers_run_than_are_allowed(tmp_path):
    before = set(children_of(os.getpid()))
    async with running_pool(count=2) as pool:
        await asyncio.gather(*(pool.run(job(tmp_path, CSV, name=f"j{n}"), time_s=TIME_S) for n in range(6)))
        assert 1 <= len(set(children_of(os.getpid())) - before) <= 2


async def test_an_import_that_needs_too_much_memory_ends_alone(tmp_path):
    async with running_pool(count=2, limits=WorkerLimits(memory_bytes=MEMORY_MIN_BYTES)) as pool:
        greedy, finished = await asyncio.gather(
            stopped(pool, greedy_job(tmp_path)),
            pool.run(job(tmp_path, CSV), time_s=TIME_S),
        )
        assert greedy == "The import needed more than 256 MB of memory."
        assert finished.outcome.status == "SUCCESSFUL"
        again = await pool.run(job(tmp_path, CSV, name="b"), time_s=TIME_S)
        assert again.outcome.status == "SUCCESSFUL"
    assert not (tmp_path / "greedy.blob").exists()


async def test_an_import_that_takes_too_long_ends_alone_and_leaves_nothing(tmp_path):
    async with running_pool() as pool:
        sentence = await stopped(pool, endless_job(tmp_path), time_s=0.05)
        assert sentence == "The import took longer than the 0.05 seconds allowed."
        assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
        assert (await pool.run(job(tmp_path, CSV), time_s=TIME_S)).outcome.status == "SUCCESSFUL"


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (signal.SIGKILL, "The import was killed, perhaps because the machine ran out of memory."),
        (signal.SIGABRT, "The import needed more than 2 GB of memory."),
        (signal.SIGSEGV, "The import engine crashed."),
    ],
)
async def test_a_worker_that_dies_ends_its_own_import_and_is_replaced(tmp_path, number, sentence):
    before = set(children_of(os.getpid()))
    async with running_pool() as pool:
        running = asyncio.create_task(stopped(pool, endless_job(tmp_path)))
        writing = await opened_by_a_worker(tmp_path)
        (worker,) = set(children_of(os.getpid())) - before
        os.kill(worker, number)
        assert await running == sentence
        os.close(writing)
        assert (await pool.run(job(tmp_path, CSV), time_s=TIME_S)).outcome.status == "SUCCESSFUL"


async def test_a_worker_that_died_while_idle_harms_no_import(tmp_path):
    before = set(children_of(os.getpid()))
    async with running_pool() as pool:
        await pool.run(job(tmp_path, CSV), time_s=TIME_S)
        (worker,) = set(children_of(os.getpid())) - before
        watched = Watched(worker)
        os.kill(worker, signal.SIGKILL)
        assert await asyncio.to_thread(watched.ends_within, 60)
        assert (await pool.run(job(tmp_path, CSV, name="b"), time_s=TIME_S)).outcome.status == "SUCCESSFUL"


async def test_a_cancelled_run_ends_its_worker(tmp_path):
    before = set(children_of(os.getpid()))
    async with running_pool() as pool:
        running = asyncio.create_task(pool.run(endless_job(tmp_path), time_s=TIME_S))
        writing = await opened_by_a_worker(tmp_path)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        os.close(writing)
        assert set(children_of(os.getpid())) == before


async def test_a_crash_of_the_engine_shows_no_row(tmp_path):
    async with running_pool() as pool:
        sentence = await stopped(pool, job(tmp_path, b"secret", is_json=True))
    assert sentence == "The import engine crashed."


def test_a_limit_too_small_to_work_with_is_refused():
    with pytest.raises(ValueError, match="at least 256 MB"):
        WorkerLimits(memory_bytes=100 * MEGABYTE)


# The server


async def test_a_stopped_import_fails_with_a_sentence_and_others_continue():
    async with running_sandbox(limits=WorkerLimits(memory_bytes=MEMORY_MIN_BYTES)) as box:
        greedy = await box.create()
        await box.put(greedy["upload"], io.BytesIO(BLANK_LINES))
        good = await box.create(initial_data=[{"name": "Ada"}])
        found = await box.ended(greedy["id"])
        assert found["status"] == "FAILED"
        assert found["import_errors"] == [{"type": "FATAL", "message": "The import needed more than 256 MB of memory."}]
        assert (await box.ended(good["id"]))["status"] == "SUCCESSFUL"


async def test_the_time_an_import_may_take_can_be_set():
    async with running_sandbox(workers=1) as box:
        await box.control("POST", "/settings", json={"import_max_s": 0.001})
        found = await box.ended((await box.create(initial_data=[["Ada"]] * 20_000))["id"])
        assert found["import_errors"] == [
            {"type": "FATAL", "message": "The import took longer than the 0.001 seconds allowed."}
        ]


async def deno_of_a_worker(before):
    """Wait until a worker that was not there before has started the process of its hooks."""
    while True:
        workers = set(children_of(os.getpid())) - before
        for process in (child for worker in workers for child in children_of(worker)):
            return Watched(process)
        await asyncio.sleep(0.01)  # the kernel reports no grandchild


async def an_endless_hook(box):
    """Create an import whose hook never ends."""
    hooks = {"rowHooks": ["() => { while (true) {} }"]}
    created = await box.create(initial_data=[{"name": "Ada"}], hooks=hooks)
    return created["id"]


async def test_a_hook_that_never_ends_is_killed_with_the_worker_of_a_deleted_import():
    pytest.importorskip("deno")
    before = set(children_of(os.getpid()))
    async with running_sandbox(workers=1) as box:
        import_id = await an_endless_hook(box)
        deno = await deno_of_a_worker(before)
        assert (await box.api("DELETE", f"/headless/imports/{import_id}/"))[0] == 204
        assert await asyncio.to_thread(deno.ends_within, 60)
        assert (await box.ended((await box.create(initial_data=[]))["id"]))["status"] != "RUNNING"


async def test_a_hook_that_never_ends_is_killed_with_a_worker_that_takes_too_long():
    pytest.importorskip("deno")
    before = set(children_of(os.getpid()))
    async with running_sandbox(workers=1) as box:
        for time_s in (1.0, 4.0, 16.0, 64.0):
            await box.control("POST", "/settings", json={"import_max_s": time_s})
            started = asyncio.create_task(deno_of_a_worker(before))
            found = await box.ended(await an_endless_hook(box))
            sentence = f"The import took longer than the {time_s:g} seconds allowed."
            assert found["import_errors"] == [{"type": "FATAL", "message": sentence}]
            if started.done():
                break
            started.cancel()  # a busy machine needs more time to start Deno
        assert await asyncio.to_thread((await started).ends_within, 60)
        assert (await box.ended((await box.create(initial_data=[]))["id"]))["status"] != "RUNNING"


async def test_a_given_engine_runs_in_this_process():
    seen = []

    def engine(given):
        seen.append((os.getpid(), given.source))
        return Outcome(status="SUCCESSFUL", rows=[])

    async with running_sandbox(engine=engine) as box:
        await box.ended((await box.create(initial_data=[{"name": "Ada"}]))["id"])
    assert seen == [(os.getpid(), [{"name": "Ada"}])]


class EndlessRuns:
    """A JobRunner whose runs end only when they are cancelled."""

    def __init__(self):
        self.begun, self.cancelled = asyncio.Queue(), asyncio.Queue()

    async def run(self, job, *, time_s):
        self.begun.put_nowait(job.import_id)
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.put_nowait(job.import_id)

    async def close(self):
        """Do nothing: no run is left."""


async def test_the_run_of_a_deleted_import_is_ended_and_leaves_no_file(tmp_path):
    rng, runs = random.Random(1), EndlessRuns()
    state = SandboxState(rng, storage=Storage(tmp_path), schemas=[CUSTOMERS], inline=False)
    webhooks = Webhooks(rng, count=state.count, next_fault=lambda: None)
    context = SandboxContext(state=state, clock=SandboxClock(), faults=FaultPlan(rng), webhooks=webhooks)
    body = {"schema_id": "customers", "initial_data": [{"name": "Ada"}]}
    ids = [state.create(body, context.now)["id"] for _ in range(2)]
    engine = asyncio.create_task(run_engine(context, runs))
    assert [await runs.begun.get() for _ in range(2)] == ids
    state.delete(ids[0], context.now)
    context.work_due.set()
    assert await runs.cancelled.get() == ids[0]
    engine.cancel()
    with pytest.raises(asyncio.CancelledError):
        await engine
    context.commit()
    assert [path.name.partition(".")[0] for path in tmp_path.iterdir()] == [ids[1]]
    assert state.retrieve(ids[1], context.now)["status"] in {"PENDING", "RUNNING"}


def test_no_process_outlives_a_sandbox_that_is_killed(tmp_path):
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--data", str(tmp_path), "--processing-s", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            watched = [Watched(pid) for pid in started_workers(process)]
        finally:
            process.kill()
    assert watched
    assert all(one.ends_within(60) for one in watched)


def started_workers(process):
    """Give the sandbox two imports, and return its workers as soon as there are any."""
    base_url = process.stdout.readline().split()[-1]
    rows = [[f"Somebody {number}", f"s{number}@x.example", number] for number in range(20_000)]
    body = json.dumps({"fields": SCHEMA["fields"], "initial_data": rows}).encode()
    create = urllib.request.Request(f"{base_url}/headless/imports/", data=body, headers={"X-Dromo-License-Key": "k"})
    for _ in range(2):
        urllib.request.urlopen(create, timeout=60).close()
    while not (found := children_of(process.pid)):
        time.sleep(0.01)  # the kernel reports no child of another process
    return found

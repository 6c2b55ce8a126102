"""Clients that disconnect, are slow, or send too much; malicious names; and full disks."""

import asyncio
import errno
import io
import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from sandbox.app import SandboxServer, run_sandbox
from sandbox.imports import Job
from sandbox.journal import NoJournal
from sandbox.limits import WorkerLimits
from sandbox.storage import BlobWriter, Storage
from sandbox.worker import answer
from tests.support.sandbox import LICENSE_KEY, running_sandbox

ROOT = Path(__file__).parents[2]
CSV = b"Full Name,Email\nAda,ada@x.example\n"
IMPORTS = "/headless/imports/"
GIBIBYTE = 1 << 30
FLAT_MAX_KIB = 40_000
HOSTILE_NAMES = [
    "../../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "a\x00b.csv",
    "a\r\nX-Injected: 1.csv",
    "a?b#c&d=e%2F%00.csv",
    "\u202etxt.csv",
    "<script>alert(1)</script>.csv",
    "'; DROP TABLE imports; --.csv",
    "Überblick 文件 \U0001f600.csv",
    "x" * 5000 + ".csv",
    "é" * 3000 + ".csv",
    "CON.csv",
    "a b+c.csv",
]


@pytest.fixture
async def box():
    async with running_sandbox(seed=3) as running:
        yield running


async def connected(url, head, *, body=b""):
    """A connection that has sent the head of a request and some of its body."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"{head}\r\nHost: localhost\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def imported(box, *, rows):
    """An import whose result has half a kilobyte a row."""
    created = await box.create()
    await box.put(created["upload"], io.BytesIO(b"Full Name\n" + (b"x" * 500 + b"\n") * rows))
    assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"
    return created


async def until(condition):
    """Wait until the condition holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def part_files(box):
    return list(box.server.context.state.storage._directory.glob("*.part"))


# Clients that disconnect


async def test_a_client_that_disconnects_during_an_upload_leaves_no_file_and_no_traceback(box, caplog):
    created = await box.create()
    url = URL(created["upload"], encoded=True)
    head = f"PUT {url.raw_path_qs} HTTP/1.1\r\nContent-Length: 9000000"
    for leave in ("abort", "close"):
        _, writer = await connected(url, head, body=b"\r\n" + b"x" * 1_000_000)
        await until(lambda: part_files(box))
        getattr(writer.transport, leave)()
        await until(lambda: not part_files(box))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert (await box.put(created["upload"], CSV))[0] == 200


async def test_a_client_that_disconnects_during_a_create_makes_no_import_and_no_traceback(box, caplog):
    head = f"POST /api/v1{IMPORTS} HTTP/1.1\r\nX-Dromo-License-Key: k\r\nContent-Length: 1000"
    _, writer = await connected(URL(box.base_url), head, body=b"\r\n{")
    assert (await box.api("GET", IMPORTS))[1]["count"] == 0
    writer.transport.abort()
    assert (await box.api("GET", IMPORTS))[1]["count"] == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_client_that_disconnects_during_a_download_leaves_no_traceback(box, caplog):
    created = await imported(box, rows=20_000)
    status, found = await box.api("GET", f"{IMPORTS}{created['id']}/url/")
    url = URL(found["presigned_url"], encoded=True)
    reader, writer = await connected(url, f"GET {url.raw_path_qs} HTTP/1.1", body=b"\r\n")
    await reader.readline()
    writer.transport.abort()
    assert len(await box.rows(created["id"])) == 20_000
    assert (status, [record for record in caplog.records if record.levelno >= logging.WARNING]) == (200, [])


# Slow clients


async def test_clients_that_never_finish_their_requests_do_not_block_others(box):
    created = await box.create()
    url = URL(created["upload"], encoded=True)
    heads = [f"GET {url.raw_path_qs}", f"PUT {url.raw_path_qs} HTTP/1.1\r\nContent-Length: 100", "POST"]
    slow = [await connected(url, heads[number % 3]) for number in range(150)]
    assert (await box.put(created["upload"], CSV))[0] == 200
    assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"
    for _, writer in slow:
        writer.transport.abort()


async def test_a_client_that_reads_no_answer_costs_no_memory(box):
    created = await imported(box, rows=20_000)
    _, found = await box.api("GET", f"{IMPORTS}{created['id']}/url/")
    url = URL(found["presigned_url"], encoded=True)
    idle = [await connected(url, f"GET {url.raw_path_qs} HTTP/1.1", body=b"\r\n") for _ in range(20)]
    assert len(await box.rows(created["id"])) == 20_000
    for _, writer in idle:
        writer.transport.abort()


# Clients that send too much


async def test_a_body_of_json_that_is_too_large_is_refused_in_json(box):
    headers = {"X-Dromo-License-Key": LICENSE_KEY}
    body = io.BytesIO(b'{"original_filename": "' + b"x" * 40_000_000 + b'"}')
    async with box.session.post(box.base_url + IMPORTS, data=body, headers=headers) as response:
        assert (response.status, list(await response.json())) == (413, ["detail"])
    assert (await box.api("GET", IMPORTS))[1]["count"] == 0


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 900 + b"]" * 900])
async def test_json_that_is_too_deep_is_refused(box, text):
    headers = {"X-Dromo-License-Key": LICENSE_KEY}
    for path in (IMPORTS, "/schemas/"):
        async with box.session.post(box.base_url + path, data=text, headers=headers) as response:
            assert response.status == 400


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
async def test_a_file_of_any_name_is_imported_and_stored_under_the_sandboxs_own_name(box, name):
    created = await box.create(original_filename=name)
    assert created["original_filename"] == name
    assert (await box.put(created["upload"], CSV))[0] == 200
    assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"
    assert await box.rows(created["id"]) == [{"name": "Ada", "email": "ada@x.example"}]
    stored = box.server.context.state.storage._directory.iterdir()
    assert all(path.name.startswith((created["id"], "owner.lock")) for path in stored)


# Full disks


class FullStorage(Storage):
    """A storage without any space."""

    def writer(self, name):
        writer = BlobWriter(self.place(name))
        writer._stream.close()
        writer._stream = Path("/dev/full").open("wb")  # noqa: SIM115 - closed by the writer
        return writer


@contextmanager
def full_disk(box):
    state = box.server.context.state
    roomy, state.storage = state.storage, FullStorage(state.storage._directory)
    yield
    state.storage = roomy


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_an_upload_to_a_full_disk_is_refused_as_storage_does_and_can_be_retried(box, caplog, size):
    created = await box.create()
    with full_disk(box):
        status, text = await box.put(created["upload"], io.BytesIO(b"x" * size))
    assert (status, "<Code>ServiceUnavailable</Code>" in text) == (503, True)
    assert part_files(box) == []
    assert (await box.put(created["upload"], CSV))[0] == 200
    assert (await box.ended(created["id"]))["status"] == "SUCCESSFUL"
    assert "Traceback" not in caplog.text


async def test_a_json_create_on_a_full_disk_is_refused_and_makes_no_import(box):
    body = {"schema_id": "customers", "initial_data": [{"name": "Ada"}]}
    with full_disk(box):
        assert await box.api("POST", IMPORTS, json=body) == (503, {"detail": "There is no space left."})
    assert (await box.api("GET", IMPORTS))[1]["count"] == 0
    assert (await box.api("POST", IMPORTS, json=body))[0] == 201


def test_a_result_that_does_not_fit_on_the_disk_fails_its_import_with_a_sentence(tmp_path, monkeypatch):
    def full(_job):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sandbox.worker.default_engine", full)
    job = Job(import_id="a", source=CSV, filename="a", schema={}, user=None, result_path=tmp_path / "a.blob")
    assert answer(job, limits=WorkerLimits()).sentence == "There is no space left for the import's result."
    assert list(tmp_path.iterdir()) == []


class FullJournal(NoJournal):
    """A journal that cannot save any more."""

    def commit(self):
        raise OSError("the disk is full")


async def test_a_sandbox_that_cannot_save_its_account_answers_nothing_and_ends(tmp_path, caplog):
    server = SandboxServer(data=tmp_path, seed=1)
    ready = asyncio.Event()
    running = asyncio.create_task(run_sandbox(server, stop=asyncio.Event(), on_ready=lambda _url: ready.set()))
    await ready.wait()
    server.context.journal = FullJournal()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(f"{server.base_url}/schemas/", json={}, headers={"X-Dromo-License-Key": "k"})
    with pytest.raises(OSError, match="crashed"):
        await running
    assert "Traceback" not in caplog.text


# A gibibyte


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux shows it")
def test_an_upload_of_a_gibibyte_takes_no_more_memory_than_a_small_one(tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(GIBIBYTE)
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            base_url = process.stdout.readline().split()[-1]
            before = peak_kib(process.pid)
            with large.open("rb") as stream:
                assert asyncio.run(put(base_url, stream)) == 200
            assert peak_kib(process.pid) - before < FLAT_MAX_KIB
        finally:
            process.kill()


async def put(base_url, stream):
    """Create an import and upload all of the stream to it; return the answer's status."""
    body = {"fields": [{"key": "a"}], "original_filename": "large.csv"}
    async with aiohttp.ClientSession() as session:
        async with session.post(base_url + IMPORTS, json=body, headers={"X-Dromo-License-Key": "k"}) as response:
            created = await response.json()
        async with session.put(URL(created["upload"], encoded=True), data=stream) as response:
            return response.status


def peak_kib(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

"""The worker pool: a bad file is reported alone, whatever it does to its process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.check import FileCheck, Prediction, WorkerPool
from runner.check.pool import PoolClosed
from runner.check.worker import FileToCheck
from runner.errors import BulkheadError
from tests.support.checks import moody_engine, setup_of
from tests.support.fork_server import ROOT
from tests.support.processes import Watched, children_of


def fill(directory: Path, *names: str) -> list[FileToCheck]:
    for name in names:
        (directory / name).write_text("x,y\n1,2\n")
    return [FileToCheck(name, 8, 0) for name in names]


async def checked(directory: Path, tasks: Sequence[FileToCheck], *, timeout_s: float = 30.0) -> dict[str, FileCheck]:
    async with WorkerPool(setup_of(moody_engine, directory), workers=1, file_timeout_s=timeout_s) as pool:
        return {check.source: check for check in await pool.check(tasks)}


async def test_a_file_that_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    found = await checked(tmp_path, fill(tmp_path, "a.csv", "kill-1.csv", "b.csv", "kill-2.csv", "c.csv"))
    assert {name: check.code for name, check in found.items()} == {
        "a.csv": None, "kill-1.csv": "check_killed", "b.csv": None, "kill-2.csv": "check_killed", "c.csv": None,
    }  # fmt: skip
    assert found["kill-1.csv"].prediction is Prediction.FAIL
    assert not found["kill-1.csv"].is_judged


async def test_a_file_that_takes_too_long_times_out(tmp_path: Path) -> None:
    found = await checked(tmp_path, fill(tmp_path, "hang.csv", "a.csv"), timeout_s=2.0)
    assert (found["hang.csv"].code, found["a.csv"].code) == ("check_timeout", None)


async def test_a_file_that_breaks_the_engine_or_needs_too_much_memory_is_reported_without_its_content(
    tmp_path: Path,
) -> None:
    found = await checked(tmp_path, fill(tmp_path, "raise.csv", "memory.csv", "a.csv"))
    assert [check.code for check in found.values()] == ["check_error", "check_memory", None]
    assert "what a file holds" not in repr(found)


async def test_nothing_that_a_library_prints_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    await checked(tmp_path, fill(tmp_path, "talk.csv"))
    assert capfd.readouterr() == ("", "")


async def test_a_file_that_is_gone_is_rejected_as_in_a_run(tmp_path: Path) -> None:
    found = await checked(tmp_path, [FileToCheck("gone.csv", 8, 0)])
    assert (found["gone.csv"].prediction, found["gone.csv"].code) == (Prediction.REJECT, "not_found")


async def test_leaving_the_pool_ends_a_worker_that_is_busy(tmp_path: Path) -> None:
    pool = WorkerPool(setup_of(moody_engine, tmp_path), workers=1, file_timeout_s=600)
    os.mkfifo(tmp_path / "started")
    async with pool:
        work = asyncio.ensure_future(pool.check(fill(tmp_path, "hang.csv")))
        assert await asyncio.to_thread((tmp_path / "started").read_bytes) == b"at work"
    async with asyncio.timeout(30):
        with pytest.raises(PoolClosed):
            await work


class Unloadable:
    """An engine whose module ends the process that loads it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


async def test_workers_that_do_not_start_end_the_check_with_a_sentence(tmp_path: Path) -> None:
    async with WorkerPool(setup_of(Unloadable(), tmp_path), workers=1, file_timeout_s=30) as pool:
        with pytest.raises(BulkheadError, match="did not start"):
            await pool.check(fill(tmp_path, "a.csv"))


PARENT = """
import asyncio, sys
from pathlib import Path
from runner.check import WorkerPool
from runner.check.worker import FileToCheck
from tests.support.checks import moody_engine, setup_of

async def main():
    async with WorkerPool(setup_of(moody_engine, Path(sys.argv[1])), workers=1, file_timeout_s=600) as pool:
        await pool.check([FileToCheck("hang.csv", 8, 0)])

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are watched as Linux shows them")
def test_a_busy_worker_ends_with_its_parent_and_leaves_no_files(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    fill(tmp_path, "hang.csv")
    os.mkfifo(tmp_path / "started")
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=ROOT, env=environment) as parent:
        assert (tmp_path / "started").read_bytes() == b"at work"
        (worker,) = map(Watched, children_of(parent.pid))
        parent.kill()
    assert worker.ends_within(10)
    assert list(scratch.iterdir()) == []


async def test_a_worker_that_crashes_writes_no_core_file_with_rows(tmp_path: Path) -> None:
    found = await checked(tmp_path, fill(tmp_path, "core.csv"))
    assert found["core.csv"].message == "(0, 0)"

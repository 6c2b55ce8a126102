"""One run at a time on a source: what a lock refuses, how it ends, and what it remembers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.errors import LedgerError, LedgerReplaced, SourceLocked
from runner.events import Event, Notice
from runner.ledger.memory import MemoryLedger
from runner.local.source_lock import REMEMBERED_SOURCES, SourceLock
from runner.models import Batch
from runner.sources.roots import SourceRoot
from tests.support.fork_server import ROOT

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def place(path: str) -> SourceRoot:
    parts = tuple(path.rstrip("/").split("/"))
    return SourceRoot(parts=parts, base=len(parts))


async def take(directory: Path, path: str, *, ledger: str = "/work/ledger.db") -> SourceLock:
    return await SourceLock.take(directory, place(path), ledger=Path(ledger), now=NOW)


async def introduced(lock: SourceLock, *batch_ids: str, tagged: bool = True) -> list[str]:
    """Introduce the last of these batches of a ledger; return what was said."""
    ledger, said = MemoryLedger(now=lambda: NOW), list[Event]()
    for batch_id in batch_ids:
        batch = Batch(batch_id=batch_id, source_uri="u", account="a", out="o", config="{}", started_at=NOW)
        await ledger.start_batch(batch)
    await lock.introduce(batch, ledger, said.append, tagged=tagged)
    lock.release()
    return [event.message for event in said if isinstance(event, Notice)]


async def test_a_second_lock_names_process_ledger_and_root_and_the_next_command(tmp_path: Path) -> None:
    first = await take(tmp_path, "/data", ledger="/a dir/ledger.db")
    with pytest.raises(SourceLocked) as refused:
        await take(tmp_path, "/data/inbox")
    assert f"(pid {os.getpid()}, since 2026-07-01T00:00:00.000Z) imports /data," in str(refused.value)
    assert "overlaps with /data/inbox, with the ledger /a dir/ledger.db" in str(refused.value)
    assert "`bulkhead status --ledger '/a dir/ledger.db'`" in (refused.value.hint or "")
    first.release()
    (await take(tmp_path, "/data/inbox")).release()


async def test_many_runs_that_start_at_once_leave_one_for_each_source(tmp_path: Path) -> None:
    paths = [f"/data/{number % 3}" for number in range(30)]
    found = await asyncio.gather(*(take(tmp_path, path) for path in paths), return_exceptions=True)
    held = [lock for lock in found if isinstance(lock, SourceLock)]
    assert sorted(str(lock.root) for lock in held) == ["/data/0", "/data/1", "/data/2"]
    assert sum(isinstance(error, SourceLocked) for error in found) == 27
    for lock in held:
        lock.release()
    assert left_in(tmp_path) == []


def left_in(directory: Path) -> list[Path]:
    return list(directory.glob("*.lock"))


async def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    with holding("/data", tmp_path) as other:
        with pytest.raises(SourceLocked, match=f"pid {other.pid}"):
            await take(tmp_path, "/data/inbox")
        other.send_signal(signal.SIGKILL)
        other.wait()
    (await take(tmp_path, "/data/inbox")).release()


@contextmanager
def holding(path: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let another process hold the lock of a source."""
    code = (
        "import asyncio, sys; from pathlib import Path; from tests.unit.local.test_source_lock import take\n"
        "lock = asyncio.run(take(Path(sys.argv[1]), sys.argv[2])); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(directory), path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield other


async def test_a_lock_whose_file_is_deleted_or_replaced_says_so(tmp_path: Path) -> None:
    lock = await take(tmp_path / "locks", "/data")
    lock.check()
    shutil.rmtree(tmp_path / "locks")
    with pytest.raises(LedgerReplaced, match="was deleted"):
        lock.check()
    other = await take(tmp_path / "locks", "/data")
    lock.release()
    other.check()
    other.release()


async def test_a_directory_that_cannot_be_written_is_an_error_as_for_the_quota_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError) as refused:
        await take(tmp_path / "file" / "locks", "/data")
    assert "BULKHEAD_QUOTA_STORE" in (refused.value.hint or "")


async def test_a_run_with_another_ledger_says_so_once(tmp_path: Path) -> None:
    assert await introduced(await take(tmp_path, "/data"), "b1") == []
    assert await introduced(await take(tmp_path, "/data"), "b1", "b2") == []
    (said,) = await introduced(await take(tmp_path, "/data/inbox", ledger="/other.db"), "b3")
    assert said.startswith("the last run of /data used another ledger: /work/ledger.db (batch b2)")
    assert "recognized by the tags" in said
    assert await introduced(await take(tmp_path, "/data/inbox", ledger="/other.db"), "b3", "b4") == []


async def test_a_copy_of_a_ledger_is_not_another_one_but_a_new_file_in_its_place_is(tmp_path: Path) -> None:
    await introduced(await take(tmp_path, "/data"), "b1")
    assert await introduced(await take(tmp_path, "/data", ledger="/copy.db"), "b1", "b2") == []
    (said,) = await introduced(await take(tmp_path, "/data", ledger="/copy.db"), "b3", tagged=False)
    assert said.startswith("the ledger /copy.db is not the one of the last run of /data: it has no batch b2")
    assert "are sent again" in said


async def test_a_memory_that_cannot_be_read_is_forgotten(tmp_path: Path) -> None:
    for content in ("", "[]", '{"runs": [1]}', '{"runs": [{"root": {}}]}'):
        (tmp_path / "last-runs.json").write_text(content)
        assert await introduced(await take(tmp_path, "/data"), "b1") == []


async def test_only_so_many_sources_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.local.source_lock.REMEMBERED_SOURCES", 3)
    assert REMEMBERED_SOURCES > 3
    for number in range(5):
        await introduced(await take(tmp_path, f"/data/{number}"), f"b{number}")
    known = [len(await introduced(await take(tmp_path, f"/data/{number}"), "b")) for number in (2, 1)]
    assert known == [1, 0]

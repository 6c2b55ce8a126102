"""What the SQLite ledger adds to the protocol: one file, one writer, and no loss by kill, full disk, or damage."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import multiprocessing
import os
import random
import resource
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from runner.errors import (
    BulkheadError,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerReplaced,
    LedgerTooNew,
    StorageFull,
)
from runner.ledger.sqlite.database import RESERVE_BYTES, DiskReserve, explained
from runner.ledger.sqlite.ledger import IS_SENT, SCHEMA, SELECT_HELD_BACK, WAS_TRIED, SqliteLedger
from runner.ledger.sqlite.lockfile import refuse_network_file_system
from runner.ledger.sqlite.rows import select_of_any_batch
from runner.models import Batch, Item, ItemState, RemoteImport

START = datetime(2026, 7, 23, 10, 15, tzinfo=UTC)
ORPHAN = RemoteImport(import_id="i9", status="PENDING", original_filename=f"a.~{'a' * 13}.csv", created_at=START)
BATCH = Batch(batch_id="b1", source_uri="file:///in", account="a", out="o", config="{}", started_at=START)
SPAWN = multiprocessing.get_context("spawn")

S = ItemState


def now() -> datetime:
    return START


def an_item(source: str, **values: object) -> Item:
    return Item(batch_id="b1", source=source, **values)  # type: ignore[arg-type]


def some_items(count: int, *, first: int = 0) -> list[Item]:
    return [an_item(f"{number:06}.csv", version="x" * 50) for number in range(first, first + count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made on demand" / "ledger 100%?#.db"


async def filled(path: Path, *items: Item) -> None:
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        await ledger.add(items)


@contextlib.asynccontextmanager
async def opened(path: Path, *, read_only: bool = False) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger.open(path, now=now, read_only=read_only)
    try:
        yield ledger
    finally:
        await ledger.close()


def rows_of(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


# the file


async def test_an_item_moves_on_after_a_move_whose_caller_was_cancelled_as_it_was_committed(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        await ledger.add([an_item("a.csv"), an_item("b.csv")])
        await ledger.advance(an_item("b.csv"), S.QUEUED, reason="prepared")

        async def cancelling() -> None:
            await ledger.advance(an_item("a.csv"), S.CREATING, reason="sent")
            cancelled.cancel()

        first = asyncio.ensure_future(cancelling())
        cancelled = asyncio.ensure_future(ledger.advance(an_item("b.csv", revision=1), S.CREATING, reason="sent"))
        found = await asyncio.gather(first, cancelled, return_exceptions=True)
        assert [type(one) for one in found] == [type(None), asyncio.CancelledError]
        stored = await ledger.item("b1", "b.csv")
        assert stored == an_item("b.csv", state=S.CREATING, revision=2)
        assert (await ledger.advance(stored, S.CREATED, reason="made")).revision == 3


async def test_closing_and_opening_the_ledger_again_loses_nothing(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        await ledger.add([an_item("a.csv"), an_item("b.csv")])
        moved = await ledger.advance(an_item("a.csv"), S.CREATING, reason="intent", attempts=1)
        moved = await ledger.advance(moved, S.CREATED, reason="bind", import_id="imp", tag="t")
        await ledger.count_up("b1", creates=1)
        batch = await ledger.update_batch("b1", listed=True)
        history = await ledger.history("b1", "a.csv")
        await ledger.set_reconciled("e", START)
        await ledger.keep_orphans([ORPHAN])
    async with opened(path) as ledger:
        assert await ledger.batch("b1") == batch
        assert await ledger.item("b1", "a.csv") == moved
        assert await ledger.history("b1", "a.csv") == history
        assert await ledger.counts("b1") == {S.CREATED: 1, S.QUEUED: 1}
        assert await ledger.owners(["imp"]) == {"imp": ("b1", "a.csv")}
        assert await ledger.by_tag(["t"]) == {"t": [moved]}
        assert await ledger.reconciled_to("e") == START
        assert await ledger.orphans("a" * 13) == [ORPHAN]


async def test_the_file_is_durable_and_for_its_owner_only(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        db = ledger._database.connection
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 or file.name.endswith(".ballast")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


async def test_a_million_listed_items_would_write_no_history_rows(path: Path) -> None:
    await filled(path, *some_items(10))
    assert rows_of(path, "SELECT count(*) FROM history") == [(0,)]
    async with opened(path) as ledger:
        assert [step.reason for step in await ledger.history("b1", "000003.csv")] == ["listed"]


async def test_the_file_names_the_program_that_created_it_and_its_version(path: Path) -> None:
    await filled(path)
    assert rows_of(path, "PRAGMA user_version") == [(5,)]
    assert rows_of(path, "PRAGMA application_id") == [(int.from_bytes(b"Bkhd"),)]
    assert "bulkhead" in str(rows_of(path, "SELECT value FROM meta WHERE name = 'created_by'"))


async def test_pages_and_lookups_are_answered_by_an_index(path: Path) -> None:
    await filled(path)
    place = "batch = 1 AND state = 'queued' AND (rank, source) > (0, x'')"
    queries = {
        f"SELECT * FROM items WHERE {place} ORDER BY rank, source": "items_by_state",
        "SELECT * FROM items WHERE batch = 1 AND source > x'' ORDER BY source LIMIT 9": "PRIMARY KEY",
        "SELECT * FROM items JOIN batches ON number = batch WHERE tag = 't' ORDER BY batch, source": "items_by_tag",
        f"SELECT version_key FROM items WHERE {IS_SENT} AND version_key IN ('k', 'l')": "items_held",
        select_of_any_batch(f"{WAS_TRIED} AND file_key = 'f'", "file_key"): "items_by_file",
        SELECT_HELD_BACK.replace("?", "1"): "items_held_back",
    }
    for query, index in queries.items():
        plan = " ".join(str(row[3]) for row in rows_of(path, f"EXPLAIN QUERY PLAN {query}"))
        assert index in plan, plan
        assert "TEMP B-TREE" not in plan, plan


@pytest.mark.parametrize(
    ("few", "states", "is_whole"), [(2, {S.SKIPPED}, False), (1, {S.SKIPPED}, True), (9, None, True)]
)
async def test_the_whole_batch_is_read_only_for_items_of_all_states_or_for_many(
    path: Path, monkeypatch: pytest.MonkeyPatch, few: int, states: set[ItemState] | None, is_whole: bool
) -> None:
    monkeypatch.setattr("runner.ledger.sqlite.ledger.FEW_ITEMS", few)
    skipped = [an_item(name, state=S.SKIPPED) for name in ("b.csv", "d.csv")]
    await filled(path, an_item("a.csv"), *skipped, an_item("c.csv"))
    statements: list[str] = []
    async with opened(path, read_only=True) as ledger:
        ledger._database.connection.set_trace_callback(statements.append)
        found = [item.source async for item in ledger.items("b1", states=states)]
        ledger._database.connection.set_trace_callback(None)
    assert found == (["b.csv", "d.csv"] if states else ["a.csv", "b.csv", "c.csv", "d.csv"])
    assert any("source > " in statement for statement in statements) == is_whole


@pytest.mark.virtual_time
async def test_other_tasks_run_between_the_pages_of_a_batch_but_the_reader_does_not_pause(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.ledger.sqlite.ledger.PAGE_ITEMS", 2)
    await filled(path, *some_items(6))
    loop = asyncio.get_running_loop()
    others: list[str] = []
    had_run = []
    async with opened(path, read_only=True) as ledger:
        began = loop.time()
        async for item in ledger.items("b1"):
            had_run.append(len(others))
            loop.call_soon(others.append, item.source)
        assert loop.time() - began < 0.001
    assert had_run == [0, 0, 2, 2, 4, 4]


# one writer


def hold(path: Path, parent: Connection) -> None:
    ledger = SqliteLedger.open(path, now=now)
    parent.send(os.getpid())
    parent.recv()
    asyncio.run(ledger.close())


async def test_the_error_in_a_second_process_says_who_holds_the_ledger(path: Path) -> None:
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=hold, args=(path, there))
    process.start()
    try:
        pid = here.recv()
        with pytest.raises(LedgerLocked, match=rf"pid {pid}, since 2026-07-23T10:15:00\.000Z") as caught:
            SqliteLedger.open(path, now=now)
        assert "status" in str(caught.value.hint)
        async with opened(path, read_only=True) as reader:
            assert await reader.batches() == []
    finally:
        here.send("end")
        process.join()
    async with opened(path) as ledger:
        assert await ledger.batches() == []


async def test_one_process_cannot_open_the_ledger_twice(path: Path) -> None:
    async with opened(path):
        with pytest.raises(LedgerLocked, match=f"pid {os.getpid()}"):
            SqliteLedger.open(path, now=now)


async def test_a_ledger_that_failed_to_open_leaves_no_lock(path: Path) -> None:
    write_file(path, b"garbage" * 1000)
    with pytest.raises(LedgerCorrupt):
        SqliteLedger.open(path, now=now)
    write_file(path, b"")
    await filled(path)


async def test_another_program_that_holds_the_file_is_a_clear_error(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        ledger._database.connection.execute("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerLocked, match="another program"):
                await ledger.add([an_item("a.csv")])
            other.execute("ROLLBACK")
        assert await ledger.add([an_item("a.csv")]) == 1


# readers


async def test_a_reader_sees_what_was_committed_while_the_writer_continues(path: Path) -> None:
    async with opened(path) as writer:
        await writer.start_batch(BATCH)
        async with opened(path, read_only=True) as reader:
            assert await reader.counts("b1") == {}
            await writer.add(some_items(2500))
            assert await reader.counts("b1") == {S.QUEUED: 2500}
            seen = []
            async for item in reader.items("b1"):
                seen.append(item.source)
                if len(seen) % 500 == 1:
                    await writer.advance(item, S.SKIPPED, reason="x")
            assert seen == [item.source for item in some_items(2500)]
            assert await reader.counts("b1") == {S.QUEUED: 2495, S.SKIPPED: 5}


async def test_a_reader_cannot_write(path: Path) -> None:
    await filled(path, an_item("a.csv"))
    async with opened(path, read_only=True) as reader:
        with pytest.raises(LedgerError, match="read-only"):
            await reader.add([an_item("b.csv")])
        assert [item.source async for item in reader.items("b1")] == ["a.csv"]


async def test_a_reader_neither_checkpoints_nor_takes_the_lock(path: Path) -> None:
    async with opened(path) as writer:
        await writer.start_batch(BATCH)
        await writer.add(some_items(100))
        log = path.with_name(path.name + "-wal")
        size = log.stat().st_size
        async with opened(path, read_only=True) as reader:
            assert await reader.counts("b1") == {S.QUEUED: 100}
        assert log.stat().st_size == size


async def test_a_missing_ledger_cannot_be_read(path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger at"):
        SqliteLedger.open(path, now=now, read_only=True)
    assert not path.parent.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_an_archived_ledger_can_be_read_in_a_folder_that_cannot_be_written(path: Path) -> None:
    await filled(path, an_item("a.csv"))
    path.parent.chmod(0o500)
    try:
        async with opened(path, read_only=True) as reader:
            assert await reader.counts("b1") == {S.QUEUED: 1}
        with pytest.raises(LedgerError):
            SqliteLedger.open(path, now=now)
    finally:
        path.parent.chmod(0o700)


async def test_an_archived_file_is_opened_without_a_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(path, an_item("a.csv"))
    monkeypatch.setattr("runner.ledger.sqlite.database.os.access", lambda *_: False)
    async with opened(path, read_only=True) as reader:
        assert await reader.counts("b1") == {S.QUEUED: 1}
    assert not path.with_name(path.name + "-shm").exists()


# versions and damage


async def test_an_older_ledger_is_migrated_and_keeps_its_items(path: Path) -> None:
    await filled(path, an_item("a.csv"))
    last = SCHEMA.version
    steps = {last: "CREATE TABLE two (x);", last + 1: "INSERT INTO two\n VALUES (';'); -- end"}
    newer = replace(SCHEMA, version=last + 2, migrations=steps)
    with pytest.raises(LedgerError, match="earlier version"):
        SqliteLedger.open(path, now=now, read_only=True, schema=newer)
    ledger = SqliteLedger.open(path, now=now, schema=newer)
    assert await ledger.counts("b1") == {S.QUEUED: 1}
    await ledger.close()
    assert rows_of(path, "SELECT x FROM two") == [(";",)]
    assert rows_of(path, "PRAGMA user_version") == [(last + 2,)]


async def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    await filled(path, an_item("a.csv"))
    last = SCHEMA.version
    steps = {last: "CREATE TABLE two (x); INSERT INTO nowhere VALUES (1);"}
    broken = replace(SCHEMA, version=last + 1, migrations=steps)
    with pytest.raises(LedgerError):
        SqliteLedger.open(path, now=now, schema=broken)
    async with opened(path) as ledger:
        assert await ledger.counts("b1") == {S.QUEUED: 1}
    assert rows_of(path, "SELECT count(*) FROM sqlite_master WHERE name = 'two'") == [(0,)]


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_ledger_of_a_later_version_is_refused(path: Path, read_only: bool) -> None:
    await filled(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(LedgerTooNew, match="version 7") as caught:
        SqliteLedger.open(path, now=now, read_only=read_only)
    assert "update" in str(caught.value.hint)


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_file_of_garbage_is_no_ledger_and_stays_as_it_is(path: Path, read_only: bool) -> None:
    write_file(path, b"name,amount\n" * 500)
    with pytest.raises(LedgerCorrupt) as caught:
        SqliteLedger.open(path, now=now, read_only=read_only)
    assert caught.value.hint
    assert content_of(path) == b"name,amount\n" * 500


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_truncated_ledger_is_damaged(path: Path, read_only: bool) -> None:
    await filled(path, *some_items(1000))
    content = content_of(path)
    write_file(path, content[: len(content) // 2 // 4096 * 4096])
    with pytest.raises(LedgerCorrupt):
        SqliteLedger.open(path, now=now, read_only=read_only)


async def test_damage_that_is_found_later_is_reported_as_damage(path: Path) -> None:
    await filled(path, *some_items(1000))
    content = content_of(path)
    write_file(path, content[: 30 * 4096] + b"?" * (len(content) - 30 * 4096))
    async with opened(path) as ledger:
        with pytest.raises(LedgerCorrupt):
            assert [item async for item in ledger.items("b1")]


async def test_a_database_of_another_program_is_no_ledger(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE photos (x)")
    for read_only in (False, True):
        with pytest.raises(LedgerCorrupt, match="not a ledger"):
            SqliteLedger.open(path, now=now, read_only=read_only)
    assert rows_of(path, "SELECT name FROM sqlite_master") == [("photos",)]


async def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    write_file(path, b"")
    with pytest.raises(LedgerError):
        SqliteLedger.open(path, now=now, read_only=True)
    await filled(path, an_item("a.csv"))


async def test_a_folder_that_cannot_be_created_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be used") as caught:
        SqliteLedger.open(tmp_path / "file" / "ledger.db", now=now)
    assert "--ledger" in str(caught.value.hint)


async def test_a_path_that_is_not_a_file_is_refused_and_not_reported_as_a_full_disk(tmp_path: Path) -> None:
    for place in (Path("/dev/null"), tmp_path):
        with pytest.raises(LedgerError, match="is not a file") as caught:
            SqliteLedger.open(place, now=now)
        assert "--ledger" in str(caught.value.hint)


# network file systems

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /home/ann nfs4 rw,vers=4.2 0 0
/dev/vdb /home/ann/local ext4 rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
C:\\134 /mnt/c 9p rw,noatime,dirsync,aname=drvfs;path=C:\\134;uid=1000;gid=1000,mmap,trans=fd,rfd=8,wfd=8 0 0
drvfsaD /mnt/d virtiofs rw,noatime 0 0
E: /mnt/e drvfs rw,noatime,uid=1000,gid=1000,case=off 0 0
share /mnt/host 9p rw,trans=virtio,version=9p2000.L 0 0
none /gofer 9p rw,trans=fd,rfd=3,wfd=3,aname=/ 0 0
share /mnt/vm virtiofs rw 0 0
"""


@pytest.mark.parametrize("folder", ["/home/ann", "/home/ann/project", "/mnt/my share/x", "/mnt/host"])
def test_a_network_file_system_is_refused(tmp_path: Path, folder: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    with pytest.raises(LedgerError, match="network file system"):
        refuse_network_file_system(Path(folder) / "ledger.db", mounts=mounts)


@pytest.mark.parametrize("folder", ["/mnt/c/Users/ann/project", "/mnt/c", "/mnt/d", "/mnt/e/x"])
def test_a_windows_drive_is_refused_with_a_place_on_the_disk_of_wsl(tmp_path: Path, folder: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    with pytest.raises(LedgerError, match="on a Windows drive") as refused:
        refuse_network_file_system(Path(folder) / "ledger.db", mounts=mounts)
    assert "--ledger ~/bulkhead/ledger.db" in str(refused.value.hint)


LOCAL = ["/", "/home", "/home/annabel", "/home/ann/local/x", "/mnt", "/mnt/cc", "/gofer/x", "/mnt/vm"]


@pytest.mark.parametrize("folder", LOCAL)
def test_a_local_file_system_is_accepted(tmp_path: Path, folder: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    refuse_network_file_system(Path(folder) / "ledger.db", mounts=mounts)
    refuse_network_file_system(Path(folder) / "ledger.db", mounts=tmp_path / "no such table")


# a full disk


def limit_pages(ledger: SqliteLedger, *, more: int | None) -> None:
    db = ledger._database.connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + more if more is not None else 1 << 30}")


async def test_a_full_disk_loses_nothing_and_the_ledger_continues_when_there_is_space(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        await ledger.add(some_items(100))
        limit_pages(ledger, more=2)
        for _ in range(2):
            with pytest.raises(StorageFull) as caught:
                await ledger.add(some_items(1000, first=100))
        assert "again" in str(caught.value.hint)
        assert await ledger.counts("b1") == {S.QUEUED: 100}
        limit_pages(ledger, more=None)
        assert await ledger.add(some_items(1000, first=100)) == 1000
        assert await ledger.counts("b1") == {S.QUEUED: 1100}
    assert rows_of(path, "PRAGMA integrity_check") == [("ok",)]


async def test_the_reserve_lets_one_write_through_when_the_disk_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        assert path.with_name(path.name + ".ballast").stat().st_size == RESERVE_BYTES
        free = DiskReserve.free

        def free_and_find_space(reserve: DiskReserve) -> bool:
            limit_pages(ledger, more=RESERVE_BYTES // 4096)
            return free(reserve)

        monkeypatch.setattr(DiskReserve, "free", free_and_find_space)
        limit_pages(ledger, more=0)
        assert await ledger.add(some_items(1000)) == 1000
        assert not path.with_name(path.name + ".ballast").exists()
        monkeypatch.undo()
        limit_pages(ledger, more=0)
        with pytest.raises(StorageFull):
            await ledger.add(some_items(1000, first=1000))
        assert await ledger.counts("b1") == {S.QUEUED: 1000}


async def test_the_ledger_opens_without_space_for_the_reserve(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    await filled(path, an_item("a.csv"))
    assert not path.with_name(path.name + ".ballast").exists()


def fill_up(path: Path, parent: Connection) -> None:
    """Add items until the system refuses to let the ledger's files grow; then let them grow again."""

    async def run() -> None:
        ledger = SqliteLedger.open(path, now=now)
        await ledger.start_batch(BATCH)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        acked = 0
        try:
            while True:
                acked += await ledger.add(some_items(50, first=acked))
        except StorageFull:
            counted = await ledger.counts("b1")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        more = await ledger.add(some_items(50, first=acked))
        parent.send((acked, counted, more, await ledger.counts("b1")))
        await ledger.close()

    asyncio.run(run())


async def test_a_file_that_cannot_grow_is_reported_as_a_full_disk(path: Path) -> None:
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=fill_up, args=(path, there))
    process.start()
    there.close()
    acked, counted, more, final = here.recv()
    process.join()
    assert acked > 0
    assert counted == {S.QUEUED: acked}
    assert more == 50
    assert final == {S.QUEUED: acked + 50}
    assert rows_of(path, "PRAGMA integrity_check") == [("ok",)]


# a killed process


def work_until_killed(path: Path, acks: Connection) -> None:
    """Add, move, and bind items without end; report each write after the ledger returned from it."""

    async def run() -> None:
        ledger = SqliteLedger.open(path, now=now)
        if await ledger.batch("b1") is None:
            await ledger.start_batch(BATCH)
        number = sum((await ledger.counts("b1")).values())
        while True:
            item = an_item(f"{number:06}.csv")
            await ledger.add([item])
            acks.send((item.source, 0, None))
            item = await ledger.advance(item, S.CREATING, reason="intent")
            acks.send((item.source, 1, None))
            item = await ledger.advance(item, S.CREATED, reason="bind", import_id=f"imp-{number}-{os.getpid()}")
            acks.send((item.source, 2, item.import_id))
            number += 1

    asyncio.run(run())


def acked_until_kill(path: Path, *, after: int) -> Iterator[tuple[str, int, str | None]]:
    here, there = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=work_until_killed, args=(path, there))
    process.start()
    there.close()
    with contextlib.suppress(EOFError):
        for number in range(1 << 30):
            yield here.recv()
            if number == after:
                process.kill()
    process.join()
    assert process.exitcode == -9


@pytest.mark.slow
async def test_every_acknowledged_write_survives_kill_9(path: Path) -> None:
    rng = random.Random(9)
    acked: dict[str, tuple[int, str | None]] = {}
    for _ in range(10):
        for source, revision, import_id in acked_until_kill(path, after=rng.randrange(60)):
            acked[source] = (revision, import_id)
        async with opened(path) as ledger:
            items = {item.source: item async for item in ledger.items("b1")}
            for source, (revision, import_id) in acked.items():
                assert items[source].revision >= revision
                assert import_id is None or items[source].import_id == import_id
                assert len(await ledger.history("b1", source)) == items[source].revision + 1
            bound = {item.import_id: ("b1", item.source) for item in items.values() if item.import_id}
            assert await ledger.owners(bound) == bound
        tallies = rows_of(path, "SELECT state, items FROM tallies WHERE items > 0 ORDER BY state")
        assert tallies == rows_of(path, "SELECT state, count(*) FROM items GROUP BY state ORDER BY state")
        assert rows_of(path, "PRAGMA integrity_check") == [("ok",)]
    assert len(acked) > 50


# errors


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_IOERR_WRITE, StorageFull),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageFull),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StorageFull),
        (sqlite3.SQLITE_IOERR_READ, LedgerError),
        (sqlite3.SQLITE_CORRUPT, LedgerCorrupt),
        (sqlite3.SQLITE_CORRUPT_INDEX, LedgerCorrupt),
        (sqlite3.SQLITE_NOTADB, LedgerCorrupt),
        (sqlite3.SQLITE_BUSY, LedgerLocked),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, LedgerLocked),
        (sqlite3.SQLITE_READONLY, LedgerError),
        (sqlite3.SQLITE_READONLY_DBMOVED, LedgerError),
        (sqlite3.SQLITE_CANTOPEN, LedgerError),
        (sqlite3.SQLITE_ERROR, LedgerError),
    ],
)
def test_each_error_of_sqlite_is_translated(code: int, expected: type[BulkheadError]) -> None:
    error = sqlite3.OperationalError("message")
    error.sqlite_errorcode = code
    with pytest.raises(BulkheadError) as caught, explained(Path("ledger.db")):
        raise error
    assert type(caught.value) is expected
    assert "ledger.db" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EACCES, LedgerError)]
)
def test_each_error_of_the_system_is_translated(number: int, expected: type[BulkheadError]) -> None:
    with pytest.raises(BulkheadError) as caught, explained(Path("ledger.db")):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is expected


@pytest.mark.parametrize("ending", ["", "-wal", ".lock"])
async def test_a_writer_notices_that_a_file_of_its_ledger_is_gone(path: Path, ending: str) -> None:
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        ledger.check()
        path.with_name(path.name + ending).rename(path.with_name("moved"))
        with pytest.raises(LedgerReplaced, match=r"was deleted"):
            ledger.check()


async def test_a_ledger_whose_folder_was_replaced_is_kept_and_leaves_the_new_one_alone(path: Path) -> None:
    kept = path.with_name("kept.db")
    async with opened(path) as ledger:
        await ledger.start_batch(BATCH)
        await ledger.add(some_items(3))
        assert not ledger.keep(kept)
        path.parent.rename(path.parent.with_name("moved"))
        async with opened(path) as other:
            await other.start_batch(replace(BATCH, batch_id="b2"))
            await ledger.add(some_items(2, first=3))
            assert ledger.keep(kept)
            await ledger.close()
            await other.add([replace(an_item("x.csv"), batch_id="b2")])
            other.check()
            async with opened(path, read_only=True) as reader:
                assert await reader.counts("b2") == {S.QUEUED: 1}
            assert path.with_name(path.name + ".ballast").exists()
    assert kept.stat().st_mode & 0o777 == 0o600
    async with opened(kept) as copy:
        assert await copy.counts("b1") == {S.QUEUED: 5}

"""What the local sink leaves on disk: complete results or nothing."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import threading
from pathlib import Path

import pytest

from runner.errors import ConfigError, ResultInvalid, SinkFailed, StorageFull, Unavailable
from runner.sinks import LocalSink
from runner.sinks import local as sinks
from runner.sinks.result_path import result_path

DESCRIPTORS = Path("/proc/self/fd")
needs_proc = pytest.mark.skipif(not DESCRIPTORS.exists(), reason="descriptors are looked up in /proc")

ROWS = b'[{"a": 1}, {"a": [2, "]"]}, null]\n'


async def stream(*chunks, fail=None):
    for chunk in chunks:
        yield chunk
    if fail:
        raise fail


def open_descriptors():
    return len(list(DESCRIPTORS.iterdir()))


def tree(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


@pytest.fixture(params=[True, False], ids=["threaded", "inline"])
def sink(request, tmp_path):
    return LocalSink(tmp_path / "out", threaded=request.param)


async def test_a_result_is_stored_byte_for_byte_with_its_rows_and_checksum(sink, tmp_path):
    saved = await sink.save_result("in/a.csv", stream(ROWS[:9], b"", ROWS[9:]))
    assert (tmp_path / "out" / saved.path).read_bytes() == ROWS
    assert saved.path == "results/in/a.csv.json"
    assert saved.row_count == 3
    assert saved.sha256 == hashlib.sha256(ROWS).hexdigest()
    assert tree(tmp_path / "out") == ["results/in/a.csv.json"]


async def test_a_result_of_many_batches_is_stored_whole(sink, tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "WRITE_BYTES", 100)
    data = b"[" + b", ".join(b'{"n": %d}' % n for n in range(500)) + b"]"
    saved = await sink.save_result("a", stream(*(data[n : n + 7] for n in range(0, len(data), 7))))
    assert (tmp_path / "out" / saved.path).read_bytes() == data
    assert saved.row_count == 500


async def test_saving_again_replaces_the_result(sink, tmp_path):
    await sink.save_result("a.csv", stream(ROWS))
    saved = await sink.save_result("a.csv", stream(b"[]"))
    assert (tmp_path / "out" / saved.path).read_bytes() == b"[]"
    assert tree(tmp_path / "out") == ["results/a.csv.json"]


async def test_a_sink_says_whether_a_result_is_there(sink, tmp_path):
    saved = await sink.save_result("in/a.csv", stream(ROWS))
    assert await sink.has(saved.path)
    (tmp_path / "out" / saved.path).unlink()
    assert not await sink.has(saved.path)
    assert not await sink.has("results/other/a.csv.json")
    with pytest.raises(SinkFailed):
        await sink.has("n" * 300)


@pytest.mark.parametrize("cut", range(len(ROWS.strip())))
async def test_a_cut_result_never_appears(tmp_path, cut):
    sink = LocalSink(tmp_path, threaded=False)
    with pytest.raises(ResultInvalid):
        await sink.save_result("a.csv", stream(ROWS[:cut]))
    assert tree(tmp_path) == []


async def test_an_invalid_result_leaves_the_earlier_one_alone(sink, tmp_path):
    await sink.save_result("a.csv", stream(ROWS))
    with pytest.raises(ResultInvalid):
        await sink.save_result("a.csv", stream(b"[1, 2"))
    assert (tmp_path / "out/results/a.csv.json").read_bytes() == ROWS
    assert tree(tmp_path / "out") == ["results/a.csv.json"]


async def test_a_download_that_breaks_leaves_nothing_and_keeps_its_error(sink, tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "WRITE_BYTES", 1)
    with pytest.raises(Unavailable):
        await sink.save_result("a.csv", stream(b"[1,", b"2,", fail=Unavailable("cut")))
    assert tree(tmp_path) == []


async def test_an_os_error_of_the_download_is_not_taken_for_one_of_the_disk(sink):
    with pytest.raises(ConnectionResetError):
        await sink.save_result("a.csv", stream(b"[1,", fail=ConnectionResetError()))


async def test_a_cancelled_download_leaves_nothing(sink, tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "WRITE_BYTES", 1)
    written = asyncio.Event()

    async def endless():
        yield b"[1,"
        yield b"2,"
        written.set()
        await asyncio.Event().wait()

    saving = asyncio.create_task(sink.save_result("a.csv", endless()))
    await written.wait()
    assert [name for name in tree(tmp_path) if name.endswith(".partial")]
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert tree(tmp_path) == []


async def test_a_cancellation_waits_for_the_write_under_way(tmp_path, monkeypatch):
    loop, started, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    fsync = os.fsync

    def slow_fsync(descriptor):
        loop.call_soon_threadsafe(started.set)
        go_on.wait(10)
        fsync(descriptor)

    sink = LocalSink(tmp_path)
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(os, "fsync", slow_fsync)
    saving = asyncio.create_task(sink.save_result("a.csv", stream(ROWS)))
    await started.wait()
    for _ in range(2):
        saving.cancel()
        await asyncio.sleep(0)
    assert not saving.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert tree(tmp_path) == ["results/a.csv.json"]
    assert (tmp_path / "results/a.csv.json").read_bytes() == ROWS


async def test_the_partial_file_of_a_killed_run_is_replaced(sink, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sinks._Draft, "_remove", lambda self: None)
        with pytest.raises(ResultInvalid):
            await sink.save_result("a.csv", stream(b"[1, 2"))
    assert [name for name in tree(tmp_path / "out") if name.endswith(".partial")]
    await sink.save_result("a.csv", stream(ROWS))
    assert tree(tmp_path / "out") == ["results/a.csv.json"]


async def test_two_writers_of_one_file_never_mix(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "WRITE_BYTES", 1)
    first, second = LocalSink(tmp_path, threaded=False), LocalSink(tmp_path, threaded=False)

    async def interrupted_by_the_second():
        yield b"[1,"
        await second.save_result("a.csv", stream(b"[7, 8]"))
        yield b"2]"

    with pytest.raises(Unavailable, match="another run"):
        await first.save_result("a.csv", interrupted_by_the_second())
    assert (tmp_path / "results/a.csv.json").read_bytes() == b"[7, 8]"
    assert tree(tmp_path) == ["results/a.csv.json"]


async def test_a_source_and_a_folder_named_like_its_result_both_get_a_place(sink, tmp_path):
    paths = [(await sink.save_result(source, stream(ROWS))).path for source in ("a.json/b", "a", "a.JSON/b", "a.json")]
    assert len(set(paths)) == 4
    assert tree(tmp_path / "out") == sorted(paths)


async def test_a_file_system_blind_to_case_costs_no_result(sink, tmp_path, monkeypatch):
    """The second name finds the first one's file, although the folder does not list it under that name."""
    lstat = sinks._lstat

    def blind(name, *, within):
        same = [entry.name for entry in os.scandir(within) if entry.name.casefold() == name.casefold()]
        return lstat(same[0], within=within) if same else None

    monkeypatch.setattr(sinks, "_lstat", blind)
    lower = await sink.save_result("in/a.csv", stream(b"[1]"))
    upper = await sink.save_result("in/A.csv", stream(b"[2]"))
    assert upper.path == result_path("in/A.csv", distinct=True) != lower.path
    assert await sink.save_result("in/a.csv", stream(b"[1]")) == lower
    assert await sink.save_result("in/A.csv", stream(b"[2]")) == upper
    assert (tmp_path / "out" / lower.path).read_bytes() == b"[1]"
    assert (tmp_path / "out" / upper.path).read_bytes() == b"[2]"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["write", "fsync", "mkdir"])
async def test_a_full_disk_is_storage_full_and_leaves_nothing(sink, tmp_path, monkeypatch, number, call):
    (tmp_path / "out").mkdir()

    def full(*_, **__):
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sinks.os, call, full)
        with pytest.raises(StorageFull):
            await sink.save_result("a.csv", stream(ROWS))
    assert tree(tmp_path) == []
    assert (await sink.save_result("a.csv", stream(ROWS))).row_count == 3


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, SinkFailed),
        (errno.EACCES, SinkFailed),
        (errno.EROFS, SinkFailed),
        (errno.EMFILE, Unavailable),
        (errno.ESTALE, Unavailable),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "mkdir", "open", "replace"])
async def test_a_disk_that_fails_is_called_what_it_is_and_no_mistake_of_the_user(
    sink, tmp_path, monkeypatch, number, kind, call
):
    (tmp_path / "out").mkdir()

    def broken(*_, **__):
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sinks.os, call, broken)
        with pytest.raises(kind, match=rf"a\.csv\.json: {os.strerror(number)}"):
            await sink.save_result("a.csv", stream(ROWS))
    assert tree(tmp_path) == []
    assert (await sink.save_result("a.csv", stream(ROWS))).row_count == 3


async def test_a_real_file_size_limit_is_storage_full(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    data = b"[" + b"1," * 60_000 + b"1]"
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StorageFull):
            await LocalSink(tmp_path).save_result("a.csv", stream(data))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tree(tmp_path) == []


async def test_a_root_that_cannot_be_written_fails_with_path_and_reason(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SinkFailed, match=r"out.results.a\.csv\.json: (Not a directory|File exists)"):
        await LocalSink(tmp_path / "out").save_result("a.csv", stream(ROWS))


async def test_no_symbolic_link_below_the_root_is_followed(sink, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out/results").mkdir(parents=True)
    (tmp_path / "out/results/in").symlink_to(outside)
    with pytest.raises(SinkFailed) as caught:
        await sink.save_result("in/a.csv", stream(ROWS))
    assert "symbolic links" in caught.value.hint
    assert tree(outside) == []


async def test_a_file_where_a_folder_must_be_is_named_and_kept(tmp_path):
    taken = tmp_path / ".bulkhead-packs"
    taken.write_text("mine")
    with pytest.raises(SinkFailed, match="Not a directory") as caught:
        await LocalSink(tmp_path).write(".bulkhead-packs/tag.json", stream(b"{}"))
    wanted = "results need a directory of this name; move it away, and resume"
    assert caught.value.hint == f"{taken} is no directory, and {wanted}"
    assert taken.read_text() == "mine"


async def test_a_link_is_called_a_link_whatever_is_behind_it(tmp_path):
    outside, out = tmp_path / "outside", tmp_path / "out"
    (out / "results").mkdir(parents=True)
    outside.mkdir()
    (outside / "x").write_text("a file of others")
    (out / "results/in").symlink_to(outside)
    with pytest.raises(SinkFailed) as caught:
        await LocalSink(out).save_result("in/x/a.csv", stream(ROWS))
    assert "replace the link by a directory" in caught.value.hint


async def test_a_symbolic_link_at_the_final_name_is_replaced_not_written_through(sink, tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "out/results").mkdir(parents=True)
    (tmp_path / "out/results/a.csv.json").symlink_to(target)
    await sink.save_result("a.csv", stream(ROWS))
    assert target.read_text() == "mine"
    assert (tmp_path / "out/results/a.csv.json").read_bytes() == ROWS


async def test_the_root_itself_may_be_a_symbolic_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    await LocalSink(tmp_path / "out").save_result("a.csv", stream(ROWS))
    assert tree(tmp_path / "disk") == ["results/a.csv.json"]


async def test_a_document_is_written_whole_or_not_at_all(sink, tmp_path):
    place = await sink.write("manifest.jsonl", stream(b"one\n", b"two\n"))
    assert place == str(tmp_path / "out/manifest.jsonl")
    with pytest.raises(Unavailable):
        await sink.write("manifest.jsonl", stream(b"three\n", fail=Unavailable("gone")))
    assert (tmp_path / "out/manifest.jsonl").read_bytes() == b"one\ntwo\n"
    await sink.write("manifest.jsonl", stream())
    assert (tmp_path / "out/manifest.jsonl").read_bytes() == b""
    assert tree(tmp_path / "out") == ["manifest.jsonl"]


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", ".", "..", "x\0", "con", "x\\y", ".a/", ".a/b/c", "./b"])
async def test_a_document_name_that_is_not_plain_is_refused(tmp_path, name):
    with pytest.raises(ConfigError):
        await LocalSink(tmp_path).write(name, stream(b"x"))
    assert tree(tmp_path) == []


@needs_proc
async def test_the_file_and_its_folders_are_synced_before_the_call_returns(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def spy(descriptor):
        synced.append(str((DESCRIPTORS / str(descriptor)).readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    await LocalSink(tmp_path / "out", threaded=False).save_result("in/a.csv", stream(ROWS))
    root = str(tmp_path)
    assert synced[:3] == [root, f"{root}/out", f"{root}/out/results"]
    assert synced[3].endswith(".partial")
    assert synced[4] == f"{root}/out/results/in"


@needs_proc
async def test_no_descriptor_is_left_open(tmp_path):
    sink = LocalSink(tmp_path / "out", threaded=False)
    before = open_descriptors()
    await sink.save_result("x/a.csv", stream(ROWS))
    with pytest.raises(ResultInvalid):
        await sink.save_result("x/b.csv", stream(b"["))
    (tmp_path / "out/results/link").symlink_to(tmp_path)
    with pytest.raises(SinkFailed):
        await sink.save_result("link/b.csv", stream(ROWS))
    assert open_descriptors() == before


async def test_a_place_that_can_be_written_is_left_empty(tmp_path: Path) -> None:
    await LocalSink(tmp_path / "new" / "out").prepare()
    assert list((tmp_path / "new" / "out").iterdir()) == []


@pytest.mark.parametrize("out", ["taken", "taken/below"])
async def test_a_place_at_or_below_a_file_is_refused_before_anything_is_sent(tmp_path: Path, out: str) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ConfigError, match=r"taken is not a directory$") as refused:
        await LocalSink(tmp_path / out).prepare()
    assert refused.value.hint == "--out names another place"
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("by", ["link", "folder"])
async def test_a_folder_replaced_by_a_link_while_a_result_is_written_saves_nothing_elsewhere(sink, tmp_path, by):
    folder, outside = tmp_path / "out/results/in", tmp_path / "outside"
    outside.mkdir()

    async def replaced_under_way():
        yield b"[" + b"1," * sinks.WRITE_BYTES
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(outside) if by == "link" else folder.mkdir()
        yield b"1]"

    with pytest.raises(
        SinkFailed, match=r"out/results/in/a\.csv\.json: a directory on its path was replaced"
    ) as caught:
        await sink.save_result("in/a.csv", replaced_under_way())
    assert "resume" in caught.value.hint
    assert tree(tmp_path) == []


async def test_an_occupied_name_is_looked_up_without_following_a_link(sink, tmp_path, monkeypatch):
    """A folder replaced between the last byte and the choice of the name must not be listed elsewhere."""
    await sink.save_result("in/a.csv", stream(ROWS))
    scanned = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: scanned.append(place) or scandir(place))
    await sink.save_result("in/a.csv", stream(ROWS))
    assert scanned
    assert all(isinstance(place, int) for place in scanned)

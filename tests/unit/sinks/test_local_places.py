"""Which path the local sink gives to a result where other results are: a free one at once, otherwise in turn."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from runner.concurrency import in_thread
from runner.errors import SinkFailed
from runner.protocols import Look, Occupant, SavedResult
from runner.sinks import LocalSink
from runner.sinks import local as sinks
from runner.sinks.result_path import beside

USUAL = "results/a.csv.json"
OTHER = b'[{"other": 1}]'
ROWS = b'[{"mine": 1}]'


async def stream(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Beside:
    """A place that is the usual path if nothing is there, else the one beside it; `then` is called as it chooses."""

    def __init__(self, import_id: str = "i1", *, then: Callable[[], object] = lambda: None) -> None:
        self._import_id = import_id
        self._then = then
        self.found: list[Occupant | None] = []

    @property
    def import_id(self) -> str:
        return self._import_id

    async def choose(self, usual: str, look: Look, *, saved: SavedResult | None) -> str:
        assert saved is not None
        self.found.append(await look(usual))
        self._then()
        await asyncio.sleep(0)
        return usual if self.found[-1] is None else beside(usual, self._import_id)


class Replacing(Beside):
    """A place that is the usual path, whatever is there, and is chosen only once it is `released`."""

    def __init__(self, *, then: Callable[[], object]) -> None:
        super().__init__("i0", then=then)
        self.released = asyncio.Event()

    async def choose(self, usual: str, look: Look, *, saved: SavedResult | None) -> str:
        await super().choose(usual, look, saved=saved)
        await self.released.wait()
        return usual


@pytest.fixture(params=[True, False], ids=["threaded", "inline"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> LocalSink:
    return LocalSink(tmp_path, threaded=request.param)


def put(root: Path, data: bytes = OTHER) -> None:
    path = root / USUAL
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def open_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def names(root: Path) -> list[str]:
    return [path.name for path in root.iterdir()]


def unfinished(root: Path) -> list[Path]:
    return list(root.rglob("*.partial"))


async def test_a_result_whose_path_is_free_gets_it_and_chooses_once(sink: LocalSink, tmp_path: Path) -> None:
    place = Beside()
    saved = await sink.save_result("a.csv", stream(ROWS), place)
    assert (saved.path, place.found) == (USUAL, [None])
    assert (tmp_path / USUAL).read_bytes() == ROWS


async def test_a_result_whose_path_is_taken_learns_by_what(sink: LocalSink, tmp_path: Path) -> None:
    put(tmp_path)
    place = Beside()
    saved = await sink.save_result("a.csv", stream(ROWS), place)
    assert [one is not None and one.sha256 is not None for one in place.found] == [True]
    assert (saved.path, (tmp_path / saved.path).read_bytes()) == (beside(USUAL, "i1"), ROWS)
    assert (tmp_path / USUAL).read_bytes() == OTHER


async def test_a_path_that_is_taken_after_it_was_chosen_is_not_replaced(sink: LocalSink, tmp_path: Path) -> None:
    place = Beside(then=lambda: put(tmp_path))
    saved = await sink.save_result("a.csv", stream(ROWS), place)
    assert (saved.path, [one is None for one in place.found]) == (beside(USUAL, "i1"), [True, False])
    assert ((tmp_path / USUAL).read_bytes(), (tmp_path / saved.path).read_bytes()) == (OTHER, ROWS)


async def test_while_another_process_chooses_paths_a_result_waits(
    sink: LocalSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "LOCK_PAUSE_S", 0.001)
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    has_chosen = asyncio.Event()
    saving = asyncio.ensure_future(sink.save_result("a.csv", stream(ROWS), Beside(then=has_chosen.set)))
    await has_chosen.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    put(tmp_path)
    os.close(other)
    saved = await saving
    assert ((tmp_path / USUAL).read_bytes(), (tmp_path / saved.path).read_bytes()) == (OTHER, ROWS)


@pytest.mark.parametrize("has_locks", [True, False])
async def test_of_results_with_one_path_that_are_saved_at_the_same_time_none_replaces_another(
    sink: LocalSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_locks: bool
) -> None:
    if not has_locks:

        def no_lock(_fd: int, _operation: int) -> None:
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr(fcntl, "flock", no_lock)
    count = 12
    given = [f'[{{"n": {number}}}]'.encode() for number in range(count)]
    saving = [sink.save_result("a.csv", stream(data), Beside(f"i{number}")) for number, data in enumerate(given)]
    saved = await asyncio.gather(*saving)
    assert [(tmp_path / one.path).read_bytes() for one in saved] == given
    assert len({one.path for one in saved}) == count


async def test_a_free_path_is_not_taken_while_another_result_chooses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_lock(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    sink = LocalSink(tmp_path, threaded=False)
    put(tmp_path)
    place = Replacing(then=(tmp_path / USUAL).unlink)
    first = asyncio.ensure_future(sink.save_result("a.csv", stream(ROWS), place))
    for _ in range(20):
        await asyncio.sleep(0)
    second = asyncio.ensure_future(sink.save_result("a.csv", stream(OTHER), Beside()))
    for _ in range(20):
        await asyncio.sleep(0)
    place.released.set()
    saved = [await first, await second]
    assert [(tmp_path / one.path).read_bytes() for one in saved] == [ROWS, OTHER]


async def test_after_a_result_that_had_to_choose_the_next_is_put_at_once(sink: LocalSink, tmp_path: Path) -> None:
    put(tmp_path)
    await sink.save_result("a.csv", stream(ROWS), Beside())
    place = Beside()
    await sink.save_result("b.csv", stream(ROWS), place)
    assert place.found == [None]


async def test_a_free_path_in_a_folder_that_was_replaced_is_not_taken(sink: LocalSink, tmp_path: Path) -> None:
    def replace() -> None:
        (tmp_path / "results").rename(tmp_path / "moved")
        (tmp_path / "results").mkdir()

    with pytest.raises(SinkFailed, match="was replaced while it was written"):
        await sink.save_result("a.csv", stream(ROWS), Beside(then=replace))
    assert names(tmp_path / "moved") == names(tmp_path / "results") == []


async def test_the_name_of_a_result_that_is_put_at_once_is_durable(
    sink: LocalSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / USUAL).exists()))

    synced: list[tuple[bool, bool]] = []
    sync = os.fsync
    monkeypatch.setattr(sinks.os, "fsync", note)
    await sink.save_result("a.csv", stream(ROWS), Beside())
    assert synced[-2:] == [(False, False), (True, True)]


async def test_nothing_stays_open_or_unfinished(sink: LocalSink, tmp_path: Path) -> None:
    await sink.save_result("b.csv", stream(ROWS), Beside())
    before = open_count()
    await sink.save_result("a.csv", stream(ROWS), Beside())
    await sink.save_result("a.csv", stream(ROWS), Beside())
    assert open_count() == before
    assert unfinished(tmp_path) == []


async def test_a_result_that_is_given_up_does_not_wait_for_slow_work_before_it(tmp_path: Path) -> None:
    released = threading.Event()
    slow = in_thread(released.wait, is_quick=True)
    try:
        saving = asyncio.ensure_future(LocalSink(tmp_path).save_result("a.csv", stream(ROWS), Beside()))
        for _ in range(20):
            await asyncio.sleep(0)
        saving.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert saving.cancelled()
    finally:
        released.set()
    await slow
    await in_thread(lambda: None, is_quick=True)
    assert names(tmp_path) == []

"""The runner's process in a simulation: it can be killed at any event, and its disk keeps what was written."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from contextvars import Context, ContextVar, copy_context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

from runner.errors import BulkheadError, FileUnavailable, SinkFailed, StorageFull
from runner.ledger.protocol import Ledger, Move, PackLedger
from runner.models import Batch, BatchChanges, HistoryEntry, Item, ItemChanges, ItemState, RemoteImport
from runner.protocols import Occupant, Place, SavedResult, Sink
from runner.quota.slots import Slot, SlotStore, Turn
from runner.row_counts import RowTotals
from runner.sinks.result_array import ResultArray
from runner.stages.pack_lists import FOLDER

if TYPE_CHECKING:
    import random

    from tests.support.vloop import VirtualLoop

EPOCH = datetime(2026, 7, 1, tzinfo=UTC)
"""The vendor's wall time at 0 s of virtual time."""

_T = TypeVar("_T")

_RUNNING: ContextVar[Process | None] = ContextVar("running", default=None)


def own_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Make every task of a process end with it, and no other task."""

    def make(
        within: asyncio.AbstractEventLoop, program: Coroutine[Any, Any, Any], *, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(program, loop=within, context=context)
        owner = context.get(_RUNNING) if context is not None else _RUNNING.get()
        if owner is not None:
            owner.tasks.append(task)
        return task

    loop.set_task_factory(make)  # type: ignore[arg-type]


class Trace:
    """What happened, in order: (virtual time, kind, detail), the same for the same seed."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.events: list[tuple[float, str, str]] = []

    def note(self, kind: str, detail: str = "") -> None:
        self.events.append((self._loop.time(), kind, detail))

    def digest(self) -> str:
        lines = "\n".join(f"{at!r} {kind} {detail}" for at, kind, detail in self.events)
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


class Process:
    """One life of the runner.

    `kill_at` is the number of the event at which it is killed, `freezes` maps events to seconds. Once it is dead,
    nothing that it does has an effect: each of its steps waits forever.
    """

    def __init__(
        self,
        trace: Trace,
        loop: VirtualLoop,
        *,
        kill_at: int | None = None,
        freezes: dict[int, float] | None = None,
    ) -> None:
        self.trace = trace
        self.killed = asyncio.Event()
        self.event_count = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self._loop = loop
        self._kill_at = kill_at
        self._freezes = freezes or {}

    @property
    def dead(self) -> bool:
        return self.killed.is_set()

    async def event(self, kind: str, detail: str = "") -> None:
        """Pass a point at which the process may be killed or frozen."""
        if self.dead:
            await self._never()
        self.event_count += 1
        self.trace.note(kind, detail)
        if (pause_s := self._freezes.pop(self.event_count, None)) is not None:
            self.trace.note("freeze", f"{pause_s:.3f}")
            self._loop.freeze(pause_s)
        if self.event_count == self._kill_at:
            self.trace.note("kill")
            self.killed.set()
            await self._never()

    async def run(self, program: Coroutine[Any, Any, _T]) -> _T | None:
        """Run a program until it ends; return None, and cancel all its tasks, if the process is killed first."""
        context = copy_context()
        context.run(_RUNNING.set, self)
        main = self._loop.create_task(program, context=context)
        dying = self._loop.create_task(self.killed.wait())
        await asyncio.wait({main, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not self.dead:
            return await main
        await self._sweep()
        return None

    def kill(self, why: str) -> None:
        """Kill the process now, if it is still alive."""
        if not self.dead:
            self.trace.note("kill", why)
            self.killed.set()

    async def _sweep(self) -> None:
        for _ in range(200):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.sleep(0)
        raise RuntimeError(f"{len(left)} tasks outlive their process")

    async def _never(self) -> None:
        await self._loop.create_future()


class SimulatedClock:
    """The runner's clocks: `skew_s` is how far its wall clock is ahead of the vendor's."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew_s = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time() + self.skew_s)

    def ticks(self) -> float:
        return self._loop.time()


def settled(step: Awaitable[_T]) -> _T:
    """Return the result of a coroutine that never waits."""
    waiter = step.__await__()
    try:
        next(waiter)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("the step waits")


class Disk:
    """Decides which writes fail for lack of space: a share of those within the windows of `full`."""

    def __init__(
        self,
        loop: VirtualLoop,
        rng: random.Random,
        *,
        full: Sequence[tuple[float, float]] = (),
        failing: Sequence[tuple[float, float]] = (),
        list_trouble: Callable[[float], BulkheadError | None] = lambda _now: None,
    ) -> None:
        """`list_trouble` returns why the list of a pack can be neither read nor written at an instant."""
        self._loop = loop
        self._list_trouble = list_trouble
        self._rng = rng
        self._full = full
        self._failing = failing

    def write(self, what: str) -> None:
        now = self._loop.time()
        if any(start <= now < end for start, end in self._full) and self._rng.random() < 0.7:
            raise StorageFull(f"no space is left for {what}")

    def write_result(self) -> None:
        """Fail as `write` does; and within the windows of `failing`, in the other ways in which results fail."""
        self.write("results")
        now = self._loop.time()
        if any(start <= now < end for start, end in self._failing):
            if self._rng.random() < 0.5:
                raise SinkFailed("cannot write a result: Input/output error")
            raise FileUnavailable("cannot write a result: Too many open files")

    def use_list(self, name: str) -> None:
        """Fail if a document is the list of a pack that cannot be read or written now."""
        if name.startswith(FOLDER) and (error := self._list_trouble(self._loop.time())) is not None:
            raise error

    async def pause(self) -> None:
        """Yield to other tasks, as a call over the network would."""
        if self._rng.random() < 0.25:
            await asyncio.sleep(self._rng.choice((0.0, 0.0, 0.003, 0.02)))


class ProcessLedger:
    """A ledger as one process sees it; implements PackLedger.

    `on_advance` is called with each move before its commit.
    """

    def __init__(
        self,
        inner: Ledger,
        process: Process,
        disk: Disk,
        *,
        on_advance: Callable[[Item, ItemState, dict[str, Any]], None],
    ) -> None:
        self._inner = inner
        self._process = process
        self._disk = disk
        self._on_advance = on_advance

    async def _write(self, name: str, detail: str, commit: Callable[[], Awaitable[_T]]) -> _T:
        await self._process.event(f"ledger.{name}", detail)
        self._disk.write("the ledger")
        written = await commit()
        await self._process.event(f"ledger.{name}.committed", detail)
        await self._disk.pause()
        return written

    async def _read(self, step: Coroutine[Any, Any, _T]) -> _T:
        if self._process.dead:
            step.close()
            await self._process.event("dead")
        found = await step
        await self._disk.pause()
        return found

    async def start_batch(self, batch: Batch) -> None:
        await self._write("start_batch", batch.batch_id, lambda: self._inner.start_batch(batch))

    async def batch(self, batch_id: str) -> Batch | None:
        return await self._read(self._inner.batch(batch_id))

    async def batches(self, *, source_uri: str | None = None) -> list[Batch]:
        return await self._read(self._inner.batches(source_uri=source_uri))

    async def update_batch(self, batch_id: str, **changes: Unpack[BatchChanges]) -> Batch:
        return await self._write("update_batch", batch_id, lambda: self._inner.update_batch(batch_id, **changes))

    async def count_up(self, batch_id: str, **counters: int) -> None:
        await self._write("count_up", str(counters), lambda: self._inner.count_up(batch_id, **counters))

    async def add(self, items: Sequence[Item]) -> int:
        return await self._write("add", str(len(items)), lambda: self._inner.add(items))

    async def item(self, batch_id: str, source: str) -> Item | None:
        return await self._read(self._inner.item(batch_id, source))

    async def look_up(self, batch_id: str, sources: Collection[str]) -> dict[str, Item]:
        return await self._read(self._inner.look_up(batch_id, sources))

    async def advance(
        self, item: Item, state: ItemState, *, reason: str, share_tag: bool = False, **changes: Unpack[ItemChanges]
    ) -> Item:
        async def commit() -> Item:
            self._on_advance(item, state, changes)
            return await self._inner.advance(item, state, reason=reason, share_tag=share_tag, **changes)

        detail = f"{item.source} {item.state}->{state} {changes.get('import_id', item.import_id)} ({reason})"
        return await self._write("advance", detail, commit)

    async def advance_all(self, moves: Sequence[Move], *, add: Sequence[Item] = ()) -> list[Item]:
        inner = cast("PackLedger", self._inner)

        async def commit() -> list[Item]:
            for move in moves:
                self._on_advance(move.item, move.state, dict(move.changes))
            return await inner.advance_all(moves, add=add)

        named = " ".join(f"{move.item.source} {move.item.state}->{move.state}" for move in moves)
        return await self._write("advance_all", f"{named} + {' '.join(item.source for item in add)}", commit)

    async def members(self, batch_id: str, pack: str) -> list[Item]:
        return await self._read(cast("PackLedger", self._inner).members(batch_id, pack))

    async def orphans_named(self, start: str) -> list[RemoteImport]:
        return await self._read(cast("PackLedger", self._inner).orphans_named(start))

    async def page(self, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int) -> list[Item]:
        return await self._read(self._inner.page(batch_id, state, after=after, limit=limit))

    async def items(self, batch_id: str, *, states: Collection[ItemState] | None = None) -> AsyncIterator[Item]:
        async for item in self._inner.items(batch_id, states=states):
            await self._disk.pause()
            yield item

    async def counts(self, batch_id: str) -> dict[ItemState, int]:
        return await self._read(self._inner.counts(batch_id))

    async def row_totals(self, batch_id: str) -> RowTotals:
        return await self._read(self._inner.row_totals(batch_id))

    async def history(self, batch_id: str, source: str) -> list[HistoryEntry]:
        return await self._read(self._inner.history(batch_id, source))

    async def owners(self, import_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        return await self._read(self._inner.owners(import_ids))

    async def by_tag(self, tags: Iterable[str]) -> dict[str, list[Item]]:
        return await self._read(self._inner.by_tag(tags))

    async def by_version(self, version_keys: Iterable[str]) -> dict[str, list[Item]]:
        return await self._read(self._inner.by_version(version_keys))

    async def by_file(self, file_keys: Iterable[str], *, may_lag: bool = False) -> dict[str, list[Item]]:
        return await self._read(self._inner.by_file(file_keys, may_lag=may_lag))

    async def held_back(self, batch_id: str) -> list[Item]:
        return await self._read(self._inner.held_back(batch_id))

    async def reconciled_to(self, endpoint: str) -> datetime | None:
        return await self._read(self._inner.reconciled_to(endpoint))

    async def set_reconciled(self, endpoint: str, at: datetime) -> None:
        await self._write("set_reconciled", endpoint, lambda: self._inner.set_reconciled(endpoint, at))

    async def keep_orphans(self, orphans: Sequence[RemoteImport]) -> None:
        await self._write("keep_orphans", str(len(orphans)), lambda: self._inner.keep_orphans(orphans))

    async def orphans(self, tag: str) -> list[RemoteImport]:
        return await self._read(self._inner.orphans(tag))

    async def close(self) -> None:
        """Leave the store open: the next process uses it."""


class ProcessSlots:
    """The create slots as one process sees them; implements SlotStore."""

    def __init__(self, inner: SlotStore, process: Process, disk: Disk) -> None:
        self._inner = inner
        self._process = process
        self._disk = disk

    async def first(self, quota_key: str, *, count: int) -> Turn:
        await self._disk.pause()
        return await self._inner.first(quota_key, count=count)

    async def free(self, quota_key: str, *, count: int, now: float) -> int:
        await self._disk.pause()
        return await self._inner.free(quota_key, count=count, now=now)

    async def swap(self, quota_key: str, number: int, *, seen: Slot, new: Slot) -> bool:
        await self._process.event("slots.swap", f"{number} until {new.until:.3f}")
        swapped = await self._inner.swap(quota_key, number, seen=seen, new=new)
        await self._process.event("slots.swapped", f"{number} {swapped}")
        return swapped

    async def hold(self, quota_key: str, *, until: float) -> None:
        await self._process.event("slots.hold", f"{until:.3f}")
        await self._inner.hold(quota_key, until=until)

    async def close(self) -> None:
        """Leave the slots to the next process."""


class MemorySink:
    """A directory in memory; implements Sink. A draft has its partial name until it is complete."""

    def __init__(self, files: dict[str, bytes], process: Process, disk: Disk) -> None:
        self._files = files
        self._process = process
        self._disk = disk

    async def prepare(self) -> None:
        """Accept every batch."""

    async def save_result(self, source: str, chunks: AsyncIterator[bytes], place: Place | None = None) -> SavedResult:
        path, array = f"results/{source}.json", ResultArray()
        async for data in self._drafted(path, chunks):
            array.feed(data)
        array.finish()
        whole = self._files[f"{path}.partial"]
        saved = SavedResult(path=path, row_count=array.row_count, sha256=hashlib.sha256(whole).hexdigest())
        if place is not None:
            saved = replace(saved, path=await place.choose(path, self._look, saved=saved))
        await self._rename(path, saved.path)
        return saved

    async def _look(self, path: str) -> Occupant | None:
        found = self._files.get(path)
        return None if found is None else Occupant(sha256=hashlib.sha256(found).hexdigest())

    async def has(self, path: str) -> bool:
        return path in self._files

    async def read(self, name: str) -> bytes | None:
        return self._files.get(name)

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        async for _ in self._drafted(name, chunks):
            pass
        await self._rename(name, name)
        return name

    async def _drafted(self, path: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        draft = f"{path}.partial"
        self._files[draft] = b""
        async for chunk in chunks:
            self._disk.write_result()
            self._files[draft] += chunk
            yield chunk
        await self._process.event("sink.written", path)

    async def _rename(self, draft: str, path: str) -> None:
        self._files[path] = self._files.pop(f"{draft}.partial")
        await self._process.event("sink.renamed", path)


class ProcessSink:
    """A sink as one process sees it; implements Sink. `on_try` is called with the source after each try to save."""

    def __init__(self, inner: Sink, process: Process, disk: Disk, *, on_try: Callable[[str], None]) -> None:
        self._inner = inner
        self._process = process
        self._disk = disk
        self._on_try = on_try

    async def prepare(self) -> None:
        await self._inner.prepare()

    async def save_result(self, source: str, chunks: AsyncIterator[bytes], place: Place | None = None) -> SavedResult:
        await self._process.event("sink.save", source)
        self._disk.write_result()
        try:
            saved = await self._inner.save_result(source, chunks, place)
        finally:
            self._on_try(source)
        await self._process.event("sink.renamed", saved.path)
        return saved

    async def has(self, path: str) -> bool:
        return await self._inner.has(path)

    async def read(self, name: str) -> bytes | None:
        self._disk.use_list(name)
        return await self._inner.read(name)

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        await self._process.event("sink.write", name)
        self._disk.use_list(name)
        return await self._inner.write(name, chunks)

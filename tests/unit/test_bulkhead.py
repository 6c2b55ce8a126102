"""What the calls of one `Bulkhead` share: its resources, but no stop signal and no listener."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runner import Bulkhead, Routes, RunSpec, source_spec
from runner.check import Engine, setup
from runner.clock import system_now
from runner.config.settings import Settings
from runner.errors import BatchTaken, LedgerLocked, LedgerMismatch, SourceLocked
from runner.events import BatchFinished, BatchStarted, Event, ItemMoved, Notice
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.local.outcome import ExitCode
from runner.models import BatchState, ItemState
from tests.support.batches import batch_of
from tests.support.sandbox import RunningSandbox


def _spec(inbox: Path, *sources: str) -> RunSpec:
    inbox.mkdir(exist_ok=True)
    for source in sources:
        (inbox / source).write_text(f"name\n{source}\n")
    return RunSpec(source=source_spec(str(inbox)), routes=Routes.single(schema_id="customers"))


async def test_a_stopped_run_can_be_resumed_by_the_same_object(settings: Settings, tmp_path: Path) -> None:
    spec = _spec(tmp_path / "in", "a.csv", "b.csv")
    heard: list[Event] = []

    def stop_at_first_event(event: Event) -> None:
        heard.append(event)
        if len(heard) == 1:
            bulkhead.stop()

    async with Bulkhead(settings, on_event=stop_at_first_event) as bulkhead:
        assert (await bulkhead.run(spec)).state is BatchState.INTERRUPTED
        finished = await bulkhead.resume()
    assert finished.state is BatchState.COMPLETE
    assert finished.by_state == {ItemState.COLLECTED: 2}


async def test_a_stop_with_no_run_under_way_does_not_stop_the_next_run(settings: Settings, tmp_path: Path) -> None:
    async with Bulkhead(settings) as bulkhead:
        bulkhead.stop()
        outcome = await bulkhead.run(_spec(tmp_path / "in", "a.csv"))
    assert outcome.state is BatchState.COMPLETE


async def test_all_runs_share_one_pacer_one_storage_and_one_set_of_limiters(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _count_made(monkeypatch)
    async with Bulkhead(settings) as bulkhead:
        await bulkhead.run(_spec(tmp_path / "in", "a.csv"))
        await bulkhead.run(_spec(tmp_path / "in", "b.csv"))
        await bulkhead.plan(_spec(tmp_path / "in", "c.csv"))
        assert await bulkhead.reconcile() == []
    assert made == {"CreatePacer": 1, "HttpStorage": 1, "RateLimitedApi": 1, "HeadlessClient": 1}


def _count_made(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    from runner.dromo.client import HeadlessClient
    from runner.dromo.rate_limited import RateLimitedApi
    from runner.dromo.storage import HttpStorage
    from runner.quota.pacer import CreatePacer

    made: dict[str, int] = {}

    def count(kind: type) -> None:
        original = kind.__init__  # type: ignore[misc]

        def init(self: object, *args: object, **options: object) -> None:
            made[kind.__name__] = made.get(kind.__name__, 0) + 1
            original(self, *args, **options)

        monkeypatch.setattr(kind, "__init__", init)

    for kind in (CreatePacer, HttpStorage, RateLimitedApi, HeadlessClient):
        count(kind)
    return made


async def test_each_batch_counts_only_its_own_calls(box: RunningSandbox, settings: Settings, tmp_path: Path) -> None:
    async with Bulkhead(settings) as bulkhead:
        await bulkhead.run(_spec(tmp_path / "in", "a.csv"))
        await bulkhead.run(_spec(tmp_path / "in", "b.csv"))
        counted = [found.batch.counters for found in await bulkhead.batches()]
    assert [counters["creates"] for counters in counted] == [1, 1]
    assert sum(counters["list_calls"] for counters in counted) == (await box.counters())["list_calls"]


async def test_two_watches_at_once_each_see_their_own_batch(settings: Settings, tmp_path: Path) -> None:
    heard: list[Event] = []
    async with Bulkhead(settings, on_event=heard.append) as bulkhead:

        async def watch(name: str) -> list[Event]:
            return [event async for event in bulkhead.watch(_spec(tmp_path / name, f"{name}.csv"))]

        for name, events in zip("xy", await asyncio.gather(watch("x"), watch("y")), strict=True):
            assert [event.source_uri for event in events if isinstance(event, BatchStarted)] == [
                (tmp_path / name).as_uri()
            ]
            assert {event.source for event in events if isinstance(event, ItemMoved)} == {f"{name}.csv"}
            assert isinstance(events[-1], BatchFinished)
    assert heard == []


async def test_status_during_a_watch_leaves_its_events_alone(settings: Settings, tmp_path: Path) -> None:
    heard: list[Event] = []
    async with Bulkhead(settings, on_event=heard.append) as bulkhead:
        async for event in bulkhead.watch(_spec(tmp_path / "in", "a.csv", "b.csv")):
            found = await bulkhead.status()
            if not isinstance(event, BatchFinished):
                assert found.batch.state in (BatchState.RUNNING, BatchState.COMPLETE)
            assert sum(found.by_state.values()) <= 2
        assert (await bulkhead.status()).by_state == {ItemState.COLLECTED: 2}
    assert heard == []


async def test_calls_besides_a_watch_report_to_the_hook_of_the_object(settings: Settings, tmp_path: Path) -> None:
    heard: list[Event] = []
    async with Bulkhead(settings, on_event=heard.append) as bulkhead:
        events = bulkhead.watch(_spec(tmp_path / "in", "a.csv"))
        first = await anext(events)
        assert isinstance(first, BatchStarted)
        other = await bulkhead.run(_spec(tmp_path / "other", "b.csv"))
        seen = [event async for event in events]
    assert [event.batch_id for event in heard if isinstance(event, BatchFinished)] == [other.batch.batch_id]
    assert [event.batch_id for event in seen if isinstance(event, BatchFinished)] == [first.batch_id]


async def _interrupted(settings: Settings, spec: RunSpec) -> None:
    async with Bulkhead(settings, on_event=lambda _: bulkhead.stop()) as bulkhead:
        assert (await bulkhead.run(spec)).state is BatchState.INTERRUPTED


async def test_a_resume_waits_for_another_run_only_if_it_is_asked_to(settings: Settings, tmp_path: Path) -> None:
    await _interrupted(settings, _spec(tmp_path / "in", "a.csv", "b.csv"))
    waiting: asyncio.Queue[Event] = asyncio.Queue()
    other = SqliteLedger.open(Path(settings.ledger), now=system_now)
    async with Bulkhead(settings, on_event=waiting.put_nowait) as bulkhead:
        with pytest.raises(LedgerLocked):
            await bulkhead.resume()
        resumed = asyncio.ensure_future(bulkhead.resume(wait=True))
        notice = await waiting.get()
        await other.close()
        assert (await resumed).by_state == {ItemState.COLLECTED: 2}
    assert isinstance(notice, Notice)
    assert notice.code == "waiting_for_other_run"


async def test_a_resume_that_waits_can_be_stopped(settings: Settings, tmp_path: Path) -> None:
    await _interrupted(settings, _spec(tmp_path / "in", "a.csv"))
    other = SqliteLedger.open(Path(settings.ledger), now=system_now)
    async with Bulkhead(settings, on_event=lambda _: bulkhead.stop()) as bulkhead:
        assert (await bulkhead.resume(wait=True)).exit_code is ExitCode.INTERRUPTED
    await other.close()


async def test_the_workers_that_check_the_files_of_a_run_end_with_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def pool(*_arguments: object) -> AsyncIterator[None]:
        steps.append("opened")
        yield
        steps.append("closed")

    async def bind_routes(*_arguments: object) -> list[object]:
        return []

    monkeypatch.setattr(setup, "_pool", pool)
    monkeypatch.setattr(setup, "bind_routes", bind_routes)
    engine = Engine(run=_unused, saved=_unused, bind=_unused, messages={})  # type: ignore[arg-type]
    async with Bulkhead(settings, engine=lambda: engine) as bulkhead:
        for source in ("a.csv", "b.csv"):
            await bulkhead.run(replace(_spec(tmp_path / "in", source), check="warn"))
            steps.append("run")
    assert steps == ["opened", "closed", "run"] * 2


def _unused(*_arguments: object) -> None:
    raise AssertionError


async def test_two_runs_of_one_source_at_once_send_each_file_once(
    box: RunningSandbox, settings: Settings, tmp_path: Path
) -> None:
    spec = _spec(tmp_path / "in", *(f"{number}.csv" for number in range(6)))
    async with Bulkhead(settings) as bulkhead:
        outcomes = await asyncio.gather(bulkhead.run(spec), bulkhead.run(spec), return_exceptions=True)
        batches = await bulkhead.batches()
    finished, refused = sorted(outcomes, key=lambda outcome: isinstance(outcome, BatchTaken))
    assert isinstance(refused, BatchTaken)
    assert not isinstance(finished, BaseException)
    assert finished.by_state == {ItemState.COLLECTED: 6}
    assert len(batches) == 1
    assert len((await box.counters())["created_ids"]) == 6


async def test_a_resume_waits_for_a_run_of_the_same_object(settings: Settings, tmp_path: Path) -> None:
    started = asyncio.Event()
    notices: list[Event] = []

    def hear(event: Event) -> None:
        if isinstance(event, BatchStarted):
            started.set()
        if isinstance(event, Notice):
            notices.append(event)

    async with Bulkhead(settings, on_event=hear) as bulkhead:
        run = asyncio.ensure_future(bulkhead.run(_spec(tmp_path / "in", "a.csv", "b.csv")))
        await started.wait()
        with pytest.raises(BatchTaken):
            await bulkhead.resume()
        resumed = asyncio.ensure_future(bulkhead.resume((await bulkhead.batches())[0].batch.batch_id, wait=True))
        assert (await run).state is BatchState.COMPLETE
        assert (await resumed).state is BatchState.COMPLETE
    assert [notice.code for notice in notices if isinstance(notice, Notice)] == ["waiting_for_other_run"]


async def test_leaving_the_context_stops_a_run_and_leaves_a_batch_that_resumes(
    settings: Settings, tmp_path: Path
) -> None:
    spec = _spec(tmp_path / "in", "a.csv", "b.csv", "c.csv")
    started = asyncio.Event()
    async with Bulkhead(settings, on_event=lambda _: started.set()) as bulkhead:
        run = asyncio.ensure_future(bulkhead.run(spec))
        await started.wait()
    assert (await run).state in (BatchState.INTERRUPTED, BatchState.COMPLETE)
    async with Bulkhead(settings) as bulkhead:
        assert (await bulkhead.run(spec)).state is BatchState.COMPLETE


async def test_leaving_the_context_ends_a_watch_that_nobody_reads(settings: Settings, tmp_path: Path) -> None:
    async with Bulkhead(settings) as bulkhead:
        watch = bulkhead.watch(_spec(tmp_path / "in", "a.csv", "b.csv"))
        assert isinstance(await anext(watch), BatchStarted)
    left = [event async for event in watch]
    assert isinstance(left[-1], BatchFinished)


async def test_a_batch_can_be_run_again_once_a_watch_that_nobody_reads_has_ended(
    settings: Settings, tmp_path: Path
) -> None:
    spec = _spec(tmp_path / "in", "a.csv", "b.csv")
    async with Bulkhead(settings) as bulkhead:
        watch = bulkhead.watch(spec)
        started = await anext(watch)
        assert isinstance(started, BatchStarted)
        outcome = await bulkhead.resume(started.batch_id, wait=True)
        await watch.aclose()  # type: ignore[attr-defined]
    assert outcome.state is BatchState.COMPLETE


@pytest.mark.parametrize("deleted", ["ledger.db", "ledger.db-wal"])
async def test_a_run_whose_ledger_is_deleted_stops_and_keeps_its_content_for_a_resume(
    box: RunningSandbox, settings: Settings, tmp_path: Path, deleted: str
) -> None:
    def hear(event: Event) -> None:
        if isinstance(event, ItemMoved) and event.new is ItemState.PROCESSING:
            (tmp_path / deleted).unlink(missing_ok=True)

    spec = _spec(tmp_path / "in", *(f"{number:02}.csv" for number in range(18)))
    async with Bulkhead(settings, on_event=hear) as bulkhead:
        outcome = await bulkhead.run(spec)
    assert outcome.exit_code is ExitCode.FATAL
    assert outcome.state is BatchState.PAUSED
    assert outcome.by_state.get(ItemState.QUEUED, 0) >= 4
    assert outcome.reason.startswith(f"the ledger {settings.ledger} was deleted, moved, or replaced")
    assert f"`bulkhead resume {outcome.batch.batch_id} --ledger {outcome.kept_ledger}`" in outcome.reason

    kept = settings.model_copy(update={"ledger": Path(str(outcome.kept_ledger)), "quota_store": tmp_path / "fresh.db"})
    async with Bulkhead(kept) as bulkhead:
        assert (await bulkhead.resume(outcome.batch.batch_id)).by_state == {ItemState.COLLECTED: 18}
    assert len((await box.counters())["created_ids"]) == 18


async def test_a_run_whose_lock_is_deleted_stops_and_continues_with_the_same_ledger(
    settings: Settings, tmp_path: Path
) -> None:
    def hear(event: Event) -> None:
        if isinstance(event, ItemMoved) and event.new is ItemState.PROCESSING:
            shutil.rmtree(tmp_path / "quota.db.sources", ignore_errors=True)

    spec = _spec(tmp_path / "in", *(f"{number:02}.csv" for number in range(30)))
    async with Bulkhead(settings, on_event=hear) as bulkhead:
        outcome = await bulkhead.run(spec)
    assert (outcome.exit_code, outcome.kept_ledger) == (ExitCode.FATAL, None)
    assert "the lock of this run" in outcome.reason
    assert f"`bulkhead resume {outcome.batch.batch_id}`" in outcome.reason


async def test_a_second_run_with_another_ledger_waits_if_it_is_asked_to(settings: Settings, tmp_path: Path) -> None:
    spec = _spec(tmp_path / "in", "a.csv")
    other = settings.model_copy(update={"ledger": tmp_path / "other.db"})
    await _interrupted(other, spec)
    heard: asyncio.Queue[Event] = asyncio.Queue()
    async with Bulkhead(settings) as first, Bulkhead(other, on_event=heard.put_nowait) as second:
        watch = first.watch(spec)
        assert isinstance(await anext(watch), BatchStarted)
        with pytest.raises(SourceLocked):
            await second.run(spec)
        with pytest.raises(SourceLocked):
            await second.resume()
        assert len(await second.batches()) == 1
        waiting = asyncio.ensure_future(second.resume(wait=True))
        assert isinstance(await heard.get(), Notice)
        assert [event async for event in watch]
        assert (await waiting).state is BatchState.COMPLETE


async def test_results_of_a_stack_are_not_fetched_again_by_a_runner(settings: Settings) -> None:
    async with Bulkhead(settings) as bulkhead:
        ledger = await bulkhead._resources.ledger(write=True)
        await ledger.start_batch(batch_of("b1"))
        with pytest.raises(LedgerMismatch):
            await bulkhead.fetch_results_again("b1")

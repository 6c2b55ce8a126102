"""Bulkhead: the library's entry point, with one method for each command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

from runner import identity
from runner.check.engine_of_runs import EngineOfRuns
from runner.config.options import RunOptions
from runner.config.run_spec import RunSpec
from runner.errors import BatchTaken, ConfigError, LedgerLocked, SourceLocked
from runner.events import BatchStarted, Event, EventHook, Notice, ignore
from runner.local import plan as planning
from runner.local import reconcile as recovery
from runner.local import redrive as redriving
from runner.local.batch_lease import hold_batch_lease
from runner.local.batch_lookup import Batches
from runner.local.contexts import Contexts, rank_by
from runner.local.continuing import refuse_changes, take_over
from runner.local.dismiss import batches_of, dismiss
from runner.local.dismissed import DismissedReviews
from runner.local.doctor import examine
from runner.local.finish import Records, counts_by_name, finish, judge, record, write_report_again
from runner.local.finished_reviews import FinishedReviews
from runner.local.gone_results import GoneResults
from runner.local.open_reviews import open_reviews
from runner.local.outcome import BatchOutcome, BatchResult, exit_code_of
from runner.local.pipeline import Scope, run_batch
from runner.local.plan import Explanation, Plan
from runner.local.reconcile import Difference
from runner.local.resources import Resources
from runner.manifest import csv, jsonl
from runner.models import OPEN_STATES, Batch, BatchState, BatchStatus, Item, ItemState
from runner.stages.discover import Discovery
from runner.stages.transitions import Transitions
from runner.stop import StopReason, StopSignal

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from runner.check import Engine
    from runner.config.routes import Route
    from runner.config.settings import Settings
    from runner.findings import Finding
    from runner.ledger.protocol import Ledger
    from runner.local.pipeline import RunResult
    from runner.local.source_lock import SourceLock
    from runner.protocols import ImportsApi, Source
    from runner.reviews import OpenReview


_LOOK_AGAIN_S = 1.0
"""How often a waiting `resume` asks whether the other run has ended: three small reads and writes each time."""


class _ActiveRun:
    """A run in progress: the listener of its events, its stop signal, its batch and the task of its stages once known.

    `ended` is set when it no longer uses any resource.
    """

    def __init__(self, emit: EventHook) -> None:
        self.emit = emit
        self.stop = StopSignal()
        self.ended = asyncio.Event()
        self.batch_id: str | None = None
        self.continues = False
        """Whether the batch is of another run, and continues with the options of this one."""
        self.stages: asyncio.Task[RunResult] | None = None
        self.opened = AsyncExitStack()
        """What only this run uses: the batch lease, and the workers that check its files."""
        self.source_lock: SourceLock | None = None


async def _to_its_end(active: _ActiveRun, work: Awaitable[BatchOutcome]) -> BatchOutcome:
    try:
        return await work
    finally:
        if active.source_lock is not None:
            active.source_lock.release()
        active.ended.set()


class Bulkhead:
    """Runs, resumes, and inspects batches. An async context manager: opens resources on first use, closes them once.

    async with Bulkhead(settings) as bulkhead:
        outcome = await bulkhead.run(RunSpec(source=source_spec("inbox"), routes=Routes.single(schema_id="…")))
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_event: EventHook = ignore,
        engine: Callable[[], Engine] | None = None,
        in_sandbox: bool = False,
    ) -> None:
        """Set up without opening anything.

        `on_event` gets the events of every call but `watch`, which yields its own. `engine` makes the import engine
        that a run with `RunSpec.check` checks files with. `in_sandbox`: the API and the ledger end with this object, so
        its results replace those of earlier sandboxes in the same place.
        """
        self._settings = settings
        self._on_event = on_event
        self._resources = Resources(settings, on_event=on_event)
        self._engine = EngineOfRuns(self._resources, engine)
        self._batches = Batches(self._resources)
        self._contexts = Contexts(self._resources, in_sandbox=in_sandbox)
        self._runs: list[_ActiveRun] = []
        self._choosing_batch = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._resources.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the runs in progress and wait until they have ended, then close the resources."""
        self.stop()
        self.stop()
        for run in tuple(self._runs):
            await run.ended.wait()
        await self._resources.__aexit__(kind, error, trace)

    def stop(self, reason: StopReason = StopReason.INTERRUPTED) -> None:
        """Stop the current run: the first call lets requests in progress finish, the second stops at once.

        The batch can be resumed either way. Without a run in progress the call does nothing; a later run starts
        normally.
        """
        for run in self._runs:
            if run.stop.requested and run.stages is not None:
                run.stages.cancel()
            run.stop.request(reason, "stopped on request")

    async def run(self, spec: RunSpec) -> BatchOutcome:
        """Start a batch, or continue the unsettled one of the same source with the routes given now.

        Raises SourceNotFound, ConfigError, LedgerError; BatchTaken if this object is already running the batch;
        SourceLocked if another run of the account imports the source or a part of it, with another ledger.
        Failures of items and trouble at the vendor are in the outcome.
        """
        with self._active(self._on_event) as active:
            return await _to_its_end(active, self._run(spec, active))

    @contextmanager
    def _active(self, emit: EventHook) -> Iterator[_ActiveRun]:
        """Register a run, so that `stop` reaches it from its first to its last moment."""
        active = _ActiveRun(emit)
        self._runs.append(active)
        try:
            yield active
        finally:
            self._runs.remove(active)

    async def _run(self, spec: RunSpec, active: _ActiveRun) -> BatchOutcome:
        async with self._choosing_batch:
            uri = (await self._resources.source(spec.source)).uri
            ledger = await self._resources.ledger(write=True)
            unsettled = await self._batches.unsettled_of(uri)
            if unsettled is not None:
                self._claim(unsettled, active)
            await self._lock_source(spec, active)
            batch = unsettled or await self._start(ledger, spec, uri)
            self._claim(batch, active)
        finished = FinishedReviews(self._resources, self._contexts, self._batches, emit=active.emit, stop=active.stop)
        await finished.collect(uri, but=batch.batch_id)
        if unsettled is not None:
            by_state = await ledger.counts(batch.batch_id)
            refuse_changes(batch, spec, out=self._contexts.out_of(batch, spec), by_state=by_state)
            active.continues = True
        return await self._go(batch, spec, active, resumed=unsettled is not None)

    def _claim(self, batch: Batch, active: _ActiveRun) -> None:
        """Note which batch a run works on. Raises BatchTaken if another run of this object works on it."""
        others = (run for run in self._runs if run is not active and not run.ended.is_set())
        if any(run.batch_id == batch.batch_id for run in others):
            raise BatchTaken(
                f"batch {batch.batch_id} is already being run by this process", hint="wait for that run, or stop it"
            )
        active.batch_id = batch.batch_id

    async def _lock_source(self, spec: RunSpec, active: _ActiveRun) -> None:
        if active.source_lock is None:
            active.source_lock = await self._resources.source_lock(spec.source)

    async def resume(self, batch_id: str | None = None, *, wait: bool = False) -> BatchOutcome:
        """Continue a batch with the options it was started with; without an id, the newest unsettled one.

        If another run is working on it, waits for that run with `wait`; otherwise raises BatchTaken (LedgerLocked if
        another process has the ledger file open, SourceLocked if it imports the source with another ledger).
        """
        with self._active(self._on_event) as active:
            resume = self._resume_when_free if wait else self._resume_now
            return await _to_its_end(active, resume(batch_id, active))

    async def _resume_now(self, batch_id: str | None, active: _ActiveRun) -> BatchOutcome:
        return await self._resume(await self._batches.unsettled(batch_id), active)

    async def _resume(self, batch: Batch, active: _ActiveRun) -> BatchOutcome:
        spec = RunSpec.from_json(batch.config)
        self._claim(batch, active)
        await self._lock_source(spec, active)
        return await self._go(batch, spec, active, resumed=True, list_source=not batch.listed)

    async def _resume_when_free(self, batch_id: str | None, active: _ActiveRun) -> BatchOutcome:
        """Resume a batch, always the same, as soon as no other run works on it; a stop ends the wait."""
        notified = False
        while True:
            try:
                batch = await self._batches.unsettled(batch_id)
                batch_id = batch.batch_id
                return await self._resume(batch, active)
            except (BatchTaken, LedgerLocked, SourceLocked) as busy:
                if not notified:
                    active.emit(Notice(code="waiting_for_other_run", message=f"{busy}; waiting"))
                notified = True
            if await active.stop.sleep(_LOOK_AGAIN_S):
                return await self._stopped_before_start(batch_id, active)

    async def _stopped_before_start(self, batch_id: str | None, active: _ActiveRun) -> BatchOutcome:
        """Return the state of a batch that another run is working on, without writing anything."""
        status = await self.status(batch_id)
        result = await judge(status.batch, await self._resources.ledger(write=False), stop=active.stop)
        return BatchOutcome(
            batch=status.batch,
            by_state=status.by_state,
            exit_code=result.exit_code,
            reason=result.reason,
            out=status.batch.out,
        )

    async def track(self, batch_id: str | None = None, *, watch: bool = False) -> BatchOutcome:
        """Collect the results of finished reviews, and write the manifest again; with `watch`, until no review is open.

        Without an id, takes the newest batch with an open review, or else the newest. Raises as `resume` does.
        """
        scope = Scope.TRACK_WATCH if watch else Scope.TRACK_ONCE
        with self._active(self._on_event) as active:
            return await _to_its_end(active, self._track(batch_id, scope, active))

    async def _track(self, batch_id: str | None, scope: Scope, active: _ActiveRun) -> BatchOutcome:
        batch = await self._batches.named(batch_id, write=True, waiting_for={ItemState.NEEDS_REVIEW})
        spec = RunSpec.from_json(batch.config)
        return await self._go(batch, spec, active, resumed=True, scope=scope, list_source=False)

    async def track_all(self, *, watch: bool = False) -> list[BatchOutcome]:
        """Track every batch with an open review or an open import, oldest first; if there is none, the newest batch.

        Also collects reviews that were finished after their dismissal. With `watch`, again and again until no review is
        open. Batches of other accounts are left out, with a notice. Raises as `resume` does.
        """
        with self._active(self._on_event) as round_:
            dismissed = DismissedReviews(self._resources, self._batches, emit=self._on_event, stop=round_.stop)
            try:
                while True:
                    await dismissed.note_finished()
                    waiting = await self._batches.waiting(self._on_event)
                    if round_.stop.requested:
                        return [await self._stopped_before_start(waiting[0].batch_id, round_)]
                    outcomes = await self._track_each(waiting, round_.stop)
                    is_done = not any(outcome.by_state.get(ItemState.NEEDS_REVIEW) for outcome in outcomes)
                    if not watch or is_done or await round_.stop.sleep(RunOptions().watch_interval_s):
                        return outcomes
            finally:
                round_.ended.set()

    async def _track_each(self, batches: Sequence[Batch], stop: StopSignal) -> list[BatchOutcome]:
        outcomes: list[BatchOutcome] = []
        for batch in batches:
            if outcomes and stop.requested:
                break
            outcomes.append(await self.track(batch.batch_id))
            left = len(batches) - len(outcomes)
            if outcomes[-1].outage and left:
                message = f"batches not tracked: {left:,} more, because the vendor does not answer"
                self._on_event(Notice(code="not_tracked", message=message))
                break
        return outcomes

    async def reviews(self, batch_id: str | None = None) -> list[OpenReview]:
        """Return the open reviews of a batch, by default of the whole ledger, oldest first.

        Raises ConfigError, LedgerError.
        """
        ledger = await self._resources.ledger(write=False)
        named = [await self._batches.named(batch_id, write=False)] if batch_id else await ledger.batches()
        return await open_reviews(ledger, named)

    async def dismiss(
        self, batch_id: str | None = None, *, match: str | None = None, reason: str
    ) -> tuple[Batch, list[Item]]:
        """Dismiss open reviews, failed and uncertain items, as `local.dismiss` says, and write the manifest again.

        Without an id, takes the newest batch with such items. Returns the batch and the items as they were.
        Raises ConfigError, LedgerError.
        """
        batch = await self._batches.dismissible(batch_id)
        ledger = await self._resources.ledger(write=True)
        transitions = await self._transitions(ledger, batch)
        items = await dismiss(ledger, batch.batch_id, match=match, reason=reason, transitions=transitions)
        for one in batches_of(batch.batch_id, items) if items else ():
            await self._record_again(one, ledger)
        return batch, items

    async def _record_again(self, batch_id: str, ledger: Ledger) -> None:
        """Record how a settled batch stands now that some of its items have changed, and write its manifest again."""
        batch = await ledger.batch(batch_id)
        if batch is None or batch.driver == "stack" or batch.state is BatchState.RUNNING or not batch.listed:
            return
        if OPEN_STATES & (await ledger.counts(batch_id)).keys():
            return
        result = await judge(
            batch,
            ledger,
            stop=StopSignal(),
            scope=Scope.TRACK_ONCE,
            fail_on_lost_rows=self._settings.fail_on_lost_rows,
        )
        await record(batch, result, await self._records(batch, write=True))

    async def watch(self, spec: RunSpec) -> AsyncIterator[Event]:
        """Run as `run` does, and yield this run's events; the last one is BatchFinished. Raises as `run` does."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        with self._active(events.put_nowait) as active:
            run = asyncio.ensure_future(_to_its_end(active, self._run(spec, active)))
            run.add_done_callback(lambda _: events.put_nowait(None))
            try:
                while (event := await events.get()) is not None:
                    yield event
                await run
            finally:
                if not run.done():
                    run.cancel()
                    await asyncio.gather(run, return_exceptions=True)

    async def redrive(
        self,
        batch_id: str | None = None,
        *,
        states: Collection[ItemState],
        match: str | None = None,
        import_again: bool = False,
    ) -> int:
        """Put items back to work for the next `resume`, as `local.redrive` says; return how many.

        Raises ConfigError, LedgerError, and AuthRefused and TransientError if the vendor cannot be asked.
        """
        batch = await self._batches.named(batch_id, write=True)
        ledger = await self._resources.ledger(write=True)
        ask = redriving.Redrive(ledger, await self._transitions(ledger, batch), lambda: self._api_of(batch))
        return await ask.batch(batch.batch_id, states=states, match=match, again=import_again, emit=self._on_event)

    async def fetch_results_again(self, batch_id: str | None = None, *, match: str | None = None) -> int:
        """Let the next `resume` fetch results that were collected and are no longer in `out`; return how many.

        Raises ConfigError, LedgerError, and SinkFailed and Unavailable if `out` cannot be read.
        """
        batch = await self._batches.named(batch_id, write=True)
        self._batches.refuse_other_account(batch)
        return await (await self._gone_results(batch, write=True)).fetch_again(match)

    async def _gone_results(self, batch: Batch, *, write: bool) -> GoneResults:
        ledger, sink = await self._resources.ledger(write=write), await self._resources.sink(batch)
        transitions = await self._transitions(ledger, batch)
        return GoneResults(ledger, batch, sink, transitions=transitions, emit=self._on_event)

    async def _api_of(self, batch: Batch) -> ImportsApi:
        self._batches.refuse_other_account(batch)
        return await self._resources.api()

    async def reconcile(self, batch_id: str | None = None, *, fix: bool = False) -> list[Difference]:
        """Compare the batch with the vendor, and its results with `out`; with `fix`, move items to the vendor's state.

        Raises ConfigError, LedgerError, AuthRefused, TransientError.
        """
        batch = await self._batches.named(batch_id, write=fix)
        api = await self._api_of(batch)
        ledger = await self._resources.ledger(write=fix)
        found = await recovery.differences(ledger, api, batch, emit=self._on_event)
        found += await (await self._gone_results(batch, write=fix)).differences()
        transitions = await self._transitions(ledger, batch)
        return await recovery.repair(found, ledger, api, batch, transitions) if fix else found

    async def plan(self, spec: RunSpec) -> Plan:
        """Return what `run` would do. Nothing is written or sent. Raises SourceNotFound, ConfigError, LedgerError."""
        pacer = await self._resources.pacer() if self._settings.license_key else None
        free = await pacer.free_slots() if pacer else self._settings.create_quota.count
        source, ledger = await self._resources.source(spec.source), await self._readable_ledger()
        discovery = self._discovery(spec, source, ledger)
        quota = self._settings.create_quota
        packer = self._engine.packer(spec, source, ledger)
        return await planning.plan(
            source,
            discovery,
            spec.routes,
            quota=quota,
            free=free,
            ledger=ledger,
            packer=packer,
            is_off=spec.pack_is_off,
        )

    async def explain(self, spec: RunSpec, path: str) -> Explanation:
        """Return the route of one file and why, and what `run` would do with it. Raises SourceNotFound, ConfigError."""
        source = await self._resources.one(spec.source, path)
        ledger = await self._readable_ledger()
        found = await planning.explain(
            source,
            self._discovery(spec, source, ledger),
            spec.routes,
            ledger=ledger,
            endpoint=self._resources.endpoint,
            again=spec.again,
            retry_failed=spec.retry_failed,
            packer=self._engine.packer(spec, source, ledger),
        )
        if found is None:
            raise ConfigError(f"{path} is excluded by the filters", hint="see --include, --exclude and --min-age")
        return found

    async def status(self, batch_id: str | None = None) -> BatchStatus:
        """Return a batch, by default the newest, and its items by state. Raises ConfigError, LedgerError."""
        batch = await self._batches.named(batch_id, write=False)
        ledger = await self._resources.ledger(write=False)
        return await self._status(ledger, batch)

    async def batches(self) -> list[BatchStatus]:
        """Return all batches, oldest first. Raises ConfigError, LedgerError."""
        ledger = await self._resources.ledger(write=False)
        return [await self._status(ledger, batch) for batch in await ledger.batches()]

    async def _status(self, ledger: Ledger, batch: Batch) -> BatchStatus:
        return BatchStatus(
            batch=await self._batches.as_it_is(batch),
            by_state=await ledger.counts(batch.batch_id),
            rows=await ledger.row_totals(batch.batch_id),
        )

    async def items(
        self, batch_id: str | None = None, *, states: Collection[ItemState] | None = None
    ) -> AsyncIterator[Item]:
        """Yield a batch's items, ordered by source. Raises ConfigError, LedgerError."""
        batch = await self._batches.named(batch_id, write=False)
        ledger = await self._resources.ledger(write=False)
        async for item in ledger.items(batch.batch_id, states=states):
            yield item

    async def manifest(
        self,
        batch_id: str | None = None,
        *,
        format: Literal["jsonl", "csv"] = "jsonl",  # noqa: A002 - as the option
    ) -> AsyncIterator[bytes]:
        """Yield the current manifest in pieces of UTF-8. Raises ConfigError, LedgerError."""
        batch = await self._batches.named(batch_id, write=False)
        ledger = await self._resources.ledger(write=False)
        render = jsonl if format == "jsonl" else csv
        async for piece in render(ledger.items(batch.batch_id), batch):
            yield piece

    async def report(self, batch_id: str | None = None) -> str:
        """Write the report of a batch and its lists again; return the place of the page. Raises as ledger and sink."""
        batch = await self._batches.as_it_is(await self._batches.named(batch_id, write=False))
        return await write_report_again(batch, await self._records(batch, write=False))

    async def _records(self, batch: Batch, *, write: bool) -> Records:
        ledger, sink = await self._resources.ledger(write=write), await self._resources.sink(batch)
        clock, quota = self._resources.clock, self._settings.create_quota
        return Records(ledger=ledger, sink=sink, clock=clock, emit=self._on_event, quota=quota)

    async def doctor(self, schema_ids: Collection[str] = (), *, routes: Sequence[Route] = ()) -> list[Finding]:
        """Check license key, the given schemas, names in them and `routes`, clock, ledger, and disk; raises nothing."""
        return await examine(self._resources, schema_ids=schema_ids, routes=routes)

    async def _go(
        self,
        batch: Batch,
        spec: RunSpec,
        active: _ActiveRun,
        *,
        resumed: bool,
        scope: Scope = Scope.RUN,
        list_source: bool = True,
    ) -> BatchOutcome:
        self._batches.refuse_other_account(batch)
        self._claim(batch, active)
        leases = await self._resources.leases()
        async with AsyncExitStack() as active.opened:
            if leases is not None:
                lease = hold_batch_lease(leases, batch.batch_id, clock=self._resources.clock, stop=active.stop)
                await active.opened.enter_async_context(lease)
            return await self._drive(batch, spec, active, resumed=resumed, scope=scope, list_source=list_source)

    async def _drive(
        self, batch: Batch, spec: RunSpec, active: _ActiveRun, *, resumed: bool, scope: Scope, list_source: bool
    ) -> BatchOutcome:
        ledger = await self._resources.ledger(write=True)
        context = await self._contexts.of(
            batch,
            spec,
            emit=active.emit,
            stop=active.stop,
            gate=self._engine.gate(spec, emit=active.emit, keep=active.opened.enter_async_context),
            packing=self._engine.packing(spec),
            source_lock=active.source_lock,
        )
        owner = await self._contexts.prepare_out(batch, spec)
        batch = await ledger.update_batch(
            batch.batch_id, state=BatchState.RUNNING, finished_at=None, exit_code=None, reason=None
        )
        counts = await ledger.counts(batch.batch_id)
        active.emit(
            BatchStarted(
                batch_id=batch.batch_id,
                source_uri=batch.source_uri,
                out=batch.out,
                resumed=resumed,
                by_state=counts_by_name(counts),
                slots_free=await context.pacer.free_slots(),
            )
        )
        if active.source_lock is not None:
            await active.source_lock.introduce(batch, ledger, active.emit, tagged=context.options.filename_tag)
        if active.continues:
            await take_over(batch, spec, context)
        active.stages = asyncio.ensure_future(run_batch(batch, context, scope=scope, list_source=list_source))
        ended: RunResult | None = None
        try:
            ended = await active.stages
        except asyncio.CancelledError:
            if not active.stop.requested:
                raise
        except Exception as error:
            result = BatchResult(state=BatchState.PAUSED, exit_code=exit_code_of(error), reason=str(error))
            await asyncio.shield(finish(batch, result, Records.of(context, owner)))
            raise
        kept: Path | None = None
        if active.stop.reason is StopReason.LEDGER_REPLACED:
            kept, active.stop.hint = self._resources.keep_ledger(batch.batch_id)
        result = await judge(
            batch,
            ledger,
            stop=active.stop,
            ended=ended,
            scope=scope,
            fail_if_empty=spec.fail_if_empty,
            fail_on_lost_rows=self._settings.fail_on_lost_rows,
        )
        outcome = await asyncio.shield(finish(batch, result, Records.of(context, owner)))
        missing = ended.missing_schemas if ended else ()
        return replace(outcome, kept_ledger=str(kept) if kept else None, missing_schemas=missing)

    async def _start(self, ledger: Ledger, spec: RunSpec, uri: str) -> Batch:
        now = self._resources.clock.now()
        batch = Batch(
            batch_id=identity.batch_id(uri, now),
            source_uri=uri,
            account=identity.endpoint_of(self._resources.account),
            out="",
            config=spec.to_json(),
            started_at=now,
        )
        batch = replace(batch, out=self._contexts.out_of(batch, spec))
        await self._contexts.prepare_out(batch, spec, is_new=True)
        await ledger.start_batch(batch)
        return batch

    def _discovery(self, spec: RunSpec, source: Source, ledger: Ledger | None) -> Discovery:
        return Discovery(
            batch_id="plan",
            ledger=ledger,
            source=source,
            routes=spec.routes,
            rank_of=rank_by(spec),
            endpoint=self._resources.endpoint,
            again=spec.again,
            retry_failed=spec.retry_failed,
            clock=self._resources.clock,
        )

    async def _readable_ledger(self) -> Ledger | None:
        return await self._resources.ledger(write=False) if self._settings.ledger_is_there else None

    async def _transitions(self, ledger: Ledger, batch: Batch) -> Transitions:
        counts = await ledger.counts(batch.batch_id)
        return Transitions(ledger, clock=self._resources.clock, emit=self._on_event, by_state=counts)


__all__ = ["BatchStatus", "Bulkhead", "Difference", "Explanation", "Plan", "RunSpec"]

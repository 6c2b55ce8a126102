"""One simulation: the real core runs, is killed, and runs again against a simulated vendor, until a batch ends."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from runner.config.options import RunOptions
from runner.config.routes import Route, Routes
from runner.config.run_spec import RunSpec
from runner.config.units import Rate as Quota
from runner.dromo.clock import VendorTime
from runner.dromo.rate_limited import RateLimitedApi
from runner.errors import StorageFull
from runner.events import ignore
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Ledger
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.local.continuing import take_over
from runner.local.pipeline import RunResult, Scope, run_batch
from runner.local.redrive import Redrive
from runner.models import Batch, CreateRequest, Item, ItemState
from runner.packing.canary import PredictedImport, PredictImport
from runner.protocols import ImportsApi, Sink
from runner.quota.pacer import CreatePacer
from runner.quota.slots import MemorySlots, SlotStore
from runner.quota.sqlite import SqliteSlots
from runner.sinks import LocalSink
from runner.stages.absence import is_suspected
from runner.stages.context import RunContext
from runner.stages.packing_setup import PackingSetup
from runner.stages.transitions import Transitions
from runner.stop import StopReason, StopSignal
from sandbox.api_state import SandboxState
from sandbox.settings import SandboxSettings
from tests.simulation.options import Options
from tests.simulation.oracles import Judges
from tests.simulation.plan import SETTLE_S, Life, Plan, pack_plan_of, plan_of, shared_plan_of, within
from tests.simulation.second_ledger import Sight
from tests.simulation.stack import Stack
from tests.support.inputs import TABLE_HEADER, Input, SimulatedSource, import_of_table, simulated_engine
from tests.support.lagging import LaggingLedger
from tests.support.process import (
    EPOCH,
    Disk,
    MemorySink,
    Process,
    ProcessLedger,
    ProcessSink,
    ProcessSlots,
    SimulatedClock,
    Trace,
    own_tasks,
)
from tests.support.seeds import Broken, Kind, repeatable
from tests.support.vendor import SimulatedApi, SimulatedStorage, Vendor
from tests.support.vloop import BusyLoop, DeadlineExceeded, Deadlock, VirtualLoop
from tests.support.weather import Weather
from tests.support.worlds import ALONE_ONLY, OF_PACKS, ON_BY_DEFAULT, OddFiles, Oddities, World, shows_others

BATCH_ID = "simulated"
NEXT_NIGHT = "simulated-next-night"
FIELDS: tuple[dict[str, Any], ...] = ({"key": "mark", "label": "Mark"},)
ROUTES = Routes(
    [
        Route(name="json", match="json/**", schema_id="contacts"),
        Route(name="inline", match="inline/**", fields=FIELDS),
        Route(name="files", schema_id="customers"),
    ]
)
TABLE_FIELDS: tuple[dict[str, Any], ...] = tuple({"key": name.lower(), "label": name} for name in TABLE_HEADER)
SCHEMAS: list[dict[str, Any]] = [
    {"id": "contacts", "name": "contacts", "fields": list(FIELDS), "settings": {}},
    {"id": "customers", "name": "customers", "fields": list(TABLE_FIELDS), "settings": {}},
]
_OF_KEPT = ("pack_review_open", "pack_review_finished")
_REDRIVE = 600_000
"""From this number on the vendor sees what redrives ask for."""
SECOND_LIFE = 500_000
"""From this number on the vendor sees what the run with the second ledger asks for."""
LONGEST_LIFE_S = 86_400.0
LONGEST_STOP_S = 900.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came out of a simulation that broke nothing; `virtual_s` is its length."""

    digest: str
    account: dict[str, tuple[str, int]]
    events: tuple[int, ...]
    virtual_s: float
    trace: list[tuple[float, str, str]]


def simulate(plan: Plan) -> Report:
    """Run one simulation to its end. Raises Broken, with the trace in its notes' place: `error.trace`."""
    loop = VirtualLoop(seed=plan.seed)
    loop.set_exception_handler(lambda _loop, _context: None)
    own_tasks(loop)
    with repeatable(plan.seed), ExitStack() as stack:
        simulation = Simulation(plan, loop, stack)
        try:
            loop.run_until_complete(simulation.play())
        except (BusyLoop, Deadlock, DeadlineExceeded) as error:
            raise simulation.broken(f"I8: {error}") from error
        finally:
            loop.end()
        return simulation.report()


class _PackIsLost(Exception):
    """A run has stopped because of a pack that its ledger does not know."""


class Store:
    """What survives the process: ledger, slots and results, in memory or in a directory."""

    def __init__(self, plan: Plan, clock: SimulatedClock, stack: ExitStack) -> None:
        self._clock = clock
        self._root: Path | None = None
        self._files: dict[str, bytes] = {}
        self.ledger: Ledger = MemoryLedger(now=clock.now)
        if plan.stack is not None:
            lags, most_s = random.Random(f"{plan.seed} lag"), plan.stack.page_lag_s
            self.ledger = LaggingLedger(lag_s=lambda: lags.choice((0.0, lags.uniform(0.0, most_s))), now=clock.now)
        self.slots: SlotStore = MemorySlots()
        if plan.store == "disk":
            self._root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkhead-simulation-")))
            self.slots = SqliteSlots(self._root / "slots.db", now=clock.now, ticks=clock.ticks, boot_id="boot")
            self._open(self._root)
            stack.callback(self._close)

    def truth(self) -> Ledger:
        """Return the ledger as it is, whatever its pages show."""
        return self.ledger.truth() if isinstance(self.ledger, LaggingLedger) else self.ledger

    def lose_ledger(self) -> None:
        """Remove the ledger; slots and results stay."""
        if self._root is None:
            self.ledger = MemoryLedger(now=self._clock.now)
            return
        self._close()
        for path in self._root.glob("ledger.db*"):
            path.unlink()
        self._open(self._root)

    def lose_out(self) -> None:
        """Remove everything that was written beside the results, and the results."""
        self._files.clear()
        if self._root is not None:
            shutil.rmtree(self._root / "out", ignore_errors=True)

    def reopen(self) -> None:
        """Do what a new process does."""
        if self._root is not None:
            self._close()
            self._open(self._root)

    def sink(self, process: Process, disk: Disk, *, on_try: Callable[[str], None]) -> Sink:
        inner: Sink = MemorySink(self._files, process, disk)
        if self._root is not None:
            inner = LocalSink(self._root / "out", threaded=False)
        return ProcessSink(inner, process, disk, on_try=on_try)

    def saved(self, path: str) -> bytes | None:
        """Return what is at a result's final path."""
        if self._root is None:
            return self._files.get(path)
        place = self._root / "out" / path
        return place.read_bytes() if place.exists() else None

    def _open(self, root: Path) -> None:
        self.ledger = SqliteLedger.open(root / "ledger.db", now=self._clock.now)

    def _close(self) -> None:
        assert isinstance(self.ledger, SqliteLedger)
        self.ledger._database.close()


class Simulation:
    """The lives of one plan, and the judges between them."""

    def __init__(self, plan: Plan, loop: VirtualLoop, stack: ExitStack, *, beside: Simulation | None = None) -> None:
        """Simulate a plan; or `beside` a simulation, at the same vendor, the run with the second ledger."""
        self._plan = plan
        self._loop = loop
        self._batch_id = BATCH_ID
        self._inputs = {given.source: given for given in plan.inputs}
        self._trace = beside._trace if beside else Trace(loop)
        self._clock = SimulatedClock(loop)
        self._store = Store(plan, self._clock, stack)
        failing = Oddities(plan.worlds, seed=plan.seed).out_failures(until=plan.clears_at)
        self._files = OddFiles(plan.worlds, seed=plan.seed, until=plan.clears_at)
        self._disk = Disk(
            loop, self._rng("disk"), full=plan.full, failing=failing,
            list_trouble=lambda now: self._files.list_trouble(now=now),
        )  # fmt: skip
        self._vendor = beside._vendor if beside else self._make_vendor()
        self._judges = Judges(
            plan,
            batch_id=BATCH_ID,
            vendor=self._vendor,
            ledger=self._store.truth,
            saved=self._store.saved,
            files=self._files,
        )
        self._options = Options()
        self._events: list[int] = []
        self._stack = self._make_stack()
        self._sight: Sight | None = None
        self._second: Simulation | None = None
        if World.SECOND_LEDGER in plan.worlds and beside is None:
            self._second = Simulation(replace(plan, store="memory"), loop, stack, beside=self)
            if not plan.second_slots:
                self._second._store.slots = self._store.slots

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self._plan.seed} {purpose}")

    def _make_vendor(self) -> Vendor:
        plan = self._plan
        weather = Weather(
            rng=self._rng("weather"),
            rates=plan.rates,
            kinds=plan.kinds,
            outages=plan.outages,
            clears_at=plan.clears_at,
            latest_create_s=plan.latest_create_s,
            latest_upload_s=plan.latest_upload_s,
        )
        settings = SandboxSettings(**{**vars(plan.settings), "create_quota": plan.quota})
        state = SandboxState(self._rng("vendor"), settings=settings, engine=simulated_engine, schemas=SCHEMAS)
        odd = Oddities(plan.worlds, seed=plan.seed, until=EPOCH.timestamp() + plan.clears_at)
        return Vendor(state, loop=self._loop, weather=weather, trace=self._trace, habits=plan.habits, odd=odd)

    def _make_stack(self) -> Stack | None:
        if self._plan.stack is None:
            return None
        stack = Stack(
            self._plan.stack, seed=self._plan.seed, loop=self._loop, vendor=self._vendor, clock=self._clock,
            trace=self._trace, ledger=self._ledger_of, slots=self._store.slots,
        )  # fmt: skip
        stack.reviews_until = self._plan.clears_at
        return stack

    def _ledger_of(self, process: Process) -> ProcessLedger:
        return ProcessLedger(self._store.ledger, process, self._disk, on_advance=self._judges.item_moves)

    async def play(self) -> None:
        """Live every life of the plan, while the functions run if the plan has any."""
        working = None if self._stack is None else self._loop.create_task(self._stack.work())
        await self._play()
        if working is not None and working.done():
            working.result()
        elif working is not None:
            working.cancel()

    async def _play(self) -> None:
        """Live every life, then one without faults, after which no item may be open.

        A person must act if only another ledger, or one that is lost with `--out`, knows a pack: the end is the run
        that says so.
        """
        with suppress(_PackIsLost):
            await self._play_to_the_end()

    async def _play_to_the_end(self) -> None:
        self._let_others_act()
        second = None if self._second is None else self._loop.create_task(self._second.live_beside())
        for number, life in enumerate(self._plan.lives):
            await self._live(number, life)
            await self._rest(number, life)
        await asyncio.sleep(max(0.0, self._plan.clears_at - self._loop.time()))
        if second is not None:
            self._loop.deadline = self._loop.time() + self._plan.longest_life_s
            await second
        if self._stack is not None:
            await self._stack.drained()
        await self._live_without_faults(len(self._plan.lives))
        if self._second is not None:
            await self._second.complete()
        if self._plan.reviewed:
            await self._finish_reviews()
        self._judge(self._judges.all_has_ended)
        if World.KEPT_REVIEW in self._plan.worlds:
            await self._redrive_kept()
        if World.SHARED_OUT in self._plan.worlds:
            await self._changed_night()
        elif World.NEXT_NIGHT in self._plan.worlds:
            await self._next_night()

    def _let_others_act(self) -> None:
        for name, at, delay_s in self._plan.strangers:
            self._vendor.stranger_creates(name, "customers", at=at, upload_after_s=delay_s)
        for at, choice in self._plan.deletions:
            self._vendor.person_deletes(at=at, choice=choice)

    async def _rest(self, number: int, life: Life) -> None:
        """Let the machine be idle; the ledger may be lost meanwhile, and files may change."""
        await asyncio.sleep(life.rest_s)
        if life.loses_ledger:
            self._trace.note("ledger lost")
            self._store.lose_ledger()
            self._judges.ledger_was_lost()
        if life.loses_out:
            self._trace.note("out lost")
            self._store.lose_out()
        if life.changes_inputs:
            self._change_inputs(self._plan.changed(self._inputs.values(), life=number))
            self._trace.note("files change", ", ".join(given.data for given in self._inputs.values()))

    def _change_inputs(self, inputs: Iterable[Input]) -> None:
        self._inputs = {given.source: given for given in inputs}
        self._judges.inputs_changed(self._inputs.values())

    def _calm(self) -> Life:
        return Life(options=self._plan.last_options)

    async def _live_without_faults(self, number: int) -> None:
        reason = await self._live(number, self._calm())
        if reason is StopReason.FOREIGN_IMPORTS and self._sight is not None and not self._sight.knows_time:
            # It may have taken imports of a moment before for later ones; its hint says to resume.
            await self._live(number, self._calm())
        self._refuse_lost_pack(reason)
        left = self._judges.left_open()
        if left and all(map(is_suspected, left)):
            # Three lists prove that an import is gone. If they are long, a run defers its item before the third.
            await self._live(number, self._calm())
            left = self._judges.left_open()
        if left:
            raise self.broken(f"I8: open after a run without faults: {[item.source for item in left]}")

    def _refuse_lost_pack(self, reason: StopReason | None) -> None:
        if self._is_pack_lost(reason):
            raise _PackIsLost

    def _is_pack_lost(self, reason: StopReason | None) -> bool:
        """Tell whether a run has rightly stopped because nothing says what is in a pack."""
        if reason is not StopReason.FOREIGN_IMPORTS or self._plan.pack_limits is None:
            return False
        is_unknown = self._plan.loses_out and self._judges.some_pack_is_untold()
        is_unknown = is_unknown or self._judges.some_lost_member_is_unreadable() or bool(self._options.left_out)
        return World.SECOND_LEDGER in self._plan.worlds or is_unknown

    async def live_beside(self) -> None:
        """Live one life with the second ledger while another run is working."""
        await asyncio.sleep(self._plan.second_at)
        await self._live(SECOND_LIFE, Life())

    async def complete(self) -> None:
        """Continue with the second ledger after the other run has ended."""
        await self._live_without_faults(SECOND_LIFE + 1)
        self._judge(self._judges.all_has_ended)

    async def _next_night(self) -> None:
        """List the same source again, for another batch: none of its data is sent again."""
        self._batch_id = self._judges.batch_id = NEXT_NIGHT
        self._refuse_lost_pack(await self._live(len(self._plan.lives) + 2, Life()))
        self._judge(self._judges.nothing_was_new)

    async def _changed_night(self) -> None:
        """List the source again after some files have changed; then finish the reviews of the first night."""
        self._change_inputs(self._plan.next_inputs)
        self._batch_id = self._judges.batch_id = NEXT_NIGHT
        self._refuse_lost_pack(await self._live(len(self._plan.lives) + 2, Life()))
        self._judge(self._judges.changes_are_collected)
        self._change_inputs(self._plan.inputs)
        self._batch_id = self._judges.batch_id = BATCH_ID
        self._judges.later = {given.source: given for given in self._plan.next_inputs}
        await self._finish_reviews()
        self._judge(self._judges.newest_results_are_kept)

    async def _redrive_kept(self) -> None:
        """Finish or delete the reviews whose imports the vendor has kept, and redrive their files as the guide says."""
        kept = [item for item in self._judges.items() if item.error_code in _OF_KEPT]
        deletes = self._rng("kept reviews").random() < 0.5
        for import_id in sorted({item.carrying_id or "" for item in kept}):
            self._vendor.person_deletes_reviewed(import_id) if deletes else self._vendor.person_reviews(import_id)
        number = len(self._plan.lives) + 1
        if kept and not deletes:
            await self._live(number, self._calm())
            self._judge(self._judges.all_has_ended)
        await self._redrive(kept, number)
        if kept:
            self._refuse_lost_pack(await self._live(number + 1, self._calm()))
            self._judge(self._judges.all_has_ended)
            left = [item for item in self._judges.items() if item.error_code in _OF_KEPT]
            if left:
                raise self.broken(f"I3: redriven, and held again: {[item.source for item in left]}")

    async def _redrive(self, items: Iterable[Item], number: int) -> None:
        """Fetch the results of files from their packs, and send those again whose imports were deleted."""
        ledger, process = self._store.ledger, Process(self._trace, self._loop)
        api = RateLimitedApi(SimulatedApi(self._vendor, process, self._loop, life=_REDRIVE + number))
        transitions = Transitions(ledger, clock=self._clock, emit=ignore, by_state={})

        async def open_api() -> ImportsApi:
            return api

        redrive = Redrive(ledger, transitions, open_api)
        for item in items:
            again = item.carrying_id in self._vendor.seen.dissolved
            await redrive.batch(self._batch_id, states={ItemState.FAILED}, match=item.source, again=again)

    async def _finish_reviews(self) -> None:
        for item in self._judges.items():
            if item.state is ItemState.NEEDS_REVIEW:
                self._vendor.person_reviews(item.import_id or "")
        await self._live(len(self._plan.lives) + 1, self._calm(), scope=Scope.TRACK_WATCH)
        if left := [item.source for item in self._judges.items() if item.state is ItemState.NEEDS_REVIEW]:
            raise self.broken(f"I8: reviews are finished, but not seen: {left}")

    async def _live(self, number: int, life: Life, *, scope: Scope = Scope.RUN) -> StopReason | None:
        """Live one life, judge it, and return why the run stopped, if it did."""
        if number != SECOND_LIFE:
            self._loop.deadline = self._loop.time() + self._plan.longest_life_s
        self._trace.note("life", str(number))
        self._clock.skew_s = life.skew_s
        self._judges.life = number
        self._options = life.options
        self._judges.options_are(life.options)
        self._store.reopen()
        stop = StopSignal()
        process = Process(self._trace, self._loop, kill_at=life.kill_at, freezes=dict(life.freezes))
        timers = [self._loop.call_later(life.stop_after_s or LONGEST_LIFE_S, self._ask_to_stop, stop)]
        timers += [self._loop.call_later(after_s, self._step_clock, by_s) for after_s, by_s in life.steps]
        ended = await self._run(process, self._program(process, number, stop, scope))
        for timer in timers:
            timer.cancel()
        if number != SECOND_LIFE:
            self._loop.deadline = float("inf")
        self._events.append(process.event_count)
        self._judges.ended_at = self._loop.time()
        if process.dead:
            self._vendor.sender_died(process)
        self._judge(self._judges.data_is_where_it_belongs)
        self._judge(self._judges.states_add_up)
        self._judge(self._judges.quota_is_kept)
        if ended is not None and scope is Scope.RUN:
            self._trace.note("ended", str(stop.reason))
            by_us = stop.reason is StopReason.INTERRUPTED or self._is_pack_lost(stop.reason)
            self._judge(
                lambda: self._judges.run_ended(
                    deferred=ended.deferred, held=bool(ended.held_schemas), stopped=stop.requested, by_us=by_us
                )
            )
            if self._sight is not None and self._plan.confirms_lists and not by_us:
                sight, reason = self._sight, stop.reason
                self._judge(lambda: sight.ended(reason))
        return stop.reason

    async def _run(self, process: Process, program: Any) -> RunResult | None:
        try:
            return await process.run(program)
        except Exception as error:
            raise self.broken(f"I8: the run raised {type(error).__name__}: {error}") from error

    def _step_clock(self, by_s: float) -> None:
        self._trace.note("clock", f"{by_s:.3f}")
        self._clock.skew_s += by_s

    def _ask_to_stop(self, stop: StopSignal) -> None:
        if not stop.requested:
            self._trace.note("stop")
            self._loop.deadline = min(self._loop.deadline, self._loop.time() + LONGEST_STOP_S)
        stop.request(StopReason.INTERRUPTED)

    async def _program(self, process: Process, number: int, stop: StopSignal, scope: Scope) -> RunResult | None:
        ledger = self._ledger_of(process)
        context = self._context(process, number, ledger, stop)
        spec = self._options.spec(ROUTES)
        batch = await ledger.batch(self._batch_id)
        if batch is None:
            batch = await self._start_batch(spec)
        elif World.OTHER_OPTIONS in self._plan.worlds and scope is Scope.RUN:
            try:
                await take_over(batch, spec, context)
            except StorageFull:
                return None
        return await run_batch(batch, context, scope=scope, list_source=scope is Scope.RUN)

    async def _start_batch(self, spec: RunSpec) -> Batch:
        batch = Batch(
            batch_id=self._batch_id,
            source_uri=SimulatedSource.uri,
            account="account",
            out="out",
            config=spec.to_json(),
            started_at=self._clock.now(),
        )
        await self._store.ledger.start_batch(batch)
        return batch

    def _source(self) -> SimulatedSource:
        options = self._options

        def check(source: str) -> None:
            if (error := self._files.refusal(source, now=self._loop.time())) is not None:
                raise error

        there = tuple(given for given in self._inputs.values() if given.source not in options.gone)
        return SimulatedSource(there, left_out=options.left_out, check=check)

    def _context(self, process: Process, number: int, ledger: Ledger, stop: StopSignal) -> RunContext:
        plan, rng = self._plan, self._rng(f"life {number}")
        vendor_time = VendorTime(self._clock)
        api = SimulatedApi(self._vendor, process, self._loop, life=number, vendor_time=vendor_time)
        api.before_create = self._judges.create_leaves
        if World.SECOND_LEDGER in plan.worlds:
            self._watch_lists(api)
        storage = SimulatedStorage(self._vendor, process, self._loop)
        storage.before_upload = self._judges.upload_leaves
        storage.before_pack = self._judges.pack_leaves
        return RunContext(
            ledger=ledger,
            api=RateLimitedApi(api),
            storage=storage,
            open_source=self._source,
            open_sink=lambda: self._store.sink(process, self._disk, on_try=self._judges.result_is_whole),
            routes=self._options.spec(ROUTES).routes,
            endpoint="endpoint",
            pacer=CreatePacer(
                ProcessSlots(self._store.slots, process, self._disk),
                quota_key="account",
                quota=Quota(plan.quota.count, plan.quota.window_s),
                clock=self._clock,
                rng=rng,
            ),
            clock=self._clock,
            vendor_time=vendor_time,
            rng=rng,
            emit=ignore,
            stop=stop,
            options=RunOptions(
                uploads=plan.uploads,
                filename_tag=plan.filename_tag,
                settle_s=SETTLE_S,
                json_is_new=shows_others(plan.worlds) and not plan.loses_ledger,
                track_by=plan.stack.track_by if plan.stack else None,
            ),
            rank_of=lambda _entry: 0,
            packing=self._packing(),
            shared=plan.stack is not None,
            shares_out=True,
        )

    def _packing(self) -> PackingSetup | None:
        limits, share = self._plan.pack_limits, self._plan.mispredicted
        if limits is None:
            return None

        def predict_one(raw: bytes, /, *, filename: str) -> PredictedImport:
            outcome = import_of_table(raw)
            if outcome.status != "SUCCESSFUL" and zlib.crc32(raw) % 100 < 100 * share:
                return PredictedImport(status="SUCCESSFUL", content=b"[]", metadata={})
            return PredictedImport(status=outcome.status, content=orjson.dumps(outcome.rows), metadata=outcome.metadata)

        async def predict(_binding: str) -> PredictImport:
            return predict_one

        spec = self._options.spec(ROUTES)
        if not spec.packs:
            return PackingSetup(is_off=spec.pack_is_off)
        return PackingSetup(limits=limits, predict=predict, members_of=spec.pack_limit, is_off=spec.pack_is_off)

    def _watch_lists(self, api: SimulatedApi) -> None:
        """Judge what a run does once a list shows it that another one is importing the same files."""
        sight = self._sight = Sight(
            self._batch_id, vendor=self._vendor, ledger=self._store.truth, fail=self._judges.fail
        )

        def leaves(request: CreateRequest, source: str | None) -> None:
            self._judges.create_leaves(request, source)
            sight.create_leaves(request)

        api.before_create, api.on_created, api.on_listed = leaves, sight.created, sight.listed

    def _judge(self, invariant: Callable[[], None]) -> None:
        self._judges.judge(invariant, self._trace.events)

    def broken(self, sentence: str) -> Broken:
        return self._judges.failure(sentence, self._trace.events)

    def report(self) -> Report:
        return Report(
            digest=self._trace.digest(),
            account=self._judges.account(),
            events=tuple(self._events),
            virtual_s=self._loop.time(),
            trace=self._trace.events,
        )


ALONE = Kind(
    command="python -m tests.simulation",
    plan_of=plan_of,
    simulate=simulate,
    within=within,
    worlds=frozenset(World),
    on_by_default=ON_BY_DEFAULT,
)
PACKS = replace(
    ALONE,
    command="python -m tests.simulation --packs",
    plan_of=pack_plan_of,
    on_by_default=ON_BY_DEFAULT | OF_PACKS,
)
SHARED = replace(
    ALONE,
    command="python -m tests.simulation --shared",
    plan_of=shared_plan_of,
    worlds=ALONE.worlds - ALONE_ONLY,
    on_by_default=ON_BY_DEFAULT - ALONE_ONLY,
)

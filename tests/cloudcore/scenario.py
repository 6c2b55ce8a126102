"""One simulation: functions with a simulated vendor, queues, and inbox, until every batch has ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.cloud.breaker import Breaker, GuardedApi
from runner.cloud.context import Deployment, Landing
from runner.cloud.dead_letters import is_dead_lettered
from runner.cloud.handlers.collect import collect
from runner.cloud.handlers.finish import finish
from runner.cloud.handlers.list import list_page
from runner.cloud.handlers.register import register
from runner.cloud.handlers.submit import submit
from runner.cloud.handlers.upload import upload
from runner.cloud.lifecycle import submit_queue
from runner.cloud.messages import ImportHint, ItemRef, StartLoad, decode
from runner.cloud.protocols import Queue
from runner.cloud.reconcile import reconcile
from runner.config.settings import Settings
from runner.config.units import Rate as Quota
from runner.dromo.clock import VendorTime
from runner.dromo.rate_limited import RateLimitedApi
from runner.errors import first_cause
from runner.ledger.leases import MemoryLeases
from runner.ledger.memory import MemoryLedger
from runner.models import BatchState, ItemState
from runner.quota.pacer import CreatePacer
from runner.quota.slots import MemorySlots
from sandbox.api_state import SandboxState
from sandbox.settings import SandboxSettings
from tests.cloudcore.bucket import INBOX, POISON, Bucket, ProcessPlaces, Results
from tests.cloudcore.functions import (
    CloudProcessLedger,
    Envelope,
    Heard,
    Post,
    ProcessLeases,
    ProcessNotifier,
    ProcessQueues,
    is_stopped_as_a_loop,
)
from tests.cloudcore.oracles import Judges
from tests.cloudcore.plan import BEGIN_S, SETTLE_S, Drop, Plan, plan_of, within
from tests.support.inputs import simulated_engine
from tests.support.process import EPOCH, Disk, Process, ProcessSlots, SimulatedClock, Trace, own_tasks
from tests.support.seeds import MISTAKES, Broken, Kind, repeatable
from tests.support.vendor import SimulatedApi, SimulatedStorage, Vendor
from tests.support.vloop import BusyLoop, DeadlineExceeded, Deadlock, VirtualLoop
from tests.support.weather import Weather
from tests.support.worlds import ALONE_ONLY, ON_BY_DEFAULT, Oddities, World, shows_others

CONFIG = """
[[routes]]
match = "**/*.json"
schema_id = "contacts"

[[routes]]
match = "**"
schema_id = "customers"
"""
SCHEMAS: list[dict[str, Any]] = [
    {"id": name, "name": name, "fields": [{"key": "mark", "label": "Mark"}], "settings": {}}
    for name in ("contacts", "customers")
]
SETTINGS = Settings(settle_s=SETTLE_S)
RECONCILE_EVERY_S = 300.0
LOOK_EVERY_S = 3.0
POLL_S = 0.05
LONGEST_S = 28_800.0
ENDED = frozenset({"SUCCESSFUL", "FAILED", "NEEDS_REVIEW"})
ENTRIES: dict[Queue, Callable[..., Any]] = {
    Queue.REGISTER: register,
    Queue.SUBMIT: submit,
    Queue.LOAD: submit,
    Queue.UPLOAD: upload,
    Queue.LIST: list_page,
    Queue.COLLECT: collect,
    Queue.FINISH: finish,
}
FUNCTIONS = {
    Queue.REGISTER: "Register",
    Queue.SUBMIT: "Submit",
    Queue.LOAD: "Submit",
    Queue.UPLOAD: "Upload",
    Queue.LIST: "ListPrefix",
    Queue.COLLECT: "Collect",
    Queue.FINISH: "Finish",
}
"""The function that reads each queue, as template.yaml names it."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came out of a simulation that broke nothing; `virtual_s` is its length."""

    digest: str
    states: dict[str, int]
    virtual_s: float
    heard: Heard
    sent: dict[str, int]
    expired: int
    redriven: int
    trace: list[tuple[float, str, str]]


def simulate(plan: Plan) -> Report:
    """Run one simulation to its end. Raises Broken; `error.trace` is what led to it."""
    loop = VirtualLoop(seed=plan.seed, start=BEGIN_S, deadline=BEGIN_S + plan.clears_at + LONGEST_S)
    loop.set_exception_handler(lambda _loop, _context: None)
    own_tasks(loop)
    with repeatable(plan.seed):
        simulation = Simulation(plan, loop)
        try:
            loop.run_until_complete(simulation.play())
        except (BusyLoop, Deadlock, DeadlineExceeded) as error:
            raise simulation.broken(f"{error}; open: {simulation.still_open()[:12]}") from error
        except BaseExceptionGroup as group:
            cause = first_cause(group)
            raise simulation.broken(str(cause)) if isinstance(cause, Broken) else cause from None
        finally:
            loop.end()
        return simulation.report()


def _unjudged(*_: object) -> None:
    """Let every move happen."""


class Simulation:
    """The world of one plan."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        self._plan = plan
        self.loop = loop
        self.trace = Trace(loop)
        self._clock = SimulatedClock(loop)
        self.ledger = MemoryLedger(now=self._clock.now)
        self.leases = MemoryLeases(now=self._clock.now)
        self.slots = MemorySlots()
        self.bucket = Bucket(versioned=plan.versioned)
        self.results = Results()
        self.heard = Heard()
        self.post = Post(rng=self._rng("post"), doubled=plan.doubled, late_s=plan.late_s)
        self.vendor = self._make_vendor()
        self._judges = Judges(plan, vendor=self.vendor, ledger=self.ledger, results=self.results, heard=self.heard)
        failing = Oddities(plan.worlds, seed=plan.seed).out_failures(until=plan.clears_at)
        self._out_failures = [(BEGIN_S + begin, BEGIN_S + end) for begin, end in failing]
        self._kills = self._rng("kills")
        self._numbers = iter(range(1_000_000))
        self._told: dict[str, str] = {}
        self._reviewed: set[str] = set()
        self.deaths = 0
        self.failures = 0
        self.redriven = 0

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self._plan.seed} {purpose}")

    def _make_vendor(self) -> Vendor:
        plan = self._plan
        weather = Weather(
            rng=self._rng("weather"),
            rates=plan.rates,
            kinds=plan.kinds,
            outages=tuple((BEGIN_S + start, BEGIN_S + end) for start, end in plan.outages),
            clears_at=BEGIN_S + plan.clears_at,
            latest_create_s=25.0,
            latest_upload_s=1.0 if World.CONDITION_IGNORED in plan.worlds else 25.0,
        )
        settings = SandboxSettings(**{**vars(plan.settings), "create_quota": plan.quota})
        state = SandboxState(self._rng("vendor"), settings=settings, engine=simulated_engine, schemas=SCHEMAS)
        odd = Oddities(plan.worlds, seed=plan.seed, until=EPOCH.timestamp() + BEGIN_S + plan.clears_at)
        return Vendor(state, loop=self.loop, weather=weather, trace=self.trace, habits=plan.habits, odd=odd)

    async def play(self) -> None:
        """Let everything happen at once; once the faults are over, wait until nothing is open."""
        word = "json_is_new = true\n" if shows_others(self._plan.worlds) else ""
        await self.ledger.keep_config(f"{word}{CONFIG}")
        for drop in self._plan.nightly:
            self.bucket.put(drop.key, drop.given)
        world = [self._drop(drop) for drop in self._plan.drops]
        world += [self._load(at) for at in self._plan.loads]
        world += [self._serve(queue) for queue in Queue for _ in range(self._plan.concurrency)]
        world += [self._reconcile_often(), self._tell_of_ends()]
        async with asyncio.TaskGroup() as group:
            going = [group.create_task(one) for one in world]
            await self._until_rest()
            if self._plan.reviewed:
                self._finish_reviews()
                await self._until_rest()
            for task in going:
                task.cancel()
        self._judge(self._judges.data_is_where_it_belongs)
        self._judge(self._judges.all_has_ended)
        self._judge(self._judges.no_item_failed_alone)
        if not self.deaths and not self.failures and not self.redriven:
            self._judge(self._judges.calm_ends)

    async def _until_rest(self) -> None:
        """Wait until nothing is open; dead letters are sent again once the faults are over."""
        await asyncio.sleep(max(0.0, BEGIN_S + self._plan.clears_at + 1000.0 - self.loop.time()))
        while True:
            await asyncio.sleep(60.0)
            self._judge(self._judges.data_is_where_it_belongs)
            self._judge(self._judges.quota_is_kept)
            self._judge(self._judges.counts_are_exact)
            await self._redrive()
            if not self.still_open():
                return

    def still_open(self) -> list[str]:
        """Return what is still open."""
        waiting = [
            f"{queue} {one.text} due {one.visible_at:.0f}" for queue in Queue for one in self.post.waiting[queue]
        ]
        ends = [
            f"{batch.batch_id} {batch.state} listed={batch.listed}"
            for batch in self._judges.batches()
            if batch.state not in (BatchState.SETTLED, BatchState.COMPLETE)
        ]
        unseen = [
            f"{item.source} was reviewed"
            for batch in self._judges.batches()
            for item in self._judges.items(batch)
            if item.state is ItemState.NEEDS_REVIEW and item.import_id in self._reviewed
        ]
        marks = {item.source for batch in self._judges.batches() for item in self._judges.items(batch)}
        unseen += [
            f"{drop.key} is in no batch" for drop in self._plan.drops if not drop.events and drop.key not in marks
        ]
        items = [f"{item.source} {item.state} {item.error_code}" for item in self._judges.open_items()]
        return [*waiting, *items, *ends, *unseen]

    async def _redrive(self) -> None:
        """Do what a person does with dead letters: those of the poisoned file are left."""
        letters = [
            (queue, envelope) for queue in Queue for envelope in self.post.dead[queue] if POISON not in envelope.text
        ]
        for queue, envelope in letters:
            self.redriven += 1
            self.trace.note("redrive", envelope.text)
            self.post.dead[queue].remove(envelope)
            self.post.put(queue, decode(envelope.text), now=self.loop.time())
        for batch in self._judges.batches():
            dead = [
                one for one in self._judges.items(batch) if is_dead_lettered(one) and one.state is ItemState.REJECTED
            ]
            for item in (one for one in dead if POISON not in one.source):
                self.redriven += 1
                await self.ledger.update_batch(batch.batch_id, state=BatchState.PAUSED)
                await self.ledger.advance(
                    item, ItemState.QUEUED, reason="redriven", import_id=None, status=None, error_code=None,
                    error_message=None, finished_at=None, attempts=0,
                )  # fmt: skip
                self.post.put(
                    submit_queue(item.batch_id),
                    ItemRef(batch_id=item.batch_id, source=item.source),
                    now=self.loop.time(),
                )

    # What happens outside

    async def _drop(self, drop: Drop) -> None:
        await asyncio.sleep(drop.at)
        stored = self.bucket.put(drop.key, drop.given, at=self._clock.now())
        landed = stored.created("inbox")
        for _ in range(drop.events):
            self.post.put(Queue.REGISTER, landed, now=self.loop.time())

    async def _load(self, at: float) -> None:
        await asyncio.sleep(at)
        load = StartLoad(uri=f"{INBOX}/nightly/", name="nightly", at=self._clock.now().replace(microsecond=0))
        self.post.put(Queue.LIST, load, now=self.loop.time())

    def _finish_reviews(self) -> None:
        for batch in self._judges.batches():
            for item in self._judges.items(batch):
                if item.state is ItemState.NEEDS_REVIEW and item.import_id:
                    self.vendor.state.finish_review(item.import_id, self.vendor.now())
                    self._reviewed.add(item.import_id)

    async def _tell_of_ends(self) -> None:
        """Be the vendor's webhooks: what reaches the collect queue of them."""
        rng = self._rng("webhooks")
        held: list[str] = []
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            ended: list[str] = []
            for import_id, status in self.vendor.statuses():
                if status in ENDED and self._told.get(import_id) != status:
                    self._told[import_id] = status
                    ended.append(import_id)
            match self._plan.webhooks:
                case "once":
                    self._enqueue(ended)
                case "tripled":
                    self._enqueue(ended * 3)
                case "reversed":
                    held += ended
                    if held and rng.random() < 0.1:
                        self._enqueue(held[::-1])
                        held = []
                case "mixed":
                    self._enqueue([one for one in ended for _ in range(rng.choice((0, 1, 1, 4)))])
                case "lost":
                    pass

    def _enqueue(self, import_ids: list[str]) -> None:
        for import_id in import_ids:
            self.post.put(Queue.COLLECT, ImportHint(import_id=import_id, at=self._clock.now()), now=self.loop.time())

    # The functions

    async def _serve(self, queue: Queue) -> None:
        """Be one concurrent execution of a queue's function, for ever."""
        while True:
            await asyncio.sleep(POLL_S)
            await self._until_started(queue)
            envelope = await self.post.next(queue, self.loop, hidden_s=2 * self._plan.life_s)
            await self._invoke(queue, envelope)

    async def _until_started(self, queue: Queue) -> None:
        """Wait while an operator has stopped the function of a queue."""
        for start, end in self._plan.stopped.get(queue, ()):
            if BEGIN_S + start <= self.loop.time() < BEGIN_S + end:
                await asyncio.sleep(BEGIN_S + end - self.loop.time())

    async def _invoke(self, queue: Queue, envelope: Envelope) -> None:
        """Let a function take one message; it is acknowledged unless the function raises or dies."""
        self.trace.note("invoke", f"{queue} {envelope.receives} {envelope.text}")
        if is_stopped_as_a_loop(envelope.hops):
            self.trace.note("stopped as a loop", envelope.text)
            self.post.acknowledge(queue, envelope)
            return
        process = self._process()
        program = ENTRIES[queue](
            self.deployment(process, function=FUNCTIONS[queue], hops=envelope.hops),
            decode(envelope.text),
            time_left=self._time_left(),
            receives=envelope.receives,
        )
        try:
            await self._lived(process, program)
        except (Broken, *MISTAKES):
            raise
        except Exception as error:  # noqa: BLE001 - as Lambda does
            self.failures += 1
            self.trace.note("failed", f"{queue} {type(error).__name__}: {error}")
            self.post.failed(queue, envelope, now=self.loop.time())
        else:
            if process.dead:
                self._judges.finish_kills += queue is Queue.FINISH
            else:
                self.post.acknowledge(queue, envelope)

    async def _reconcile_often(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE_EVERY_S)
            process = self._process()
            self.trace.note("invoke", "reconcile")
            try:
                await self._lived(
                    process, reconcile(self.deployment(process, function="Reconcile"), time_left=self._time_left())
                )
            except Broken:
                raise
            except Exception as error:  # noqa: BLE001 - as Lambda does
                self.trace.note("failed", f"reconcile {type(error).__name__}: {error}")

    def _process(self) -> Process:
        struck = self.loop.time() < BEGIN_S + self._plan.clears_at and self._kills.random() < self._plan.kills
        return Process(self.trace, self.loop, kill_at=self._kills.randint(1, 60) if struck else None)

    def _time_left(self) -> Callable[[], float]:
        ends_at = self.loop.time() + self._plan.life_s
        return lambda: ends_at - self.loop.time()

    async def _lived(self, process: Process, program: Any) -> None:
        """Let a function live; one that lives on after its time is killed, which it must not let happen."""
        timer = self.loop.call_later(self._plan.life_s, process.kill, "out of time")
        was_struck = process._kill_at is not None
        try:
            await process.run(program)
        finally:
            timer.cancel()
            if process.dead:
                self.deaths += 1
                self.vendor.sender_died(process)
        if process.dead and not was_struck:
            raise self.broken("a function outlived its time")

    def deployment(
        self, process: Process, *, judged: bool = True, function: str | None = None, hops: int = 0
    ) -> Deployment:
        """Return what one function works with; its every move is `judged` where the plan knows all files.

        With the name of a function, the ledger refuses what the role of that function may not query. `hops` are those
        of the message that it works on.
        """
        plan, rng = self._plan, self._rng(f"function {next(self._numbers)}")
        disk = Disk(self.loop, rng, failing=self._out_failures)
        vendor_time = VendorTime(self._clock)
        storage = SimulatedStorage(self.vendor, process, self.loop)
        storage.before_upload = self._judges.upload_leaves
        api = SimulatedApi(self.vendor, process, self.loop, vendor_time=vendor_time)
        leases = ProcessLeases(self.leases, process)
        breaker = Breaker(api, leases, clock=self._clock, rng=rng)
        listeners = ProcessNotifier(self.heard, process)
        return Deployment(
            settings=SETTINGS,
            ledger=CloudProcessLedger(
                self.ledger,
                process,
                disk,
                on_advance=self._judges.item_moves if judged else _unjudged,
                function=function,
            ),
            leases=leases,
            queues=ProcessQueues(self.post, process, self.loop, hops=hops),
            notifier=listeners,
            metrics=listeners,
            places=ProcessPlaces(self.bucket, self.results, process, disk, page_length=plan.page_length),
            api=RateLimitedApi(GuardedApi(api, breaker)),
            breaker=breaker,
            storage=storage,
            pacer=CreatePacer(
                ProcessSlots(self.slots, process, disk),
                quota_key="account",
                quota=Quota(plan.quota.count, plan.quota.window_s),
                clock=self._clock,
                rng=rng,
                guard_s=2.0,
            ),
            clock=self._clock,
            vendor_time=vendor_time,
            rng=rng,
            landed_share=plan.landed_share,
            upload_apart_bytes=plan.upload_apart_bytes,
            account="account",
            inbox=INBOX,
            results="s3://results",
            landing=Landing(root=f"{INBOX}/"),
            config_folder=f"{INBOX}/config",
        )

    def _judge(self, invariant: Callable[[], None]) -> None:
        self._judges.judge(invariant, self.trace.events)

    def broken(self, sentence: str) -> Broken:
        return self._judges.failure(sentence, self.trace.events)

    def report(self) -> Report:
        states: dict[str, int] = {}
        for batch in self._judges.batches():
            for item in self._judges.items(batch):
                states[str(item.state)] = states.get(str(item.state), 0) + 1
        return Report(
            digest=self.trace.digest(),
            states=states,
            virtual_s=self.loop.time() - BEGIN_S,
            heard=self.heard,
            sent={str(queue): count for queue, count in self.post.sent.items()},
            expired=self.post.expired,
            redriven=self.redriven,
            trace=self.trace.events,
        )


CLOUD = Kind(
    command="python -m tests.cloudcore",
    plan_of=plan_of,
    simulate=simulate,
    within=within,
    worlds=frozenset(World) - ALONE_ONLY,
    on_by_default=ON_BY_DEFAULT - ALONE_ONLY,
)

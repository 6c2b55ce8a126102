"""Others who move the ledger: functions that the vendor's webhooks wake, and a colleague who repairs by the vendor."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from runner.cloud.breaker import Breaker, GuardedApi
from runner.cloud.context import Deployment, Landing
from runner.cloud.handlers.collect import collect
from runner.cloud.messages import ImportHint, Message, ObjectCreated
from runner.cloud.protocols import MAX_RECEIVES, Queue, retry_after_s
from runner.config.settings import Settings
from runner.config.units import Rate
from runner.dromo.clock import VendorTime
from runner.dromo.rate_limited import RateLimitedApi
from runner.errors import BulkheadError
from runner.events import ignore
from runner.ledger.leases import MemoryLeases
from runner.local.reconcile import differences, repair
from runner.quota.pacer import CreatePacer
from runner.stages.transitions import Transitions
from tests.support.inputs import SimulatedSource
from tests.support.process import Process
from tests.support.seeds import MISTAKES
from tests.support.vendor import SimulatedApi, SimulatedStorage

if TYPE_CHECKING:
    from runner.cloud.protocols import PagedSource
    from runner.ledger.protocol import CloudLedger, Ledger
    from runner.protocols import Sink
    from runner.quota.slots import SlotStore
    from runner.sources import SourceSpec
    from tests.simulation.plan import StackHabits
    from tests.support.process import SimulatedClock, Trace
    from tests.support.vendor import Vendor
    from tests.support.vloop import VirtualLoop

SETTINGS = Settings()
FUNCTION_S = 60.0
HIDDEN_S = 6 * FUNCTION_S
FIRST_LIFE = 1_000_000
"""From this number on the vendor sees what others ask for: each process keeps to a budget of its own."""

_LOOK_S = 1.0
_ENDS = frozenset({"SUCCESSFUL", "NEEDS_REVIEW", "FAILED"})


class _Nowhere:
    """Implements Places: for a runner's batch no function reads a source or writes a result."""

    def source(self, _spec: SourceSpec) -> PagedSource:
        return cast("PagedSource", SimulatedSource([]))

    def sink(self, _out: str) -> Sink:
        return cast("Sink", None)

    async def inbox_page(self, root: str, token: str | None) -> tuple[list[ObjectCreated], str | None]:
        raise AssertionError("these functions list no inbox")


class _Silent:
    """Implements Metrics and Notifier."""

    def add_metric(self, name: str, value: float, unit: str = "Count") -> None:
        """Show it to nobody."""

    async def batch_ended(self, *_: Any, **__: Any) -> None:
        raise AssertionError("no function ends the batch of a runner")

    async def config_changed(self, *_: Any, **__: Any) -> None:
        raise AssertionError("nobody changes the configuration")


@dataclass(frozen=True, kw_only=True)
class _Queues:
    """Implements Queues with what a function sends to be done later."""

    enqueue: Callable[[ImportHint, float], None]

    async def send(self, queue: Queue, messages: Sequence[Message], *, delay_s: int = 0) -> None:
        assert queue is Queue.COLLECT
        for message in messages:
            assert isinstance(message, ImportHint)
            self.enqueue(message, delay_s)

    async def is_empty(self, queue: Queue, *, apart_from: int = 0) -> bool:
        return False


class Stack:
    """Webhooks that are lost, come twice, late or in another order, and functions that die at any event."""

    def __init__(
        self, habits: StackHabits, *, seed: int, loop: VirtualLoop, vendor: Vendor, clock: SimulatedClock, trace: Trace,
        ledger: Callable[[Process], Ledger], slots: SlotStore,
    ) -> None:  # fmt: skip
        self._habits = habits
        self._rng = random.Random(f"{seed} stack")
        self._loop = loop
        self._vendor = vendor
        self._clock = clock
        self._trace = trace
        self._ledger = ledger
        self._slots = slots
        self._leases = MemoryLeases(now=clock.now)
        self._functions: set[asyncio.Task[None]] = set()
        self._lives = itertools.count(FIRST_LIFE)
        self._waiting = 0
        self._mistake: Exception | None = None
        self._told: dict[str, str] = {}
        self.reviews_until = 0.0

    async def work(self) -> None:
        """Send webhooks for imports that ended at the vendor, and repair, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            if self._habits.repaired_every_s is not None:
                group.create_task(self._repair(self._habits.repaired_every_s))

    async def _repair(self, every_s: float) -> None:
        """Do what `bulkhead reconcile --fix` does, again and again, while the runner works."""
        while True:
            await asyncio.sleep(self._rng.uniform(0.0, 2 * every_s))
            process = Process(self._trace, self._loop, kill_at=self._kill_at())
            with suppress(BulkheadError):
                await process.run(self._reconciled(process))

    async def _reconciled(self, process: Process) -> None:
        ledger, context = self._ledger(process), self._deployment(process)
        for batch in await ledger.batches():
            found = await differences(ledger, context.api, batch)
            transitions = Transitions(ledger, clock=self._clock, emit=ignore, by_state={})
            await repair(found, ledger=ledger, api=context.api, batch=batch, transitions=transitions)

    async def _watch(self) -> None:
        while self._mistake is None:
            await asyncio.sleep(_LOOK_S)
            for import_id, status in self._vendor.statuses():
                if status in _ENDS and self._told.get(import_id) != status:
                    self._told[import_id] = status
                    self._announce(import_id, status)
        raise self._mistake

    async def drained(self) -> None:
        """Wait until no message waits and no function works."""
        while self._waiting or self._functions:  # noqa: ASYNC110 - messages come back again and again
            await asyncio.sleep(5.0)

    def _announce(self, import_id: str, status: str) -> None:
        habits, rng = self._habits, self._rng
        at = self._loop.time()
        if status == "NEEDS_REVIEW" and rng.random() < habits.reviewed and at < self.reviews_until:
            self._loop.call_later(rng.uniform(0.0, 300.0), self._finish_review, import_id)
        if rng.random() < habits.lost:
            self._trace.note("webhook.lost", import_id)
            return
        for _ in range(2 if rng.random() < habits.doubled else 1):
            self._enqueue(ImportHint(import_id=import_id, at=self._clock.now()), rng.uniform(0.0, habits.late_s))

    def _finish_review(self, import_id: str) -> None:
        if self._loop.time() < self.reviews_until:
            self._vendor.person_reviews(import_id)

    def _enqueue(self, hint: ImportHint, delay_s: float, receives: int = 1) -> None:
        self._waiting += 1
        self._loop.call_later(delay_s + 0.05, self._begin, hint, receives)

    def _begin(self, hint: ImportHint, receives: int) -> None:
        self._waiting -= 1
        task = self._loop.create_task(self._receive(hint, receives))
        self._functions.add(task)
        task.add_done_callback(self._functions.discard)

    async def _receive(self, hint: ImportHint, receives: int) -> None:
        """Live one function; a message that was not acknowledged comes back."""
        process = Process(self._trace, self._loop, kill_at=self._kill_at())
        try:
            await process.run(self._function(process, hint, receives))
        except MISTAKES as error:
            self._mistake = error
        except Exception as error:  # noqa: BLE001 - a queue delivers a message again, whatever its function raises
            self._trace.note("function.failed", type(error).__name__)
            if receives < MAX_RECEIVES:
                self._enqueue(hint, retry_after_s(receives), receives + 1)
        if process.dead:
            self._vendor.sender_died(process)
            if receives < MAX_RECEIVES:
                self._enqueue(hint, HIDDEN_S, receives + 1)

    def _kill_at(self) -> int | None:
        return self._rng.randint(1, 20) if self._rng.random() < self._habits.killed else None

    def _function(self, process: Process, hint: ImportHint, receives: int) -> Awaitable[Any]:
        ends_at = self._loop.time() + FUNCTION_S
        deployment = self._deployment(process)
        return collect(deployment, hint, time_left=lambda: ends_at - self._loop.time(), receives=receives)

    def _deployment(self, process: Process) -> Deployment:
        vendor_time = VendorTime(self._clock)
        api = SimulatedApi(self._vendor, process, self._loop, life=next(self._lives), vendor_time=vendor_time)
        silent = _Silent()
        rng = random.Random(self._rng.random())
        breaker = Breaker(api, self._leases, clock=self._clock, rng=rng)
        return Deployment(
            settings=SETTINGS,
            ledger=cast("CloudLedger", self._ledger(process)),
            leases=self._leases,
            queues=_Queues(enqueue=self._enqueue),
            notifier=silent,
            metrics=silent,
            places=_Nowhere(),
            api=RateLimitedApi(GuardedApi(api, breaker), poll_count=math.inf, lists_per_minute=12),
            breaker=breaker,
            storage=SimulatedStorage(self._vendor, process, self._loop),
            pacer=CreatePacer(self._slots, quota_key="account", quota=Rate(20, 60), clock=self._clock, rng=rng),
            clock=self._clock,
            vendor_time=vendor_time,
            rng=rng,
            account="account",
            inbox="s3://inbox",
            results="s3://results",
            landing=Landing(root="s3://inbox/"),
            config_folder="s3://inbox/config",
        )

"""What the sandbox's routes share, and the task that runs the engine beside them."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from sandbox.api_state import SandboxState
from sandbox.clock import SandboxClock
from sandbox.engine.outcome import failed
from sandbox.faults import FaultPlan
from sandbox.imports import Finished, Job
from sandbox.journal import Journal, NoJournal
from sandbox.limits import RunStopped, broke_down
from sandbox.runs import Engine, run_job
from sandbox.webhooks import Webhooks

logger = logging.getLogger(__name__)

ENGINE_THREADS = 2


class NotKept(OSError):
    """What has happened could not be written."""


@dataclass(kw_only=True)
class World:
    """One sandbox: its state, clock, faults and webhooks, and the journal they all write to.

    `woken` tells the engine to look again, `posting` those who post webhooks; `closing` ends long waits; `broken` says
    that the account can no longer be kept.
    """

    state: SandboxState
    clock: SandboxClock
    faults: FaultPlan
    webhooks: Webhooks
    journal: Journal = field(default_factory=NoJournal)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    posting: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now(self) -> float:
        return self.clock.now()

    def commit(self) -> None:
        """Keep what has happened, then delete the files nothing leads to any more.

        Raises NotKept; the sandbox then ends, since what it holds is more than the next one would find.
        """
        if self.broken.is_set():
            raise NotKept("the sandbox is ending")
        try:
            self.journal.commit()
        except OSError as error:
            self.broken.set()
            raise NotKept(str(error)) from error
        self.state.storage.purge()


class Runs(Protocol):
    """Where imports are run, beside the server."""

    async def run(self, job: Job, *, time_s: float) -> Finished:
        """Run `job` once its turn has come. Raises RunStopped where it is stopped, after `time_s` at the latest."""

    async def close(self) -> None:
        """End what is left."""


class EngineThreads:
    """Runs that take place in this process, with an engine of a test's own; they are never stopped."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(ENGINE_THREADS, thread_name_prefix="engine")

    async def run(self, job: Job, *, time_s: float) -> Finished:  # noqa: ARG002 - a thread cannot be stopped
        return await asyncio.get_running_loop().run_in_executor(self._threads, run_job, job, self._engine)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)


async def run_engine(world: World, runs: Runs) -> None:
    """Run each import once its time has come, unless it is deleted meanwhile, and announce its end.

    Ends by cancellation, with all that runs.
    """
    running: dict[str, asyncio.Task[None]] = {}
    try:
        async with asyncio.TaskGroup() as tasks:
            while True:
                world.woken.clear()
                for job in world.state.due_jobs(world.now):
                    running[job.import_id] = task = tasks.create_task(_run(world, job, runs))
                    task.add_done_callback(partial(_forget, running, job.import_id))
                for import_id in world.state.unwanted_runs():
                    if import_id in running:
                        running.pop(import_id).cancel()
                _announce(world)
                world.commit()
                await wait_for_work(world, world.woken, due_at=world.state.next_due_at())
    finally:
        await runs.close()


def _forget(running: dict[str, asyncio.Task[None]], import_id: str, ended: asyncio.Task[None]) -> None:
    if running.get(import_id) is ended:
        del running[import_id]


async def wait_for_work(world: World, woken: asyncio.Event, *, due_at: float | None) -> None:
    """Wait until `due_at` on the sandbox's clock (None: for ever), or until `woken` is set."""
    timeout_s = None if due_at is None else world.clock.real_seconds_until(due_at)
    try:
        async with asyncio.timeout(timeout_s):
            await woken.wait()
    except TimeoutError:
        return


def _announce(world: World) -> None:
    now = world.now
    for ended in world.state.due_announcements(now):
        world.webhooks.announce(ended, now)
        world.posting.set()


async def _run(world: World, job: Job, runs: Runs) -> None:
    try:
        finished = await runs.run(job, time_s=world.state.settings.import_max_s)
    except asyncio.CancelledError:
        world.state.run_ended_early(job.import_id)
        raise
    except RunStopped as stop:
        finished = _stopped(job, stop)
    except Exception as error:  # noqa: BLE001 - one import's breakdown must not end the server
        finished = _stopped(job, RunStopped(broke_down(type(error).__name__)))
    world.state.record_finished(job.import_id, finished, world.now)
    world.commit()
    world.woken.set()


def _stopped(job: Job, stop: RunStopped) -> Finished:
    """The import's end; no traceback is shown, which might hold row content."""
    logger.error("a run was stopped", extra={"import_id": job.import_id, "error": stop.stopped.error})
    return Finished.of(failed("FATAL", stop.stopped.sentence))

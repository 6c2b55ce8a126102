"""What the sandbox's routes share, and the task that runs imports in the background."""

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
from sandbox.limits import RunStopped, engine_crashed
from sandbox.runs import Engine, run_job
from sandbox.webhooks import Webhooks

logger = logging.getLogger(__name__)

ENGINE_THREADS = 2


class NotSaved(OSError):
    """The journal could not be written."""


@dataclass(kw_only=True)
class SandboxContext:
    """One sandbox: its state, clock, faults, and webhooks, and the journal that they all write to.

    Events: `work_due` wakes the engine and `webhooks_due` the delivery of webhooks, `closing` ends long waits, and
    `crashed` says that the account can no longer be saved.
    """

    state: SandboxState
    clock: SandboxClock
    faults: FaultPlan
    webhooks: Webhooks
    journal: Journal = field(default_factory=NoJournal)
    work_due: asyncio.Event = field(default_factory=asyncio.Event)
    webhooks_due: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    crashed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now(self) -> float:
        return self.clock.now()

    def commit(self) -> None:
        """Save what happened, then delete the files that nothing needs any more.

        Raises NotSaved. The sandbox then ends, because the next start would not find all that it has.
        """
        if self.crashed.is_set():
            raise NotSaved("the sandbox is ending")
        try:
            self.journal.commit()
        except OSError as error:
            self.crashed.set()
            raise NotSaved(str(error)) from error
        self.state.storage.purge()


class JobRunner(Protocol):
    """Runs imports while the server answers."""

    async def run(self, job: Job, *, time_s: float) -> Finished:
        """Run `job` when it is its turn. Raises RunStopped if it is stopped, after `time_s` at the latest."""

    async def close(self) -> None:
        """Free what the runs left."""


class ThreadRunner:
    """Runs jobs in threads of this process, with an engine that a test brings; a run is never stopped."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(ENGINE_THREADS, thread_name_prefix="engine")

    async def run(self, job: Job, *, time_s: float) -> Finished:  # noqa: ARG002 - a thread cannot be stopped
        return await asyncio.get_running_loop().run_in_executor(self._threads, run_job, job, self._engine)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)


async def run_engine(context: SandboxContext, runs: JobRunner) -> None:
    """Run each import when it is due, unless it is deleted first, and announce its end.

    Runs until it is cancelled, which also cancels the runs.
    """
    running: dict[str, asyncio.Task[None]] = {}
    try:
        async with asyncio.TaskGroup() as tasks:
            while True:
                context.work_due.clear()
                for job in context.state.due_jobs(context.now):
                    running[job.import_id] = task = tasks.create_task(_run(context, job, runs))
                    task.add_done_callback(partial(_forget, running, job.import_id))
                for import_id in context.state.unwanted_runs():
                    if import_id in running:
                        running.pop(import_id).cancel()
                _announce(context)
                context.commit()
                await wait_for_work(context, context.work_due, due_at=context.state.next_due_at())
    finally:
        await runs.close()


def _forget(running: dict[str, asyncio.Task[None]], import_id: str, ended: asyncio.Task[None]) -> None:
    if running.get(import_id) is ended:
        del running[import_id]


async def wait_for_work(context: SandboxContext, event: asyncio.Event, *, due_at: float | None) -> None:
    """Wait until `due_at` on the sandbox's clock (None: indefinitely), or until `event` is set."""
    timeout_s = None if due_at is None else context.clock.real_seconds_until(due_at)
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return


def _announce(context: SandboxContext) -> None:
    now = context.now
    for ended in context.state.due_announcements(now):
        context.webhooks.announce(ended, now)
        context.webhooks_due.set()


async def _run(context: SandboxContext, job: Job, runs: JobRunner) -> None:
    try:
        finished = await runs.run(job, time_s=context.state.settings.import_max_s)
    except asyncio.CancelledError:
        context.state.run_ended_early(job.import_id)
        raise
    except RunStopped as stop:
        finished = _stopped(job, stop)
    except Exception as error:  # noqa: BLE001 - a crash in one import must not end the server
        finished = _stopped(job, RunStopped(engine_crashed(type(error).__name__)))
    context.state.record_finished(job.import_id, finished, context.now)
    context.commit()
    context.work_due.set()


def _stopped(job: Job, stop: RunStopped) -> Finished:
    """Return the end of a stopped run. Log no traceback: it might show row content."""
    logger.error("a run was stopped", extra={"import_id": job.import_id, "error": stop.reason.error})
    return Finished.of(failed("FATAL", stop.reason.sentence))

"""What the sandbox's routes share, and the task that runs the engine beside them."""

import asyncio
import logging
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from sandbox.clock import SandboxClock
from sandbox.engine.outcome import failed
from sandbox.faults import FaultPlan
from sandbox.imports import Finished, Job
from sandbox.journal import Journal, NoJournal
from sandbox.state import SandboxState
from sandbox.webhooks import Webhooks

logger = logging.getLogger(__name__)

ENGINE_THREADS = 2


@dataclass(kw_only=True)
class World:
    """One sandbox: its state, clock, faults and webhooks, and the journal they all write to.

    `woken` tells the engine to look again, `posting` those who post webhooks; `closing` ends long waits.
    """

    state: SandboxState
    clock: SandboxClock
    faults: FaultPlan
    webhooks: Webhooks
    journal: Journal = field(default_factory=NoJournal)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    posting: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now(self) -> float:
        return self.clock.now()

    def commit(self) -> None:
        """Keep what has happened, then delete the files nothing leads to any more. Raises OSError."""
        self.journal.commit()
        self.state.storage.purge()


async def run_engine(world: World) -> None:
    """Run each import in a thread once its time has come, and announce its end.

    Ends by cancellation, when no thread is busy any more.
    """
    threads = ThreadPoolExecutor(ENGINE_THREADS, thread_name_prefix="engine")
    try:
        async with asyncio.TaskGroup() as runs:
            while True:
                world.woken.clear()
                for job in world.state.due_jobs(world.now):
                    runs.create_task(_run(world, job, threads))
                _announce(world)
                world.commit()
                await wait_for_work(world, world.woken, due_at=world.state.next_due_at())
    finally:
        await asyncio.to_thread(threads.shutdown, cancel_futures=True)


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


async def _run(world: World, job: Job, threads: Executor) -> None:
    try:
        finished = await asyncio.get_running_loop().run_in_executor(threads, world.state.run, job)
    except Exception as error:  # noqa: BLE001 - one import's breakdown must not end the server
        # The traceback stays out: it may show row content.
        fields = {"import_id": job.import_id, "error": type(error).__name__}
        logger.error("the engine broke down", extra=fields)  # noqa: TRY400
        finished = Finished(outcome=failed("FATAL", "The import engine broke down."), result=None)
    world.state.record_finished(job.import_id, finished, world.now)
    world.commit()
    world.woken.set()

"""The pool of worker processes that run imports; a worker whose import fails is replaced."""

import asyncio
import contextlib
import os
import pickle
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from typing import Self

from sandbox.child_process import child_command, child_environment
from sandbox.imports import Finished, Job
from sandbox.limits import RunStopped, StopReason, WorkerLimits, out_of_time
from sandbox.storage import clear_place
from sandbox.worker import BEGUN, LENGTH_BYTES, framed, length_of

BEGIN_MAX_S = 60.0
_REMEMBERED = 100


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class WorkerPool:
    """Runs jobs in at most `count` processes, which are started on demand and then kept.

    A job that is stopped ends its process, so that the next job gets a new one.
    """

    def __init__(self, *, count: int, limits: WorkerLimits) -> None:
        self._limits = limits
        self._turns = asyncio.Semaphore(count)
        self._idle: list[_Worker] = []
        self._ended: deque[_Worker] = deque(maxlen=_REMEMBERED)

    async def run(self, job: Job, *, time_s: float) -> Finished:
        """Run `job` once a worker is free, for at most `time_s` seconds. Raises RunStopped."""
        async with self._turns:
            worker = await self._worker_with(job)
            try:
                finished = await worker.finish(time_s=time_s)
            except BaseException:
                await self._end(worker)
                for place in (job.result_path, job.draft_path):
                    if place is not None:
                        clear_place(place)
                raise
            self._idle.append(worker)
            return finished

    async def close(self) -> None:
        """End the idle workers; the others end when their runs are cancelled."""
        while self._idle:
            await self._end(self._idle.pop())
        for worker in self._ended:
            worker.clear()

    async def _worker_with(self, job: Job) -> "_Worker":
        """Return a worker that has begun the job: an idle one, or a new one if the idle ones died."""
        while True:
            is_new = not self._idle
            worker = await _Worker.start(self._limits) if is_new else self._idle.pop()
            try:
                await worker.begin(job)
            except (OSError, EOFError):
                death = await self._end(worker)
                if is_new:
                    raise RunStopped(self._limits.death(death)) from None
            except BaseException:
                await self._end(worker)
                raise
            else:
                return worker

    async def _end(self, worker: "_Worker") -> int:
        """End a worker and remove its files; `close` does so again, since a hook's process outlives it briefly."""
        self._ended.append(worker)
        try:
            return await worker.end()
        finally:
            worker.clear()


class _Worker:
    """One process: a job goes in, an answer comes out."""

    def __init__(self, process: Process, *, limits: WorkerLimits, scratch: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._limits = limits
        self._scratch = scratch
        self._jobs, self._answers = process.stdin, process.stdout

    @classmethod
    async def start(cls, limits: WorkerLimits) -> Self:
        scratch = tempfile.mkdtemp(prefix="bulkhead-worker-")
        command = child_command("sandbox.worker", str(limits.memory_bytes), scratch)
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=child_environment(), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, process_group=0
            )
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        return cls(process, limits=limits, scratch=scratch)

    async def begin(self, job: Job) -> None:
        """Send a job. Raises OSError or EOFError if the process is gone or does not take the job in time."""
        async with asyncio.timeout(BEGIN_MAX_S):
            self._jobs.write(framed(job))
            await self._jobs.drain()
            await self._answers.readexactly(len(BEGUN))

    async def finish(self, *, time_s: float) -> Finished:
        """Return the end of the job's run. Raises RunStopped."""
        try:
            async with asyncio.timeout(time_s):
                answer = await self._answer()
        except TimeoutError:
            raise RunStopped(out_of_time(time_s)) from None
        except EOFError:
            raise RunStopped(self._limits.death(await self._process.wait())) from None
        if isinstance(answer, StopReason):
            raise RunStopped(answer)
        return answer

    async def end(self) -> int:
        """End the process if it is still running, and return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._jobs.close()
        return await self._process.wait()

    def clear(self) -> None:
        """Remove the files that it left."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    async def _answer(self) -> Finished | StopReason:
        length = length_of(await self._answers.readexactly(LENGTH_BYTES))
        answer: Finished | StopReason = pickle.loads(await self._answers.readexactly(length))  # noqa: S301 - our worker's
        return answer

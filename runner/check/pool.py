"""The pool: worker processes that check files, each replaced when a file kills it or takes too long."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from runner.check.predictions import FileCheck
from runner.check.read_outcome import about_file, failure
from runner.check.worker import READY, FileToCheck, Setup
from runner.config.child_process import child_command, child_environment
from runner.errors import BulkheadError

logger = logging.getLogger(__name__)

_START_WITHIN_S = 60.0
_EXIT_WITHIN_S = 0.2
_END_WITHIN_S = 5.0


class PoolClosed(Exception):
    """The pool was closed while it was at work."""


class WorkerPool:
    """Checks lists of files, one list a worker at a time; use as an async context manager.

    Workers are started when they are first needed. `file_timeout_s` is the longest that one file may take.
    """

    def __init__(self, setup: Setup, *, workers: int, file_timeout_s: float) -> None:
        self.size = workers
        self._scratch = tempfile.TemporaryDirectory(prefix="bulkhead-check-", ignore_cleanup_errors=True)
        self._workers = [
            _Worker(setup, scratch=self._scratch.name, file_timeout_s=file_timeout_s) for _ in range(workers)
        ]
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="check")

    async def __aenter__(self) -> Self:
        for worker in self._workers:
            self._idle.put_nowait(worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers at once, whatever they are doing."""
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.end()
        self._scratch.cleanup()

    async def check(self, files: Sequence[FileToCheck]) -> list[FileCheck]:
        """Check files in their order, as soon as a worker is free. Raises PoolClosed."""
        worker = await self._idle.get()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, worker.check, files)
        finally:
            self._idle.put_nowait(worker)


class _Worker:
    """One process and the pipe to it, driven from one thread at a time."""

    def __init__(self, setup: Setup, *, scratch: str, file_timeout_s: float) -> None:
        self._setup = setup
        self._scratch = scratch
        self._file_timeout_s = file_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._closed = threading.Event()
        self._starting = threading.Lock()
        self._is_overdue = False

    def check(self, files: Sequence[FileToCheck]) -> list[FileCheck]:
        """Check each file; the one that a process dies of, or hangs on, is the one it had not yet answered for."""
        waiting, checked = deque(files), list[FileCheck]()
        while waiting:
            if not self._handed_over(list(waiting)):
                continue
            while waiting and (check := self._answer()) is not None:
                checked.append(check)
                waiting.popleft()
            if waiting:
                checked.append(self._broken(waiting.popleft()))
        return checked

    def close(self) -> None:
        """Kill the process for good; call it from any thread, and `end` afterwards."""
        self._closed.set()
        with self._starting:
            if self._process is not None:
                self._process.kill()

    def _started(self) -> Connection[Any, Any]:
        if self._connection is not None:
            return self._connection
        with self._starting:
            if self._closed.is_set():
                raise PoolClosed
            ours, theirs = multiprocessing.Pipe()
            with theirs, _without_interrupts():
                self._process = self._launched(theirs.fileno())
            self._connection = ours
        if self._is_ready(ours):
            return ours
        self.end()
        if self._closed.is_set():
            raise PoolClosed
        raise BulkheadError("a worker process of the check did not start", hint="run the command again with -v")

    def _launched(self, descriptor: int) -> subprocess.Popen[bytes]:
        """Start the process; not by `multiprocessing`, whose children get the whole environment of this one."""
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            child_command("runner.check.worker", str(descriptor), self._scratch),
            env=child_environment(reads_s3=self._setup.source.kind == "s3"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(descriptor,),
        )

    def _handed_over(self, files: list[FileToCheck]) -> bool:
        """Send the files; False where the process had died while it was idle, which is the fault of none of them."""
        try:
            self._started().send(files)
        except OSError:
            self.end()
            return False
        return True

    def _answer(self) -> FileCheck | None:
        """The next answer; None where the process has died or takes too long."""
        assert self._connection is not None
        try:
            self._is_overdue = not self._connection.poll(self._file_timeout_s)
            return None if self._is_overdue else self._connection.recv()
        except (EOFError, OSError):
            return None

    def _is_ready(self, connection: Connection[Any, Any]) -> bool:
        try:
            connection.send(self._setup)
            return bool(connection.poll(_START_WITHIN_S) and connection.recv() == READY)
        except (EOFError, OSError):
            return False

    def _broken(self, file: FileToCheck) -> FileCheck:
        """End the process and say what became of the file it was at. Raises PoolClosed."""
        exit_code = self.end()
        if self._closed.is_set():
            raise PoolClosed
        logger.warning(
            "worker replaced", extra={"item": file.source, "overdue": self._is_overdue, "exit_code": exit_code}
        )
        code, message = "check_killed", f"the check of this file ended its process (exit code {exit_code})"
        if self._is_overdue:
            code, message = "check_timeout", f"the check of this file took longer than {self._file_timeout_s:g} s"
        route = self._setup.routes[file.route_at].route
        return failure(code, message, about=about_file(file.source, file.size_bytes, route))

    def end(self) -> int | None:
        """Let the process exit, or kill it, and return its exit code; None if there is no process."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        for limit_s in (_EXIT_WITHIN_S, _END_WITHIN_S):
            with suppress(subprocess.TimeoutExpired):
                return process.wait(limit_s)
            process.kill()
        return None


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes be born deaf to Ctrl-C, which is for their parent to checker."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""The worker pool: processes that check files; one that a file kills, or that takes too long, is replaced."""

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
from runner.check.worker import READY, FileToCheck, WorkerSetup
from runner.config.child_process import child_command, child_environment
from runner.errors import BulkheadError

logger = logging.getLogger(__name__)

_START_WITHIN_S = 60.0
_EXIT_WITHIN_S = 0.2
_END_WITHIN_S = 5.0


class PoolClosed(Exception):
    """The pool was closed while it checked files."""


class WorkerPool:
    """Checks lists of files in up to `workers` processes, one list per process at a time.

    Use it as an async context manager. A process starts when it is first needed. `file_timeout_s` is the time limit
    for one file, in seconds.
    """

    def __init__(self, setup: WorkerSetup, *, workers: int, file_timeout_s: float) -> None:
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
        """Kill the workers at once, even if they are busy."""
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.end()
        self._scratch.cleanup()

    async def check(self, files: Sequence[FileToCheck]) -> list[FileCheck]:
        """Check files in their order, as soon as a worker is free.

        Raises PoolClosed, and BulkheadError if a worker process does not start.
        """
        worker = await self._idle.get()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, worker.check, files)
        finally:
            self._idle.put_nowait(worker)


class _Worker:
    """One process and the connection to it, used by one thread at a time."""

    def __init__(self, setup: WorkerSetup, *, scratch: str, file_timeout_s: float) -> None:
        self._setup = setup
        self._scratch = scratch
        self._file_timeout_s = file_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._closed = threading.Event()
        self._starting = threading.Lock()
        self._is_overdue = False

    def check(self, files: Sequence[FileToCheck]) -> list[FileCheck]:
        """Check each file; if the process dies or hangs, the first unanswered file is the cause."""
        waiting, checked = deque(files), list[FileCheck]()
        while waiting:
            if not self._send(list(waiting)):
                continue
            while waiting and (check := self._receive()) is not None:
                checked.append(check)
                waiting.popleft()
            if waiting:
                checked.append(self._fail(waiting.popleft()))
        return checked

    def close(self) -> None:
        """Kill the process for good; call it from any thread, and `end` afterwards."""
        self._closed.set()
        with self._starting:
            if self._process is not None:
                self._process.kill()

    def _connect(self) -> Connection[Any, Any]:
        if self._connection is not None:
            return self._connection
        with self._starting:
            if self._closed.is_set():
                raise PoolClosed
            ours, theirs = multiprocessing.Pipe()
            with theirs, _without_interrupts():
                self._process = self._launch(theirs.fileno())
            self._connection = ours
        if self._is_ready(ours):
            return ours
        self.end()
        if self._closed.is_set():
            raise PoolClosed
        raise BulkheadError("a worker process of the check did not start", hint="free some memory, or use --jobs 1")

    def _launch(self, descriptor: int) -> subprocess.Popen[bytes]:
        """Start the process; not by `multiprocessing`, whose children get the whole environment of this one."""
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            child_command("runner.check.worker", str(descriptor), self._scratch),
            env=child_environment(reads_s3=self._setup.source.is_in_s3),
            stdin=subprocess.PIPE,  # never written to: it ends with this process, and so does the child
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # libraries quote there what files hold
            pass_fds=(descriptor,),
        )

    def _send(self, files: list[FileToCheck]) -> bool:
        """Send the files; return False if the process died while it was idle, which none of them caused."""
        try:
            self._connect().send(files)
        except OSError:
            self.end()
            return False
        return True

    def _receive(self) -> FileCheck | None:
        """Return the next answer; None if the process has died or takes too long."""
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

    def _fail(self, file: FileToCheck) -> FileCheck:
        """End the process, and return the check of the file that it was working on. Raises PoolClosed."""
        exit_code = self.end()
        if self._closed.is_set():
            raise PoolClosed
        logger.warning(
            "worker replaced", extra={"item": file.source, "overdue": self._is_overdue, "exit_code": exit_code}
        )
        code, message = "check_killed", f"the check of this file crashed (exit code {exit_code})"
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
                process.wait(limit_s)
                break
            process.kill()
        if process.stdin is not None and process.returncode is not None:
            process.stdin.close()  # not before: a worker whose stdin ends removes the directory that all of them share
        return process.returncode


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in the processes that the block starts: the parent decides when they end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""A worker process: reads jobs from its input one after the other, and ends when the input ends.

Only the sandbox starts it.
"""

import contextlib
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, NoReturn

from sandbox.imports import Finished, Job
from sandbox.limits import StopReason, WorkerLimits, engine_crashed
from sandbox.runs import default_engine, run_job
from sandbox.storage import OUT_OF_SPACE

LENGTH_BYTES = 8
"""Messages in both directions are pickles after their length in this many bytes."""

BEGUN = b"!"
"""What a worker sends as soon as it has a job."""

_NICENESS = 10
_OOM_SCORE_ADJUSTMENT = "500"


def main() -> NoReturn:
    """Work until the input ends, which happens however the sandbox ends."""
    limits, scratch = WorkerLimits(memory_bytes=int(sys.argv[1])), sys.argv[2]
    answers = _answers()
    _lower_priority()
    limits.apply()
    tempfile.tempdir = scratch
    jobs: SimpleQueue[Job] = SimpleQueue()
    threading.Thread(target=_read_jobs, args=(sys.stdin.buffer, jobs, scratch), daemon=True).start()
    while True:
        job = jobs.get()
        _send(answers, BEGUN)
        _send(answers, framed(answer(job, limits=limits)))


def answer(job: Job, *, limits: WorkerLimits) -> Finished | StopReason:
    """Run a job. If memory or space run out or the engine crashes, return a StopReason instead of raising."""
    try:
        return run_job(job, default_engine)
    except Exception as error:  # noqa: BLE001 - only the import ends; no traceback, which may show row content
        return _stopped(error, limits=limits)


def _stopped(error: BaseException, *, limits: WorkerLimits) -> StopReason:
    """Return why the run stopped. C libraries may wrap a MemoryError in an error of their own."""
    name = type(error).__name__
    causes = [error, error.__cause__, error.__context__]
    if any(isinstance(cause, MemoryError) for cause in causes):
        return StopReason(limits.sentence, error=name)
    if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
        return StopReason("There is no space left for the import's result.", error=name)
    return engine_crashed(name)


def _answers() -> BinaryIO:
    """Return the output under a descriptor of its own, so that nothing else writes to it."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb")


def _lower_priority() -> None:
    """Give the server priority, be the first process killed if memory runs out, and leave Ctrl-C to the server."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_ADJUSTMENT, encoding="ascii")


def _read_jobs(stream: BinaryIO, jobs: SimpleQueue[Job], scratch: str) -> None:
    """Read jobs in a separate thread, so that the end of the input also ends a run in progress."""
    try:
        while head := stream.read(LENGTH_BYTES):
            jobs.put(pickle.loads(stream.read(length_of(head))))  # noqa: S301 - from the sandbox itself
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)


def _send(stream: BinaryIO, data: bytes) -> None:
    try:
        stream.write(data)
        stream.flush()
    except BrokenPipeError:
        os._exit(0)


def framed(message: object) -> bytes:
    body = pickle.dumps(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def length_of(head: bytes) -> int:
    """Return the length of the pickle after its first LENGTH_BYTES."""
    return int.from_bytes(head, "big")

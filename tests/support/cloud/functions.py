"""The processes of functions, which a test can stop or kill at a chosen moment."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.support.cloud.stack import Stack
from tests.support.processes import children_of


def processes_of(stack: Stack, function: str) -> list[int]:
    """Return the processes that run a function such as `Submit`, including idle ones."""
    mark = f"/ministack-lambda-{stack.function_name(function)}-"
    return [pid for pid in children_of(stack.aws.pid) if mark in _command_line(pid)]


def stop(pids: list[int]) -> None:
    """Stop the processes, as if their machine had lost power; `kill` ends them."""
    _send(pids, signal.SIGSTOP)


def kill(pids: list[int]) -> None:
    _send(pids, signal.SIGKILL)


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""

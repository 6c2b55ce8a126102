"""The command `on_finish`: a program of the user that gets summary.json, without a shell, and within a time limit."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.child_process import command_environment
from runner.formatting import lasting, shown
from runner.masking import Mask, cut
from runner.notify.threads import in_daemon_thread

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

COMMAND_WITHIN_S = 60.0
END_WITHIN_S = 5.0
"""How long the command's processes have to end after SIGTERM, before SIGKILL."""

OUTPUT_WITHIN_S = 2.0
"""How long the end of the output is waited for; a process that the command has left behind can keep it open."""

_OUTPUT_BYTES = 4000
_LINE_CHARS = 200


class CommandFailure(NamedTuple):
    """Why a command did not succeed, and the last line that it wrote, which can have anything in it."""

    how: str
    last_line: str = ""


async def run_command(
    words: Sequence[str],
    document: bytes,
    *,
    secrets: Collection[str] = (),
    stop: asyncio.Event,
    limit_s: float = COMMAND_WITHIN_S,
    end_within_s: float = END_WITHIN_S,
    output_within_s: float = OUTPUT_WITHIN_S,
) -> CommandFailure | None:
    """Run a command with `document` on its standard input; return None, or why it did not succeed.

    Its environment is that of this process without `secrets`. It has a process group of its own, which ends with the
    time limit, with `stop`, or if this call is cancelled.
    """
    try:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - the user's own command; threads do what blocks
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=command_environment(secrets),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return CommandFailure(f"cannot be started: {(isinstance(error, OSError) and error.strerror) or error}")
    output = _Output(process)
    in_daemon_thread(lambda: _feed(process, document))
    read = in_daemon_thread(output.read)
    exited = in_daemon_thread(process.wait)
    try:
        if not await _within(exited, stop, limit_s):
            await _end(process, exited, end_within_s)
            return CommandFailure("was ended, as you asked" if stop.is_set() else f"was ended after {lasting(limit_s)}")
    finally:
        if not exited.done():
            _kill(process, signal.SIGKILL)
    code = exited.result()
    if code == 0:
        return None
    await asyncio.wait({read}, timeout=output_within_s)
    said = cut(Mask(*secrets)(shown(output.last_line())), _LINE_CHARS)
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return CommandFailure(how, said)


async def _within(exited: asyncio.Future[int], stop: asyncio.Event, limit_s: float) -> bool:
    """Wait for the end of the command, for `stop`, or for the limit; return whether it has ended."""
    stopped = asyncio.ensure_future(stop.wait())
    either: set[asyncio.Future[Any]] = {exited, stopped}
    try:
        await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    return exited.done()


async def _end(process: subprocess.Popen[bytes], exited: asyncio.Future[int], within_s: float) -> None:
    """End the process group: first ask it to, then kill what is left of it."""
    _kill(process, signal.SIGTERM)
    await asyncio.wait({exited}, timeout=within_s)
    _kill(process, signal.SIGKILL)
    await asyncio.wait({exited}, timeout=within_s)


def _kill(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _feed(process: subprocess.Popen[bytes], document: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError), process.stdin:  # the command need not read it
        process.stdin.write(document)


class _Output:
    """Reads what a command writes, so that it never waits for a reader, and keeps the end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._stream = process.stdout
        self._end = b""

    def read(self) -> None:
        with self._stream:
            while block := os.read(self._stream.fileno(), 1 << 16):
                self._end = (self._end + block)[-_OUTPUT_BYTES:]

    def last_line(self) -> str:
        lines = self._end.decode("utf-8", "replace").split("\n")
        return next((text.strip() for text in reversed(lines) if text.strip()), "")

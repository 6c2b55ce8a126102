"""One running driver: framed JSON to and from it, its time limits, and its console, separate and limited in size."""

import contextlib
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from sandbox.hooks.deno import MEBIBYTE, HookLimits, start_deno
from sandbox.hooks.errors import HookFailed
from sandbox.hooks.wire import TooDeep, decode, encode

_LENGTH_BYTES = 4
_DRAIN_BYTES = 1 << 16
_REPLY_SLACK_BYTES = 1 << 16
_OUT_OF_TIME_SIGNALS = {signal.SIGXCPU}
_OUT_OF_MEMORY_SIGNALS = {signal.SIGTRAP, signal.SIGABRT, signal.SIGSEGV, signal.SIGILL, signal.SIGBUS}


class HookProcess:
    """A driver process; one call at a time. It has ended after a HookFailed for time, memory, or size."""

    def __init__(self, *, limits: HookLimits, program: Path | None = None) -> None:
        self._limits = limits
        self._directory = tempfile.TemporaryDirectory(prefix="bulkhead-hooks-", ignore_cleanup_errors=True)
        self._left_s = limits.import_s
        try:
            self._process = start_deno(Path(self._directory.name), limits=limits, program=program)
        except BaseException:
            self._directory.cleanup()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        self._watch = _Watch(self._process)
        self._console = _Console(self._process.stderr, most_bytes=limits.console_max_bytes)

    @property
    def console(self) -> str:
        """What the hooks wrote so far, up to the limit."""
        return self._console.text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove its files; a second call does nothing."""
        self._process.kill()
        self._watch.close()
        self._process.wait()
        self._console.close()
        for pipe in (self._requests, self._replies):
            with contextlib.suppress(OSError):
                pipe.close()
        self._directory.cleanup()

    def call(self, path: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message for the hook at `path` and return the reply. Raises HookFailed."""
        frame = _framed(path, message)
        started = time.monotonic()
        self._watch.arm(min(self._limits.call_s, self._left_s))
        try:
            self._write(frame)
            reply = self._final_reply(path, started)
        except (OSError, EOFError) as error:
            raise self._ended(path) from error
        finally:
            self._watch.disarm()
            self._left_s -= time.monotonic() - started
        if "error" in reply:
            raise _reported(path, reply)
        return reply

    def _final_reply(self, path: str, started: float) -> dict[str, Any]:
        """Return the reply; before it, the driver reports each time that the next of many hook calls began."""
        while True:
            reply = self._read(path)
            if "next" not in reply:
                return reply
            self._watch.arm(min(self._limits.call_s, self._left_s - (time.monotonic() - started)))

    def _write(self, frame: bytes) -> None:
        view = memoryview(frame)
        while view:
            view = view[self._requests.write(view) :]

    def _read(self, path: str) -> dict[str, Any]:
        length = int.from_bytes(self._exactly(_LENGTH_BYTES), "big")
        if length > self._limits.reply_max_bytes + _REPLY_SLACK_BYTES:
            self._process.kill()
            raise HookFailed(path, f"returned more than {self._limits.reply_max_bytes} bytes.", reason="size")
        try:
            reply = decode(self._exactly(length))
        except TooDeep as error:
            raise too_deep(path, error) from error
        if not isinstance(reply, dict):
            self._process.kill()
            raise HookFailed(path, "disturbed the program that runs it.", reason="ended")
        return reply

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._replies.read(min(count, MEBIBYTE))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _ended(self, path: str) -> HookFailed:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._process.kill()
        code = self._process.wait()
        if self._watch.fired or -code in _OUT_OF_TIME_SIGNALS:
            return HookFailed(path, self._time_sentence(), reason="time")
        if -code in _OUT_OF_MEMORY_SIGNALS:
            heap = self._limits.heap_bytes // MEBIBYTE
            return HookFailed(path, f"used more memory than the {heap} MiB allowed.", reason="memory")
        return HookFailed(path, "ended the program that runs it.", reason="ended")

    def _time_sentence(self) -> str:
        if self._watch.allowed_s < self._limits.call_s:
            return f"ran when the {self._limits.import_s:g} seconds for the import's hooks were over."
        return f"ran longer than the {self._limits.call_s:g} seconds allowed for a call."


class _Watch:
    """Kills the process if a call takes too long. It is a thread, so that blocking reads and writes end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._closed = False
        self.fired = False
        self.allowed_s = 0.0
        self._thread = threading.Thread(target=self._run, name="hook-watch", daemon=True)
        self._thread.start()

    def arm(self, allowed_s: float) -> None:
        with self._changed:
            self.allowed_s = allowed_s
            sooner = self._deadline is None or allowed_s + time.monotonic() < self._deadline
            self._deadline = time.monotonic() + allowed_s
            if sooner:
                self._changed.notify()

    def disarm(self) -> None:
        with self._changed:
            self._deadline = None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed and not self.fired:
                left_s = None if self._deadline is None else self._deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    self.fired = True
                    self._process.kill()
                else:
                    self._changed.wait(left_s)


class _Console:
    """Reads the driver's stderr to its end and keeps the first bytes."""

    def __init__(self, pipe: IO[bytes], *, most_bytes: int) -> None:
        self._pipe = pipe
        self._most_bytes = most_bytes
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._drain, name="hook-console", daemon=True)
        self._thread.start()

    def text(self) -> str:
        return bytes(self._kept).decode(errors="replace")

    def close(self) -> None:
        self._thread.join()
        self._pipe.close()

    def _drain(self) -> None:
        while part := self._pipe.read(_DRAIN_BYTES):
            self._kept += part[: self._most_bytes - len(self._kept)]


def _framed(path: str, message: Mapping[str, Any]) -> bytes:
    try:
        body = encode(message)
    except TooDeep as error:
        raise HookFailed(path, f"would get a value {error}.", reason="shape") from error
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def too_deep(path: str, error: TooDeep) -> HookFailed:
    """Return the error of a hook that gives a value with too many levels."""
    return HookFailed(path, f"gave a value {error}.", reason="shape")


def _reported(path: str, reply: Mapping[str, Any]) -> HookFailed:
    text = str(reply["error"])
    at = str(reply.get("path") or path)
    reason = reply.get("reason")
    if reason in ("shape", "compile", "size"):
        return HookFailed(at, text, reason=reason)
    return HookFailed(at, f"threw an error: {text}", reason="threw")

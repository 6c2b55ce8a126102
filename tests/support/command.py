"""The `bulkhead` command as a subprocess with its own home, and a record of all its output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.fork_server import ENVIRONMENT, Forked, fork_server, is_forkable

PROGRAM = ["-m", "runner"]
CANARY_KEY = "canary-key-5d1f0c7ab2"
CANARY_AWS_KEY = "canary-aws-key-90bd21"
DEADLINE_S = 90.0


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return (self.stdout + self.stderr).decode("utf-8", "surrogateescape")

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events that `--json` wrote, one per line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def document(self) -> Any:
        """Return the document that `--json` wrote."""
        return json.loads(self.stdout)

    def expect(self, code: int) -> Finished:
        assert self.code == code, f"exit code {self.code} instead of {code}\n{self.text}"
        return self


class Running:
    """A running command; the end of the block kills it."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, keep: Callable[[Finished], None]) -> None:
        self._process = process
        self._keep = keep
        self._lines: list[bytes] = []
        self._errors: list[bytes] = []
        self._more = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(process.stdout, self._lines), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, self._errors), daemon=True),
        ]
        self._finished: Finished | None = None
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._finished is None:
            self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lines(self) -> list[bytes]:
        """Return the lines written to stdout so far."""
        with self._more:
            return list(self._lines)

    def until_event(self, wanted: Callable[[dict[str, Any]], bool], *, timeout_s: float = DEADLINE_S) -> bool:
        """Wait for an event of `--json`; return False if the command ends without it."""
        return self._until(lambda: any(wanted(json.loads(line)) for line in self._lines), timeout_s)

    def until_lines(self, count: int, *, timeout_s: float = DEADLINE_S) -> bool:
        """Wait for this number of lines on stdout; return False if the command ends before."""
        return self._until(lambda: len(self._lines) >= count, timeout_s)

    def until_stderr(self, text: bytes, *, timeout_s: float = DEADLINE_S) -> bool:
        """Wait for a text on stderr; return False if the command ends without it."""
        return self._until(lambda: any(text in line for line in self._errors), timeout_s)

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> Finished:
        """Kill it with SIGKILL."""
        self.send(signal.SIGKILL)
        return self.wait()

    def wait(self, timeout_s: float = DEADLINE_S) -> Finished:
        if self._finished is None:
            try:
                code = self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise AssertionError(f"still running after {timeout_s} s:\n{self._written().text}") from None
            for reader in self._readers:
                reader.join()
            self._finished = self._written(code)
            self._process.stdout.close()
            self._process.stderr.close()
            self._keep(self._finished)
        return self._finished

    def _until(self, true: Callable[[], bool], timeout_s: float) -> bool:
        with self._more:
            found = self._more.wait_for(lambda: true() or not self._readers[0].is_alive(), timeout_s)
            assert found, f"waited {timeout_s} s:\n{self._written().text}"
            return true()

    def _written(self, code: int = -1) -> Finished:
        return Finished(code, b"".join(self._lines), b"".join(self._errors))

    def _read(self, stream: Any, kept: list[bytes]) -> None:
        for line in stream:
            with self._more:
                kept.append(line)
                self._more.notify_all()
        with self._more:
            self._more.notify_all()


class Command:
    """Runs `bulkhead` in a directory, with its own home, quota store, and environment.

    `home` is that directory; `outputs` are all commands that have ended; `program` is what Python runs. A fork of a
    process that has imported the command runs it, under `umask` if there is one. Only with another program, or with a
    variable that Python reads at its start, it gets a new process.
    """

    def __init__(self, home: Path, *, api_url: str, key: str = CANARY_KEY, **variables: str) -> None:
        self.home = home
        self.program = PROGRAM
        self.umask: int | None = None
        self.outputs: list[Finished] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / ".state"),
            **ENVIRONMENT,
            "DROMO_LICENSE_KEY": key,
            "BULKHEAD_API_URL": api_url,
            "BULKHEAD_LIST_QUOTA": "600/60s",
            **variables,
        }

    def __call__(
        self,
        *arguments: str | bytes | Path,
        variables: Mapping[str, str] | None = None,
        largest_file_bytes: int | None = None,
        timeout_s: float = DEADLINE_S,
    ) -> Finished:
        """Run it to its end; see `start`."""
        with self.start(*arguments, variables=variables, largest_file_bytes=largest_file_bytes) as running:
            return running.wait(timeout_s)

    def start(
        self,
        *arguments: str | bytes | Path,
        variables: Mapping[str, str] | None = None,
        largest_file_bytes: int | None = None,
    ) -> Running:
        """Start it; no file that it writes can grow beyond `largest_file_bytes`."""
        environment = {**self.environment, **(variables or {})}
        if self.program == PROGRAM and is_forkable(environment):
            return Running(
                fork_server().start(
                    arguments,
                    home=self.home,
                    environment=environment,
                    umask=self.umask,
                    largest_file_bytes=largest_file_bytes,
                ),
                self.outputs.append,
            )
        assert (self.umask, largest_file_bytes) == (None, None), "only a fork has them"
        process = subprocess.Popen(
            [sys.executable, *self.program, *arguments],
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return Running(process, self.outputs.append)

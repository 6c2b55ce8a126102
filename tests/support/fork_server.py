"""A process that has imported the `bulkhead` command, and forks itself for each one, which saves the imports."""

from __future__ import annotations

import atexit
import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PRELOADED = (
    "runner.cli.app",
    "runner.cli.commands.cloud",
    "runner.cli.commands.ledger",
    "runner.cli.commands.run",
    "runner.cli.commands.setup",
    "aiobotocore.session",
    "aiohttp",
    "rich.console",
    "rich.live",
    "rich.progress",
    "sandbox.app",
)
"""What commands import. Importing it has no effect, and starts no thread, that a command could notice."""

ENVIRONMENT = {"LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
"""What the server was started with, of all that Python reads at its start."""

_LONGEST_REQUEST = 1_000_000


class Forked:
    """A command in a fork of the server; what Running needs of a Popen."""

    def __init__(self, pid: int, endings: socket.socket, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.stdout = os.fdopen(stdout, "rb")
        self.stderr = os.fdopen(stderr, "rb")
        self._endings = endings

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, or minus the signal that killed it. Raises TimeoutExpired."""
        self._endings.settimeout(timeout)
        try:
            code = int(self._endings.recv(100))
        except TimeoutError:
            raise subprocess.TimeoutExpired("bulkhead", timeout or 0.0) from None
        self._endings.close()
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process to fork; it ends with this one."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._requests = ours

    def start(
        self,
        arguments: Sequence[str | bytes | Path],
        *,
        home: Path,
        environment: Mapping[str, str],
        umask: int | None = None,
        largest_file_bytes: int | None = None,
    ) -> Forked:
        """Start `bulkhead` with these arguments in `home`; no file that it writes can grow beyond the limit."""
        request = {
            "arguments": [os.fsdecode(argument) for argument in arguments],
            "home": str(home),
            "environment": dict(environment),
            "umask": umask,
            "largest_file_bytes": largest_file_bytes,
        }
        ours, endings = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdout, child_stdout = os.pipe()
        stderr, child_stderr = os.pipe()
        given = [child_stdout, child_stderr, endings.fileno()]
        socket.send_fds(self._requests, [json.dumps(request).encode()], given)
        for descriptor in (child_stdout, child_stderr):
            os.close(descriptor)
        endings.close()
        return Forked(int(ours.recv(100)), ours, stdout, stderr)

    def close(self) -> None:
        self._requests.close()
        self._process.wait(timeout=10)


@cache
def fork_server() -> ForkServer:
    """Return the one server of this process."""
    server = ForkServer()
    atexit.register(server.close)
    return server


def is_forkable(environment: Mapping[str, str]) -> bool:
    """Return whether Python would start in this environment as the server did."""
    read = {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LC_", "LANG"))}
    return read == ENVIRONMENT


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return None when there are no more, and the request in each fork."""
    while True:
        message, given, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 3)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not message:
            return None
        if os.fork() == 0:
            requests.close()
            if _is_command(given):
                return dict(json.loads(message))
        for descriptor in given:
            os.close(descriptor)


def _is_command(given: list[int]) -> bool:
    """Fork again. Return True in the command; its parent tells its pid and its end, and exits."""
    stdout, stderr, endings = given
    pid = os.fork()
    if pid == 0:
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        for descriptor in given:
            os.close(descriptor)
        return True
    os.close(stdout)
    os.close(stderr)
    os.write(endings, str(pid).encode())
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(endings, str(ended).encode())
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    """Do what Python does at the start of `python -m runner`, except for the imports, and run the command."""
    from runner.__main__ import __file__ as program
    from runner.__main__ import main

    if (umask := request["umask"]) is not None:
        os.umask(umask)
    if (limit := request["largest_file_bytes"]) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    os.chdir(request["home"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = [program, *request["arguments"]]
    sys.path[0] = request["home"]
    main()


def _preload() -> None:
    for module in PRELOADED:
        import_module(module)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as accepted:
        _preload()
        wanted = _serve(accepted)
    if wanted is not None:
        _become(wanted)

"""AWS on a local port: one ministack process for all tests that use it, reset between tests."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MINISTACK = Path(__file__).parents[2] / ".tools" / "ministack" / "bin" / "ministack"
HOW_TO_INSTALL = "make .tools/ministack/.installed"
REGION = "us-east-1"

_READY_WITHIN_S = 30.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class LocalAws:
    """The endpoint of a local AWS, and what a client needs to reach it; the credentials are dummies."""

    def __init__(
        self, endpoint_url: str, *, pid: int, log: Path = Path(os.devnull), reset_path: str = "/_ministack/reset"
    ) -> None:
        self.endpoint_url = endpoint_url
        self._reset_path = reset_path
        self.pid = pid
        self.log = log
        self.variables = {
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }
        self.client_arguments = {
            "endpoint_url": endpoint_url,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "region_name": REGION,
        }

    def reset(self) -> None:
        """Delete everything that was created."""
        request = urllib.request.Request(f"{self.endpoint_url}{self._reset_path}", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


@contextmanager
def running_ministack(directory: Path, *, port: int | None = None, **variables: str) -> Iterator[LocalAws]:
    """Run ministack on loopback, its files and its log in `directory`, until the end of the context."""
    port = port or free_port()
    temporary = directory / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "TMPDIR": str(temporary),
        **variables,
    }
    with (directory / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [MINISTACK],
            cwd=directory,
            env=environ,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, nothing that a thread could hold
        )
        try:
            aws = LocalAws(f"http://127.0.0.1:{port}", pid=process.pid, log=directory / "ministack.log")
            _wait_until_ready(aws, process)
            yield aws
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the functions that it has started, too
            process.wait()


@contextmanager
def running_moto() -> Iterator[LocalAws]:
    """Run moto's server in a thread: a second implementation, but not a reliable one for concurrent calls."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield LocalAws(f"http://{host}:{port}", pid=os.getpid(), reset_path="/moto-api/reset")
    finally:
        server.stop()


def _end_with_parent() -> None:
    """Make the kernel end this process when its parent ends, for whatever reason."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(aws: LocalAws, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{aws.endpoint_url}/_ministack/health", timeout=2).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"ministack did not start:\n{aws.log.read_text(errors='replace')[-2000:]}")

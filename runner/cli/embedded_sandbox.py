"""The embedded sandbox: the vendor's API in a subprocess on a free port, for as long as one command runs."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runner.config.child_process import child_command, child_environment
from runner.errors import ConfigError

_READY = "sandbox listening on "
_END_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A running sandbox: the address of its API, and the only key it accepts, which is generated for this run."""

    api_url: str
    license_key: str


@contextmanager
def embedded(*, create_quota: str, poll_quota: str, schemas: Path | None) -> Iterator[Sandbox]:
    """Run a sandbox while the block runs; it ends when this process ends, even if that is killed.

    Quotas are written as `20/60s`. Raises ConfigError if it cannot start, for example because a schema is invalid.
    """
    license_key = f"sandbox-{secrets.token_hex(16)}"
    arguments = ["--port", "0", "--license-key-stdin", "--exit-with-parent"]
    arguments += ["--create-quota", create_quota, "--poll-quota", poll_quota]
    if schemas is not None:
        arguments += ["--schemas", str(schemas)]
    with tempfile.TemporaryFile() as log:
        process = _start(arguments, log)
        try:
            _tell(process, license_key)
            yield Sandbox(api_url=_address(process, log), license_key=license_key)
        finally:
            _end(process)


def _start(arguments: Sequence[str], log: IO[bytes]) -> subprocess.Popen[str]:
    """Start it in its own session, so that Ctrl-C reaches only the run, which needs the sandbox to drain.

    `log` is a file, because a pipe that nobody reads would block the sandbox once it is full.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        child_command("sandbox.__main__", *arguments),
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def _tell(process: subprocess.Popen[str], license_key: str) -> None:
    """Send the key through the pipe: all users of this machine can read the arguments of a process."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(f"{license_key}\n")
        process.stdin.flush()


def _address(process: subprocess.Popen[str], log: IO[bytes]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if line.startswith(_READY):
        return line.removeprefix(_READY).strip()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_WITHIN_S)
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    reason = lines[-1].strip().removeprefix("sandbox: ") if lines else "it ended immediately"
    raise ConfigError(f"the sandbox did not start: {reason}")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()

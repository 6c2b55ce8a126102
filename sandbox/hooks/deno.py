"""The Deno program: where it is, how it starts without permissions, and the limits of its process."""

import importlib
import os
import re
import subprocess
import sys
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from sandbox.hooks.errors import HooksUnavailable

if sys.platform == "linux":
    import fcntl
    import resource
    import signal

MEBIBYTE = 1 << 20
_BYTES_PER_ROW = 1800
_FIELDS_PER_ROW = 12
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class HookLimits:
    """Limits of the hooks of one import. The numbers are this project's choice: the vendor documents none.

    `allow_hosts` are the hosts that hooks may fetch from, as `host` or `host:port`; they reach nothing else. Raises
    ValueError for anything else in `allow_hosts`.
    """

    call_s: float = 30.0
    import_s: float = 600.0
    heap_bytes: int = 512 * MEBIBYTE
    reply_max_bytes: int = 64 * MEBIBYTE
    console_max_bytes: int = 64 << 10
    bulk_max_rows: int = 1_000_000
    allow_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for host in self.allow_hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host or host:port that hooks can reach.")

    def for_rows(self, count: int, *, fields: int) -> Self:
        """Return the same limits with a heap for `count` rows at once, as bulk, column, and finish hooks need."""
        needed = _BYTES_PER_ROW * count * max(fields, 1) // _FIELDS_PER_ROW
        return replace(self, heap_bytes=max(self.heap_bytes, needed))


DRIVER = Path(__file__).parent / "driver" / "main.mjs"
DATA_BESIDE_HEAP_BYTES = 768 * MEBIBYTE
_OPEN_FILES = 256
_COLLECTION = "--max-semi-space-size=64,--single-threaded-gc"  # rows are short-lived, and imports share the cores
_THREADS = 4
_FLAGS = ("--no-prompt", "--no-remote", "--no-npm", "--no-config", "--no-lock", "--no-code-cache", "--quiet")


def find_deno() -> Path:
    """Return the program from the extra `hooks`. Raises HooksUnavailable without it."""
    try:
        return Path(importlib.import_module("deno").find_deno_bin())
    except (ImportError, FileNotFoundError) as error:
        raise HooksUnavailable from error


def start_deno(directory: Path, *, limits: HookLimits, program: Path | None = None) -> subprocess.Popen[bytes]:
    """Start the driver in its own session without permissions; `directory` is for its cache.

    Raises HooksUnavailable if the program does not exist.
    """
    leash, held = os.pipe()
    network = [f"--allow-net={','.join(limits.allow_hosts)}"] if limits.allow_hosts else []
    heap = f"--v8-flags=--max-old-space-size={limits.heap_bytes // MEBIBYTE},{_COLLECTION}"
    try:
        process = subprocess.Popen(  # noqa: S603 - the program of the extra, arguments of our own
            [str(program or find_deno()), "run", *_FLAGS, heap, *network, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=directory,
            env=_environment(directory),
            start_new_session=True,
            bufsize=0,
            pass_fds=(leash,),
        )
        _bind(leash, process.pid)
    except FileNotFoundError as error:
        os.close(held)
        raise HooksUnavailable from error
    finally:
        os.close(leash)
    weakref.finalize(process, os.close, held)
    _limit(process.pid, limits=limits)
    return process


def _bind(leash: int, pid: int) -> None:
    """Let the kernel kill the process when the other end of its leash closes: when this process ends in any way."""
    if sys.platform == "linux":
        fcntl.fcntl(leash, fcntl.F_SETOWN, pid)
        fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(leash, fcntl.F_SETFL, os.O_ASYNC)


def _environment(directory: Path) -> dict[str, str]:
    return {
        "DENO_DIR": str(directory),
        "DENO_NO_UPDATE_CHECK": "1",
        "DENO_NO_PACKAGE_JSON": "1",
        "NO_COLOR": "1",
        "LANG": "en_US.UTF-8",
        "TZ": "UTC",
    }


def _limit(pid: int, *, limits: HookLimits) -> None:
    """Limit the process from outside before any hook is sent: with threads, nothing may run between fork and exec."""
    if sys.platform != "linux":
        return
    cpu_s = int(limits.import_s * _THREADS) + 10
    for kind, most in (
        (resource.RLIMIT_DATA, limits.heap_bytes + DATA_BESIDE_HEAP_BYTES),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        try:
            resource.prlimit(pid, kind, (most, most))
        except ProcessLookupError:
            return

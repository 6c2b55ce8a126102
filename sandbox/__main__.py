"""The sandbox's command line: `python -m sandbox`."""

import argparse
import asyncio
import contextlib
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from sandbox.app import SandboxServer, run_sandbox
from sandbox.clock import MAX_SPEED, checked_speed
from sandbox.hooks import HookLimits
from sandbox.limits import MEGABYTE, MEMORY_BYTES, WorkerLimits
from sandbox.problems import ApiProblem, sentences_of
from sandbox.quotas import CREATE_QUOTA, POLL_QUOTA, parse_rate
from sandbox.schemas import checked_schema
from sandbox.settings import SandboxSettings
from sandbox.state import KEEP_IMPORTS

DEFAULT_PORT = 8700
_PENDING_SHARE = 0.4
_LAST_PORT = 65_535

_T = TypeVar("_T")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or (`--exit-with-parent`) the end of stdin. Exit code 2 for a bad option."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        server = _server(options)
        asyncio.run(_serve(server, exit_with_parent=options.exit_with_parent))
    except (OSError, ValueError) as error:
        parser.exit(2, f"sandbox: {error}\n")
    return 0


def load_schemas(directory: Path) -> list[dict[str, Any]]:
    """The saved schemas in a directory's JSON files: objects with id, name, fields, settings and hooks.

    Raises ValueError naming the file, or OSError.
    """
    if not directory.is_dir():
        raise ValueError(f"there is no directory {directory}; --schemas names one with a JSON file a schema")
    return [_schema(path) for path in sorted(directory.glob("*.json"))]


def _schema(path: Path) -> dict[str, Any]:
    try:
        schema = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(schema, dict) or "id" not in schema:
        raise ValueError(f"{path} is no schema: an object with an id is expected")
    try:
        return checked_schema(schema, schema_id=str(schema["id"]))
    except ApiProblem as problem:
        raise ValueError(f"{path} is no valid schema: {'; '.join(sentences_of(problem.body))}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description="The vendor's Headless API on a local port.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--license-key", help="the only key to accept (default: any that is not empty)")
    parser.add_argument("--create-quota", type=_rate, default=CREATE_QUOTA, metavar="N/WINDOW", help="20/60s")
    parser.add_argument("--poll-quota", type=_rate, default=POLL_QUOTA, metavar="N/WINDOW", help="12/60s")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep everything here and go on with it next time")
    parser.add_argument("--keep", type=_positive, default=KEEP_IMPORTS, metavar="N", help="newest imports to keep")
    parser.add_argument(
        "--webhook-hosts", type=_names, default=(), metavar="HOST,...", help="hosts to send webhooks to"
    )
    parser.add_argument(
        "--hook-hosts", type=_hook_hosts, default=(), metavar="HOST,...", help="hosts hooks may fetch from"
    )
    parser.add_argument("--schemas", type=Path, metavar="DIR", help="saved schemas to start with, one JSON file each")
    parser.add_argument("--speed", type=_speed, default=1.0, help="how fast the sandbox's clock runs")
    parser.add_argument("--processing-s", type=_seconds, default=0.5, metavar="S", help="upload's end to import's end")
    parser.add_argument("--workers", type=_positive, metavar="N", help="imports at a time (default: one a core)")
    parser.add_argument(
        "--worker-memory",
        dest="limits",
        type=_worker_limits,
        default=WorkerLimits(),
        metavar="MB",
        help=f"memory an import may take (default: {MEMORY_BYTES // MEGABYTE})",
    )
    parser.add_argument("--seed", type=int, help="make ids, URLs and faults repeatable")
    parser.add_argument("--exit-with-parent", action="store_true", help="exit when stdin ends")
    return parser


def _option(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """Let the sentence of a ValueError say what is wrong with an option; argparse would show one of its own."""

    def read_or_refuse(text: str) -> _T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_or_refuse


_rate = _option(parse_rate)


@_option
def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise ValueError(f"not a port from 0 to {_LAST_PORT}: {text!r}")
    return int(text)


@_option
def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"not a whole number from 1: {text!r}")
    return int(text)


@_option
def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    raise ValueError(f"not a number of seconds: {text!r}")


@_option
def _speed(text: str) -> float:
    with contextlib.suppress(ValueError):
        return checked_speed(float(text))
    raise ValueError(f"the clock's speed must be positive and at most {MAX_SPEED}")


@_option
def _worker_limits(text: str) -> WorkerLimits:
    return WorkerLimits(memory_bytes=_positive(text) * MEGABYTE)


@_option
def _hook_hosts(text: str) -> tuple[str, ...]:
    return HookLimits(allow_hosts=_names(text)).allow_hosts


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _server(options: argparse.Namespace) -> SandboxServer:
    return SandboxServer(
        host=options.host,
        port=options.port,
        settings=SandboxSettings(
            license_key=options.license_key,
            create_quota=options.create_quota,
            poll_quota=options.poll_quota,
            pending_s=options.processing_s * _PENDING_SHARE,
            running_s=options.processing_s * (1 - _PENDING_SHARE),
        ),
        schemas=load_schemas(options.schemas) if options.schemas else (),
        data=options.data,
        keep=options.keep,
        webhook_hosts=options.webhook_hosts,
        hook_hosts=options.hook_hosts,
        speed=options.speed,
        seed=options.seed,
        workers=options.workers,
        limits=options.limits,
    )


async def _serve(server: SandboxServer, *, exit_with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if exit_with_parent:
        threading.Thread(target=_stop_at_end_of_stdin, args=(loop, stop), daemon=True).start()
    await run_sandbox(server, stop=stop, on_ready=_announce)


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def _announce(base_url: str) -> None:
    sys.stdout.write(f"sandbox listening on {base_url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

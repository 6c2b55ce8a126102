"""The sandbox's command line: `python -m sandbox`."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from sandbox.app import SandboxServer, run_sandbox
from sandbox.hooks import TooDeep, shallow
from sandbox.options import add_options
from sandbox.private_files import command_to_close
from sandbox.problems import ApiProblem, sentences_of
from sandbox.schemas import checked_schema
from sandbox.settings import SandboxSettings
from sandbox.start_text import start_text

_PENDING_SHARE = 0.4
_STDIN = 0
_EXPOSED = (
    "sandbox: warning: other machines can reach this sandbox. It is for testing, has no encryption and no users, and "
    "anyone who reaches it can control it.\n"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT, or (with `--exit-with-parent`) the end of stdin. Exits with 2 for a bad option."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        server = _server(options)
        asyncio.run(_serve(server, options))
    except (OSError, ValueError) as error:
        parser.exit(2, f"sandbox: {error}\n")
    return 0


def load_schemas(directory: Path) -> list[dict[str, Any]]:
    """Return the saved schemas in a directory's JSON files: objects with id, name, fields, settings, and hooks.

    Raises ValueError that names the file, or OSError.
    """
    if not directory.is_dir():
        raise ValueError(
            f"there is no directory {directory}; --schemas needs a directory with one JSON file per schema"
        )
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in sorted(directory.glob("*.json")):
        schema = _schema(path)
        if schema["id"] in found:
            raise ValueError(f"{path} has the same schema id as {found[schema['id']][0]}: {schema['id']}")
        found[schema["id"]] = path, schema
    return [schema for _, schema in found.values()]


def _schema(path: Path) -> dict[str, Any]:
    try:
        schema = shallow(orjson.loads(path.read_bytes()))
    except TooDeep as error:
        raise ValueError(f"{path} is {error}") from None
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(schema, dict) or "id" not in schema:
        raise ValueError(f"{path} is not a schema: expected an object with an id")
    try:
        return checked_schema(schema, schema_id=str(schema["id"]), is_saved=True)
    except ApiProblem as problem:
        raise ValueError(f"{path} is not a valid schema: {'; '.join(sentences_of(problem.body))}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description="Serve the vendor's Headless API on a local port.")
    add_options(parser)
    parser.add_argument("--seed", type=int, help="Make ids, URLs, and faults repeatable.")
    parser.add_argument("--exit-with-parent", action="store_true", help="Exit when stdin ends.")
    parser.add_argument(
        "--license-key-stdin", action="store_true", help="Read the license key to accept from the first line of stdin."
    )
    return parser


def _server(options: argparse.Namespace) -> SandboxServer:
    return SandboxServer(
        host=options.host,
        port=options.port,
        allow_hosts=options.allow_host or (),
        settings=SandboxSettings(
            license_key=_line_of_stdin() if options.license_key_stdin else options.license_key,
            create_quota=options.create_quota,
            poll_quota=options.poll_quota,
            pending_s=options.processing_s * _PENDING_SHARE,
            running_s=options.processing_s * (1 - _PENDING_SHARE),
        ),
        schemas=load_schemas(options.schemas) if options.schemas else (),
        data=options.data,
        keep=options.keep,
        webhook_hosts=options.webhook_hosts or (),
        hook_hosts=options.hook_hosts or (),
        speed=options.speed,
        seed=options.seed,
        workers=options.workers,
        limits=options.worker_memory,
    )


async def _serve(server: SandboxServer, options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_parent:
        threading.Thread(target=_stop_at_end_of_stdin, args=(loop, stop), daemon=True).start()
    await run_sandbox(server, stop=stop, on_ready=partial(_announce, server, options=options))


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(_STDIN, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def _line_of_stdin() -> str:
    """Return the first line of stdin, without reading beyond it. Raises ValueError for none."""
    line = b""
    while not line.endswith(b"\n"):
        character = os.read(_STDIN, 1)
        if not character:
            raise ValueError("--license-key-stdin needs the license key as the first line of stdin")
        line += character
    return line.decode().strip()


def _announce(server: SandboxServer, base_url: str, *, options: argparse.Namespace) -> None:
    """Say where the sandbox is and what to do with it; a parent process only reads the first line."""
    data = options.data
    if server.is_exposed:
        sys.stderr.write(_EXPOSED)
    if data is not None and (command := command_to_close(data)):
        sys.stderr.write(f"sandbox: warning: permissions let others read the data in {data}; run: {command}\n")
    for sentence in server.warnings:
        sys.stderr.write(f"sandbox: warning: {sentence}\n")
    sys.stdout.write(f"sandbox listening on {base_url}\n")
    sys.stdout.flush()
    if not options.exit_with_parent:
        for line in start_text(server, schemas=options.schemas, data=data):
            sys.stdout.buffer.write(f"{line}\n".encode("utf-8", "backslashreplace"))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

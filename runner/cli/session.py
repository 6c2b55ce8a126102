"""The settings that a command works with, and the embedded sandbox if it asks for one."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.embedded_sandbox import embedded
from runner.cli.styles import console, line

if TYPE_CHECKING:
    from runner.check import Engine
    from runner.cli.options import Arguments
    from runner.config.settings import LoadedSettings

SAVED_SCHEMAS = Path("schemas", "saved")
"""Where the embedded sandbox finds saved schemas, next to bulkhead.toml."""

STANDALONE_URL = "http://127.0.0.1:8700/api/v1"
"""Where `bulkhead sandbox` listens by default."""

_INSTEAD = {"api_url": STANDALONE_URL, "license_key": "sandbox"}
"""What a command with `--sandbox` has before its sandbox runs, so that no real key or address counts."""


@contextmanager
def prepared(args: Arguments) -> Iterator[LoadedSettings]:
    """Load the settings, and run the embedded sandbox while the block runs if it was asked for. Raises ConfigError."""
    loaded = args.load(**_INSTEAD) if args.sandbox else args.load()
    for warning in loaded.warnings:
        line(console(stderr=True), f"warning: {warning}")
    if not args.sandbox:
        yield loaded
        return
    with (
        tempfile.TemporaryDirectory(prefix="bulkhead-sandbox-") as state,
        _sandbox(args, loaded, Path(state)) as inside,
    ):
        yield inside


@contextmanager
def _sandbox(args: Arguments, loaded: LoadedSettings, state: Path) -> Iterator[LoadedSettings]:
    """Point the settings to a sandbox with its own ledger and quota, so that nothing real changes."""
    settings = loaded.settings
    with embedded(
        create_quota=str(settings.create_quota),
        poll_quota=str(settings.poll_quota),
        schemas=args.sandbox_schemas or saved_schemas(loaded),
    ) as sandbox:
        yield args.load(
            api_url=sandbox.api_url,
            license_key=sandbox.license_key,
            ledger=args.flags.get("ledger") or state / "ledger.db",
            quota_store=state / "quota.db",
        )


def standalone_sandbox(args: Arguments, loaded: LoadedSettings, argv: Sequence[str]) -> tuple[str, str]:
    """Return two commands: one starts a sandbox that keeps running, the other repeats `argv` against it."""
    schemas = args.sandbox_schemas or saved_schemas(loaded)
    named = ["--schemas", os.path.relpath(schemas)] if schemas else []
    kept = [argument for argument in args.shown(argv) if argument != "--sandbox"]
    run = ["bulkhead", *kept, "--api-url", STANDALONE_URL]
    return shlex.join(["bulkhead", "sandbox", *named]), f"DROMO_LICENSE_KEY=any {shlex.join(run)}"


def saved_schemas(loaded: LoadedSettings) -> Path | None:
    """Return the directory of saved schemas next to bulkhead.toml, None if there is none."""
    if loaded.config_file is None:
        return None
    schemas = loaded.config_file.parent / SAVED_SCHEMAS
    return schemas if schemas.is_dir() else None


def default_engine(hook_hosts: str | None = None) -> Engine:
    """Return the sandbox's engine; its hooks may fetch from these hosts, separated by commas. Raises ConfigError."""
    from runner.check.sandbox_engine import sandbox_engine

    return sandbox_engine([name.strip() for name in (hook_hosts or "").split(",") if name.strip()])

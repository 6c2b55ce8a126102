"""What a command works with while it runs: its settings, consoles, and the embedded sandbox where it asked for one."""

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
    from runner.cli.arguments import Arguments
    from runner.config.settings import LoadedSettings

SAVED_SCHEMAS = Path("schemas", "saved")
"""Where the embedded sandbox finds saved schemas, beside bulkhead.toml."""

STAYING_URL = "http://127.0.0.1:8700/api/v1"
"""Where `bulkhead sandbox` listens unless told otherwise."""


@contextmanager
def prepared(given: Arguments) -> Iterator[LoadedSettings]:
    """Load the settings, and run the embedded sandbox around the block where it was asked for. Raises ConfigError."""
    loaded = given.load()
    for warning in loaded.warnings:
        line(console(stderr=True), f"warning: {warning}")
    if not given.sandbox:
        yield loaded
        return
    with (
        tempfile.TemporaryDirectory(prefix="bulkhead-sandbox-") as state,
        _sandbox(given, loaded, Path(state)) as inside,
    ):
        yield inside


@contextmanager
def _sandbox(given: Arguments, loaded: LoadedSettings, state: Path) -> Iterator[LoadedSettings]:
    """Point the settings to a sandbox whose ledger and quota are its own, so that nothing real is touched."""
    settings = loaded.settings
    with embedded(
        create_quota=str(settings.create_quota),
        poll_quota=str(settings.poll_quota),
        schemas=given.sandbox_schemas or saved_schemas(loaded),
    ) as sandbox:
        yield given.with_flags(
            api_url=sandbox.api_url,
            license_key=sandbox.license_key,
            ledger=given.flags.get("ledger") or state / "ledger.db",
            quota_store=state / "quota.db",
        ).load()


def staying_sandbox(given: Arguments, loaded: LoadedSettings, arguments: Sequence[str]) -> tuple[str, str]:
    """Return the commands that start a sandbox to stay, and that do there what `arguments` did in the embedded one."""
    schemas = given.sandbox_schemas or saved_schemas(loaded)
    named = ["--schemas", os.path.relpath(schemas)] if schemas else []
    kept = [argument for argument in arguments if argument != "--sandbox"]
    run = ["bulkhead", *kept, "--api-url", STAYING_URL]
    return shlex.join(["bulkhead", "sandbox", *named]), f"DROMO_LICENSE_KEY=any {shlex.join(run)}"


def saved_schemas(loaded: LoadedSettings) -> Path | None:
    """Return the directory of saved schemas beside bulkhead.toml, None where there is none."""
    if loaded.config_file is None:
        return None
    schemas = loaded.config_file.parent / SAVED_SCHEMAS
    return schemas if schemas.is_dir() else None

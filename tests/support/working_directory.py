"""A working directory with configuration files, and the settings that a command finds there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.config.settings import LoadedSettings, Settings


def load(
    cwd: Path, *, toml: str = "", dotenv: str = "", env: dict[str, str] | None = None, **flags: Any
) -> LoadedSettings:
    """Write `bulkhead.toml` and `.env` where they are given, and load the settings. Raises ConfigError."""
    if toml:
        (cwd / "bulkhead.toml").write_text(toml)
    if dotenv:
        (cwd / ".env").write_text(dotenv)
    return Settings.load(flags, environ=env or {}, cwd=cwd)

"""What the command line gave: settings by flag, and which files to run with which schema."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from runner.config.run_spec import RunSpec
    from runner.config.settings import LoadedSettings

_REPEATED = {
    "ledger": "--ledger",
    "api_url": "--api-url",
    "stack": "--stack",
    "aws_region": "--region",
    "aws_endpoint_url": "--endpoint-url",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Flags by the names of the settings, None where one was not given; and how to answer."""

    flags: Mapping[str, Any]
    config: Path | None = None
    sandbox: bool = False
    sandbox_schemas: Path | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    @classmethod
    def of_stack(
        cls,
        stack: str | None,
        region: str | None,
        endpoint_url: str | None,
        *,
        config: Path | None,
        json: bool = False,
        verbose: bool,
    ) -> Arguments:
        """Return what was given to a command about a deployment on AWS."""
        flags = {"stack": stack, "aws_region": region, "aws_endpoint_url": endpoint_url}
        return cls(flags=flags, config=config, json=json, verbose=verbose)

    def load(self) -> LoadedSettings:
        """Read all settings. Raises ConfigError."""
        from runner.config.settings import Settings

        return Settings.load({**self.flags, "config": self.config})

    def with_flags(self, **flags: Any) -> Arguments:
        """Return this with more flags given."""
        return replace(self, flags={**self.flags, **flags})

    def repeated(self) -> str:
        """Return the options that a later command about the same batch needs too."""
        options = {option: self.flags.get(name) for name, option in _REPEATED.items()}
        options["--config"] = self.config
        return "".join(f" {option} {shlex.quote(str(value))}" for option, value in options.items() if value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A source as it was named, and the options that are not settings."""

    source: str | None
    files_from: str | None = None
    again: bool = False
    fail_if_empty: bool = False
    check: Literal["skip", "warn"] | None = None

    def spec(self, loaded: LoadedSettings) -> RunSpec:
        """Return what to run. Raises ConfigError, SourceNotFound."""
        from runner.config.routes import Routes
        from runner.config.run_spec import RunSpec
        from runner.sources import source_spec

        settings = loaded.settings
        source = source_spec(
            self.source,
            files_from=self.files_from,
            stdin=sys.stdin.buffer,
            keep_lists_in=settings.own_directory / "lists",
            include=settings.include,
            exclude=settings.exclude,
            leave_out=_own_files(loaded),
            min_age_s=settings.min_age,
            order_by=settings.order_by,
        )
        out = str(settings.out) if settings.out else None
        return RunSpec(
            source=source,
            routes=Routes.of(loaded),
            out=out,
            again=self.again,
            fail_if_empty=self.fail_if_empty,
            check=self.check,
        )


def _own_files(loaded: LoadedSettings) -> Sequence[str | Path]:
    """Return what is never imported even where it lies in the source: results, ledger, schema files."""
    from runner.ledger.location import files_of

    settings = loaded.settings
    named = (settings.out, settings.fields_file, settings.settings_file, settings.hooks_file, loaded.config_file)
    return [*files_of(settings.ledger), *(path for path in named if path is not None)]

"""The commands about the set-up: `doctor` and `config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from runner.cli import options
from runner.cli.arguments import Arguments

if TYPE_CHECKING:
    from runner.config.settings import LoadedSettings


def doctor(
    *,
    schema_id: options.SchemaId = None,
    config: options.Config = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Check license key, schemas, clock, ledger and disk; ends with 7 where something is not well."""
    from runner.cli.query import look
    from runner.cli.tables import print_checks
    from runner.local.outcome import ExitCode

    flags = {"schema_id": schema_id, "ledger": ledger, "api_url": api_url}
    given = Arguments(flags=flags, config=config, json=json, verbose=verbose)
    checks = look(given, lambda bulkhead, loaded: bulkhead.doctor(_schema_ids(loaded)), show=print_checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(ExitCode.FATAL)


def config(
    *,
    config: options.Config = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    json: options.Json = False,
) -> None:
    """Show each setting and where it came from, secrets masked."""
    from runner.cli.errors import reported
    from runner.cli.json_output import write_document
    from runner.cli.session import prepared
    from runner.cli.styles import console
    from runner.cli.tables import print_settings

    given = Arguments(flags={"ledger": ledger, "api_url": api_url}, config=config, json=json)
    with reported(), prepared(given) as loaded:
        rows = loaded.masked()
        if json:
            write_document({name: {"value": value, "origin": origin} for name, value, origin in rows})
        else:
            print_settings(console(), rows)


def _schema_ids(loaded: LoadedSettings) -> set[str]:
    """Return the saved schemas that the routes name; none where there are no routes yet."""
    from runner.config.routes import Routes

    settings = loaded.settings
    if not (settings.routes or settings.schema_id or settings.fields_file):
        return set()
    return {route.schema_id for route in Routes.of(loaded).routes if route.schema_id}

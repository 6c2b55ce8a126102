"""The commands about the setup: `doctor` and `config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from runner.cli.arguments import ConfigArguments, DoctorArguments

if TYPE_CHECKING:
    from runner.config.settings import LoadedSettings


async def doctor(args: DoctorArguments) -> None:
    """Check the license key, schemas, clock, ledger, and disk; exits with 7 if a check fails."""
    from runner.cli.json_output import findings_document
    from runner.cli.query import session
    from runner.cli.tables import print_findings
    from runner.local.outcome import ExitCode

    async with session(args) as s:
        findings = await s.bulkhead.doctor(_schema_ids(s.loaded))
        s.answer(findings, print_findings, findings_document)
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(ExitCode.FATAL)


def config(args: ConfigArguments) -> None:
    """Show each setting and where it comes from, with secrets masked."""
    from runner.cli.json_output import write_document
    from runner.cli.session import prepared
    from runner.cli.styles import console
    from runner.cli.tables import print_settings

    with prepared(args) as loaded:
        rows = loaded.masked()
    if args.json:
        write_document({name: {"value": value, "origin": origin} for name, value, origin in rows})
    else:
        print_settings(console(), rows)


def _schema_ids(loaded: LoadedSettings) -> set[str]:
    """Return the saved schemas that the routes name; none if there are no routes yet."""
    from runner.config.routes import Routes

    settings = loaded.settings
    if not (settings.routes or settings.schema_id or settings.fields_file):
        return set()
    return {route.schema_id for route in Routes.of(loaded).routes if route.schema_id}

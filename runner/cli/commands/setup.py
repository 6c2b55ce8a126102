"""The commands about the setup: `init`, `doctor`, `config`, and `sandbox`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.arguments import ConfigArguments, DoctorArguments, InitArguments

if TYPE_CHECKING:
    from runner.config.settings import LoadedSettings

SANDBOX_HELP = "Run a sandbox of the vendor's API on this machine, to try Bulkhead without an account."


def sandbox_function() -> Callable[..., None]:
    """Return the command; its options are those that the sandbox declares for itself."""
    from sandbox.options import OPTIONS, as_arguments

    def sandbox(**values: str | list[str] | None) -> None:
        from sandbox.__main__ import main

        raise typer.Exit(main(as_arguments(values)))

    parameters = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=Annotated[
                list[str] | None if option.repeatable else str | None,
                typer.Option(option.flag, metavar=option.metavar, help=option.help, rich_help_panel=option.panel),
            ],
        )
        for option in OPTIONS
    ]
    sandbox.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    sandbox.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    sandbox.__doc__ = SANDBOX_HELP
    return sandbox


def init(args: InitArguments) -> None:
    """Set up this directory: choose a schema, write bulkhead.toml and .env, check them; overwrites no file."""
    from runner.cli.init_command import set_up

    set_up(args)


async def doctor(args: DoctorArguments) -> None:
    """Check the license key, schemas, clock, ledger, disk, and notifications; exits with 7 if a check fails."""
    from runner.cli.json_output import findings_document
    from runner.cli.query import session
    from runner.cli.tables import print_findings
    from runner.findings import Level
    from runner.local.outcome import ExitCode

    async with session(args) as s:
        findings = await s.findings(notify_test=args.notify_test)
        s.answer(findings, print_findings, findings_document)
    if any(finding.level is Level.FAIL for finding in findings):
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
        write_document({name: _shown(loaded, name, value) for name, value, _ in rows})
    else:
        print_settings(console(), rows)


def _shown(loaded: LoadedSettings, name: str, value: str) -> dict[str, object]:
    shown: dict[str, object] = {"value": value, "origin": loaded.origin(name)}
    return {**shown, "in_working_directory": True} if name in loaded.found else shown

"""`bulkhead init`: collects what is missing, from options or from a person, writes it, and checks it."""

from __future__ import annotations

import asyncio
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from runner.cli.init_prompts import ask_key, ask_schema, ask_source
from runner.cli.json_output import findings_document, write_document
from runner.cli.query import session
from runner.cli.session import prepared
from runner.cli.styles import console, line, logging_to
from runner.cli.tables import print_findings
from runner.config.settings import CONFIG_NAME
from runner.dromo.proxy import masked
from runner.errors import ConfigError
from runner.findings import Level
from runner.formatting import shown
from runner.local.init import (
    ENV_NAME,
    Action,
    Contents,
    FileOutcome,
    SchemaSummary,
    Todo,
    accept_key,
    checked_source,
    named,
    next_commands,
    usable_schemas,
    write,
)
from runner.local.outcome import ExitCode
from runner.local.resources import Resources

if TYPE_CHECKING:
    from rich.console import Console

    from runner.cli.arguments import InitArguments
    from runner.config.settings import LoadedSettings
    from runner.findings import Finding

_KEY_BYTES = 4096
_VERBS = {
    Action.WRITTEN: "written",
    Action.EXTENDED: "one line added",
    Action.KEPT: "is there already and stays as it is",
}


def set_up(args: InitArguments) -> None:
    """Set up the working directory; see `init`. Raises ConfigError, and typer.Exit if a check fails."""
    directory = Path.cwd()
    asks = not args.yes and _is_terminal()
    with prepared(args) as loaded, logging_to(console(stderr=True), verbose=args.verbose):
        _refuse_other_config(loaded, directory)
        todo = Todo.of(directory)
        if todo.is_nothing:
            _refuse_nothing(args, loaded, directory)
        contents, source = _collected(args, loaded, todo, asks=asks)
        outcomes = write(directory, contents)
    if not args.json:
        _print_outcomes(console(), outcomes)
    findings = asyncio.run(_findings(args))
    _show(args, outcomes, findings, next_commands(source))
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(ExitCode.FATAL)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _collected(args: InitArguments, loaded: LoadedSettings, todo: Todo, *, asks: bool) -> tuple[Contents, str]:
    """Return what to write and the source, after the vendor has accepted the key. Raises BulkheadError."""
    needs_key = todo.config or todo.env
    source = checked_source(args.directory) if args.directory else ask_source() if asks else None
    key = _given_key(args, loaded, asks=asks) if needs_key else None
    if not key and needs_key and asks:
        key = ask_key()
    missing = [] if source else ["the directory with the files: add DIRECTORY"]
    if needs_key and not key:
        missing.append("the license key: set DROMO_LICENSE_KEY, or pipe it to --key-stdin")
    is_named = bool(loaded.settings.schema_id)
    if source is None or missing:
        if todo.config and not is_named:
            missing.append("the schema: add --schema-id ID")
        raise ConfigError(f"without a terminal to ask on, this is missing: {'; '.join(missing)}", hint=_EXAMPLE)
    schemas = asyncio.run(_verified(args, key, needs_schema=todo.config)) if key else []
    schema = _chosen(schemas, asks=asks, is_named=is_named) if todo.config else _named_schema(args)
    return Contents(schema=schema, api_url=loaded.settings.api_url, key=key), source


_EXAMPLE = "bulkhead init DIRECTORY --schema-id ID --key-stdin < FILE"


def _given_key(args: InitArguments, loaded: LoadedSettings, *, asks: bool) -> str | None:
    """Return the key of stdin if that was asked for, or else that of the settings. Raises ConfigError."""
    if args.key_stdin:
        if asks:
            return ask_key()
        text = sys.stdin.buffer.read(_KEY_BYTES).decode("utf-8-sig", "replace").strip()
        if not text:
            raise ConfigError("--key-stdin: stdin is empty", hint=_EXAMPLE)
        return text
    key = loaded.settings.license_key
    return key.get_secret_value() if key else None


async def _verified(args: InitArguments, key: str, *, needs_schema: bool) -> list[SchemaSummary]:
    async with Resources(args.load(license_key=key).settings) as resources:
        if needs_schema:
            return await usable_schemas(resources, resources.settings.schema_id)
        await accept_key(resources)
        return []


def _chosen(schemas: list[SchemaSummary], *, asks: bool, is_named: bool) -> SchemaSummary:
    if is_named:
        return schemas[0]
    if not asks:
        raise ConfigError(
            "without a terminal to ask on, the schema is missing: add --schema-id ID", hint=named(schemas)
        )
    return ask_schema(schemas)


def _named_schema(args: InitArguments) -> SchemaSummary | None:
    return SchemaSummary(schema_id=args.schema_id, name=args.schema_id) if args.schema_id else None


async def _findings(args: InitArguments) -> list[Finding]:
    """Return what `doctor` finds with what the next commands will read: no option of this one but `_EXPORTED`."""
    exported = {name: getattr(args, name) for name in _EXPORTED}
    async with session(type(args)(verbose=args.verbose, **exported)) as s:
        return await s.findings()


def _refuse_other_config(loaded: LoadedSettings, directory: Path) -> None:
    if loaded.config_file is not None and loaded.config_file != (directory / CONFIG_NAME).resolve():
        raise ConfigError(
            f"BULKHEAD_CONFIG names {loaded.config_file}, so commands would not read a {CONFIG_NAME} of this directory",
            hint="unset BULKHEAD_CONFIG, then run `bulkhead init` again",
        )


def _refuse_nothing(args: InitArguments, loaded: LoadedSettings, directory: Path) -> NoReturn:
    """Say what is there and what it would have got. Raises ConfigError."""
    outcomes = write(directory, Contents(schema=_named_schema(args), api_url=loaded.settings.api_url, key=None))
    if not args.json:
        _print_outcomes(console(), outcomes)
    raise ConfigError(
        f"nothing is written: {CONFIG_NAME} and {ENV_NAME} are there already",
        hint="`bulkhead doctor` checks them",
    )


def _show(args: InitArguments, outcomes: list[FileOutcome], findings: list[Finding], commands: list[str]) -> None:
    if args.json:
        write_document(
            {
                "files": [asdict(outcome) for outcome in outcomes],
                "findings": findings_document(findings),
                "next": commands,
            }
        )
        return
    screen = console()
    line(screen)
    print_findings(screen, findings)
    line(screen)
    line(screen, "Next:")
    if variables := _variables(args):
        line(screen, f"  export {variables}")
    for command, meaning in zip(commands, _MEANINGS, strict=True):
        line(screen, f"  {command:<{max(map(len, commands))}}  # {meaning}")


_EXPORTED = ("proxy", "ca_file")
"""Options that no file of this directory can have, see `config.origins`: the next commands need their variables."""


def _variables(args: InitArguments) -> str:
    """Return what the shell has to export, so that the next commands reach the vendor as this one does."""
    given = {"BULKHEAD_PROXY": args.proxy and masked(args.proxy), "BULKHEAD_CA_FILE": args.ca_file}
    return " ".join(f"{name}={shlex.quote(str(value))}" for name, value in given.items() if value)


_MEANINGS = ("what would be sent, and how long it takes", "which files would fail, and why", "send the files")


def _print_outcomes(screen: Console, outcomes: list[FileOutcome]) -> None:
    for outcome in outcomes:
        note = f"; {outcome.note}" if outcome.note else ""
        line(screen, f"{outcome.name}: {_VERBS[outcome.action]}{note}")
        if outcome.action is Action.KEPT and outcome.lines:
            line(screen, "  it would have had:")
        for text in outcome.lines:
            line(screen, f"  {shown(text)}")

"""The command tree. To start fast, only the command that is called is built completely."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import typer

from runner._version import __version__
from runner.cli.help import FullGroup, PanelCommand
from runner.cli.options import typer_function


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its module in `runner.cli.commands`, and its function there."""

    module: str
    function: str


COMMANDS: dict[str, Command] = {
    "run": Command("run", "run"),
    "resume": Command("run", "resume"),
    "track": Command("run", "track"),
    "plan": Command("plan", "plan"),
    "check": Command("check", "check"),
    "explain": Command("plan", "explain"),
    "status": Command("inspect", "status"),
    "batches": Command("inspect", "batches"),
    "manifest": Command("inspect", "manifest"),
    "redrive": Command("repair", "redrive"),
    "reconcile": Command("repair", "reconcile"),
    "doctor": Command("setup", "doctor"),
    "config": Command("setup", "config"),
    "ledger copy": Command("ledger", "copy"),
    "ledger create-table": Command("ledger", "create_table"),
    "cloud start": Command("cloud", "start"),
    "cloud status": Command("cloud", "status"),
    "cloud manifest": Command("cloud", "manifest"),
    "cloud redrive": Command("cloud", "redrive"),
    "cloud reviews": Command("cloud", "reviews"),
    "cloud doctor": Command("cloud", "doctor"),
    "webhook-url": Command("webhook", "webhook_url"),
    "sandbox": Command("sandbox", "sandbox_function"),
}
"""By name; the first word of a name of two words is its group."""

GROUPS = {
    "ledger": "Create and copy ledgers.",
    "cloud": "Start, watch, and repair imports that a stack on AWS runs.",
}
"""What each group of commands is for."""


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the application for a command line.

    It has the command that `arguments` begin with; without arguments, all commands; and if they begin with something
    else, such as `--help`, all commands by name and help only.
    """
    app = typer.Typer(
        name="bulkhead",
        help="Bulk runner for Dromo Headless imports: a directory or an S3 prefix goes in, a manifest comes out.",
        cls=FullGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_root)
    called = arguments[0] if arguments else ""
    names = [name for name in COMMANDS if called == name.split()[0]]
    groups = {name: _group(app, name) for name in GROUPS if not names or called == name}
    for name in names or COMMANDS:
        _add(groups.get(name.split()[0], app), name, is_complete=bool(names) or not arguments)
    return app


def _group(app: typer.Typer, name: str) -> typer.Typer:
    group = typer.Typer(cls=FullGroup, help=GROUPS[name], no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name=name)
    return group


def _add(app: typer.Typer, name: str, *, is_complete: bool) -> None:
    function = _function(COMMANDS[name], is_complete=is_complete)
    app.command(name.rsplit(maxsplit=1)[-1], cls=PanelCommand)(function)


def _function(command: Command, *, is_complete: bool) -> Callable[..., None]:
    module = import_module(f"runner.cli.commands.{command.module}")
    function = getattr(module, command.function)
    if not is_complete:
        return _listed(module.HELP if command.module == "sandbox" else function.__doc__)
    result: Callable[..., None] = function() if command.module == "sandbox" else typer_function(function)
    return result


def _listed(text: str) -> Callable[..., None]:
    def listed() -> None:
        raise NotImplementedError

    listed.__doc__ = text
    return listed


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"bulkhead {__version__}\n")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Bulk runner for Dromo Headless imports: a directory or an S3 prefix goes in, a manifest comes out."""

"""The command tree and its help pages. To start fast, only the command that is called is built completely."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from runner._version import __version__
from runner.cli.examples import EXAMPLES, SECTIONS
from runner.cli.options import typer_function


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its module in `runner.cli.commands`, and its function there."""

    module: str
    function: str


COMMANDS: dict[str, Command] = {
    "init": Command("setup", "init"),
    "run": Command("run", "run"),
    "resume": Command("run", "resume"),
    "track": Command("run", "track"),
    "reviews": Command("reviews", "reviews"),
    "dismiss": Command("reviews", "dismiss"),
    "plan": Command("run", "plan"),
    "check": Command("run", "check"),
    "explain": Command("run", "explain"),
    "status": Command("ledger", "status"),
    "batches": Command("ledger", "batches"),
    "manifest": Command("ledger", "manifest"),
    "report": Command("ledger", "report"),
    "redrive": Command("ledger", "redrive"),
    "reconcile": Command("ledger", "reconcile"),
    "doctor": Command("setup", "doctor"),
    "config": Command("setup", "config"),
    "ledger copy": Command("ledger", "copy"),
    "ledger create-table": Command("ledger", "create_table"),
    "cloud start": Command("cloud", "start"),
    "cloud status": Command("cloud", "status"),
    "cloud manifest": Command("cloud", "manifest"),
    "cloud redrive": Command("cloud", "redrive"),
    "cloud reviews": Command("cloud", "reviews"),
    "cloud dismiss": Command("cloud", "dismiss"),
    "cloud work": Command("cloud", "work"),
    "cloud doctor": Command("cloud", "doctor"),
    "webhook-url": Command("cloud", "webhook_url"),
    "sandbox": Command("setup", "sandbox_function"),
}
"""By name; if a name has two words, the first one is its group."""

GROUPS = {
    "ledger": "Create and copy ledgers.",
    "cloud": "Start, watch, and repair imports that a stack on AWS runs.",
}
"""What each group of commands is for."""


_OTHER = "Other"
BARE = {"--check": "--check=skip"}
"""Options that may be given without a value, and what they mean then. A value must follow `=`."""


class PanelCommand(TyperCommand):
    """A command whose help groups options by panel, and that accepts the options of BARE without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [BARE.get(arg, arg) for arg in args[:end]] + args[end:])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for panel, records in panels(self, ctx).items():
            with formatter.section(panel):
                formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        name = ctx.command_path.partition(" ")[2]
        if name not in EXAMPLES:
            return
        example, page = EXAMPLES[name]
        with formatter.section("Example"):
            formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        with formatter.section("Documentation"):
            formatter.write(f"{'':{formatter.current_indent}}{page}\n")


class FullGroup(TyperGroup):
    """A group that lists its commands in sections, with the first paragraph of their help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = self.list_commands(ctx)
        sectioned = {name for section in SECTIONS.values() for name in section}
        others = tuple(name for name in names if name not in sectioned)
        sections = {**SECTIONS, "Other commands": others} if len(others) < len(names) else {"Commands": others}
        for title, listed in sections.items():
            if present := [(name, _first_paragraph(self.commands[name])) for name in listed if name in names]:
                with formatter.section(title):
                    formatter.write_dl(present)


def _first_paragraph(command: Any) -> str:
    return (command.help or "").partition("\n\n")[0]


def panels(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Return (names, help) of a command's options by panel, in the order in which panels first appear."""
    found: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        name, text = record
        if parameter.param_type_name == "argument":
            found.setdefault("Arguments", []).append((name.partition(" ")[0], text))
        else:
            found.setdefault(getattr(parameter, "rich_help_panel", None) or _OTHER, []).append((name, text))
    return found


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the application for a command line.

    It has the command that `arguments` begin with, or else all commands: by name and help only if the arguments can
    call none, such as `--help`.
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
        _add(groups.get(name.split()[0], app), name, is_complete=not _only_options(arguments))
    return app


def _only_options(arguments: Sequence[str]) -> bool:
    """Return whether a command line has options and nothing that could be a command: after `--`, anything could."""
    return bool(arguments) and all(word.startswith("-") and word != "--" for word in arguments)


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
        return _listed(module.SANDBOX_HELP if command.function == "sandbox_function" else function.__doc__)
    result: Callable[..., None] = function() if command.function == "sandbox_function" else typer_function(function)
    return result


def _listed(text: str) -> Callable[..., None]:
    def listed() -> None:
        raise AssertionError("called a command that is only listed")

    listed.__doc__ = text
    return listed


def _show_version(is_set: bool) -> None:
    if is_set:
        sys.stdout.write(f"bulkhead {__version__}\n")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Bulk runner for Dromo Headless imports: a directory or an S3 prefix goes in, a manifest comes out."""

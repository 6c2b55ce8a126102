"""Help pages: plain text with options grouped by panel, without the cost of importing rich."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

_OTHER = "Other"
BARE = {"--check": "--check=skip"}
"""Options that can be given without a value, and what they then mean. With a value, they need `=`."""


class PanelCommand(TyperCommand):
    """A command whose help groups options by panel, and that accepts the options of BARE without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [BARE.get(arg, arg) for arg in args[:end]] + args[end:])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for panel, records in panels(self, ctx).items():
            with formatter.section(panel):
                formatter.write_dl(records)


class FullGroup(TyperGroup):
    """A group that lists its commands with their complete help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].help or "") for name in self.list_commands(ctx)])


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

"""Help pages: plain text whose options stand under the panel they belong to, without the cost of importing rich."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

_OTHER = "Other"


class PanelCommand(TyperCommand):
    """A command whose help groups its options by `rich_help_panel`, in the order in which panels first appear."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for panel, records in self._panels(ctx).items():
            with formatter.section(panel):
                formatter.write_dl(records)

    def _panels(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            is_argument = parameter.param_type_name == "argument"
            panel = getattr(parameter, "rich_help_panel", None) or ("Arguments" if is_argument else _OTHER)
            panels.setdefault(panel, []).append(record)
        return panels

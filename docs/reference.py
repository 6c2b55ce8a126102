"""The command reference, docs/cli.md, made from the commands themselves: `python -m docs.reference`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any, get_args

import typer

from runner.cli.app import build, panels
from runner.cli.ndjson import event_name
from runner.events import BytesUploaded, Event
from runner.local.outcome import ExitCode

_HEAD = """# Commands

<!-- `make docs` writes this page from the commands; a test compares. -->

Settings come from options, then from the environment (`BULKHEAD_` and the setting's name in capitals, such as
`BULKHEAD_MIN_AGE`; `DROMO_LICENSE_KEY`), then from `.env`, then from `bulkhead.toml`; the first value found applies.
`bulkhead config` shows every setting and where it comes from. No option takes the license key, because other users of
the machine can see the options of a process.

For the format of durations, sizes, quotas, and globs, see [configuration](configuration.md).
"""

_EVENTS_HEAD = """
## Events of `--json`

`run`, `resume`, and `track` write one JSON object per line to stdout, and nothing else. Each has `event` and `at` (ISO
8601, UTC). The last one is `batch_finished`, or `error` if the command could not continue. Later versions can add
names, but remove none within a major version. `check` writes [its own lines](check.md#for-programs); the other commands
write one JSON document.

| `event` | fields |
|---|---|
"""

_CODES_HEAD = """
## Exit codes

For what each code means and what to do about it, see [operations](operations.md#exit-codes-and-what-to-do).

| Code | Name |
|---:|---|
"""


def reference() -> str:
    """Return the whole page."""
    root = typer.main.get_command(build())
    context = typer.Context(root, info_name="bulkhead", help_option_names=["-h", "--help"])
    return _HEAD + "".join(_pages(root, context)) + _EVENTS_HEAD + "".join(_events()) + _CODES_HEAD + "".join(_codes())


def _pages(group: Any, context: typer.Context) -> Iterator[str]:
    for command in group.commands.values():
        inner = typer.Context(command, info_name=command.name, parent=context)
        if hasattr(command, "commands"):
            yield from _pages(command, inner)
        else:
            yield _page(command, inner)


def _page(command: Any, context: typer.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = f"\n## {context.command_path}\n\n{command.help}\n\n```\n{usage}\n```\n"
    for panel, records in panels(command, context).items():
        rows = "".join(f"| `{_cell(name)}` | {_cell(help_text)} |\n" for name, help_text in records)
        text += f"\n| {panel} | |\n|---|---|\n{rows}"
    return text


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("  [default:", " [default:")


def _events() -> Iterator[str]:
    for kind in get_args(Event):
        names = ["count"] if kind is BytesUploaded else [field.name for field in dataclasses.fields(kind)]
        yield f"| `{event_name(kind)}` | {', '.join(f'`{name}`' for name in names)} |\n"
    yield "| `error` | `message`, `hint`, `exit_code` |\n"


def _codes() -> Iterator[str]:
    for code in ExitCode:
        yield f"| {int(code)} | `{code.name}` |\n"


if __name__ == "__main__":
    sys.stdout.write(reference())

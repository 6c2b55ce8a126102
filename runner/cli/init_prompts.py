"""What `init` asks a person on a terminal: directory, license key, and schema. Questions go to stderr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from runner.cli.styles import console, line
from runner.errors import SourceNotFound
from runner.formatting import shown
from runner.local.init import checked_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.local.init import SchemaSummary

_USUAL = ("inbox", "data/inbox", "data")


def ask_source() -> str:
    """Ask for the directory until there is one with that name. Raises typer.Abort."""
    default = next((name for name in _USUAL if Path(name).is_dir()), ".")
    while True:
        answer: str = typer.prompt("Directory or s3:// prefix with the files", default=default, err=True)
        try:
            return checked_source(answer.strip())
        except SourceNotFound as error:
            _say(f"{error}; {error.hint}")


def ask_key() -> str:
    """Ask for the license key, without showing it. Raises typer.Abort."""
    answer: str = typer.prompt("License key (a backend key; it is not shown)", hide_input=True, err=True)
    return answer.strip()


def ask_schema(schemas: Sequence[SchemaSummary]) -> SchemaSummary:
    """Ask for one schema by its number or id. Raises typer.Abort."""
    width = len(str(len(schemas)))
    for number, schema in enumerate(schemas, start=1):
        _say(f"  {number:>{width}}  {shown(schema.name)}  ({shown(schema.schema_id)})")
    by_answer = {str(number): schema for number, schema in enumerate(schemas, start=1)}
    by_answer |= {schema.schema_id: schema for schema in schemas}
    while True:
        answer = str(typer.prompt("Number of the schema for the files", err=True)).strip()
        if answer in by_answer:
            return by_answer[answer]
        _say(f"write a number from 1 to {len(schemas)}, or an id")


def _say(text: str) -> None:
    line(console(stderr=True), text)

"""The commands that read the ledger and change nothing: `status`, `batches` and `manifest`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli import options
from runner.cli.given import Given

if TYPE_CHECKING:
    from runner.bulkhead import Bulkhead


def status(
    batch: options.BatchId = None,
    config: options.Config = None,
    ledger: options.Ledger = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Say how many items of a batch are in which state."""
    from runner.cli.looking import look, show

    given = Given(flags={"ledger": ledger}, config=config, json=json, verbose=verbose)
    found, _ = look(given, lambda bulkhead, _: bulkhead.status(batch))

    from runner.cli.tables import print_status

    show(given, found, lambda console: print_status(console, found))


def batches(
    config: options.Config = None,
    ledger: options.Ledger = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List the batches of the ledger, oldest first."""
    from runner.cli.looking import look, show

    given = Given(flags={"ledger": ledger}, config=config, json=json, verbose=verbose)
    found, _ = look(given, lambda bulkhead, _: bulkhead.batches())

    from runner.cli.tables import print_batches

    show(given, found, lambda console: print_batches(console, found))


def manifest(
    batch: options.BatchId = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="jsonl|csv", help="Write it as JSON lines or as CSV.", rich_help_panel=options.OUTPUT),
    ] = "jsonl",
    config: options.Config = None,
    ledger: options.Ledger = None,
    verbose: options.Verbose = False,
) -> None:
    """Write the manifest of a batch, as it stands now, to stdout."""
    from runner.cli.looking import look
    from runner.errors import ConfigError

    async def write(bulkhead: Bulkhead) -> None:
        if form not in ("jsonl", "csv"):
            raise ConfigError(f"the manifest has no format {form!r}", hint="use jsonl or csv")
        async for chunk in bulkhead.manifest(batch, format=form):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    look(Given(flags={"ledger": ledger}, config=config, verbose=verbose), lambda bulkhead, _: write(bulkhead))

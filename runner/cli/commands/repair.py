"""The commands that repair: `redrive` and `reconcile`."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli import options
from runner.cli.arguments import Arguments


def redrive(
    batch: options.BatchId = None,
    *,
    state: options.State = None,
    match: options.Match = None,
    config: options.Config = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Put failed, rejected or uncertain items back to work; `resume` then sends them."""
    from runner.cli.query import look, redrivable
    from runner.cli.tables import print_redriven

    given = Arguments(flags={"ledger": ledger, "api_url": api_url}, config=config, json=json, verbose=verbose)
    look(
        given,
        lambda bulkhead, _: bulkhead.redrive(batch, states=redrivable(state), match=match),
        show=lambda console, count: print_redriven(console, count, resume=f"{batch or ''}{given.repeated()}"),
        document=lambda count: {"redriven": count},
    )


def reconcile(
    batch: options.BatchId = None,
    *,
    fix: Annotated[
        bool, typer.Option("--fix", help="Repair what can be repaired.", rich_help_panel=options.FILES)
    ] = False,
    config: options.Config = None,
    ledger: options.Ledger = None,
    api_url: options.ApiUrl = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show where ledger and vendor differ about a batch, and repair it on request."""
    from runner.cli.query import look
    from runner.cli.tables import print_differences

    given = Arguments(flags={"ledger": ledger, "api_url": api_url}, config=config, json=json, verbose=verbose)
    look(given, lambda bulkhead, _: bulkhead.reconcile(batch, fix=fix), show=print_differences)

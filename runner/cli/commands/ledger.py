"""The commands about ledgers themselves: `bulkhead ledger copy` and `bulkhead ledger create-table`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli import options
from runner.cli.arguments import Arguments

if TYPE_CHECKING:
    from runner.local.copy_ledger import Copied


def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The ledger to read: a path, or dynamodb://TABLE.", show_default=False)
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="The ledger to write, in the same form.", show_default=False)
    ],
    *,
    batch: Annotated[
        str | None,
        typer.Option("--batch", metavar="BATCH", help="Copy this batch alone.", rich_help_panel=options.FILES),
    ] = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Copy batches from one ledger to another: items, histories, and which import belongs to which item."""
    from runner.cli.errors import reported
    from runner.cli.json_output import write_document
    from runner.cli.styles import console, line
    from runner.local.copy_ledger import copy_ledger
    from runner.local.resources import Resources

    flags = {"aws_region": region, "aws_endpoint_url": endpoint_url}
    sides = [Arguments(flags=flags | {"ledger": place}, config=config, verbose=verbose) for place in (source, target)]
    copied: list[Copied] = []

    def tell(one: Copied) -> None:
        copied.append(one)
        if not json:
            line(console(), f"batch {one.batch_id}: {one.items} items, {one.new} of them copied now")

    async def go() -> None:
        async with Resources(sides[0].load().settings) as old, Resources(sides[1].load().settings) as new:
            await copy_ledger(old, new, batch_id=batch, on_copied=tell)

    with reported(verbose=verbose):
        asyncio.run(go())
        if json:
            write_document(copied)


def create_table(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The table's name.", show_default=False)],
    *,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Make a table of DynamoDB for a ledger that several share, where no stack brings one."""
    from runner.cli.errors import reported
    from runner.cli.json_output import write_document
    from runner.cli.styles import console, line
    from runner.ledger.location import LedgerTable
    from runner.local.resources import Resources

    flags = {"ledger": str(LedgerTable(name)), "aws_region": region, "aws_endpoint_url": endpoint_url}
    given = Arguments(flags=flags, config=config, verbose=verbose)

    async def go() -> bool:
        async with Resources(given.load().settings) as resources:
            return await (await resources.table(LedgerTable(name))).create()

    with reported(verbose=verbose):
        made = asyncio.run(go())
        if json:
            write_document({"table": name, "made": made})
        else:
            line(
                console(),
                f"the table {name} {'is made' if made else 'was there'}; use it by --ledger dynamodb://{name}",
            )

"""The commands about ledgers: `bulkhead ledger copy` and `bulkhead ledger create-table`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cli.arguments import CopyArguments, TableArguments

if TYPE_CHECKING:
    from runner.local.copy_ledger import Copied


async def copy(args: CopyArguments) -> None:
    """Copy batches from one ledger to another: items, histories, and which import belongs to which item."""
    from runner.cli.json_output import write_document
    from runner.cli.styles import console, line
    from runner.formatting import counted
    from runner.local.copy_ledger import copy_ledger
    from runner.local.resources import Resources

    copied: list[Copied] = []

    def report(one: Copied) -> None:
        copied.append(one)
        if not args.json:
            line(console(), f"batch {one.batch_id}: {counted(one.items, 'item')}, {one.new:,} of them newly copied")

    old_settings, new_settings = (args.load(ledger=place).settings for place in (args.source, args.target))
    async with Resources(old_settings) as old, Resources(new_settings) as new:
        await copy_ledger(old, new, batch_id=args.batch, on_copied=report)
    if args.json:
        write_document(copied)


async def create_table(args: TableArguments) -> None:
    """Create a DynamoDB table for a shared ledger, if no stack has created one."""
    from runner.cli.json_output import write_document
    from runner.cli.styles import console, line
    from runner.ledger.location import LedgerTable
    from runner.local.resources import Resources

    table = LedgerTable(args.name)
    async with Resources(args.load(ledger=str(table)).settings) as resources:
        made = await (await resources.table(table)).create()
    if args.json:
        write_document({"table": args.name, "made": made})
    else:
        done = "created the table" if made else "the table already exists:"
        line(console(), f"{done} {args.name}; use it with --ledger dynamodb://{args.name}")

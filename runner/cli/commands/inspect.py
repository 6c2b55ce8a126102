"""The commands that read the ledger and change nothing: `status`, `batches`, and `manifest`."""

from __future__ import annotations

from runner.cli.arguments import BatchesArguments, ManifestArguments, StatusArguments


async def status(args: StatusArguments) -> None:
    """Show how many items of a batch are in each state."""
    from runner.cli.json_output import status_document
    from runner.cli.query import session
    from runner.cli.tables import print_status

    async with session(args) as s:
        s.answer(await s.bulkhead.status(args.batch), print_status, status_document)


async def batches(args: BatchesArguments) -> None:
    """List the batches of the ledger, oldest first."""
    from runner.cli.json_output import status_document
    from runner.cli.query import session
    from runner.cli.tables import print_batches

    async with session(args) as s:
        found = await s.bulkhead.batches()
        s.answer(found, print_batches, lambda statuses: [status_document(status) for status in statuses])


async def manifest(args: ManifestArguments) -> None:
    """Write the current manifest of a batch to stdout."""
    from runner.cli.json_output import write_pieces
    from runner.cli.query import session

    async with session(args) as s:
        await write_pieces(s.bulkhead.manifest(args.batch, format=args.form))

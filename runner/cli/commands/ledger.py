"""The commands about a ledger: its batches, repairs, copies, and the table of a shared one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from runner.cli.arguments import (
    BatchesArguments,
    CopyArguments,
    ManifestArguments,
    ReconcileArguments,
    RedriveArguments,
    ReportArguments,
    StatusArguments,
    TableArguments,
)

if TYPE_CHECKING:
    from datetime import datetime

    from runner.bulkhead import Bulkhead
    from runner.cli.query import LocalSession
    from runner.local.copy_ledger import Copied
    from runner.local.pace import Pace
    from runner.models import BatchStatus

_MOST_OF_A_TABLE = 10_000
"""How many items of a shared ledger `status` reads (choice)."""


async def status(args: StatusArguments) -> None:
    """Show how many items of a batch are in each state, how fast they end, and when all will have ended."""
    from runner.cli.json_output import status_document
    from runner.cli.query import session
    from runner.cli.tables import print_status
    from runner.clock import system_now

    async with session(args) as s:
        found = await s.bulkhead.status(args.batch)
        now = system_now()
        pace = await _pace(s, found, now)
        s.answer(
            found,
            lambda console, found: print_status(console, found, pace=pace, now=now),
            lambda found: {**status_document(found), **pace.document()},
        )


async def _pace(s: LocalSession, found: BatchStatus, now: datetime) -> Pace:
    """Return the pace of a batch; unknown once its run has ended, and for a large batch in a table."""
    from runner.ledger.location import LedgerTable
    from runner.local.pace import Pace, pace_of

    settings = s.loaded.settings
    is_large = isinstance(settings.ledger, LedgerTable) and sum(found.by_state.values()) > _MOST_OF_A_TABLE
    if is_large or found.batch.finished_at is not None:
        return Pace()
    items = s.bulkhead.items(found.batch.batch_id)
    return await pace_of(found, items, quota=settings.create_quota, now=now)


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


async def report(args: ReportArguments) -> None:
    """Write the report of a batch again, beside its manifest: report.html, failed.txt, and review.txt."""
    from runner.cli.query import session
    from runner.cli.styles import line
    from runner.formatting import near

    async with session(args) as s:
        place = await s.bulkhead.report(args.batch)
        s.answer(place, lambda console, place: line(console, near(place)), lambda place: {"report": place})


async def redrive(args: RedriveArguments) -> None:
    """Queue failed, rejected, or uncertain items again, or fetch results that are gone; `resume` continues."""
    from runner.cli.query import session
    from runner.cli.styles import console
    from runner.cli.tables import print_no_match, print_redriven

    async with session(args) as s:
        states = args.states()
        args.check_results()
        batch_id = await _batch_to_redrive(s.bulkhead, args)
        if args.results:
            count = await s.bulkhead.fetch_results_again(batch_id, match=args.match)
        else:
            args.confirm()
            count = await s.bulkhead.redrive(batch_id, states=states, match=args.match, import_again=args.import_again)
        show = partial(print_redriven, batch_id=batch_id, options=args.repeated(), results=args.results)
        s.answer(
            count,
            show,
            lambda count: {"redriven": count},
        )
    if args.match is not None and not count:
        print_no_match(console(stderr=True), args.match)


async def _batch_to_redrive(bulkhead: Bulkhead, args: RedriveArguments) -> str:
    """Return the batch that is named, or else the newest that has items to redrive, or else the newest."""
    if args.batch is None and not args.results:
        states = args.states()
        for status in reversed(await bulkhead.batches()):
            if any(status.by_state.get(state) for state in states):
                return status.batch.batch_id
    return (await bulkhead.status(args.batch)).batch.batch_id


async def reconcile(args: ReconcileArguments) -> None:
    """Show where the ledger differs from the vendor or lacks a result, and repair it on request.

    Exits with 12 if something differs that is not repaired.
    """
    import typer

    from runner.cli.query import session
    from runner.cli.tables import print_differences
    from runner.local.outcome import ExitCode

    async with session(args) as s:
        about = (f" {args.batch}" if args.batch else "") + args.repeated()
        found = await s.bulkhead.reconcile(args.batch, fix=args.fix)
        s.answer(found, lambda console, found: print_differences(console, found, about=about))
    if any(not one.fixed for one in found):
        raise typer.Exit(ExitCode.DIFFERS)


async def copy(args: CopyArguments) -> None:
    """Copy batches from one ledger to another: items, histories, and which import belongs to which item."""
    from runner.cli.json_output import write_document
    from runner.cli.query import print_notice
    from runner.cli.styles import console, line
    from runner.formatting import counted
    from runner.local.copy_ledger import copy_ledger
    from runner.local.resources import Resources

    copied: list[Copied] = []

    def report(one: Copied) -> None:
        copied.append(one)
        if not args.json:
            line(console(), f"batch {one.batch_id}: {counted(one.items, 'item')}, {one.new:,} newly copied")

    old_settings, new_settings = (args.load(ledger=place).settings for place in (args.source, args.target))
    async with (
        Resources(old_settings, on_event=print_notice) as old,
        Resources(new_settings, on_event=print_notice) as new,
    ):
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

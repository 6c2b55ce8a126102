"""The commands that repair: `redrive` and `reconcile`."""

from __future__ import annotations

from runner.cli.arguments import ReconcileArguments, RedriveArguments


async def redrive(args: RedriveArguments) -> None:
    """Queue failed, rejected, or uncertain items again; `resume` then sends them."""
    from runner.cli.query import session
    from runner.cli.styles import console
    from runner.cli.tables import print_no_match, print_redriven

    async with session(args) as s:
        count = await s.bulkhead.redrive(args.batch, states=args.states(), match=args.match)
        s.answer(
            count,
            lambda console, count: print_redriven(console, count, resume=f"{args.batch or ''}{args.repeated()}"),
            lambda count: {"redriven": count},
        )
    if args.match is not None and not count:
        print_no_match(console(stderr=True), args.match)


async def reconcile(args: ReconcileArguments) -> None:
    """Show where the ledger and the vendor differ about a batch, and repair it on request."""
    from runner.cli.query import session
    from runner.cli.tables import print_differences

    async with session(args) as s:
        s.answer(await s.bulkhead.reconcile(args.batch, fix=args.fix), print_differences)

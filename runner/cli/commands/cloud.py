"""The commands about a deployment on AWS: `bulkhead cloud ...` and `bulkhead webhook-url`."""

from __future__ import annotations

import typer

from runner.cli.arguments import (
    CloudDismissArguments,
    CloudDoctorArguments,
    CloudManifestArguments,
    CloudRedriveArguments,
    CloudReviewsArguments,
    CloudStartArguments,
    CloudStatusArguments,
    CloudWorkArguments,
    WebhookArguments,
)


async def start(args: CloudStartArguments) -> None:
    """Import everything under a prefix of the stack's inbox, as one batch."""
    from runner.cli.cloud_tables import print_started
    from runner.cli.query import stack_session

    async with stack_session(args) as s:
        s.answer(
            await s.operations.start(args.source, name=args.name),
            lambda console, batch_id: print_started(console, batch_id, options=args.repeated()),
            lambda batch_id: {"batch_id": batch_id},
        )


async def status(args: CloudStatusArguments) -> None:
    """Show the state of one batch, or of the newest batches and all that are running."""
    from runner.cli.cloud_tables import print_cloud_batches, print_cloud_status
    from runner.cli.json_output import stack_status_document
    from runner.cli.query import stack_session
    from runner.cli.triage import needing_a_person

    options = args.repeated()
    async with stack_session(args) as s:
        sender = await s.operations.sender()
        if args.batch is not None:
            one = await s.operations.status(args.batch)
            triage = await needing_a_person(s.operations.failures(one))
            s.answer(
                one,
                lambda console, one: print_cloud_status(console, one, triage, sender=sender, options=options),
                lambda one: stack_status_document(one, sender),
            )
            return
        prefix = s.operations.nightly_prefix_url
        s.answer(
            await s.operations.statuses(recent=args.recent),
            lambda console, found: print_cloud_batches(
                console, found, sender=sender, nightly_prefix_url=prefix, options=options
            ),
            lambda found: [stack_status_document(status, sender) for status in found],
        )


async def manifest(args: CloudManifestArguments) -> None:
    """Write the current manifest of a batch to stdout or a file, and say where the stack's own manifest is."""
    from runner.cli.cloud_tables import print_manifest_place
    from runner.cli.json_output import write_pieces
    from runner.cli.query import stack_session
    from runner.cli.styles import console

    async with stack_session(args) as s:
        status = await s.operations.status(args.batch)
        await write_pieces(s.operations.manifest(args.batch, form=args.form), args.to)
    print_manifest_place(console(stderr=True), status, to=args.to)


async def redrive(args: CloudRedriveArguments) -> None:
    """Queue items of a batch again, fetch results that are gone, or return the dead letters of all batches."""
    from runner.cli.cloud_tables import print_put_back
    from runner.cli.query import stack_session
    from runner.cli.styles import console
    from runner.cli.tables import print_no_match

    if args.batch is not None and args.dead_letters:
        raise typer.BadParameter("BATCH and --dead-letters exclude each other: dead letters are those of all batches")
    if args.results and args.dead_letters:
        raise typer.BadParameter("--results and --dead-letters exclude each other")
    states = args.states()
    args.check_results()
    async with stack_session(args) as s:
        batch_id = args.batch
        if args.dead_letters:
            redriven = await s.operations.return_dead_letters()
        else:
            batch_id = batch_id or await s.operations.batch_to_redrive(() if args.results else states)
            if args.results:
                redriven = await s.operations.fetch_results_again(batch_id, match=args.match)
            else:
                args.confirm()
                redriven = await s.operations.redrive(
                    batch_id, states=states, match=args.match, import_again=args.import_again
                )
        s.answer(
            redriven,
            lambda console, found: print_put_back(
                console, found, batch_id=batch_id, results=args.results, options=args.repeated()
            ),
            lambda found: {"redriven": found.items, "items": found.items, "dead_letters": found.dead_letters},
        )
    if not args.dead_letters and args.match is not None and not redriven.items:
        print_no_match(console(stderr=True), args.match)


async def reviews(args: CloudReviewsArguments) -> None:
    """List the open reviews, oldest first: file, reason, and the page where a person finishes each."""
    from runner.cli.commands.reviews import open_in_browser
    from runner.cli.json_output import review_document
    from runner.cli.query import stack_session
    from runner.cli.review_tables import print_open_reviews
    from runner.clock import system_now
    from runner.models import iso

    async with stack_session(args) as s:
        now = system_now()
        found = await s.operations.reviews(args.batch)
        s.answer(
            found,
            lambda console, found: print_open_reviews(
                console, found, now=now, limit=args.limit, options=args.repeated(), group="cloud "
            ),
            lambda found: [review_document(review, now) | {"since": iso(review.opened_at)} for review in found],
        )
    if args.open:
        open_in_browser(found)


async def dismiss(args: CloudDismissArguments) -> None:
    """End open reviews, failures, and uncertain items that nobody will look into; later loads skip these files."""
    from runner.cli.json_output import dismissed_document
    from runner.cli.query import stack_session
    from runner.cli.review_tables import print_dismissed
    from runner.cli.styles import console
    from runner.cli.summary import print_commands
    from runner.cli.tables import print_no_match

    async with stack_session(args) as s:
        batch, items = await s.operations.dismiss(args.batch, match=args.match, reason=args.reason)
        s.answer(
            items,
            lambda console, items: print_dismissed(console, batch.batch_id, items),
            lambda items: dismissed_document(batch.batch_id, items),
        )
    if items and not args.json:
        status = f"bulkhead cloud status {batch.batch_id}{args.repeated()}"
        print_commands(console(), [(status, "shows when the manifest is up to date, within a minute")])
    if args.match is not None and not items:
        print_no_match(console(stderr=True), args.match)


def work(args: CloudWorkArguments) -> None:
    """Send the files of a stack from this machine or container, instead of its function submit, until it is stopped."""
    from runner.cli.work_command import drive_worker

    drive_worker(args)


async def doctor(args: CloudDoctorArguments) -> None:
    """Check the deployment from stack to webhook; exits with 7 if a check fails."""
    from runner.cli.query import stack_session
    from runner.cli.tables import print_findings
    from runner.local.outcome import ExitCode

    async with stack_session(args) as s:
        findings = await s.operations.doctor()
        s.answer(findings, print_findings)
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(ExitCode.FATAL)


async def webhook_url(args: WebhookArguments) -> None:
    """Show the secret URL that the vendor calls when an import ends, or replace it."""
    from runner.cli.cloud_tables import print_webhook_url
    from runner.cli.query import stack_session

    if args.make_next and args.rotate:
        raise typer.BadParameter("use only one of --next and --rotate")
    which = "next" if args.make_next else "rotated" if args.rotate else "current"
    async with stack_session(args) as s:
        urls = s.operations.webhook_urls()
        if args.make_next:
            url = await urls.prepare_next()
        else:
            url = await (urls.rotate() if args.rotate else urls.current())
        s.answer(
            url,
            lambda console, url: print_webhook_url(console, url, which=which, options=args.repeated()),
            lambda url: {"url": url, "which": which},
        )

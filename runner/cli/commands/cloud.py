"""The commands about a deployment on AWS: `bulkhead cloud ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli import options
from runner.cli.arguments import Arguments

if TYPE_CHECKING:
    from runner.cli.triage import Triage
    from runner.cloud.ops.client import Operations
    from runner.cloud.ops.redrive import Redriven
    from runner.cloud.ops.status import Review, Standing

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id.")]
MaybeBatch = Annotated[
    str | None, typer.Argument(metavar="BATCH", help="The batch's id; all batches are meant where it is absent.")
]
OneBatch = Annotated[
    str | None, typer.Argument(metavar="BATCH", help="The batch's id; leave it out with --dead-letters.")
]


def start(
    source: Annotated[
        str, typer.Argument(metavar="S3-URL", help="Where the files lie, as s3://INBOX/PREFIX/.", show_default=False)
    ],
    *,
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="Begin the batch's id with this name.", rich_help_panel=options.FILES
        ),
    ] = "load",
    stack: options.Stack = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Let the stack import everything under a prefix of its inbox, as one batch."""
    from runner.cli.cloud_tables import print_started
    from runner.cli.query import ask_stack

    given = Arguments.of_stack(stack, region, endpoint_url, config=config, json=json, verbose=verbose)
    ask_stack(
        given,
        lambda operations: operations.start(source, name=name),
        show=lambda console, batch_id: print_started(console, batch_id, options=given.repeated()),
        document=lambda batch_id: {"batch_id": batch_id},
    )


def status(
    batch: MaybeBatch = None,
    *,
    recent: Annotated[
        int,
        typer.Option(
            "--recent",
            metavar="N",
            min=0,
            help="Show the newest N batches beside those that run.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = 20,
    stack: options.Stack = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Say where a batch stands, or the newest ones and all that are running."""
    from runner.cli.cloud_tables import print_standings
    from runner.cli.json_output import standing_document
    from runner.cli.query import ask_stack

    given = Arguments.of_stack(stack, region, endpoint_url, config=config, json=json, verbose=verbose)
    if batch is not None:
        _status_of(batch, given)
        return

    async def newest(operations: Operations) -> tuple[list[Standing], str]:
        return await operations.statuses(recent=recent), operations.nightly_prefix_url

    ask_stack(
        given,
        newest,
        show=lambda console, found: print_standings(
            console, found[0], nightly_prefix_url=found[1], options=given.repeated()
        ),
        document=lambda found: [standing_document(standing) for standing in found[0]],
    )


def _status_of(batch: str, given: Arguments) -> None:
    from runner.cli.cloud_tables import print_standing
    from runner.cli.json_output import standing_document
    from runner.cli.query import ask_stack
    from runner.cli.triage import needing_a_person

    async def standing(operations: Operations) -> tuple[Standing, Triage]:
        found = await operations.status(batch)
        return found, await needing_a_person(operations.troubled(found))

    ask_stack(
        given,
        standing,
        show=lambda console, found: print_standing(console, *found, options=given.repeated()),
        document=lambda found: standing_document(found[0]),
    )


def manifest(
    batch: Batch,
    *,
    form: options.Form = "jsonl",
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Write it to this file.", rich_help_panel=options.OUTPUT),
    ] = None,
    stack: options.Stack = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    verbose: options.Verbose = False,
) -> None:
    """Write the manifest of a batch, as it stands now, to stdout or a file, and say where the stack's own lies."""
    from runner.cli.cloud_tables import print_manifest_place
    from runner.cli.json_output import write_pieces
    from runner.cli.query import ask_stack
    from runner.cli.styles import console

    async def written(operations: Operations) -> Standing:
        standing = await operations.status(batch)
        await write_pieces(operations.manifest(batch, form=form), to)
        return standing

    given = Arguments.of_stack(stack, region, endpoint_url, config=config, verbose=verbose)
    ask_stack(given, written, show=lambda _, standing: print_manifest_place(console(stderr=True), standing, to=to))


def redrive(
    batch: OneBatch = None,
    *,
    state: options.State = None,
    match: options.Match = None,
    dead_letters: Annotated[
        bool,
        typer.Option(
            "--dead-letters",
            help="Put the messages that were given up back to their queues, and the files they are about back to work.",
            rich_help_panel=options.FILES,
        ),
    ] = False,
    stack: options.Stack = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Put failed, rejected or uncertain items of a batch back to work, or what the functions have given up."""
    from runner.cli.cloud_tables import print_put_back
    from runner.cli.query import ask_stack, redrivable

    if (batch is None) is not dead_letters:
        raise typer.BadParameter("name a BATCH, or give --dead-letters for those of all batches")

    async def redriven(operations: Operations) -> Redriven:
        if batch is None:
            return await operations.return_dead_letters()
        return await operations.redrive(batch, states=redrivable(state), match=match)

    given = Arguments.of_stack(stack, region, endpoint_url, config=config, json=json, verbose=verbose)
    ask_stack(
        given,
        redriven,
        show=lambda console, found: print_put_back(console, found, batch_id=batch, options=given.repeated()),
    )


def reviews(
    batch: MaybeBatch = None,
    *,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, help="Show at most N of them.", rich_help_panel=options.OUTPUT),
    ] = 50,
    stack: options.Stack = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List the imports that wait for a person: since when, and the page on which to finish each."""
    from runner.cli.cloud_tables import print_reviews
    from runner.cli.json_output import first, write_array
    from runner.cli.query import ask_stack

    async def shown(operations: Operations) -> list[Review]:
        found = operations.reviews(batch)
        if not json:
            return await first(found, limit + 1)
        await write_array(found)
        return []

    given = Arguments.of_stack(stack, region, endpoint_url, config=config, verbose=verbose)
    ask_stack(given, shown, show=lambda console, found: None if json else print_reviews(console, found, limit=limit))


def doctor(
    *,
    stack: options.Stack = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Examine the deployment from stack to webhook; ends with 7 where something is not well."""
    from runner.cli.cloud_tables import print_findings
    from runner.cli.query import ask_stack
    from runner.local.outcome import ExitCode

    given = Arguments.of_stack(stack, region, endpoint_url, config=config, json=json, verbose=verbose)
    found = ask_stack(given, lambda operations: operations.doctor(), show=print_findings)
    if any(finding.level == "fail" for finding in found):
        raise typer.Exit(ExitCode.FATAL)

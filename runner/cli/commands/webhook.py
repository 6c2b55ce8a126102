"""`bulkhead webhook-url`: what the vendor's dashboard is given to call, and how its secret is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli import options
from runner.cli.arguments import Arguments

if TYPE_CHECKING:
    from rich.console import Console

    from runner.cloud.ops.client import Operations

ROTATION = "Rotation"


def webhook_url(
    *,
    make_next: Annotated[
        bool,
        typer.Option(
            "--next", help="Make a second url that is taken beside the first, and show it.", rich_help_panel=ROTATION
        ),
    ] = False,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate", help="Let the second url replace the first, which is refused then.", rich_help_panel=ROTATION
        ),
    ] = False,
    stack: options.Stack = None,
    region: options.Region = None,
    endpoint_url: options.EndpointUrl = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show the secret url that the vendor calls when an import ends, or replace it."""
    from runner.cli.cloud_tables import print_webhook_url
    from runner.cli.query import ask_stack

    given = Arguments.of_stack(stack, region, endpoint_url, config=config, json=json, verbose=verbose)
    if make_next and rotate:
        raise typer.BadParameter("choose one of --next and --rotate")
    which = "next" if make_next else "rotated" if rotate else "current"

    async def url(operations: Operations) -> str:
        urls = operations.webhook_urls()
        if make_next:
            return await urls.prepare_next()
        return await (urls.rotate() if rotate else urls.current())

    def show(screen: Console, found: str) -> None:
        print_webhook_url(screen, found, which=which, options=given.repeated())

    ask_stack(given, url, show=show, document=lambda found: {"url": found, "which": which})

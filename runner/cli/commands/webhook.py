"""`bulkhead webhook-url`: the URL for the vendor's dashboard, and how to replace its secret."""

from __future__ import annotations

import typer

from runner.cli.arguments import WebhookArguments


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

"""The commands about what waits for a person: `reviews` and `dismiss`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cli.arguments import DismissArguments, ReviewsArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.reviews import OpenReview

OPENED_MOST = 10


async def reviews(args: ReviewsArguments) -> None:
    """List the open reviews of all batches, oldest first: file, reason, and the page where a person finishes each."""
    from runner.cli.json_output import review_document
    from runner.cli.query import session
    from runner.cli.review_tables import print_open_reviews
    from runner.clock import system_now

    async with session(args) as s:
        now = system_now()
        found = await s.bulkhead.reviews(args.batch)
        s.answer(
            found,
            lambda console, found: print_open_reviews(
                console, found, now=now, limit=args.limit, options=args.repeated()
            ),
            lambda found: [review_document(review, now) for review in found],
        )
    if args.open:
        open_in_browser(found)


def open_in_browser(found: Sequence[OpenReview]) -> None:
    """Open the oldest reviews that are still needed."""
    import webbrowser

    needed = [review.review_url for review in found if review.review_url and not review.is_superseded]
    for url in needed[:OPENED_MOST]:
        if url.startswith(("https://", "http://")):
            webbrowser.open(url)


async def dismiss(args: DismissArguments) -> None:
    """End open reviews, failures, and uncertain items that nobody will look into; later runs skip these files."""
    from runner.cli.json_output import dismissed_document
    from runner.cli.query import session
    from runner.cli.review_tables import print_dismissed
    from runner.cli.styles import console
    from runner.cli.tables import print_no_match

    async with session(args) as s:
        batch, items = await s.bulkhead.dismiss(args.batch, match=args.match, reason=args.reason)
        s.answer(
            items,
            lambda console, items: print_dismissed(console, batch.batch_id, items),
            lambda items: dismissed_document(batch.batch_id, items),
        )
    if args.match is not None and not items:
        print_no_match(console(stderr=True), args.match)

"""What commands show about reviews, and what `track` shows about several batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console

from runner.cli.styles import line, prose
from runner.cli.summary import print_commands
from runner.formatting import counted, lasting, shown
from runner.local.outcome import BatchOutcome, ExitCode
from runner.models import Item, ItemState
from runner.reviews import OpenReview

LISTED_MOST = 20

REVIEWS_MOST = 50
"""Open reviews that are listed unless a person asks for more."""


def print_open_reviews(
    console: Console,
    found: Sequence[OpenReview],
    *,
    now: datetime,
    limit: int = REVIEWS_MOST,
    options: str = "",
    group: str = "",
) -> None:
    """Write the reviews, at most `limit`: file, age, reason, batch, and the page to finish it on.

    The oldest come first, superseded ones last. `group` is the group of the commands, such as "cloud ".
    """
    if not found:
        line(console, "there are no open reviews")
        return
    needed = [review for review in found if not review.is_superseded]
    superseded = [review for review in found if review.is_superseded]
    line(console, counted(len(needed), "open review"), style="bold")
    for review in [*needed, *superseded][:limit]:
        _print_review(console, review, now)
    if len(found) > limit:
        line(console, f"\n  … and {len(found) - limit:,} more: --limit {len(found)}, or --json for all")
    if superseded:
        line(console, f"\n{counted(len(superseded), 'review')} superseded: a newer version of the file was sent since")
    if needed:
        print_commands(console, _commands(group, options))


def _commands(group: str, options: str) -> list[tuple[str, str]]:
    """Return the next commands; the functions of a stack collect results by themselves."""
    dismiss = f'bulkhead {group}dismiss BATCH --match FILE --reason "…"{options}'
    track = [] if group else [(f"bulkhead track{options}", "collects the results of finished reviews")]
    return [*track, (dismiss, "ends a review that nobody needs")]


def _print_review(console: Console, review: OpenReview, now: datetime) -> None:
    mark = "superseded, " if review.is_superseded else ""
    schema = f", schema {shown(review.schema_id)}" if review.schema_id else ""
    line(console, f"\n  {shown(review.source)}")
    line(
        console,
        f"    {mark}open for {lasting(review.age_s(now))}{schema}, batch {shown(review.batch_id)}",
        style="dim",
    )
    if review.why:
        prose(console, shown(" ".join(review.why.split())), lead="    ")
    line(console, f"    {shown(review.review_url or 'the vendor has not sent a review URL yet')}", style="cyan")


def print_dismissed(console: Console, batch_id: str, items: Sequence[Item]) -> None:
    """Write which items of a batch are dismissed now; `items` as they were before."""
    line(console, f"{counted(len(items), 'item')} dismissed in batch {shown(batch_id)}")
    for item in items[:LISTED_MOST]:
        line(console, f"  {shown(item.source)}  was {_was(item)}", style="dim")
    if len(items) > LISTED_MOST:
        line(console, f"  … and {len(items) - LISTED_MOST:,} more")


def _was(item: Item) -> str:
    return "under review" if item.state is ItemState.NEEDS_REVIEW else str(item.state)


def print_tracked(console: Console, outcomes: Sequence[BatchOutcome], collected: int, *, options: str) -> None:
    """Write what tracking has found; one line if nothing is new."""
    open_count = sum(outcome.by_state.get(ItemState.NEEDS_REVIEW, 0) for outcome in outcomes)
    reviews = f"{counted(open_count, 'review')} open" if open_count else "no review is open"
    found = f"collected {counted(collected, 'result')}" if collected else "nothing new"
    line(console, f"tracked {_batches(outcomes)}: {found}; {reviews}")
    unfinished = [one for one in outcomes if one.exit_code not in (ExitCode.OK, ExitCode.NEEDS_REVIEW)]
    for outcome in unfinished[:LISTED_MOST]:
        prose(console, shown(outcome.reason), lead=f"  {shown(outcome.batch.batch_id)}: ")
    if len(unfinished) > LISTED_MOST:
        line(console, f"  … and {len(unfinished) - LISTED_MOST:,} more: bulkhead batches")
    if open_count:
        print_commands(console, [(f"bulkhead reviews{options}", "lists the open reviews and their pages")])


def _batches(outcomes: Sequence[BatchOutcome]) -> str:
    if len(outcomes) == 1:
        return f"batch {shown(outcomes[0].batch.batch_id)}"
    return f"{len(outcomes):,} batches"

"""What the commands about a deployment on AWS show on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from runner.cli.styles import STYLES, line, present
from runner.cli.summary import print_clusters
from runner.cli.tables import columns
from runner.clock import system_now
from runner.formatting import counted, lasting, shown
from runner.models import OPEN_STATES, ItemState, iso

if TYPE_CHECKING:
    from runner.cli.triage import Triage
    from runner.cloud.ops.redrive import Redriven
    from runner.cloud.ops.status import CloudBatchStatus, Review
    from runner.findings import Finding

Command = tuple[str, str]
"""A command to copy, and what it does."""

_HEAD = ("STATE", "ITEMS", "DONE", "OPEN", "REVIEW", "FAILED", "BATCH")
_DONE = (ItemState.COLLECTED, ItemState.SKIPPED)
_NOT_IMPORTED = (ItemState.FAILED, ItemState.REJECTED, ItemState.UNCERTAIN)

_EVENTS = "import_completed, headless_import_needs_review, headless_import_failed"
_WEBHOOK_STEPS = {
    "current": (
        "In the vendor's dashboard, make a webhook with this url for the events",
        f"{_EVENTS}.",
        "Whoever has the url can ring: treat it as a secret.",
    ),
    "next": (
        "It is taken beside the one in use, within five minutes from now. Then:",
        "1. give it to the vendor's dashboard in place of the old one",
        "2. bulkhead webhook-url --rotate{options}",
    ),
    "rotated": ("It is the only one now: within five minutes the old one is refused.",),
}


def print_started(console: Console, batch_id: str, *, options: str) -> None:
    """Write the id of a load that was started, and how to watch it."""
    line(console, f"Batch {batch_id} is starting: its files are listed first", style="bold")
    _next(console, [(f"bulkhead cloud status {batch_id}{options}", "where it stands; it appears within seconds")])


def print_standings(
    console: Console, found: Sequence[CloudBatchStatus], *, nightly_prefix_url: str, options: str
) -> None:
    """Write one line a batch, oldest first."""
    if not found:
        line(console, "no batch yet")
        _next(console, [(f"bulkhead cloud start {nightly_prefix_url}{options}", "imports what lies there")])
        return
    rows = [_HEAD, *(_cells(standing) for standing in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    for state, *numbers, batch_id in rows:
        aligned = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=False)]
        line(console, "  ".join([state.ljust(widths[0]), *aligned, batch_id]))
    if any(standing.by_state.get(ItemState.NEEDS_REVIEW) for standing in found):
        _next(console, [(f"bulkhead cloud reviews{options}", "who waits for a person, and where")])


def _cells(standing: CloudBatchStatus) -> tuple[str, ...]:
    batch, by_state = standing.batch, standing.by_state
    numbers = (
        sum(by_state.values()),
        _sum(by_state, _DONE),
        _sum(by_state, OPEN_STATES),
        by_state.get(ItemState.NEEDS_REVIEW, 0),
        _sum(by_state, _NOT_IMPORTED),
    )
    return str(batch.state), *(f"{number:,}" for number in numbers), shown(batch.batch_id)


def _sum(by_state: Mapping[ItemState, int], states: Iterable[ItemState]) -> int:
    return sum(by_state.get(state, 0) for state in states)


def print_standing(console: Console, standing: CloudBatchStatus, attention: Triage, *, options: str) -> None:
    """Write where one batch stands, why items were not imported, and the commands that follow from it."""
    batch = standing.batch
    line(console, f"Batch {shown(batch.batch_id)} is {batch.state}", style="bold")
    columns(
        console,
        [
            ("source", shown(batch.source_uri) + ("" if batch.listed else " (more may come)")),
            ("started", f"{iso(batch.started_at)}, {_ago(batch.started_at)} ago"),
            ("driven by", "the stack" if standing.driver == "stack" else "a runner, not the stack"),
            ("results", shown(batch.out)),
            ("manifest", _manifest(standing)),
        ],
    )
    line(console)
    for state, count in present(standing.by_state):
        line(console, f"  {state:<13}{count:>9,}", style=STYLES.get(state, ""))
    if not standing.by_state:
        line(console, "  nothing was found yet")
    print_clusters(console, "Failed", attention.failed)
    print_clusters(console, "Rejected", attention.rejected)
    print_clusters(console, "Arguments up by the functions", attention.given_up)
    _next(console, _commands(standing, attention, options))


def _commands(standing: CloudBatchStatus, attention: Triage, options: str) -> list[Command]:
    batch_id, by_state = standing.batch.batch_id, standing.by_state
    commands = []
    if by_state.get(ItemState.NEEDS_REVIEW):
        commands.append((f"bulkhead cloud reviews {batch_id}{options}", "who waits for a person, and where"))
    if standing.driver == "runner":
        return commands
    commands += [
        (f"bulkhead cloud redrive {batch_id} --state {state}{options}", f"puts the {state} ones back to work")
        for state in _NOT_IMPORTED
        if by_state.get(state)
    ]
    if _sum(by_state, _NOT_IMPORTED) and not (attention.failed or attention.rejected or attention.uncertain_count):
        commands.append((f"bulkhead cloud manifest {batch_id} --to manifest.jsonl{options}", "has the reason of each"))
    if attention.given_up:
        commands.append((f"bulkhead cloud redrive {batch_id}{options}", "puts those that were given up back to work"))
    if _sum(by_state, OPEN_STATES):
        commands.append((f"bulkhead cloud doctor{options}", "if these numbers do not change"))
    return commands


def _manifest(standing: CloudBatchStatus) -> str:
    if standing.driver == "runner":
        return "the runner writes it beside the results"
    if standing.manifest is None:
        return "written once the batch comes to rest"
    current = "of now" if standing.manifest_is_current else "older than the latest changes"
    return f"{shown(standing.manifest)} ({current})"


def print_manifest_place(console: Console, standing: CloudBatchStatus, *, to: Path | None) -> None:
    """Write where the manifest was written to, and where the stack's own lies."""
    if to is not None:
        line(console, f"written to {shown(str(to))}")
    line(console, f"the stack's own: {_manifest(standing)}", style="dim")


def print_put_back(console: Console, redriven: Redriven, *, batch_id: str | None, options: str) -> None:
    """Write what is back to work; `batch_id` is the one batch that it was about."""
    for queue, count in redriven.dead_letters.items():
        if count:
            line(console, f"{counted(count, 'dead letter')} back in the queue {queue}")
    if redriven.dead_letters and not any(redriven.dead_letters.values()):
        line(console, "there are no dead letters")
    if redriven.items or not redriven.dead_letters:
        line(console, f"{counted(redriven.items, 'item')} back to work")
    if redriven.items or any(redriven.dead_letters.values()):
        _next(console, [(f"bulkhead cloud status{f' {batch_id}' if batch_id else ''}{options}", "how they get on")])


def print_reviews(console: Console, found: Sequence[Review], *, limit: int) -> None:
    """Write the reviews by batch, the page to finish each on a line of its own."""
    if not found:
        line(console, "nobody waits for a person")
    for batch_id, reviews in groupby(found[:limit], key=lambda review: review.batch_id):
        line(console, f"Batch {shown(batch_id)}", style="bold")
        for review in reviews:
            waits = f"  waits {_ago(review.since)}" if review.since else ""
            line(console, f"  {shown(review.source)}{waits}")
            line(console, f"    {shown(review.review_url or 'the vendor gave no page')}", style="cyan")
    if len(found) > limit:
        line(console, f"… and more: --limit {limit * 10}, or --json for all")


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """Write one line a check, and under those that are not well what to do."""
    levels = []
    for finding in findings:
        levels.append(finding.level)
        mark, style = _MARKS[finding.level]
        text = Text(f"  {mark:<6}", style=style)
        text.append(f"{finding.name:<15} {shown(finding.detail)}", style="not bold default")
        line(console, text)
        if finding.hint and finding.level != "ok":
            line(console, f"        next: {shown(finding.hint)}", style="dim")
    line(console)
    line(console, _verdict(levels))


_MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}


def _verdict(levels: Sequence[str]) -> str:
    wrong, doubtful = levels.count("fail"), levels.count("warn")
    if wrong:
        return f"{counted(wrong, 'thing')} not well" + (f", {doubtful} to look at" if doubtful else "")
    return f"nothing is wrong, {counted(doubtful, 'thing')} to look at" if doubtful else "all is well"


def print_webhook_url(console: Console, url: str, *, which: str, options: str) -> None:
    """Write the url on a line of its own, and what to do with it."""
    line(console, shown(url), style="bold")
    line(console)
    for sentence in _WEBHOOK_STEPS[which]:
        line(console, sentence.format(options=options))


def _ago(instant: datetime) -> str:
    return lasting((system_now() - instant).total_seconds())


def _next(console: Console, commands: Sequence[Command]) -> None:
    if not commands:
        return
    line(console)
    line(console, "Next", style="bold")
    for command, effect in commands:
        line(console, f"  {command}", style="cyan")
        line(console, f"    {effect}", style="dim")

"""The summary at the end of a run: the outcome of its items, what needs a person, and the next commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from runner.cli.row_lines import print_left_out, print_rows
from runner.cli.styles import MEANINGS, STYLES, line, present, prose
from runner.cli.triage import LISTED_MOST, FailureGroup, Triage
from runner.formatting import counted, lasting, near, shown
from runner.local.outcome import BatchOutcome, ExitCode
from runner.manifest import REPORT_HTML
from runner.models import OPEN_STATES, BatchState, ItemState
from runner.stages.earlier import HeldBack

MANIFEST = "manifest.csv"
_ENDED = (BatchState.COMPLETE, BatchState.SETTLED)
_EXPLAINED = (ExitCode.NOTHING_TO_DO, ExitCode.TRY_AGAIN)
"""Exit codes that the items of a batch that has ended do not explain."""

_EARLIER_BATCHES_SHOWN = 3
EARLIER_LISTED_MOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What is shown at the end of a run.

    `options` are repeated in the commands to copy, such as ` --ledger PATH`. `sandbox` is set if the run used the
    embedded sandbox: the command that starts a sandbox that keeps running, and the one that repeats the run against it.
    `again` is the command that runs the source again.
    """

    outcome: BatchOutcome
    triage: Triage
    elapsed_s: float
    options: str = ""
    sandbox: tuple[str, str] | None = None
    again: str = "bulkhead run SOURCE"


def print_summary(console: Console, summary: RunSummary) -> None:
    """Write everything, most important first."""
    outcome = summary.outcome
    line(console, "")
    _headline(console, summary)
    print_rows(console, outcome.rows.totals)
    _states(console, outcome.by_state, outcome.out)
    _reviews(console, summary.triage, are_gone=summary.sandbox is not None)
    _earlier_reviews(console, outcome)
    print_failures(console, "Failed", summary.triage.failed)
    print_failures(console, "Rejected", summary.triage.rejected)
    print_left_out(console, outcome.rows.groups)
    _uncertain(console, summary.triage)
    if summary.triage.dismissed_count:
        _heading(console, f"Dismissed: {counted(summary.triage.dismissed_count, 'item')}, with reasons in {MANIFEST}")
    _deferred(console, outcome)
    line(console, "")
    line(console, f"Report: {_place(outcome.out, REPORT_HTML)}")
    line(console, f"Manifest: {_place(outcome.out, MANIFEST)} (also manifest.jsonl and summary.json)")
    _next_steps(console, summary)


def next_commands(summary: RunSummary) -> list[tuple[str, str]]:
    """Return (command, effect) for each next step, of which each can help.

    An unfinished batch is resumed before anything else, unless it waits for a schema that does not exist.
    """
    outcome, options = summary.outcome, summary.options
    batch_id = outcome.batch.batch_id
    by_state = outcome.by_state
    if outcome.missing_schemas:
        return [(summary.again, "with another schema: correct --schema-id, or schema_id in bulkhead.toml, first")]
    if any(by_state.get(state) for state in OPEN_STATES):
        return [(f"bulkhead resume {batch_id}{options}", "continues this batch")]
    commands = []
    if by_state.get(ItemState.NEEDS_REVIEW):
        commands.append((f"bulkhead track {batch_id}{options}", "collects the results of finished reviews"))
    commands += _commands_for_failures(summary)
    if outcome.earlier_reviews.count:
        commands.append((f"bulkhead track{options}", "collects the results of finished reviews of all batches"))
    return commands + _commands_for_unresolved(outcome.held_back, options)


def _commands_for_failures(summary: RunSummary) -> list[tuple[str, str]]:
    """Return (command, effect) for failed, rejected, and uncertain items; a redrive helps only those in doubt."""
    outcome, triage = summary.outcome, summary.triage
    by_state = outcome.by_state
    failed = by_state.get(ItemState.FAILED, 0) - outcome.dismissed_count
    refused = failed - triage.held_count
    commands = []
    if refused > 0 or by_state.get(ItemState.REJECTED):
        commands.append((summary.again, "after you fix the files: sends those that changed"))
    if refused > 0:
        effect = "after you correct the schema in the dashboard: also sends unchanged files that failed"
        commands.append((f"{summary.again} --retry-failed", effect))
    for state, count in ((ItemState.FAILED, triage.held_count), (ItemState.UNCERTAIN, triage.uncertain_count)):
        if count:
            command = f"bulkhead redrive {outcome.batch.batch_id} --state {state}{summary.options}"
            commands.append((command, f"asks the vendor about the {state} items; `bulkhead resume` then continues"))
    return commands


def _commands_for_unresolved(held_back: HeldBack, options: str) -> list[tuple[str, str]]:
    """Return (command, effect) for the earlier batches because of which items were skipped."""
    return [
        (f"bulkhead reconcile {batch_id}{options}", "compares an earlier batch with the vendor; then redrive its items")
        for batch_id in sorted(held_back.unresolved_in)[:_EARLIER_BATCHES_SHOWN]
    ]


def _headline(console: Console, summary: RunSummary) -> None:
    outcome = summary.outcome
    is_ended = outcome.state in _ENDED
    text = Text(f"Batch {outcome.batch.batch_id}", style="bold")
    style = "green" if outcome.exit_code is ExitCode.OK else "yellow"
    text.append(f" {'finished' if is_ended else outcome.state}", style=style)
    text.append(f" after {lasting(summary.elapsed_s)}", style="not bold")
    line(console, text)
    line(console, _counts(outcome.by_state))
    is_held_back = bool(outcome.held_back.unresolved or outcome.earlier_reviews.count)
    if outcome.reason and (not is_ended or outcome.exit_code in _EXPLAINED or is_held_back):
        line(console, f"{shown(outcome.reason)}")


def _counts(by_state: Mapping[ItemState, int]) -> str:
    """Return how many items there are, and how many in each state, in one phrase."""
    counts = ", ".join(f"{count:,} {_phrase(state, count)}" for state, count in present(by_state))
    return f"{counted(sum(by_state.values()), 'item')}: {counts}" if counts else "no items"


def _phrase(state: ItemState, count: int) -> str:
    if state is ItemState.NEEDS_REVIEW:
        return "waits for review" if count == 1 else "wait for review"
    return str(state)


def _states(console: Console, by_state: Mapping[ItemState, int], out: str) -> None:
    if by_state:
        line(console, "")
    for state, count in present(by_state):
        text = Text(f"  {state:<13}", style=STYLES.get(state, ""))
        text.append(f"{count:>9,}", style="bold")
        text.append(f"   {MEANINGS[state].format(out=near(out))}", style="dim not bold")
        line(console, text)


def _reviews(console: Console, triage: Triage, *, are_gone: bool) -> None:
    if not triage.review_count:
        return
    where = ": no longer available, because the sandbox has stopped" if are_gone else " to finish in the browser"
    _heading(console, f"{counted(triage.review_count, 'review')}{where}")
    for source, url in triage.reviews:
        line(console, f"  {shown(source)}")
        line(console, f"    {shown(url) if url else 'the vendor has not sent a review URL yet'}")
    _more(console, triage.review_count, len(triage.reviews))


def _earlier_reviews(console: Console, outcome: BatchOutcome) -> None:
    earlier = outcome.earlier_reviews
    if not earlier.count:
        return
    now = outcome.batch.finished_at or outcome.batch.started_at
    _heading(console, f"{counted(earlier.count, 'open review')} of earlier batches")
    for review in earlier.first[:EARLIER_LISTED_MOST]:
        age = lasting(review.age_s(now))
        line(console, f"  {shown(review.source)}  open for {age}, batch {shown(review.batch_id)}")
        line(console, f"    {shown(review.review_url) if review.review_url else 'without a review URL so far'}")
    more = earlier.count - len(earlier.first[:EARLIER_LISTED_MOST])
    if more > 0:
        line(console, f"  … and {more:,} more: bulkhead reviews")


def print_failures(console: Console, title: str, groups: Mapping[tuple[str, str], FailureGroup]) -> None:
    """Write how many items failed, grouped by reason; nothing if there are none."""
    if not groups:
        return
    ordered = sorted(groups.values(), key=lambda group: (-group.count, group.message))
    items = counted(sum(group.count for group in ordered), "item")
    _heading(console, f"{title}: {items}" + (f", {len(ordered)} reasons" if len(ordered) > 1 else ""))
    for group in ordered[:LISTED_MOST]:
        message = " ".join(shown(part) for part in group.message.splitlines())
        prose(console, message, lead=f"  {group.count:>6,}x ")
        sample = f"{'such as ' if group.count > 1 else ''}{shown(group.sample)}"
        line(console, f"          {sample}" + (f"  [{group.code}]" if group.code else ""), style="dim")
    _more(console, len(ordered), len(ordered[:LISTED_MOST]))


def _uncertain(console: Console, triage: Triage) -> None:
    if not triage.uncertain_count:
        return
    items = counted(triage.uncertain_count, "item")
    _heading(console, f"Uncertain: {items} might have been imported; check the vendor's dashboard first")
    for source, message in triage.uncertain:
        line(console, f"  {shown(source)}")
        prose(console, shown(message), lead="    ", style="dim")
    _more(console, triage.uncertain_count, len(triage.uncertain))


def _deferred(console: Console, outcome: BatchOutcome) -> None:
    """Write which items a later run continues with, unless the headline says it all."""
    deferred = outcome.deferred
    if not deferred.count or (deferred.count == 1 and deferred.first and deferred.first[0].reason in outcome.reason):
        return
    _heading(console, f"Left to a later run: {counted(deferred.count, 'item')}")
    for one in deferred.first[:LISTED_MOST]:
        line(console, f"  {shown(one.source)}")
        prose(console, shown(one.reason), lead="    ", style="dim")
    more = deferred.count - len(deferred.first[:LISTED_MOST])
    if more:
        line(console, f"  … and {more:,} more: see summary.json")


def _next_steps(console: Console, summary: RunSummary) -> None:
    if summary.sandbox is None:
        print_commands(console, next_commands(summary))
        return
    start, run = summary.sandbox
    _heading(console, "This run used the embedded sandbox: nothing was sent to the vendor")
    if summary.outcome.missing_schemas:
        line(console, "  The sandbox does not have the schemas of your account. Run again with either:")
        line(console, "  --sandbox-schemas DIR   a directory of saved schemas, one JSON file for each", style="cyan")
        line(console, "  --fields FILE           a schema in a file, instead of --schema-id", style="cyan")
        return
    line(console, "  To review, track, redrive, or resume, start a sandbox in another terminal:")
    line(console, f"  {start}", style="cyan")
    line(console, "  Then run the batch against it:")
    line(console, f"  {run}", style="cyan")


def print_commands(console: Console, commands: Iterable[tuple[str, str]]) -> None:
    """Write (command, effect) for each next step; nothing if there are none."""
    for number, (command, effect) in enumerate(commands):
        if number == 0:
            _heading(console, "Next")
        line(console, f"  {command}", style="cyan")
        line(console, f"    {effect}", style="dim")


def _more(console: Console, count: int, listed: int) -> None:
    if count > listed:
        line(console, f"  … and {count - listed:,} more: see {MANIFEST}")


def _heading(console: Console, text: str) -> None:
    line(console, "")
    line(console, text, style="bold")


def _place(out: str, name: str) -> str:
    return near(f"{out.rstrip('/')}/{name}")

"""The summary at the end of a run: the outcome of its items, what needs a person, and the next commands."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from runner.cli.row_lines import print_left_out, print_rows
from runner.cli.styles import MEANINGS, NO_FILES, STYLES, line, present, prose
from runner.cli.triage import LISTED_MOST, FailureGroup, Triage
from runner.formatting import counted, lasting, near, shown
from runner.local.outcome import BatchOutcome, ExitCode, items_phrase
from runner.manifest import REPORT_HTML
from runner.models import OPEN_STATES, BatchState, ItemState
from runner.stages.earlier import HeldBack

MANIFEST = "manifest.csv"
REVIEWS = "bulkhead reviews"
_ENDED = (BatchState.COMPLETE, BatchState.SETTLED)
_EXPLAINED = (ExitCode.NOTHING_TO_DO, ExitCode.TRY_AGAIN)
"""Exit codes that the items of a batch that has ended do not explain."""

_EARLIER_BATCHES_SHOWN = 3
_SCREEN_LINES = 24
"""What a terminal shows at least."""
LISTED_OF_A_KIND = 5
_SMALL_BATCH = 100


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extent:
    """How much the screen shows: entries by kind, none of a kind that is absent; effects of commands; states."""

    listed: Mapping[str, int]
    has_effects: bool = False
    has_states: bool = False


def print_summary(console: Console, summary: RunSummary) -> None:
    """Write the details, and last what must stay visible: headline, counts, report, manifest, and next commands.

    As many details are shown as fit on the screen of a terminal, or on 24 lines, with a line left for the prompt.
    A log has all kinds of details of a small batch.
    """
    _write(console, summary, _extent(console, summary))


def _extent(console: Console, summary: RunSummary) -> _Extent:
    """Return what fits, beginning with the first entry of each kind."""
    kinds = sorted(_DETAILS, key=lambda kind: kind not in _FIRST)
    first, *others = [dict.fromkeys(kinds, most) for most in range(1, LISTED_OF_A_KIND + 1)]
    if not console.is_terminal and summary.outcome.items <= _SMALL_BATCH:
        return _Extent(listed=others[-1], has_effects=True, has_states=True)
    room = max(_SCREEN_LINES, console.height if console.is_terminal else 0) - 1
    steps: list[Callable[[_Extent], _Extent]] = [
        *_one_more(first),
        lambda extent: replace(extent, has_effects=True),
        *(step for listed in others for step in _one_more(listed)),
        lambda extent: replace(extent, has_states=True),
    ]
    extent = _Extent(listed={})
    for step in steps:
        wider = step(extent)
        if _height(console, summary, wider) <= room:
            extent = wider
    return extent


def _one_more(listed: Mapping[str, int]) -> Iterator[Callable[[_Extent], _Extent]]:
    """Yield for each kind the step to the given count of its entries."""
    for kind, most in listed.items():
        yield lambda extent, kind=kind, most=most: replace(extent, listed={**extent.listed, kind: most})  # type: ignore[misc]


def _height(console: Console, summary: RunSummary, extent: _Extent) -> int:
    """Return how many lines of the screen a summary takes."""
    text = io.StringIO()
    trial = Console(
        file=text, width=console.width, force_terminal=console.is_terminal, color_system=None, markup=False, emoji=False
    )
    _write(trial, summary, extent)
    return sum(max(1, -(-cell_len(one) // console.width)) for one in text.getvalue().splitlines())


def _write(console: Console, summary: RunSummary, extent: _Extent) -> None:
    outcome = summary.outcome
    if extent.has_states:
        _states(console, outcome.by_state, outcome.out)
    for kind, write in _DETAILS.items():
        if most := extent.listed.get(kind, 0):
            write(console, summary, most)
    line(console, "")
    _headline(console, summary)
    print_rows(console, outcome.rows.totals)
    line(console, f"Report: {_place(outcome.out, REPORT_HTML)}")
    line(console, f"Manifest: {_place(outcome.out, MANIFEST)} (also manifest.jsonl and summary.json)")
    _next_steps(console, summary, has_effects=extent.has_effects)


def next_commands(summary: RunSummary) -> list[tuple[str, str]]:
    """Return (command, effect) for each next step, of which each can help.

    A batch that has not ended is resumed before anything else, unless it waits for a schema that does not exist.
    """
    outcome, options = summary.outcome, summary.options
    batch_id = outcome.batch.batch_id
    by_state = outcome.by_state
    if outcome.missing_schemas:
        return [(summary.again, "with another schema: correct --schema-id, or schema_id in bulkhead.toml, first")]
    if outcome.state not in _ENDED or any(by_state.get(state) for state in OPEN_STATES):
        return [(f"bulkhead resume {batch_id}{options}", "continues this batch")]
    commands = []
    if outcome.earlier_reviews.count:
        commands.append((f"bulkhead track{options}", "collects the results of finished reviews of all batches"))
    elif by_state.get(ItemState.NEEDS_REVIEW):
        commands.append((f"bulkhead track {batch_id}{options}", "collects the results of finished reviews"))
    commands += _commands_for_failures(summary)
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
    line(console, counts(outcome.by_state))
    if is_ended and not outcome.items:
        line(console, NO_FILES)
    is_held_back = bool(outcome.held_back.unresolved or outcome.earlier_reviews.count)
    if outcome.reason and (not is_ended or outcome.exit_code in _EXPLAINED or is_held_back):
        prose(console, shown(outcome.reason))


def counts(by_state: Mapping[ItemState, int]) -> str:
    """Return how many items there are, and how many in each state, in one phrase."""
    return items_phrase(present(by_state))


def _states(console: Console, by_state: Mapping[ItemState, int], out: str) -> None:
    if by_state:
        line(console, "")
    for state, count in present(by_state):
        text = Text(f"  {state:<13}", style=STYLES.get(state, ""))
        text.append(f"{count:>9,}", style="bold")
        text.append("   ")
        prose(console, MEANINGS[state].format(out=near(out)), lead=text, style="dim not bold")


def _reviews(console: Console, summary: RunSummary, most: int) -> None:
    triage, are_gone = summary.triage, summary.sandbox is not None
    if not triage.review_count:
        return
    where = ": no longer available, because the sandbox has stopped" if are_gone else " to finish in the browser"
    _heading(console, f"{counted(triage.review_count, 'review')}{where}")
    for source, url in triage.reviews[:most]:
        line(console, f"  {shown(source)}")
        line(console, f"    {shown(url) if url else 'the vendor has not sent a review URL yet'}")
    _more(console, triage.review_count, len(triage.reviews[:most]), where=f"see {MANIFEST}" if are_gone else REVIEWS)


def _earlier_reviews(console: Console, summary: RunSummary, most: int) -> None:
    outcome = summary.outcome
    earlier = outcome.earlier_reviews
    if not earlier.count:
        return
    now = outcome.batch.finished_at or outcome.batch.started_at
    _heading(console, f"{counted(earlier.count, 'open review')} of earlier batches")
    for review in earlier.first[:most]:
        age = lasting(review.age_s(now))
        line(console, f"  {shown(review.source)}  open for {age}, batch {shown(review.batch_id)}")
        line(console, f"    {shown(review.review_url) if review.review_url else 'without a review URL so far'}")
    _more(console, earlier.count, len(earlier.first[:most]), where=REVIEWS)


def print_failures(
    console: Console, title: str, groups: Mapping[tuple[str, str], FailureGroup], *, most: int = LISTED_MOST
) -> None:
    """Write how many items failed, grouped by reason, with the `most` common reasons; nothing if there are none."""
    if not groups:
        return
    ordered = sorted(groups.values(), key=lambda group: (-group.count, group.message))
    items = counted(sum(group.count for group in ordered), "item")
    _heading(console, f"{title}: {items}" + (f", {len(ordered)} reasons" if len(ordered) > 1 else ""))
    for group in ordered[:most]:
        message = " ".join(shown(part) for part in group.message.splitlines())
        prose(console, message, lead=f"  {group.count:>6,}x ")
        sample = f"{'such as ' if group.count > 1 else ''}{shown(group.sample)}"
        line(console, f"          {sample}" + (f"  [{group.code}]" if group.code else ""), style="dim")
    _more(console, len(ordered), len(ordered[:most]))


def _uncertain(console: Console, summary: RunSummary, most: int) -> None:
    triage = summary.triage
    if not triage.uncertain_count:
        return
    items = counted(triage.uncertain_count, "item")
    _heading(console, f"Uncertain: {items} might have been imported; check the vendor's dashboard first")
    for source, message in triage.uncertain[:most]:
        line(console, f"  {shown(source)}")
        prose(console, shown(message), lead="    ", style="dim")
    _more(console, triage.uncertain_count, len(triage.uncertain[:most]))


def _dismissed(console: Console, summary: RunSummary, _most: int) -> None:
    if summary.triage.dismissed_count:
        _heading(console, f"Dismissed: {counted(summary.triage.dismissed_count, 'item')}, with reasons in {MANIFEST}")


def _deferred(console: Console, summary: RunSummary, most: int) -> None:
    """Write which items a later run continues with, unless the headline says it all."""
    outcome = summary.outcome
    deferred = outcome.deferred
    if not deferred.count or (deferred.count == 1 and deferred.first and deferred.first[0].reason in outcome.reason):
        return
    _heading(console, f"Left to a later run: {counted(deferred.count, 'item')}")
    for one in deferred.first[:most]:
        line(console, f"  {shown(one.source)}")
        prose(console, shown(one.reason), lead="    ", style="dim")
    _more(console, deferred.count, len(deferred.first[:most]), where="see summary.json")


def _next_steps(console: Console, summary: RunSummary, *, has_effects: bool) -> None:
    if summary.sandbox is None:
        print_commands(console, next_commands(summary), has_effects=has_effects)
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


def print_commands(console: Console, commands: Iterable[tuple[str, str]], *, has_effects: bool = True) -> None:
    """Write (command, effect) for each next step; nothing if there are none."""
    for number, (command, effect) in enumerate(commands):
        if number == 0:
            _heading(console, "Next")
        line(console, f"  {command}", style="cyan")
        if has_effects:
            prose(console, effect, lead="    ", style="dim")


def _more(console: Console, count: int, listed: int, *, where: str = f"see {MANIFEST}") -> None:
    if count > listed:
        line(console, f"  … and {count - listed:,} more: {where}")


def _heading(console: Console, text: str) -> None:
    line(console, "")
    line(console, text, style="bold")


def _place(out: str, name: str) -> str:
    return near(f"{out.rstrip('/')}/{name}")


_DETAILS: dict[str, Callable[[Console, RunSummary, int], None]] = {
    "reviews": _reviews,
    "earlier reviews": _earlier_reviews,
    "failed": lambda console, summary, most: print_failures(console, "Failed", summary.triage.failed, most=most),
    "rejected": lambda console, summary, most: print_failures(console, "Rejected", summary.triage.rejected, most=most),
    "left out": lambda console, summary, most: print_left_out(console, summary.outcome.rows.groups, most=most),
    "uncertain": _uncertain,
    "dismissed": _dismissed,
    "deferred": _deferred,
}
"""What writes at most so many entries of each kind, in the order of the screen."""

_FIRST = ("failed", "rejected")
"""Kinds that get room first: next commands list the others."""

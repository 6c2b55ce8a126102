"""What commands show on a terminal: plans, explanations, batches, differences, checks, settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from runner.aws.s3 import S3Place, is_s3
from runner.cli.row_lines import print_rows
from runner.cli.styles import NO_FILES, STYLES, line, present, prose
from runner.cli.triage import LISTED_MOST
from runner.config.route_remarks import sentences
from runner.findings import Finding, Level
from runner.formatting import aged, at_clock, counted, lasting, near, shown, sized
from runner.local.pace import Pace
from runner.models import OPEN_STATES, ItemState, iso
from runner.sources.spec import local_path

if TYPE_CHECKING:
    from datetime import datetime

    from runner.local.plan import Explanation, PackingPlan, Plan
    from runner.local.reconcile import Difference
    from runner.models import BatchStatus
    from runner.reviews import OpenReview

REVIEWS_LISTED_MOST = 5
_MARKS = {Level.OK: ("ok", "green"), Level.WARN: ("warn", "yellow"), Level.FAIL: ("FAIL", "bold red")}


def columns(console: Console, rows: Iterable[Sequence[str]], *, indent: str = "  ") -> None:
    """Write rows in columns as wide as their content; the last column is not padded."""
    rows = list(rows)
    if not rows:
        return
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        line(console, indent + "  ".join([*cells, row[-1]]).rstrip())


def print_plan(console: Console, plan: Plan) -> None:
    """Write what `run` would do."""
    line(console, f"{counted(plan.items, 'item')}, {counted(plan.creates, 'import')} to create, {sized(plan.bytes)}")
    if not plan.items:
        line(console, NO_FILES)
    if plan.creates:
        wait = f"the last import after {lasting(plan.finish_in_s)}"
        line(console, f"the quota allows {wait if plan.finish_in_s else 'all imports immediately'}")
    if plan.packed_before:
        unsent = f"{counted(plan.packs_before, 'pack')} {'is' if plan.packs_before == 1 else 'are'} still to be sent"
        sent = unsent if plan.packs_before else "all packs are sent"
        line(console, f"{counted(plan.packed_before, 'file')} in packs of an earlier run; {sent}")
    if plan.packing and plan.by_route:
        _packing(console, plan, plan.packing)
    if plan.by_route:
        line(console, "\nBy route", style="bold")
        columns(console, [(shown(name), f"{count:,}") for name, count in plan.by_route.items()])
    _not_sent(console, plan)
    if plan.linked_directories:
        line(console, f"\n{shown(plan.linked_directories)}")
    _rejections(console, plan)
    for sentence in sentences(plan.schema_remarks):
        line(console, f"notice: {shown(sentence)}", style="yellow")


def _not_sent(console: Console, plan: Plan) -> None:
    """Write which files a run leaves out, apart from rejected ones."""
    if plan.skipped:
        line(console, f"\n{counted(plan.skipped, 'item')} skipped: unchanged since an earlier import")
    if plan.failed_before:
        why = "unchanged since the import failed; if you corrected the schema in the dashboard, use --retry-failed"
        line(console, f"\n{counted(plan.failed_before, 'item')} not sent: {why}")
    if plan.earlier_reviews:
        _earlier_reviews(console, plan.earlier_reviews)
    if plan.too_young:
        line(console, f"\n{counted(plan.too_young, 'file')} changed too recently: left for a later run")


def _packing(console: Console, plan: Plan, packing: PackingPlan) -> None:
    """Write how files travel together, and why others do not, the most common reason first."""
    singly = sum(plan.by_route.values())
    alone = singly - packing.files - plan.packed_before
    packs = f"{counted(packing.files, 'file')} in {counted(packing.packs, 'pack')}, {alone:,} alone"
    time = f", which would take {lasting(packing.alone_finish_in_s)}" if packing.alone_finish_in_s else ""
    saved = f" instead of {singly:,}{time}" if packing.packs else ""
    line(console, f"{packs}: {counted(plan.creates, 'create')}{saved}")
    for code, count in packing.alone.items():
        prose(console, f"{count:,} alone: {shown(packing.alone_reasons[code])}", lead="  ", style="dim")


def _earlier_reviews(console: Console, reviews: Sequence[OpenReview]) -> None:
    line(console, f"\n{counted(len(reviews), 'review')} open in earlier batches; a run first collects what is finished")
    for review in reviews[:REVIEWS_LISTED_MOST]:
        line(console, f"  {shown(review.source)}  batch {shown(review.batch_id)}")
    if len(reviews) > REVIEWS_LISTED_MOST:
        line(console, f"  … and {len(reviews) - REVIEWS_LISTED_MOST:,} more: bulkhead reviews")


def _rejections(console: Console, plan: Plan) -> None:
    total = sum(plan.rejected.values())
    if not total:
        return
    line(console, f"\nRejected: {counted(total, 'item')}", style="bold")
    columns(console, [(code, f"{count:,}") for code, count in sorted(plan.rejected.items())])
    line(console)
    listed = plan.rejected_samples[:LISTED_MOST]
    for source, _, message in listed:
        line(console, f"  {shown(source)}")
        prose(console, shown(message), lead="    ", style="dim")
    if total > len(listed):
        line(console, f"  … and {total - len(listed):,} more")


def print_explanation(console: Console, explanation: Explanation) -> None:
    """Write which route a file gets and why, and what `run` would do with it."""
    line(console, shown(explanation.source), style="bold")
    line(console, f"  would be {_PARTICIPLES[explanation.verdict]}: {shown(explanation.reason)}")
    if explanation.alone:
        line(console, f"  alone, not in a pack: {shown(explanation.alone)}")
    elif explanation.can_be_packed:
        line(console, "  in a pack, if other files fit")
    if explanation.schema_id:
        line(console, f"  with the saved schema {shown(explanation.schema_id)}")
    line(console, "\nRoutes, in the order they are tried")
    columns(
        console,
        [(shown(name), shown(pattern), "matches" if matched else "-") for name, pattern, matched in explanation.tried],
    )


_PARTICIPLES = {"send": "sent", "skip": "skipped", "reject": "rejected"}


def print_status(
    console: Console,
    status: BatchStatus,
    facts: Sequence[tuple[str, str]] = (),
    *,
    pace: Pace | None = None,
    now: datetime | None = None,
) -> None:
    """Write the state of one batch: `facts` about it, by default those of its ledger, and its items by state."""
    batch = status.batch
    line(console, f"Batch {shown(batch.batch_id)}", style="bold")
    default = [
        ("source", _source(batch.source_uri)),
        ("started", f"{iso(batch.started_at)}"),
        *([("finished", f"{iso(batch.finished_at)}")] if batch.finished_at else []),
        ("results", near(batch.out)),
        *(_pace(pace, now) if pace and now else ()),
    ]
    about = [("state", str(batch.state)), *(facts or default)]
    width = max(len(name) for name, _ in about)
    lines = [(name.ljust(width), value) for name, value in about]
    columns(console, lines[:1])
    if batch.reason:
        prose(console, shown(batch.reason), lead=f"  {'reason':<{width}}  ")
    columns(console, lines[1:])
    line(console)
    for state, count in present(status.by_state):
        line(console, f"  {state:<13}{count:>9,}", style=STYLES.get(state, ""))
    if not status.by_state:
        line(console, "  no items yet")
    if status.rows.file_count:
        line(console)
        print_rows(console, status.rows)


def _source(uri: str) -> str:
    """Return a source as a person writes it: a path, or an `s3://` URL."""
    return shown(str(S3Place.of_uri(uri))) if is_s3(uri) else near(local_path(uri))


def _pace(pace: Pace, now: datetime) -> list[tuple[str, str]]:
    facts = []
    if pace.per_minute is not None:
        facts.append(("rate", f"{pace.per_minute:.3g} items a minute"))
    if pace.done_at is not None:
        left = lasting((pace.done_at - now).total_seconds())
        facts.append(("done", f"about {at_clock(pace.done_at, now)}, in {left}"))
    if pace.last_move_at is not None:
        age = aged((now - pace.last_move_at).total_seconds())
        facts.append(("last move", f"{age} ago, at {at_clock(pace.last_move_at, now)}"))
    return facts


def print_batches(console: Console, statuses: Sequence[BatchStatus]) -> None:
    """Write one line per batch of a ledger."""
    if statuses:
        print_batch_table(console, statuses)
    else:
        line(console, "the ledger has no batches yet")


def print_batch_table(console: Console, statuses: Sequence[BatchStatus]) -> None:
    """Write one line per batch, under a header."""
    rows = [_HEADER, *map(_row, statuses)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEADER))]
    for state, *numbers, batch_id, source in rows:
        aligned = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=False)]
        line(console, "  ".join([state.ljust(widths[0]), *aligned, batch_id.ljust(widths[-2]), source]).rstrip())


def _row(status: BatchStatus) -> tuple[str, ...]:
    batch, by_state = status.batch, status.by_state
    numbers = [sum(by_state.values())]
    numbers += [sum(by_state.get(state, 0) for state in states) for states in _COLUMNS.values()]
    return str(batch.state), *(f"{number:,}" for number in numbers), shown(batch.batch_id), _source(batch.source_uri)


_COLUMNS = {
    "DONE": (ItemState.COLLECTED, ItemState.SKIPPED),
    "OPEN": OPEN_STATES,
    "REVIEW": (ItemState.NEEDS_REVIEW,),
    "FAILED": (ItemState.FAILED, ItemState.REJECTED, ItemState.UNCERTAIN),
}
_HEADER = ("STATE", "ITEMS", *_COLUMNS, "BATCH", "SOURCE")


def print_differences(console: Console, differences: Sequence[Difference], *, about: str = "") -> None:
    """Write where the ledger and the vendor differ; `about` repeats batch and options in the commands to copy."""
    if not differences:
        line(console, "the ledger and the vendor agree")
        return
    listed = differences[:LISTED_MOST]
    columns(
        console,
        [(one.kind, shown(one.source or one.pack or "-"), one.import_id, _detail(one)) for one in listed],
        indent="",
    )
    if len(differences) > len(listed):
        line(console, f"… and {len(differences) - len(listed):,} more: see --json")
    is_gone = [one.kind == "result_gone" for one in differences]
    if not all(one.fixed or gone for one, gone in zip(differences, is_gone, strict=True)):
        line(console, f"\n`bulkhead reconcile{about} --fix` repairs what can be repaired")
    if any(is_gone):
        line(console, f"\n`bulkhead redrive{about} --results` fetches results that are gone")


def _detail(difference: Difference) -> str:
    return shown(difference.detail) + (" (repaired)" if difference.fixed else "")


def print_redriven(console: Console, count: int, *, batch_id: str, options: str = "", results: bool = False) -> None:
    """Write how many items of a batch are queued, or results missing; `options` are those that `resume` needs."""
    line(console, redriven_sentence(count, batch_id, results=results))
    if count:
        line(console, f"to {'fetch' if results else 'send'} them: bulkhead resume {shown(batch_id)}{options}")


def redriven_sentence(count: int, batch_id: str, *, results: bool) -> str:
    """Return how many items of a batch are queued, or results missing."""
    what, done = ("result", "to fetch again") if results else ("item", "queued again")
    return f"{counted(count, what)} of batch {shown(batch_id)} {done}"


def print_no_match(console: Console, match: str) -> None:
    """Write that the glob of `--match` found nothing, and how globs match."""
    line(console, f"notice: no item in these states matches {shown(match)}", style="yellow")
    line(console, "        `*` stays within one name, `**` crosses `/`; a pattern without `/` matches the last name")


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Write one line per check, what to do about those that are not ok, and a summary."""
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        mark, style = _MARKS[finding.level]
        lead = Text(f"  {mark:<6}", style=style)
        lead.append(f"{finding.name:<{width}}  ", style="not bold default")
        prose(console, shown(finding.detail), lead=lead)
        if finding.hint and not finding.is_ok:
            prose(console, shown(finding.hint), lead="        hint: ", style="dim")
    levels = [finding.level for finding in findings]
    failed, warned = levels.count(Level.FAIL), levels.count(Level.WARN)
    totals = f"{counted(failed, 'failure')}, {counted(warned, 'warning')}"
    line(console)
    line(console, totals if failed or warned else "all checks passed")


def print_settings(console: Console, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write (name, value, origin) for each setting; the caller has masked the secrets."""
    columns(console, [(name, shown(value), origin) for name, value, origin in rows], indent="")

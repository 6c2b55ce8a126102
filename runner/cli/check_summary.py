"""The report at the end of a check: predictions, rows that would be lost, and problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from runner.check import CheckSummary, Prediction
from runner.check.report import PREDICTION_MEANINGS
from runner.cli.check_progress import STYLES
from runner.cli.ndjson import Fields
from runner.cli.styles import NO_FILES, line, prose
from runner.formatting import counted, lasting, near, shown, sized
from runner.problems import Cell, Effect, Place, ProblemGroup, advice_for
from runner.problems.groups import EFFECT_WORDS, headline_of, is_note, rows_of

LISTED_MOST = 20
_INDENT = "      "

_EFFECT_STYLES = {
    Effect.FAILS: "red",
    Effect.REJECTED: "red",
    Effect.REVIEW: "yellow",
    Effect.ROWS_REMOVED: "magenta",
    Effect.VALUES_EMPTIED: "magenta",
    Effect.DATA_LOST: "magenta",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What is shown at the end of a check; `page` is the HTML page, if one was written."""

    summary: CheckSummary
    fields: Fields
    elapsed_s: float
    page: Path | None = None


def print_check(console: Console, report: CheckReport) -> None:
    """Write everything, most important first."""
    summary = report.summary
    head = Text("Checked" if not summary.interrupted else "Interrupted after", style="bold")
    head.append(f" {_checked(summary)}, {sized(summary.size_bytes)}")
    head.append(f", {counted(summary.row_count, 'row')} in {lasting(report.elapsed_s)}; nothing was sent")
    line(console, head)
    if summary.interrupted:
        line(console, "The check was stopped; this covers only the files checked so far.", style="yellow")
    _predictions(console, summary)
    _losses(console, summary)
    _quota(console, summary)
    _problems(console, [one for one in summary.problem_groups if not is_note(one)], report.fields, title="problem")
    _problems(console, [one for one in summary.problem_groups if is_note(one)], report.fields, title="note")
    line(console)
    if report.page:
        line(console, f"Report: {near(str(report.page.resolve()))}")
    line(console, "This is a prediction by the engine on this machine, not the vendor's answer.", style="dim")


def _checked(summary: CheckSummary) -> str:
    files = counted(summary.file_count, "file")
    skipped = summary.by_prediction.get(Prediction.SKIP, 0)
    return f"{summary.file_count - skipped:,} of {files}" if skipped else files


def _predictions(console: Console, summary: CheckSummary) -> None:
    if summary.by_prediction:
        line(console)
    for prediction, count in summary.by_prediction.items():
        rows = summary.rows_by_prediction.get(prediction, 0)
        text = Text(f"  {PREDICTION_MEANINGS[prediction]:<19}", style=STYLES.get(prediction, ""))
        text.append(f"{counted(count, 'file'):>14}", style="bold not dim")
        text.append(f"{counted(rows, 'row'):>16}" if rows else "", style="dim not bold")
        line(console, text)


def _losses(console: Console, summary: CheckSummary) -> None:
    """Show first what is easy to miss: rows that are left out of imports that succeed."""
    if summary.removed_row_count:
        where = counted(summary.losing_file_count, "file")
        text = Text(
            f"\n{counted(summary.removed_row_count, 'row')} of {where} that would succeed", style="bold magenta"
        )
        text.append(" would be left out as invalid, without an error from the vendor")
        line(console, text)
    if summary.emptied_file_count:
        line(console, f"{counted(summary.emptied_file_count, 'file')} would end up with no rows at all")
    if summary.lost_data_file_count:
        where = counted(summary.lost_data_file_count, "file")
        text = Text(f"\n{where} with rows or cells that would be lost or shifted", style="bold magenta")
        text.append(" although the import does not fail: see the problems")
        line(console, text)
    if skipped := summary.by_prediction.get(Prediction.SKIP):
        line(console, f"\n{counted(skipped, 'file')} not checked: unchanged since an earlier batch; --again checks all")
    if summary.unjudged_count:
        line(console, f"\n{counted(summary.unjudged_count, 'file')} could not be checked; the vendor might accept them")
    if summary.too_young:
        line(console, f"\n{counted(summary.too_young, 'file')} changed too recently: left for a later run")


def _quota(console: Console, summary: CheckSummary) -> None:
    if not summary.file_count:
        line(console, NO_FILES)
    elif summary.create_count:
        wait = f"the last one after {lasting(summary.finish_in_s)}"
        within = wait if summary.finish_in_s else "all of them immediately"
        line(console, f"\nA run would create {counted(summary.create_count, 'import')}; the quota allows {within}.")


def _problems(console: Console, groups: Sequence[ProblemGroup], fields: Fields, *, title: str) -> None:
    if not groups:
        return
    line(console, f"\n{counted(len(groups), title)}, largest first", style="bold")
    for number, group in enumerate(groups[:LISTED_MOST], start=1):
        _group(console, number, group, fields)
    if len(groups) > LISTED_MOST:
        line(console, f"\n  … and {len(groups) - LISTED_MOST:,} more: see --report or --json")


def _group(console: Console, number: int, group: ProblemGroup, fields: Fields) -> None:
    text = Text(f"\n{number:>4}  ")
    text.append(f"{EFFECT_WORDS[group.effect]}", style=_EFFECT_STYLES.get(group.effect, "bold"))
    text.append(f"  {counted(group.file_count, 'file')}", style="bold")
    if rows := rows_of(group):
        text.append(f", {rows}")
    if group.route:
        text.append(f"  [{shown(group.route)}]", style="dim")
    line(console, text)
    prose(console, shown(headline_of(group)), lead=_INDENT)
    if group.cells:
        line(console, f"{_INDENT}{', '.join(map(_cell, group.cells))}", style="dim")
    elif group.places:
        more = ", …" if group.file_count > len(group.places) else ""
        line(console, f"{_INDENT}{', '.join(map(_place, group.places))}{more}", style="dim")
    else:
        more = ", …" if group.file_count > len(group.files) else ""
        line(console, f"{_INDENT}{', '.join(map(shown, group.files))}{more}", style="dim")
    prose(console, shown(advice_for(group, fields.get(group.route, {}))), lead=f"{_INDENT}→ ", style="cyan")


def _cell(cell: Cell) -> str:
    text = f'"{shown(cell.value)}"' if cell.value else "an empty cell"
    return f"{text} ({shown(cell.source)}, row {cell.row})"


def _place(place: Place) -> str:
    sample = f': "{shown(place.sample)}"' if place.sample else ""
    return f"{shown(place.source)}, row {place.row} of the file{sample}"

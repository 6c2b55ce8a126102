"""What a terminal shows about rows: those in the results of a batch, and those left out, with their causes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from runner.cli.styles import line
from runner.formatting import counted, shown
from runner.local.outcome import left_out
from runner.problems.groups import headline_of, rows_of

if TYPE_CHECKING:
    from runner.problems import ProblemGroup
    from runner.row_counts import RowTotals

GROUPS_SHOWN = 10


def rows_sentence(rows: RowTotals) -> str:
    """Return the totals in one line; empty if no result is saved."""
    if not rows.file_count:
        return ""
    parts = [f"{counted(rows.file_count, 'file')}, {counted(rows.row_count, 'row')} in results"]
    if rows.rows_left_out:
        parts.append(left_out(rows))
    if rows.empty_count:
        parts.append(f"{counted(rows.empty_count, 'file')} gave 0 rows")
    if rows.unknown_count:
        parts.append(f"the vendor does not say how many rows it left out of {counted(rows.unknown_count, 'file')}")
    return "; ".join(parts)


def print_rows(console: Console, rows: RowTotals) -> None:
    """Write the totals; nothing if no result is saved."""
    if sentence := rows_sentence(rows):
        is_lossy = bool(rows.rows_left_out or rows.empty_count)
        line(console, sentence, style="bold magenta" if is_lossy else "")


def print_left_out(console: Console, groups: Sequence[ProblemGroup], *, most: int = GROUPS_SHOWN) -> None:
    """Write why rows are left out, the cause in most files first; nothing if none are."""
    if not groups:
        return
    line(console, "")
    line(console, "Rows left out, largest first", style="bold")
    for group in groups[:most]:
        text = Text(f"  {counted(group.file_count, 'file')}, {rows_of(group)}", style="bold")
        text.append(f"  {shown(headline_of(group))}", style="not bold")
        line(console, text)
        more = ", …" if group.file_count > len(group.files) else ""
        line(console, f"          {', '.join(map(shown, group.files))}{more}", style="dim")
    if len(groups) > most:
        line(console, f"  … and {len(groups) - most:,} more: see left_out_reasons in manifest.csv")

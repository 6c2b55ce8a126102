"""Progress of a check, on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console, Group
from rich.text import Text

from runner.check import CheckTotals, Prediction
from runner.cli.progress import LINE_EVERY_S, ProgressHead, alive, indented
from runner.formatting import counted, lasting

STYLES = {
    Prediction.SUCCEED: "green",
    Prediction.REVIEW: "yellow",
    Prediction.FAIL: "red",
    Prediction.REJECT: "red",
    Prediction.SKIP: "dim",
}
_WORDS = {
    Prediction.SUCCEED: "succeed",
    Prediction.REVIEW: "need review",
    Prediction.FAIL: "fail",
    Prediction.REJECT: "rejected",
    Prediction.SKIP: "unchanged",
}


class CheckProgress:
    """Knows how many files are listed and checked, and what the check predicts for them."""

    def __init__(self, totals: CheckTotals) -> None:
        self._totals = totals
        self._listed = 0
        self._began = time.monotonic()

    def listed(self, count: int) -> None:
        """Count files that have been listed."""
        self._listed += count

    def line(self) -> str:
        """Return the progress in one line."""
        done = f"{self._totals.file_count:,} of {counted(self._listed, 'file')} so far"
        return f"{lasting(self._elapsed_s)}: {done}; " + (", ".join(self._counts()) or "none checked yet")

    def view(self) -> Group:
        """Return the progress for a terminal."""
        done = self._totals.file_count
        count = f"{done:,} of {counted(self._listed, 'file')} so far"
        head = ProgressHead(title="check", done=done, total=self._listed, count=count, elapsed_s=self._elapsed_s)
        return Group(head, indented(Text(" · ".join(self._counts()))))

    def _counts(self) -> list[str]:
        counts = self._totals.by_prediction
        return [f"{_WORDS[one]} {counts[one]:,}" for one in Prediction if counts[one]]

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began


@asynccontextmanager
async def showing_check(
    console: Console, totals: CheckTotals, *, is_shown: bool, every_s: float = LINE_EVERY_S
) -> AsyncIterator[CheckProgress]:
    """Show the progress of a check while the block runs."""
    progress = CheckProgress(totals)
    if not is_shown:
        yield progress
        return
    async with alive(console, view=progress.view, line=progress.line, every_s=every_s):
        yield progress

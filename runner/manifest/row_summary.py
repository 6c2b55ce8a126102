"""The row summary of a batch: the rows of its results, and what is left out of them, grouped by cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.problems import Effect, Problem, ProblemGroup, ProblemGroups
from runner.problems.rules import HOOKS_RULE, OTHER_RULE
from runner.row_counts import NO_ROWS, REASONS_MOST, RowTotals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.models import Item
    from runner.row_counts import LeftOutReason

_SENTENCES = {HOOKS_RULE: "hooks may have removed rows", OTHER_RULE: "rows left out for another reason"}


@dataclass(frozen=True, slots=True)
class RowSummary:
    """Totals of the rows of a batch, and the causes of what is left out, the one in most files first."""

    totals: RowTotals = NO_ROWS
    groups: tuple[ProblemGroup, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the fields of `summary.json`."""
        reasons = [
            {
                "rule": group.rule,
                "field": group.field_keys[0] if group.field_keys else None,
                "schema_id": group.schema_id,
                "files": group.file_count,
                "rows": group.row_count,
            }
            for group in self.groups[:REASONS_MOST]
        ]
        return {**self.totals.document(), "left_out_reasons": reasons}


class RowTally:
    """Adds up the rows of items, one by one, in constant memory."""

    def __init__(self) -> None:
        self._totals = NO_ROWS
        self._groups = ProblemGroups()

    def take(self, item: Item) -> None:
        """Add an item; only those whose results are saved count."""
        totals = item.row_totals
        if not totals.file_count:
            return
        self._totals += totals
        if item.left_out_reasons:
            self._groups.take(_Lossy(item))

    def summary(self) -> RowSummary:
        return RowSummary(self._totals, tuple(self._groups.sorted()))


class _Lossy:
    """An item as a file with problems: one for each reason why rows are left out of its result."""

    def __init__(self, item: Item) -> None:
        self.source = item.source
        self.schema_id = item.schema_id
        self.route = item.schema_id or ""
        self.problems: Sequence[Problem] = tuple(map(_problem, item.left_out_reasons or ()))


def _problem(reason: LeftOutReason) -> Problem:
    names = () if reason.field is None else (reason.field,)
    return Problem(
        effect=Effect.ROWS_REMOVED,
        kind="cell" if names else "rows",
        message=_SENTENCES.get(reason.rule, reason.rule),
        field_keys=names,
        labels=names,
        rule=reason.rule,
        row_count=reason.count,
    )

"""What is predicted of one file, and why: the data that a worker hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

UNJUDGED_CODES = frozenset(
    {
        "check_timeout",
        "check_killed",
        "check_memory",
        "check_error",
        "check_library",
        "check_network",
        "schema_unusable",
    }
)
"""Failures of the check itself: they say nothing of what the vendor would do."""


class Prediction(StrEnum):
    """How a file's import would end; `skip` is a file that is unchanged since it was sent."""

    SUCCEED = "succeed"
    REVIEW = "review"
    FAIL = "fail"
    REJECT = "reject"
    SKIP = "skip"


class Effect(StrEnum):
    """What a problem does to the import."""

    FAILS = "fails"
    REJECTED = "rejected"
    REVIEW = "review"
    ROWS_REMOVED = "rows_removed"
    VALUES_EMPTIED = "values_emptied"
    VALUES_KEPT = "values_kept"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One wrong cell: `row` counts data rows from 1, `value` is its text as it is displayed, cut where it is long."""

    source: str
    row: int
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One kind of trouble in one file.

    `kind` is `cell`, `header_not_found`, `not_mapped`, `column_ignored`, `warning`, or a failure's or rejection's code.
    `values` are the commonest wrong texts with their counts, `headers` pairs of a field's label and the header that
    may be meant for it; `is_capped` where the engine stopped listing before the end, so that counts are lower bounds.
    """

    effect: Effect
    kind: str
    message: str
    field_keys: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    rule: str = ""
    row_count: int = 0
    cells: tuple[Cell, ...] = field(default=(), repr=False)
    values: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    is_capped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What is predicted of one file; `code` and `message` say why it fails or is rejected, `tag` as in `Item.tag`."""

    source: str
    prediction: Prediction
    route: str = ""
    schema_id: str | None = None
    code: str | None = None
    message: str | None = None
    size_bytes: int = 0
    row_count: int = 0
    invalid_row_count: int = 0
    removed_row_count: int = 0
    problems: tuple[Problem, ...] = ()
    tag: str | None = None

    @property
    def is_judged(self) -> bool:
        """False where the check could not come to a prediction; the file may well succeed."""
        return self.code not in UNJUDGED_CODES

    @property
    def loses_all_rows(self) -> bool:
        return 0 < self.row_count == self.removed_row_count

"""One problem of one file, and what it does to the file's import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runner.formatting import counted


class Effect(StrEnum):
    """What a problem does to the import."""

    FAILS = "fails"
    REJECTED = "rejected"
    REVIEW = "review"
    ROWS_REMOVED = "rows_removed"
    VALUES_EMPTIED = "values_emptied"
    VALUES_KEPT = "values_kept"
    DATA_LOST = "data_lost"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One invalid cell: `row` counts data rows from 1, `value` is the displayed text, shortened if it is long."""

    source: str
    row: int
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a warning begins: `row` counts the file's rows from 1, as a spreadsheet does; `sample` may be empty."""

    source: str
    row: int
    sample: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One kind of trouble in one file.

    `kind` is `cell`, `header_not_found`, `not_mapped`, `column_ignored`, `warning`, or the code of a failure or
    rejection. `values` are the most common invalid texts with their counts. `headers` are pairs of a field's label and
    the header that may belong to it. `delimiter` or `encoding` would make names of fields of it. `is_capped` means that
    the engine stopped listing errors before the end of the file, so that counts are lower bounds. A warning of the
    engine has a `code`; its `count` is in `unit`s.
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
    delimiter: str = ""
    encoding: str = ""
    is_capped: bool = False
    code: str = ""
    count: int = 0
    unit: str = "row"
    place: Place | None = None

    @property
    def sentence(self) -> str:
        """The message with count and place, without any text of a cell."""
        if self.place is None:
            return self.message
        return f"{self.message} ({counted(self.count, self.unit)}; the first: row {self.place.row})"


def label_of(definition: Mapping[str, Any]) -> str:
    """Return the name of a field that people see: its label, or its key if it has none."""
    return str(definition.get("label") or definition.get("key") or "")

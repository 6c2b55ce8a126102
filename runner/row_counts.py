"""Row counts: how many rows an import read, how many its result lacks and why, and the totals of many results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

LARGEST_ROW_COUNT = 10**12
"""More rows than any import has (choice): a larger number is no number of rows."""

REASONS_MOST = 10
"""Reasons that are kept of one import."""


@dataclass(frozen=True, slots=True)
class LeftOutReason:
    """A rule that `count` rows break in one field; without a field, what else takes rows away, such as hooks."""

    rule: str
    field: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """The errors of one field that have the same message; `rule` is what the vendor calls it, if it does."""

    field: str | None
    rule: str
    message: str = dataclasses.field(repr=False)
    row_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsRead:
    """What the vendor says about the rows of an import: how many it read, how many are invalid, and the errors."""

    rows_in: int
    invalid_count: int | None = None
    errors: tuple[RowError, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTotals:
    """The rows of all results that are saved.

    Of `file_count` results, the vendor says for `known_count` how many rows it read: `rows_in` and `rows_left_out` are
    of these. `lossy_count` results lack rows, and `empty_count` have none.
    """

    file_count: int = 0
    known_count: int = 0
    row_count: int = 0
    rows_in: int = 0
    rows_left_out: int = 0
    lossy_count: int = 0
    empty_count: int = 0

    @property
    def unknown_count(self) -> int:
        """Return for how many results nobody knows how many rows are left out."""
        return self.file_count - self.known_count

    @property
    def counters(self) -> dict[str, int]:
        """Return what a store adds up, by name; it counts the files by their states."""
        return dict(zip(ROW_COUNTERS, _counters(self), strict=True))

    @classmethod
    def of(cls, file_count: int, counters: Mapping[str, int]) -> RowTotals:
        """Return the totals from the `counters` of a store, of which absent ones are 0."""
        return cls(file_count=file_count, **{name: counters.get(name, 0) for name in ROW_COUNTERS})

    def __add__(self, other: RowTotals) -> RowTotals:
        sums = {name: count + other.counters[name] for name, count in self.counters.items()}
        return RowTotals.of(self.file_count + other.file_count, sums)

    def document(self) -> dict[str, int | None]:
        """Return the totals as public JSON has them; what is unknown for all files is None."""
        is_unknown = bool(self.file_count) and not self.known_count
        return {
            "row_count": self.row_count,
            "rows_in": None if is_unknown else self.rows_in,
            "rows_left_out": None if is_unknown else self.rows_left_out,
            "files_with_rows_left_out": self.lossy_count,
            "files_without_rows": self.empty_count,
            "files_with_unknown_rows": self.unknown_count,
        }


ROW_COUNTERS = ("known_count", "row_count", "rows_in", "rows_left_out", "lossy_count", "empty_count")
_counters = attrgetter(*ROW_COUNTERS)

NO_ROWS = RowTotals()


def changed_counters(before: RowTotals, after: RowTotals) -> dict[str, int]:
    """Return by how much the counters of a store change, without those that stay."""
    old = before.counters
    return {name: count - old[name] for name, count in after.counters.items() if count != old[name]}

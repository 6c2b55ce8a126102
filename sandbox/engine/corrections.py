"""Corrections: what a person decides in a review and the next run applies."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CellName = tuple[str, int]
NO_HEADER = -1


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """A person's decisions; a part without a decision is empty.

    `header_row` is a physical row of the file (from 0, blank rows included), or NO_HEADER. `columns` maps field keys to
    the places of their columns in the file, and replaces the whole matching. `cells` maps a row's index to (field key,
    part) to the text as typed; the part is 0 except in a manyToOne field. `dropped` are the indexes of rows to leave
    out. Indexes are those of errors: data rows from 0, after the data hooks, before any row is removed.
    """

    header_row: int | None = None
    columns: Mapping[str, tuple[int, ...]] | None = None
    cells: Mapping[int, Mapping[CellName, str]] = field(default_factory=dict)
    dropped: frozenset[int] = frozenset()

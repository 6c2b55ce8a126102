"""What a person decides in a review, and the engine does in the next run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CellName = tuple[str, int]
NO_HEADER = -1


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """A person's decisions; empty where nothing was decided.

    `header_row` is a physical row of the file (blank ones counted, from 0), or NO_HEADER. `columns` is field key ->
    places of its columns in the file, and replaces the matching as a whole. `cells` is row index -> (field key, part;
    0 but in a manyToOne field) -> text as typed; `dropped` the indexes of rows to leave out. Rows are counted as in
    errors: data rows from 0, after the data hooks, before any is removed.
    """

    header_row: int | None = None
    columns: Mapping[str, tuple[int, ...]] | None = None
    cells: Mapping[int, Mapping[CellName, str]] = field(default_factory=dict)
    dropped: frozenset[int] = frozenset()

"""A file's rows of text cells, however they were read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from sandbox.engine.errors import UnreadableFileError

BATCH_ROWS = 5_000
COLUMNS_MAX_COUNT = 16_384

Row = list[str]


@dataclass(frozen=True)
class Sheet:
    """A file's rows, blank ones among them, and how they were read (None where it does not apply).

    `rows` may be read again and again; `is_held` says that they lie in memory.
    """

    rows: Iterable[Row]
    is_held: bool = True
    encoding: str | None = None
    delimiter: str | None = None
    name: str | None = None
    warnings: list[str] = field(default_factory=list)

    def batches(self, *, start: int = 0, limit: int | None = None) -> Iterator[list[Row]]:
        """The non-blank rows from the physical row `start` on, at most `limit`, some thousand at a time."""
        rows = islice(iter(self.rows), start, None)
        left = limit
        while chunk := list(islice(rows, BATCH_ROWS)):
            kept = [row for row in chunk if row and (row[0].strip() or not is_blank(row))]
            if left is not None:
                kept = kept[:left]
                left -= len(kept)
            if kept:
                yield kept
            if left == 0:
                return

    def has_more_than(self, limit: int, *, start: int) -> bool:
        """Whether more than `limit` non-blank rows follow from `start` on."""
        return sum(map(len, self.batches(start=start, limit=limit + 1))) > limit


def is_blank(row: Row) -> bool:
    return not any(cell.strip() for cell in row)


def check_width(row: Row, number: int) -> None:
    """Refuse a row (the `number`th, from 1) with more columns than a workbook can have."""
    if len(row) > COLUMNS_MAX_COUNT:
        raise UnreadableFileError(f"Row {number} has more than {COLUMNS_MAX_COUNT} columns.")

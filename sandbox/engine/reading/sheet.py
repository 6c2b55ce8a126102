"""A sheet: rows of text cells, whatever format they were read from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Protocol, runtime_checkable

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.long_numbers import LongNumbers
from sandbox.engine.warning import FileWarnings, visible

BATCH_ROWS = 5_000
HEADER_SEARCH_ROWS = 20
COLUMNS_MAX_COUNT = 16_384
CELL_MAX_CHARS = 1 << 20

Row = list[str]


@runtime_checkable
class Chunked(Protocol):
    """Rows in chunks of some thousand."""

    def chunks(self) -> Iterator[list[Row]]: ...


class Watch(Protocol):
    """Looks at physical rows, the first of which is row `at`."""

    def see(self, rows: Sequence[Row], at: int) -> None: ...


@dataclass(frozen=True)
class Sheet:
    """A file's rows, blank rows included, and how they were read (None if it does not apply).

    `rows` can be read any number of times. `is_held` says that they are in memory, `keeps_blank` that blank rows count.
    `has_plus` False guarantees that no cell has a plus sign. `rivals` are the visible sheets with data if there are
    several and none was chosen, `fitting` those of them that have most names of fields, if any has one.
    """

    rows: Iterable[Row]
    is_held: bool = True
    keeps_blank: bool = False
    encoding: str | None = None
    delimiter: str | None = None
    name: str | None = None
    warnings: FileWarnings = field(default_factory=FileWarnings)
    has_plus: bool = True
    long_numbers: LongNumbers = field(default_factory=LongNumbers)
    rivals: Sequence[str] = ()
    fitting: Sequence[str] = ()

    def batches(self, *, start: int = 0, limit: int | None = None, watch: Watch | None = None) -> Iterator[list[Row]]:
        """Yield at most `limit` rows that count, from the physical row `start` on, some thousand at a time.

        `watch` sees all rows that are read.
        """
        left, at = limit, start
        for chunk in self._chunks(start):
            if watch is not None:
                watch.see(chunk, at)
                at += len(chunk)
            if self.keeps_blank:
                kept = chunk
            else:
                kept = [row for row in chunk if row and (row[0].strip() or not is_blank(row))]
            if left is not None:
                kept = kept[:left]
                left -= len(kept)
            if kept:
                yield kept
            if left == 0:
                return

    def numbered_rows(self, *, start: int, limit: int | None) -> Iterator[tuple[int, Row]]:
        """Yield the rows of `batches` one by one, each with its physical number."""
        rows = enumerate(chain.from_iterable(self._chunks(start)), start)
        return islice(((at, row) for at, row in rows if self.keeps_blank or not is_blank(row)), limit)

    def _chunks(self, start: int) -> Iterator[list[Row]]:
        if not isinstance(self.rows, list) and isinstance(self.rows, Chunked):
            for chunk in self.rows.chunks():
                if start < len(chunk):
                    yield chunk[start:] if start else chunk
                start = max(start - len(chunk), 0)
            return
        rows = islice(iter(self.rows), start, None)
        while chunk := list(islice(rows, BATCH_ROWS)):
            yield chunk

    def has_more_than(self, limit: int, *, start: int) -> bool:
        """Return whether there are more than `limit` rows that count from `start` on."""
        return sum(map(len, self.batches(start=start, limit=limit + 1))) > limit


def is_blank(row: Row) -> bool:
    return not any(cell.strip() for cell in row)


def name_count(rows: Iterable[Row], is_name: Callable[[str], bool], *, compares: bool) -> int | None:
    """Return how many names of fields the best of the first rows has; None if all rows are blank.

    Unless it `compares` sheets, it only looks for a row that is not blank.
    """
    first = list(islice((row for row in rows if not is_blank(row)), HEADER_SEARCH_ROWS if compares else 1))
    return max((len(set(filter(is_name, row))) if compares else 0 for row in first), default=None)


def check_widths(rows: list[Row], before: int) -> None:
    """Raise UnreadableFileError for rows with more columns than a workbook can have; `before` rows precede them."""
    if max(map(len, rows)) > COLUMNS_MAX_COUNT:
        at = next(at for at, row in enumerate(rows, start=before + 1) if len(row) > COLUMNS_MAX_COUNT)
        raise UnreadableFileError(f"Row {at} has more than {COLUMNS_MAX_COUNT} columns.")


def long_cell() -> UnreadableFileError:
    return UnreadableFileError(f"A cell is longer than {CELL_MAX_CHARS:,} characters.")


def warn_of_missing_sheet(name: str, warnings: FileWarnings) -> None:
    shown = visible(name)
    warnings.add("sheet_missing", message=f'The workbook has no sheet "{shown}"; the first one with cells was taken.')

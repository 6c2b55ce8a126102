"""What the rows around a header show about the file: rows that are too wide, cells without a name, further headers."""

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property, lru_cache
from operator import itemgetter

from sandbox.engine.reading.sheet import Row
from sandbox.engine.reading.text import DELIMITERS
from sandbox.engine.warning import FileWarnings, Level

_BOM = "\ufeff"
_NAMES_MIN = 2
_MIN_WIDTH_SHARE = 0.6
_GROUP_ROWS_MAX = 1
"""A single row above the header that is nearly as wide usually names groups of columns."""


class RowWatch:
    """Looks at each row below the header once, however often the file is read; the rows come in order.

    `taken` are the places of columns that a field takes, `names` the names by which fields are known. The rows of a
    text have the width that they have in the file; in a workbook, a cell beyond the header has an empty header.
    """

    def __init__(
        self,
        header: Row,
        *,
        taken: Collection[int],
        names: tuple[str, ...],
        delimiter: str,
        is_text: bool,
        warnings: FileWarnings,
    ) -> None:
        self._width = len(header)
        self._header = header
        self._nameless = [at for at, name in enumerate(header) if not name and at not in taken]
        self._probe = next((at for at, name in enumerate(header) if name), 0)
        self._texts = names
        self._forms = _forms((*names, *header[self._probe : self._probe + 1]))
        self._delimiter = delimiter
        self._is_text = is_text
        self._warnings = warnings
        self._seen = 0

    def see(self, rows: Sequence[Row], at: int) -> None:
        """Look at rows of which the first is the physical row `at`."""
        if at < self._seen:
            return
        self._seen = at + len(rows)
        widths = set(map(len, rows))
        if widths and max(widths) > self._width:
            self._see_wide(rows, at)
        if 1 in widths and self._width > 1 and self._is_text:
            self._see_single(rows, at)
        if self._nameless:
            self._see_nameless(rows, at)
        if widths and not self._forms.isdisjoint(self._probed(rows, min(widths))):
            self._see_headers(rows, at)

    def _probed(self, rows: Sequence[Row], least: int) -> Iterable[str]:
        """Return the cells of the column in which a further header would show; `least` is the least width of a row."""
        probe = self._probe
        return map(itemgetter(probe), rows) if least > probe else [row[probe] for row in rows if len(row) > probe]

    def _see_wide(self, rows: Sequence[Row], at: int) -> None:
        width = self._width
        for place, row in enumerate(rows, start=at):
            surplus = [cell for cell in row[width:] if cell.strip()]
            if surplus and self._is_text:
                self._warnings.add("rows_wider", row=place, sample=self._delimiter.join(row))
            elif surplus:
                self._warnings.add("column_unnamed", row=place, count=len(surplus), sample=surplus[0])

    def _see_single(self, rows: Sequence[Row], at: int) -> None:
        """Look at rows of one cell: whether another delimiter, or the file's own within quotes, would split it."""
        for place, row in enumerate(rows, start=at):
            if len(row) == 1 and row[0].strip():
                is_unsplit = any(row[0].count(each) + 1 == self._width for each in (self._delimiter, *DELIMITERS))
                self._warnings.add("rows_unsplit" if is_unsplit else "rows_short", row=place, sample=row[0])

    def _see_nameless(self, rows: Sequence[Row], at: int) -> None:
        for place, row in enumerate(rows, start=at):
            for cell in (row[column] for column in self._nameless if column < len(row)):
                if cell.strip():
                    self._warnings.add("column_unnamed", row=place, sample=cell)

    def _see_headers(self, rows: Sequence[Row], at: int) -> None:
        for place, row in enumerate(rows, start=at):
            cells = _plain_cells(row)
            if cells == self._plain_header:
                self._warnings.add("header_again", row=place, sample=self._delimiter.join(row))
            elif self._is_header(cells):
                self._warnings.add("header_other", row=place, sample=self._delimiter.join(row))

    def _is_header(self, cells: Sequence[str]) -> bool:
        """Whether the cells are distinct, and at least two and half of them are names."""
        filled = [cell for cell in cells if cell]
        hits = sum(cell in self._names for cell in filled)
        return hits >= _NAMES_MIN and hits * 2 >= len(filled) and len(set(filled)) == len(filled)

    @cached_property
    def _plain_header(self) -> Row:
        return _plain_cells(self._header)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(map(_plain, self._texts)) | {name for name in self._plain_header if name}


@lru_cache(maxsize=256)
def _forms(names: tuple[str, ...]) -> frozenset[str]:
    """Return the usual ways to write names, as they may stand in a column of a further header."""
    forms = {form for text in names if text for form in (text, text.lower(), text.upper(), text.title())}
    return frozenset(forms | {_BOM + form for form in forms})


def watch_above(rows: Sequence[Row], header: Row, *, is_chosen: bool, delimiter: str, warnings: FileWarnings) -> None:
    """Warn of the `rows` above a header that are about as wide as it; `is_chosen` says that a setting names it."""
    width = _cell_count(header)
    counts = [(at, count) for at, row in enumerate(rows) if (count := _cell_count(row)) >= _NAMES_MIN]
    wide = [at for at, count in counts if count >= width]
    narrow = [at for at, count in counts if width * _MIN_WIDTH_SHARE <= count < width]
    for at in wide:
        level = Level.NOTE if is_chosen else Level.LOSS
        warnings.add("rows_above", row=at, sample=delimiter.join(rows[at]), level=level)
    if not wide and len(narrow) > _GROUP_ROWS_MAX:
        for at in narrow:
            warnings.add("rows_above", row=at, sample=delimiter.join(rows[at]), level=Level.NOTE)


def _cell_count(row: Row) -> int:
    return sum(1 for cell in row if cell.strip())


def _plain_cells(row: Row) -> list[str]:
    """Return the cells to compare, up to the last one that is not blank."""
    cells = list(map(_plain, row))
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _plain(text: str) -> str:
    return text.removeprefix(_BOM).strip().casefold()

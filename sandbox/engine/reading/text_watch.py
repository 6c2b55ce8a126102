"""What a text shows about itself while it is split into rows: quoted cells that hold rows, and marks at its end."""

import re
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

from sandbox.engine.reading.sheet import Row
from sandbox.engine.warning import FileWarnings

END_MARKS = "\0\x1a"
_LINE_END = re.compile("\r\n|\r|\n")
_LINES_MIN = 2
_FIRST_ROWS = 200


class _Column:
    """The cells of several lines in a column that may have them, with the places of their rows.

    Only `with_returns` finds cells whose lines all end in a carriage return alone.
    """

    def __init__(self, rows: Sequence[Row], at: int, *, is_full: bool, with_returns: bool) -> None:
        cells = map(itemgetter(at), rows) if is_full else (row[at] if at < len(row) else "" for row in rows)
        if with_returns:
            self.spanning = [(place, cell) for place, cell in enumerate(cells) if "\n" in cell or "\r" in cell]
        else:
            self.spanning = [(place, cell) for place, cell in enumerate(cells) if "\n" in cell]
        text = "\0".join([cell for _, cell in self.spanning])
        returns = text.count("\r")
        self.line_ends = text.count("\n") + returns - (text.count("\r\n") if returns else 0)


class TextWatch:
    """Looks at each row of a text once, however often the text is read; the rows come in order."""

    def __init__(self, delimiter: str, warnings: FileWarnings) -> None:
        self._delimiter = delimiter
        self._warnings = warnings
        self._columns: set[int] = set()
        self._has_returns = False
        self._seen = self._seen_escapes = 0
        self._has_ended = False

    def see_spanning(self, rows: Sequence[Row], at: int, *, line_ends: int) -> None:
        """Look at rows, the first of which is the physical row `at`, whose cells hold so many ends of lines."""
        if at < self._seen:
            return
        self._seen = at + len(rows)
        columns = self._spanning_columns(rows, line_ends)
        delimiter = self._delimiter
        found = {place: cell for column in columns for place, cell in column.spanning if delimiter in cell}
        width = Counter(map(len, rows)).most_common(1)[0][0] if found else 0
        for place, cell in sorted(found.items()):
            self._see_cell(cell, rows[place], at + place, width)

    def see_escapes(self, rows: Sequence[Row], at: int) -> None:
        """Look at rows of a text in which backslashes stand before quotes."""
        if at < self._seen_escapes:
            return
        self._seen_escapes = at + len(rows)
        for place, row in enumerate(rows, start=at):
            for cell in row:
                if "\\" in cell and '"' in cell:
                    self._warnings.add("quote_escaped", row=place, sample=cell)

    def _spanning_columns(self, rows: Sequence[Row], line_ends: int) -> list[_Column]:
        """Return the columns with cells of several lines: those known so far if they have all ends of lines."""
        shortest = min(map(len, rows))
        for some in ((), rows[:_FIRST_ROWS], rows):
            self._columns |= {place for row in some for place, cell in enumerate(row) if "\n" in cell or "\r" in cell}
            self._has_returns = self._has_returns or any("\r" in cell for row in some for cell in row)
            columns = [
                _Column(rows, at, is_full=at < shortest, with_returns=self._has_returns) for at in sorted(self._columns)
            ]
            if sum(column.line_ends for column in columns) == line_ends:
                break
        return columns

    def _see_cell(self, cell: str, row: Row, place: int, width: int) -> None:
        """Warn of a cell whose lines hold the delimiter; the more so if the lines of its row are as wide as a row."""
        lines = [line for line in _LINE_END.split(self._delimiter.join(row)) if line.strip()]
        prose = f"{self._delimiter} "
        alike = sum(line.count(self._delimiter) - line.count(prose) + 1 == width for line in lines)
        if width >= _LINES_MIN and alike >= _LINES_MIN and alike * 2 >= len(lines):
            self._warnings.add("quoted_rows", row=place, sample=cell)
        elif sum(self._delimiter in line for line in _LINE_END.split(cell)) >= _LINES_MIN:
            self._warnings.add("quoted_lines", row=place, sample=cell)

    def without_end_marks(self, rows: list[Row], at: int) -> list[Row]:
        """Return the last rows of the text without the marks at their end; the first one is the physical row `at`."""
        end = len(rows)
        while end and not any(map(_unmarked, rows[end - 1])):
            end -= 1
        is_marked = any(mark in cell for row in rows[end:] for cell in row for mark in END_MARKS)
        kept = rows[:end] if is_marked else rows
        if end and rows[end - 1][-1] != rows[end - 1][-1].rstrip(END_MARKS):
            is_marked, rows[end - 1][-1] = True, rows[end - 1][-1].rstrip(END_MARKS)
        if is_marked and not self._has_ended:
            self._has_ended = True
            self._warnings.add("end_marks", row=at + min(len(kept), len(rows) - 1))
        return kept


def _unmarked(cell: str) -> str:
    return cell.strip().strip(END_MARKS).strip()

"""Large xlsx files: read row by row, once, into a text of their own that is then read as often as it is needed."""

import csv
import tempfile
import weakref
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.libraries import library
from sandbox.engine.reading.cells import cell_text
from sandbox.engine.reading.extent import DAMAGED
from sandbox.engine.reading.sheet import CELL_MAX_CHARS, Row, Sheet, check_widths, long_cell, missing_sheet
from sandbox.engine.reading.source import Source, for_library
from sandbox.engine.reading.text import TextFile

STREAMED_CELLS_MAX_COUNT = 200_000_000
_TOO_MANY_CELLS = f"The sheet spans more than {STREAMED_CELLS_MAX_COUNT:,} cells."
_ERROR_CELL = "e"
_OPEN_FILES = Path("/proc/self/fd")


def read_large_workbook(source: Source, *, sheet: str | None) -> Sheet:
    """As `read_workbook`, in memory that does not grow with the rows. Raises UnreadableFileError."""
    openpyxl = library("openpyxl", package="openpyxl", purpose="reads large workbooks")
    try:
        book = openpyxl.load_workbook(for_library(source), read_only=True, data_only=True)
        warnings = [missing_sheet(sheet)] if sheet is not None and sheet not in book.sheetnames else []
        visible = [each for each in book.worksheets if each.sheet_state == "visible"]
        for one in [book[sheet]] if sheet is not None and not warnings else visible:
            one.reset_dimensions()
            rows = SpooledRows(one.iter_rows())
            if rows.has_cells:
                return Sheet(rows, is_held=False, name=one.title, warnings=warnings)
    except _FAULTS as error:
        raise UnreadableFileError(DAMAGED) from error
    return Sheet([], warnings=warnings)


_FAULTS = (zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError)


class SpooledRows:
    """Rows in a temporary file, which goes with this object."""

    def __init__(self, rows: Iterable[Iterable[Any]]) -> None:
        self._file, self._path = _scratch()
        weakref.finalize(self, self._file.close)
        self.has_cells = False
        write = csv.writer(self._file).writerow
        count = 0
        for number, cells in enumerate(rows):
            row = _texts(cells)
            self.has_cells = self.has_cells or bool(row)
            count += len(row)
            if count > STREAMED_CELLS_MAX_COUNT:
                raise UnreadableFileError(_TOO_MANY_CELLS)
            if row:
                check_widths([row], number)
            write(row)
        self._file.flush()

    def __iter__(self) -> Iterator[Row]:
        return iter(TextFile(self._path, "utf-8", ","))

    def chunks(self) -> Iterator[list[Row]]:
        return TextFile(self._path, "utf-8", ",").chunks()


def _scratch() -> tuple[IO[str], Path]:
    """A file for texts and a path to it; if it can be read without a name, nothing stays of a killed process."""
    form: Any = {"encoding": "utf-8", "errors": "replace", "newline": ""}
    if not _OPEN_FILES.is_dir():
        named = tempfile.NamedTemporaryFile("w", **form)  # noqa: SIM115 - its owner closes it
        return named, Path(named.name)
    nameless = tempfile.TemporaryFile("w", **form)  # noqa: SIM115 - its owner closes it
    return nameless, _OPEN_FILES / str(nameless.fileno())


def _texts(cells: Iterable[Any]) -> Row:
    """The texts up to the last cell that holds something."""
    row = ["" if cell.data_type == _ERROR_CELL else cell_text(cell.value) for cell in cells]
    if max(map(len, row), default=0) > CELL_MAX_CHARS:
        raise long_cell()
    while row and not row[-1]:
        row.pop()
    return row

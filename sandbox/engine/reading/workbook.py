"""Workbooks (xlsx, xlsb, xls, ods): inspected for zip bombs, then read as rows of text cells.

A large xlsx is read row by row, once, into a temporary text that can then be read any number of times.
"""

import csv
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.libraries import library
from sandbox.engine.reading.cell_facts import CellFacts
from sandbox.engine.reading.cells import cell_text
from sandbox.engine.reading.extent import CELLS_MAX_COUNT, DAMAGED, TOO_MANY_CELLS
from sandbox.engine.reading.long_numbers import LONG_MIN_CHARS, LongNumbers
from sandbox.engine.reading.ods_breaks import with_breaks
from sandbox.engine.reading.package import LOCKED, check_package
from sandbox.engine.reading.sheet import (
    CELL_MAX_CHARS,
    Row,
    Sheet,
    check_widths,
    long_cell,
    name_count,
    warn_of_missing_sheet,
)
from sandbox.engine.reading.source import Source, for_library
from sandbox.engine.reading.text import TextFile
from sandbox.engine.reading.xls_extent import check_xls
from sandbox.engine.warning import FileWarnings

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WORKBOOK_MAGIC = (b"PK\x03\x04", _OLE_MAGIC)
_LOCK = "EncryptedPackage".encode("utf-16-le")
STREAMED_CELLS_MAX_COUNT = 200_000_000
_TOO_MANY_STREAMED_CELLS = f"The sheet spans more than {STREAMED_CELLS_MAX_COUNT:,} cells."
_ERROR_CELL = "e"
_OPEN_FILES = Path("/proc/self/fd")
_FAULTS = (zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError)


def read_workbook(
    source: Source, head: bytes, *, sheet: str | None, is_name: Callable[[str], bool], warnings: FileWarnings
) -> Sheet:
    """Read the named sheet, or else the first visible sheet that has data. Raises UnreadableFileError."""
    calamine = library("python_calamine", package="python-calamine", purpose="reads workbooks")
    package = check_package(source)
    if package.is_large:
        return read_large_workbook(source, sheet=sheet, is_name=is_name, warnings=warnings, facts=package.facts)
    facts = check_xls(source) if head.startswith(_OLE_MAGIC) else package.facts
    try:
        book = calamine.load_workbook(for_library(with_breaks(source) if package.breaks_lines else source))
        names = [each.name for each in book.sheets_metadata if each.visible == calamine.SheetVisibleEnum.Visible]
        if sheet in book.sheet_names:
            names = [sheet]
        elif sheet is not None:
            warn_of_missing_sheet(sheet, warnings)
        counts: dict[str, int] = {}
        long = LongNumbers()
        for name in names:
            found = _sheet_of(book, name, is_other=bool(counts))
            if found is None or (count := name_count(_texts_of(found), is_name, compares=len(names) > 1)) is None:
                continue
            if not counts:
                rows = _rows(found, long)
            counts[name] = count
    except (calamine.CalamineError, OSError, ValueError, LookupError, OverflowError) as error:
        raise UnreadableFileError(_sentence(error, head)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise UnreadableFileError(DAMAGED) from error
        raise
    return _chosen(rows, counts, facts, warnings, long) if counts else Sheet([], warnings=warnings)


def _sheet_of(book: Any, name: str, *, is_other: bool) -> Any | None:
    """Return a sheet with cells, or None; a sheet that is only looked at may be damaged."""
    try:
        found = book.get_sheet_by_name(name)
    except Exception:
        if is_other:
            return None
        raise
    return found if found.height and found.width else None


def _texts_of(sheet: Any) -> Iterator[Row]:
    return (list(map(cell_text, row)) for row in sheet.iter_rows())


def _chosen(
    rows: Iterable[Row],
    counts: Mapping[str, int],
    facts: Mapping[str, CellFacts],
    warnings: FileWarnings,
    long: LongNumbers,
) -> Sheet:
    """Return the first of the sheets that have data, whose counts of names are given, with its rows."""
    name = next(iter(counts))
    if name in facts:
        facts[name].warn(warnings)
    return Sheet(
        rows,
        is_held=isinstance(rows, list),
        name=name,
        warnings=warnings,
        long_numbers=long,
        rivals=list(counts),
        fitting=[name for name, count in counts.items() if count == max(counts.values()) > 0],
    )


def _rows(sheet: Any, long: LongNumbers) -> list[Row]:
    last_row, last_column = sheet.end or (0, 0)
    check_widths([[""] * (last_column + 1)], 0)
    if (last_row + 1) * (last_column + 1) > CELLS_MAX_COUNT:
        raise UnreadableFileError(TOO_MANY_CELLS)
    rows = []
    for at, values in enumerate(sheet.to_python(skip_empty_area=False)):
        row = list(map(cell_text, values))
        _check_lengths(row, values, at, long)
        rows.append(row)
    return rows


def _check_lengths(row: Row, values: Sequence[Any], at: int, long: LongNumbers) -> None:
    """Look for long numbers in row `at`. Raises UnreadableFileError for a cell that is too long."""
    longest = max(map(len, row), default=0)
    if longest > CELL_MAX_CHARS:
        raise long_cell()
    if longest >= LONG_MIN_CHARS:
        long.see([getattr(value, "value", value) for value in values], row, at)


def _sentence(error: BaseException, head: bytes) -> str:
    return LOCKED if _LOCK in head or "password" in str(error).lower() else DAMAGED


def read_large_workbook(
    source: Source,
    *,
    sheet: str | None,
    is_name: Callable[[str], bool],
    warnings: FileWarnings,
    facts: Mapping[str, CellFacts],
) -> Sheet:
    """As `read_workbook`, in constant memory. Raises UnreadableFileError."""
    openpyxl = library("openpyxl", package="openpyxl", purpose="reads large workbooks")
    try:
        book = openpyxl.load_workbook(for_library(source), read_only=True, data_only=True)
        sheets = [each for each in book.worksheets if each.sheet_state == "visible"]
        if sheet in book.sheetnames:
            sheets = [book[sheet]]
        elif sheet is not None:
            warn_of_missing_sheet(sheet, warnings)
        counts: dict[str, int] = {}
        long = LongNumbers()
        for one in sheets:
            one.reset_dimensions()
            if (count := name_count(map(_texts, one.iter_rows()), is_name, compares=len(sheets) > 1)) is None:
                continue
            if not counts:
                rows = SpooledRows(one.iter_rows(), long)
            counts[one.title] = count
    except _FAULTS as error:
        raise UnreadableFileError(DAMAGED) from error
    return _chosen(rows, counts, facts, warnings, long) if counts else Sheet([], warnings=warnings)


class SpooledRows:
    """Rows in a temporary file, which is removed with this object."""

    def __init__(self, rows: Iterable[Sequence[Any]], long: LongNumbers) -> None:
        self._file, self._path = _scratch()
        weakref.finalize(self, self._file.close)
        write = csv.writer(self._file).writerow
        count = 0
        for number, cells in enumerate(rows):
            row = _texts(cells) if cells else []
            if row:
                _check_lengths(row, cells, number, long)
                count += len(row)
                if count > STREAMED_CELLS_MAX_COUNT:
                    raise UnreadableFileError(_TOO_MANY_STREAMED_CELLS)
                check_widths([row], number)
            write(row)
        self._file.flush()

    def __iter__(self) -> Iterator[Row]:
        return iter(TextFile(self._path, "utf-8", ","))

    def chunks(self) -> Iterator[list[Row]]:
        return TextFile(self._path, "utf-8", ",").chunks()


def _scratch() -> tuple[IO[str], Path]:
    """Return a text file and a path to it. If it can be read without a name, a killed process leaves nothing."""
    form: Any = {"encoding": "utf-8", "errors": "replace", "newline": ""}
    if not _OPEN_FILES.is_dir():
        named = tempfile.NamedTemporaryFile("w", **form)  # noqa: SIM115 - its owner closes it
        return named, Path(named.name)
    nameless = tempfile.TemporaryFile("w", **form)  # noqa: SIM115 - its owner closes it
    return nameless, _OPEN_FILES / str(nameless.fileno())


def _texts(cells: Iterable[Any]) -> Row:
    """Return the texts up to the last cell that is not empty."""
    row = ["" if cell.data_type == _ERROR_CELL else cell_text(cell.value) for cell in cells]
    while row and not row[-1]:
        row.pop()
    return row

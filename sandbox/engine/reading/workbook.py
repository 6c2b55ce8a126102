"""Workbooks (xlsx, xlsb, xls, ods): looked through for bombs, then their rows of text cells."""

from typing import Any

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.libraries import library
from sandbox.engine.reading.cells import cell_text
from sandbox.engine.reading.extent import CELLS_MAX_COUNT, DAMAGED, TOO_MANY_CELLS
from sandbox.engine.reading.large_workbook import read_large_workbook
from sandbox.engine.reading.package import LOCKED, check_package
from sandbox.engine.reading.sheet import CELL_MAX_CHARS, Row, Sheet, check_widths, long_cell, missing_sheet
from sandbox.engine.reading.source import Source, for_library
from sandbox.engine.reading.xls_extent import check_xls

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WORKBOOK_MAGIC = (b"PK\x03\x04", _OLE_MAGIC)
_LOCK = "EncryptedPackage".encode("utf-16-le")


def read_workbook(source: Source, head: bytes, *, sheet: str | None) -> Sheet:
    """The named sheet's rows, else those of the first visible sheet that has cells. Raises UnreadableFileError."""
    calamine = library("python_calamine", package="python-calamine", purpose="reads workbooks")
    if check_package(source).is_large:
        return read_large_workbook(source, sheet=sheet)
    if head.startswith(_OLE_MAGIC):
        check_xls(source)
    try:
        book = calamine.load_workbook(for_library(source))
        names = [each.name for each in book.sheets_metadata if each.visible == calamine.SheetVisibleEnum.Visible]
        warnings = [missing_sheet(sheet)] if sheet is not None and sheet not in book.sheet_names else []
        if sheet is not None and not warnings:
            names = [sheet]
        for name in names:
            found = book.get_sheet_by_name(name)
            if found.height and found.width:
                return Sheet(_rows(found), name=name, warnings=warnings)
    except (calamine.CalamineError, OSError, ValueError, LookupError, OverflowError) as error:
        raise UnreadableFileError(_sentence(error, head)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise UnreadableFileError(DAMAGED) from error
        raise
    return Sheet([], warnings=warnings)


def _rows(sheet: Any) -> list[Row]:
    last_row, last_column = sheet.end or (0, 0)
    check_widths([[""] * (last_column + 1)], 0)
    if (last_row + 1) * (last_column + 1) > CELLS_MAX_COUNT:
        raise UnreadableFileError(TOO_MANY_CELLS)
    rows = [list(map(cell_text, row)) for row in sheet.to_python(skip_empty_area=False)]
    if any(len(text) > CELL_MAX_CHARS for row in rows for text in row):
        raise long_cell()
    return rows


def _sentence(error: BaseException, head: bytes) -> str:
    return LOCKED if _LOCK in head or "password" in str(error).lower() else DAMAGED

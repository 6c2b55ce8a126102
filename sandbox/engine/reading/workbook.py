"""Workbooks (xlsx, xlsb, xls, ods): checked for bombs, then their rows of text cells."""

import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.libraries import library
from sandbox.engine.reading.cells import cell_text
from sandbox.engine.reading.sheet import Row, Sheet, check_widths

WORKBOOK_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
UNPACKED_MAX_BYTES = 500 << 20
RATIO_MAX = 200
RATIO_FREE_BYTES = 20 << 20
ENTRIES_MAX_COUNT = 10_000
CELLS_MAX_COUNT = 20_000_000
_CHUNK_BYTES = 1 << 20
_FAR_CELL = re.compile(rb"""\br=["'](?:([A-Z]{2,3})(\d{1,7})|[A-Z]?(\d{5,7}))["']""")
_NEAR_ROWS, _NEAR_COLUMNS = 9_999, 26
_OVERLAP_BYTES = 64
_SHEETS = "sheets/"
_DAMAGED = "The workbook is damaged and cannot be read."
_TOO_MANY_CELLS = f"The sheet spans more than {CELLS_MAX_COUNT:,} cells."
_BOMB = "The workbook unpacks to far more than a workbook holds."


def read_workbook(source: bytes | Path, *, sheet: str | None) -> Sheet:
    """The named sheet's rows, else those of the first visible sheet that has cells. Raises UnreadableFileError."""
    calamine = library("python_calamine", package="python-calamine", purpose="reads workbooks")
    _check_package(source)
    try:
        book = calamine.load_workbook(io.BytesIO(source) if isinstance(source, bytes) else source)
        names = [each.name for each in book.sheets_metadata if each.visible == calamine.SheetVisibleEnum.Visible]
        warnings = []
        if sheet is not None and sheet not in book.sheet_names:
            warnings.append(f'The workbook has no sheet "{sheet[:80]}"; the first one with cells was taken.')
        elif sheet is not None:
            names = [sheet]
        for name in names:
            found = book.get_sheet_by_name(name)
            if found.height and found.width:
                return Sheet(_rows(found), name=name, warnings=warnings)
    except (calamine.CalamineError, OSError, ValueError, LookupError, OverflowError) as error:
        raise UnreadableFileError(_DAMAGED) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise UnreadableFileError(_DAMAGED) from error
        raise
    return Sheet([], warnings=warnings)


def _rows(sheet: Any) -> list[Row]:
    last_row, last_column = sheet.end or (0, 0)
    check_widths([[""] * (last_column + 1)], 0)
    if (last_row + 1) * (last_column + 1) > CELLS_MAX_COUNT:
        raise UnreadableFileError(_TOO_MANY_CELLS)
    return [list(map(cell_text, row)) for row in sheet.to_python(skip_empty_area=False)]


def _check_package(source: bytes | Path) -> None:
    """Refuse a zip that would unpack beyond all measure, or whose directory lies about its sizes."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        if not stream.read(4).startswith(b"PK"):
            return
        try:
            with zipfile.ZipFile(stream) as package:
                entries = package.infolist()
                _check_sizes(entries)
                for entry in entries:
                    _check_entry(stream, entry)
        except (zipfile.BadZipFile, OSError, ValueError, zlib.error, NotImplementedError, EOFError) as error:
            raise UnreadableFileError(_DAMAGED) from error


def _check_sizes(entries: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    absurd = unpacked > RATIO_FREE_BYTES and unpacked > RATIO_MAX * max(packed, 1)
    if len(entries) > ENTRIES_MAX_COUNT or absurd:
        raise UnreadableFileError(_BOMB)
    if unpacked > UNPACKED_MAX_BYTES:
        raise UnreadableFileError(f"The workbook is larger than {UNPACKED_MAX_BYTES >> 20} MB when unpacked.")


class Extent:
    """How far the cells of a sheet's XML reach: the reader makes room for every cell in between."""

    def __init__(self) -> None:
        self._rows, self._columns = _NEAR_ROWS, _NEAR_COLUMNS
        self._tail = b""

    def add(self, piece: bytes) -> None:
        """Look at the next piece of the XML. Raises UnreadableFileError where the cells span too much."""
        for letters, row, far_row in _FAR_CELL.findall(self._tail + piece):
            self._rows = max(self._rows, int(row or far_row))
            self._columns = max(self._columns, _column_number(letters)) if letters else self._columns
        self._tail = piece[-_OVERLAP_BYTES:]
        if self._rows * self._columns > CELLS_MAX_COUNT:
            raise UnreadableFileError(_TOO_MANY_CELLS)


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _check_entry(stream: BinaryIO, entry: zipfile.ZipInfo) -> None:
    """Unpack one entry, keeping nothing, until it is longer than the directory says."""
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        return
    stream.seek(entry.header_offset)
    header = stream.read(30)
    stream.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), io.SEEK_CUR)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left, unpacked, waiting = entry.compress_size, 0, b""
    extent = Extent()
    while not inflate.eof and (waiting or left > 0):
        if not waiting:
            waiting = stream.read(min(left, _CHUNK_BYTES))
            left -= len(waiting)
            if not waiting:
                return
        piece = inflate.decompress(waiting, _CHUNK_BYTES)
        unpacked += len(piece)
        if _SHEETS in entry.filename:
            extent.add(piece)
        waiting = inflate.unconsumed_tail
        if unpacked > entry.file_size:
            raise UnreadableFileError(_BOMB)

"""Reads a file's bytes as rows of text cells; the content decides the format, never the file's name.

Owns formats, encodings, delimiters, and the limits that protect the reader. Imports only the engine's errors,
libraries, and warnings.

Terms:
    source: a file's bytes, in memory or at a path.
    extent: how far a sheet's cells reach; the reader allocates every cell in between.
    physical row: a row of the file, counted from 0, blank rows included.
"""

from collections.abc import Callable

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.other_forms import refuse_by_bytes
from sandbox.engine.reading.sheet import Row, Sheet
from sandbox.engine.reading.source import Source, head_of, size_bytes
from sandbox.engine.reading.text import read_text
from sandbox.engine.reading.workbook import WORKBOOK_MAGIC, read_workbook
from sandbox.engine.warning import FileWarnings

__all__ = ["Row", "Sheet", "read_sheet"]


def read_sheet(
    source: Source,
    *,
    delimiter: str | None = None,
    sheet: str | None = None,
    max_bytes: int,
    is_name: Callable[[str], bool] = lambda _: False,
) -> Sheet:
    """Read a workbook's sheet, or delimited text; `is_name` knows the names of fields. Raises UnreadableFileError."""
    warnings = FileWarnings()
    try:
        if size_bytes(source) > max_bytes:
            raise UnreadableFileError("The file is larger than maxFileSize allows.")
        head = head_of(source)
        refuse_by_bytes(head)
        if head.startswith(WORKBOOK_MAGIC):
            return read_workbook(source, head, sheet=sheet, is_name=is_name, warnings=warnings)
        return read_text(source, head, delimiter=delimiter, is_name=is_name, warnings=warnings)
    except OSError:
        raise UnreadableFileError("The file cannot be read.") from None

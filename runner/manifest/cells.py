"""The manifest as a table for spreadsheets: RFC 4180, and no cell that a spreadsheet would run as a formula."""

from __future__ import annotations

import re
from csv import QUOTE_ALL, writer
from io import StringIO
from typing import TYPE_CHECKING, Any

from runner.manifest.lines import CHUNK_BYTES, FIELDS, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.models import Batch, Item

_FORMULA = re.compile(
    "[\\s\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*"  # blank or invisible
    "[=+\\-@\t\r\n"  # what makes a formula, or makes a spreadsheet drop what stands before one
    "\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]"  # full-width and small forms of = + - @
)


async def csv(items: AsyncIterator[Item], batch: Batch) -> AsyncIterator[bytes]:
    """Yield the table in UTF-8 chunks of about 64 KiB: a header row, then a row an item, all cells quoted.

    Columns are those of `line`; absent is empty. A text that starts like a formula gets a leading apostrophe, so the
    table is for people; `jsonl` is the one that loses nothing.
    """
    table = StringIO(newline="")
    rows = writer(table, quoting=QUOTE_ALL, lineterminator="\r\n")
    rows.writerow(FIELDS)
    async for item in items:
        rows.writerow([_cell(value) for value in line(item, batch).values()])
        if table.tell() >= CHUNK_BYTES:
            yield _drained(table)
    yield _drained(table)


def _cell(value: Any) -> Any:
    return f"'{value}" if type(value) is str and _FORMULA.match(value) else value


def _drained(table: StringIO) -> bytes:
    rendered = table.getvalue().encode()
    table.seek(0)
    table.truncate()
    return rendered

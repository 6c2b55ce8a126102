"""The manifest as a table for spreadsheets: RFC 4180, and no cell that a spreadsheet would run as a formula."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.manifest.jsonl import CHUNK_BYTES, FIELDS, line
from runner.sinks.result_array import Chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from runner.models import Batch, Item

_FORMULA = re.compile(
    "[\\s\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*"  # blank or invisible
    "[=+\\-@\t\r\n"  # starts a formula, or makes a spreadsheet drop the characters before one
    "\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]"  # full-width and small forms of = + - @
)


async def csv(items: AsyncIterator[Item], batch: Batch) -> AsyncIterator[bytes]:
    """Yield the table in UTF-8 chunks of about 64 KiB: a header row, then one row per item, all cells quoted.

    Columns are those of `line`; absent is empty. A text that starts like a formula gets a leading apostrophe, so the
    table is for people; only `jsonl` is lossless.
    """
    chunks = Chunks(CHUNK_BYTES, HEADER)
    async for item in items:
        if chunk := chunks.add(csv_row(line(item, batch).values())):
            yield chunk
    if rest := chunks.rest():
        yield rest


def csv_row(values: Iterable[Any]) -> bytes:
    """Render the values of a `line`; joined here because the standard writer takes four times as long."""
    return ('"' + '","'.join([_cell(value) for value in values]) + '"\r\n').encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    inert = f"'{value}" if not value[:1].isalnum() and _FORMULA.match(value) else value
    return inert.replace('"', '""')


HEADER = csv_row(FIELDS)

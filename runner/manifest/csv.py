"""The manifest as a table for spreadsheets: RFC 4180, and no cell that a spreadsheet would run as a formula."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.formatting import shown
from runner.manifest.document import CHUNK_BYTES
from runner.manifest.jsonl import FIELDS, line
from runner.sinks.result_array import Chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from runner.models import Batch, Item

_SEPARATORS = ",;|:^~"
"""What a spreadsheet may take for the separator, besides blanks. Only our commas are quoted for all of them."""

_BLANKS = '\\s"\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0'
"""What a spreadsheet may leave out before a formula: spaces, quotes, and characters without a shape of their own."""

_FORMULA_STARTS = "=+\\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
"""The characters that start a formula, with their full-width and small forms."""

_FORMULA = re.compile(f"[{_FORMULA_STARTS}](?<![^{_SEPARATORS}{_BLANKS}].)")
"""Such a character, unless one that can neither separate nor be left out is before it."""


async def csv(items: AsyncIterator[Item], batch: Batch) -> AsyncIterator[bytes]:
    """Yield the table in UTF-8 chunks of about 64 KiB: a header row, then one row per item, all cells quoted.

    Columns are those of `line`; absent is empty. In a text, an apostrophe is before every character that a spreadsheet
    could take for the start of a formula, whatever it takes for the separator, and characters without a shape of their
    own are escaped. So the table is for people; only `jsonl` is lossless.
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
    if isinstance(value, list):
        value = _reasons(value)
    elif isinstance(value, tuple):
        value = "-".join(map(str, value))
    if not isinstance(value, str):
        return str(value)
    text = value if value.isprintable() else shown(value, spaces=True)
    return _FORMULA.sub(r"'\g<0>", text).replace('"', '""')


def _reasons(reasons: list[dict[str, Any]]) -> str:
    """Return why rows are left out, in one phrase."""
    return "; ".join(f"{one['field'] or 'any field'}: {one['rule']} ({one['count']})" for one in reasons)


HEADER = csv_row(FIELDS)

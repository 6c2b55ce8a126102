"""JSON rows as a sheet: no header, the columns are the fields in order."""

from collections.abc import Sequence
from typing import Any

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.cells import json_text
from sandbox.engine.reading.sheet import Sheet


def sheet_of_json(rows: Sequence[Any], *, keys: Sequence[str]) -> Sheet:
    """Objects keyed by field key, or arrays in field order; what a row lacks is "". Raises UnreadableFileError."""
    return Sheet([_texts(row, keys) for row in rows], keeps_blank=True)


def _texts(row: Any, keys: Sequence[str]) -> list[str]:
    if isinstance(row, dict):
        return [json_text(row.get(key)) for key in keys]
    if isinstance(row, list):
        texts = [json_text(cell) for cell in row[: len(keys)]]
        return texts + [""] * (len(keys) - len(texts))
    raise UnreadableFileError("Rows of JSON must be objects or arrays.")

"""Decoding of `result_metadata`: how many rows the vendor read, and which errors they have, without any cell's value.

The vendor documents `totalRows`, `validRows`, and `invalidRows`, and no form of the errors: those that the sandbox
writes are read (`fieldKey`, `message`, `rowIndex`), and a few likely names besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.masking import Mask
from runner.row_counts import LARGEST_ROW_COUNT, RowError, RowsRead

_ERRORS_READ = 10_000
_KINDS_MOST = 500
_NAME_LIMIT = 60
_MESSAGE_LIMIT = 200
_FIELD_NAMES = ("fieldKey", "field", "key", "column")
_RULE_NAMES = ("rule", "validate", "validator", "code")

_Kind = tuple[str | None, str, str]


def rows_of(value: Any, mask: Mask) -> RowsRead | None:
    """Decode `result_metadata`; None unless it says how many rows were read.

    Of the errors, the first 10,000 are counted. What is odd counts as absent.
    """
    if not isinstance(value, Mapping):
        return None
    rows_in = _row_count(value.get("totalRows"))
    if rows_in is None:
        return None
    return RowsRead(
        rows_in=rows_in, invalid_count=_invalid_count(value, rows_in), errors=_errors(value.get("errors"), mask)
    )


def _row_count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= LARGEST_ROW_COUNT else None


def _invalid_count(value: Mapping[str, Any], rows_in: int) -> int | None:
    invalid, valid = _row_count(value.get("invalidRows")), _row_count(value.get("validRows"))
    if invalid is None and valid is not None:
        invalid = rows_in - valid
    return invalid if invalid is not None and 0 <= invalid <= rows_in else None


def _errors(value: Any, mask: Mask) -> tuple[RowError, ...]:
    """Count the rows of each kind of error; errors beyond `_KINDS_MOST` kinds are counted together."""
    names = _Names(mask)
    rows: dict[_Kind, int] = {}
    last: dict[_Kind, object] = {}
    for error in _entries(value):
        kind = _kind(error, names)
        if kind not in rows and len(rows) >= _KINDS_MOST:
            kind = (None, "", "")
        row = error.get("rowIndex")
        is_same_row = type(row) is int and last.get(kind) == row
        rows[kind] = rows.get(kind, 0) + (not is_same_row)
        last[kind] = row
    return tuple(
        RowError(field=field, rule=rule, message=message, row_count=count)
        for (field, rule, message), count in rows.items()
    )


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    for error in value[:_ERRORS_READ] if isinstance(value, list) else ():
        if isinstance(error, Mapping):
            yield error


def _kind(error: Mapping[str, Any], names: _Names) -> _Kind:
    message = error.get("message")
    return (
        names.first(error, _FIELD_NAMES),
        names.first(error, _RULE_NAMES) or "",
        message[:_MESSAGE_LIMIT] if isinstance(message, str) else "",
    )


class _Names:
    """Reads the names of fields and rules; each name is judged once."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._judged: dict[str, bool] = {}

    def first(self, error: Mapping[str, Any], keys: Sequence[str]) -> str | None:
        """Return the first of some values that can be a name: short, printable, and no secret."""
        return next((value for key in keys if self._is_name(value := error.get(key))), None)

    def _is_name(self, value: Any) -> bool:
        if not isinstance(value, str) or not 0 < len(value) <= _NAME_LIMIT:
            return False
        if value not in self._judged:
            if len(self._judged) >= _KINDS_MOST:
                return False
            self._judged[value] = value.isprintable() and self._mask(value) == value
        return self._judged[value]

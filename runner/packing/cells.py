"""What the cells of a file show to packing: the order of day and month in its dates, and values that must be unique."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from runner.packing.refusals import Refused
from runner.packing.rules import UniqueColumns, UniqueForm
from runner.problems.header_names import plain_name

KEY_BYTES = 8
"""Bytes of the hash that stands for a unique value."""


class DateOrder(StrEnum):
    """What the dates of one column show about its order of day and month; NONE if they show nothing."""

    NONE = "-"
    DAY_FIRST = "d"
    MONTH_FIRST = "m"


_MONTHS = 12
_LONGEST_MONTH_DAYS = 31
_YEAR_FIRST = re.compile(r"\s*\d{4}(?!\d)")
_NUMBERS = re.compile(r"(?<!\d)(\d{1,2})\s*[-/.]\s*(\d{1,2})\s*[-/.]\s*\d{2}")
_NUMBERS_OF_ANY_SCRIPT = re.compile(r"(?<!\d)(\d{1,2})[^\d:]+(\d{1,2})[^\d:]+\d{2}")
_WHOLE_NUMBER = re.compile(r"0|[1-9]\d{0,14}", re.ASCII)


def date_order(cells: Iterable[str], *, field: str) -> DateOrder:
    """Return what the cells of a date column show about its order.

    Raises Refused: `dates_ambiguous` for a cell that is another day in the other order, `dates_mixed` for both orders.
    """
    found = {_order_of(cell, field) for cell in cells if not _YEAR_FIRST.match(cell)} - {DateOrder.NONE}
    if len(found) > 1:
        raise Refused.of("dates_mixed", field)
    return next(iter(found), DateOrder.NONE)


def _order_of(cell: str, field: str) -> DateOrder:
    numbers = _NUMBERS if cell.isascii() else _NUMBERS_OF_ANY_SCRIPT
    orders = {_order(int(one), int(other), field) for one, other in numbers.findall(cell)} - {DateOrder.NONE}
    if len(orders) > 1:
        raise Refused.of("dates_mixed", field)
    return next(iter(orders), DateOrder.NONE)


def _order(first: int, second: int, field: str) -> DateOrder:
    if first <= _MONTHS and second <= _MONTHS:
        if first != second:
            raise Refused.of("dates_ambiguous", field)
        return DateOrder.NONE
    if max(first, second) > _LONGEST_MONTH_DAYS or min(first, second) > _MONTHS:
        return DateOrder.NONE
    return DateOrder.DAY_FIRST if first > second else DateOrder.MONTH_FIRST


def unique_keys(rows: Sequence[Sequence[str]], unique: Iterable[UniqueColumns]) -> bytes:
    """Return 8 bytes for each different value, or combination of values, that no other file of a pack may have.

    Values that the import could take for equal have the same bytes. Raises Refused: `unique_unclear`.
    """
    keys: set[bytes] = set()
    for each in unique:
        keys.update(_keys(rows, each))
    return b"".join(sorted(keys))


def _keys(rows: Sequence[Sequence[str]], unique: UniqueColumns) -> Iterator[bytes]:
    for row in rows:
        values = [_comparable(row[at], form, field) for at, form, field in unique.columns]
        if any(values):
            text = "\0".join((unique.group, *values))
            yield hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def _comparable(cell: str, form: UniqueForm, field: str) -> str:
    """Return a text that is the same for all cells that may be equal; "" for a blank cell."""
    text = cell.strip()
    if form is UniqueForm.WHOLE_NUMBER:
        if text and not _WHOLE_NUMBER.fullmatch(text):
            raise Refused.of("unique_unclear", field)
        return text
    return plain_name(text) or unicodedata.normalize("NFKC", text).casefold()


def keys_of(unique_keys: bytes) -> set[bytes]:
    """Return the single keys of what `unique_keys` returned."""
    return {unique_keys[at : at + KEY_BYTES] for at in range(0, len(unique_keys), KEY_BYTES)}

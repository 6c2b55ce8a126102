"""The text of a cell in a workbook or a JSON document."""

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

_EXACT_MAX = 2**53
_ROUNDED_DIGITS = 15
"""A larger number with more digits than these was rounded while it was read."""

_PLAIN_NUMBER_BELOW = 1e21


def cell_text(value: Any) -> str:
    """Return the text of a workbook's cell: numbers at their shortest, ISO dates, TRUE and FALSE, "" for nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return number_text(value)
    return "" if value is None else _moment_text(value)


def json_text(value: Any) -> str:
    """Return a JSON value as JavaScript's String() writes it, but null as ""."""
    if isinstance(value, list):
        return ",".join(map(_leaf_text, json_leaves(value)))
    return _leaf_text(value)


def number_text(value: float) -> str:
    """Return a number in its shortest form, as JavaScript writes it."""
    if isinstance(value, int):
        return str(value) if abs(value) <= _EXACT_MAX else number_text(_double(value))
    if value.is_integer() and abs(value) < _PLAIN_NUMBER_BELOW:
        return str(int(value) if abs(value) <= _EXACT_MAX else int(Decimal(repr(value))))
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    power = int(exponent)
    if -7 < power < 0:
        return f"{value:.{len(mantissa.lstrip('-').replace('.', '')) - 1 - power}f}"
    return f"{mantissa}e{power:+d}"


def loses_digits(value: Any) -> bool:
    """Return whether a JSON value is a whole number beyond 2^53 of which JavaScript keeps only the first digits."""
    if type(value) is int:
        return abs(value) > _EXACT_MAX and number_text(value) != str(value)
    if type(value) is not float or abs(value) <= _EXACT_MAX or math.isinf(value):
        return False
    return len(repr(value).partition("e")[0].strip("-0.").replace(".", "")) > _ROUNDED_DIGITS


def _double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _leaf_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN is not itself
        return "NaN"
    return cell_text(value)


def json_leaves(values: list[Any]) -> list[Any]:
    """Flatten nested JSON arrays without recursion; an empty one is one empty leaf."""
    leaves: list[Any] = []
    waiting = [values]
    while waiting:
        value: Any = waiting.pop()
        if isinstance(value, list) and value:
            waiting.extend(reversed(value))
        else:
            leaves.append(None if isinstance(value, list) else value)
    return leaves


def _moment_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat("T", "seconds")
    if isinstance(value, timedelta):
        return _duration_text(value)
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _duration_text(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"

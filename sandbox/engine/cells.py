"""Cell values and their errors: the field types string, number and email, the validators required and unique.

Every other type is taken as text for now (its empty cell is null), every other validator as satisfied.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_MAX_SAFE_INTEGER = 2**53 - 1
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s*\$?\s*(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)"
    r"(?P<exponent>[eE][-+]?\d{1,3})?\s*(?P<scale>[kKmMbBtT%]?)",
    re.ASCII,
)
_SCALE_EXPONENTS = {"": 0, "%": -2, "k": 3, "m": 6, "b": 9, "t": 12}
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*\.(?!\d+$){_LABEL}")


class CellError(Exception):
    """A cell's text is no value of its field's type; the text is the sentence to show."""


@dataclass(frozen=True)
class Column:
    """A field's cells: values (None where invalid), the texts they came from, and (row, message) errors in order."""

    values: list[Any]
    texts: list[str]
    errors: list[tuple[int, str]]


def check_column(texts: list[str], *, field: Mapping[str, Any]) -> Column:
    """Parse one field's cells, then apply its validators; `errors` holds the type errors first."""
    parse = _PARSERS.get(type_name(field), _parse_other)
    values: list[Any] = []
    errors: list[tuple[int, str]] = []
    for row, text in enumerate(texts):
        try:
            values.append(parse(text))
        except CellError as error:
            values.append(None)
            errors.append((row, str(field.get("invalidValueMessage") or error)))
    for validator in field.get("validators") or ():
        check = _VALIDATORS.get(str(validator.get("validate")))
        if check is not None and validator.get("level", "error") == "error":
            rows, message = check(texts, values, field)
            errors += [(row, str(validator.get("errorMessage") or message)) for row in rows]
    return Column(values, texts, errors)


def type_name(field: Mapping[str, Any]) -> str:
    """The type without its options; string where none is given."""
    given = field.get("type") or "string"
    return str(given[0] if isinstance(given, list) else given)


def is_required(field: Mapping[str, Any]) -> bool:
    return any(validator.get("validate") == "required" for validator in field.get("validators") or ())


def parse_number(text: str) -> int | float | None:
    """An en-US number: thousands in threes, `$`, accounting parentheses, `%`, k/m/b/t, an exponent. Empty is None."""
    text = text.strip()
    if not text:
        return None
    negative = text.startswith("(") and text.endswith(")")
    match = _NUMBER.fullmatch(text[1:-1].strip() if negative else text)
    if match is None or (negative and match["sign"]):
        raise CellError("This is not a number.")
    value = Decimal(match["digits"].replace(",", "") + (match["exponent"] or ""))
    value = value.scaleb(_SCALE_EXPONENTS[match["scale"].lower()])
    number = float(-value if negative or match["sign"] == "-" else value)
    if math.isinf(number):
        raise CellError("This number is too large.")
    return int(number) if number.is_integer() and abs(number) <= _MAX_SAFE_INTEGER else number


def parse_email(text: str) -> str | None:
    """An address by the grammar of HTML, with a dot in its host and a host that is no IP address."""
    text = text.strip()
    if text and not _EMAIL.fullmatch(text):
        raise CellError("This is not an email address.")
    return text or None


def _parse_other(text: str) -> str | None:
    return text.strip() or None


_PARSERS: dict[str, Callable[[str], Any]] = {"string": str, "number": parse_number, "email": parse_email}

_Check = Callable[[Sequence[str], Sequence[Any], Mapping[str, Any]], tuple[list[int], str]]


def _required(texts: Sequence[str], _values: Sequence[Any], field: Mapping[str, Any]) -> tuple[list[int], str]:
    missing = [] if type_name(field) == "checkbox" else [row for row, text in enumerate(texts) if not text.strip()]
    return missing, "A value is required."


def _unique(texts: Sequence[str], values: Sequence[Any], _field: Mapping[str, Any]) -> tuple[list[int], str]:
    present = [value if text.strip() else None for text, value in zip(texts, values, strict=True)]
    counts = Counter(value for value in present if value is not None)
    return [row for row, value in enumerate(present) if counts[value] > 1], "This value occurs more than once."


_VALIDATORS: dict[str, _Check] = {"required": _required, "unique": _unique}

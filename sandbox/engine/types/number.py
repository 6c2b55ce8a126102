"""The type number: how a number is read, rounded, limited, and written."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sandbox.engine.types import marks
from sandbox.engine.types.kind import CellError, CellMemo, Kind, Options
from sandbox.engine.types.number_format import Format, decimal_of, format_number, round_half_away

MAX_SAFE_INTEGER = 2**53 - 1
_WHOLE_BELOW = 2**63
_FAST_DIGITS = 15
_COMMON = r"(-?\d{1,15}|[1-9]\d{0,2}(?:,\d{3})+)(\.\d{1,15})?"
_NUMBER = re.compile(
    r"(?P<digits>(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?P<exponent>[eE][-+]?\d{1,3})?\s*(?P<scale>[kKmMbBtT%]?)",
    re.ASCII,
)
_ZERO_GROUP = re.compile(r"[^\d.,]*0\d{0,2}(?:,\d{3})+(?:\.\d*)?[^\d.,]*")
_DECIMAL_COMMA = re.compile(
    r"[^\d.,]*(?:0\d*,\d{3}|\d+,(?:\d{1,2}|\d{4,})|\d{4,},\d{3}"
    r"|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?:[ '\u2019\u00a0\u202f]\d{3})+,\d+)[^\d.,]*"
)
_DECIMAL_POINT = re.compile(
    r"[^\d.,]*(?:[\d,]*\.(?:\d{1,2}|\d{4,})|0?\.\d+|\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,})[^\d.,]*"
)
_GROUP = re.compile(r"[^\d.,]*[1-9]\d{0,2}[.,]\d{3}[^\d.,]*")
_ID_MIN = 10**11
"""Spreadsheets write whole numbers of twelve digits and more with an exponent."""

_PERCENT_OUTSIDE = re.compile(r"\(([^()%]*)\)\s*%")
_SCALE_EXPONENTS = {"": 0, "%": -2, "k": 3, "m": 6, "b": 9, "t": 12}


def _money(symbol: str, position: str, **more: Any) -> tuple[Format, int]:
    spec = {"output": "currency", "mantissa": 2, "thousandSeparated": True, "spaceSeparatedCurrency": True}
    return spec | {"currencySymbol": symbol, "currencyPosition": position} | more, 2


def _presets() -> dict[str, tuple[Format, int | None]]:
    """Return the display format of each preset, and the decimals that it rounds to."""
    presets: dict[str, tuple[Format, int | None]] = {
        "default": ({"thousandSeparated": True}, None),
        "integer": ({"thousandSeparated": True, "mantissa": 0}, 0),
        "plain": ({}, None),
        "percent": ({"output": "percent"}, None),
        "usd": _money("$", "prefix"),
        "usd_accounting": _money("$", "prefix", negative="parenthesis"),
        "eur": _money("€", "postfix"),
        "gbp": _money("£", "prefix"),
    }
    for decimals in range(5):
        presets[f"decimal_{decimals}"] = ({"thousandSeparated": True, "mantissa": decimals}, decimals)
        spec = {"output": "percent", "mantissa": decimals}
        presets[f"percent_{decimals}"] = (spec, decimals + 2)
    return presets


PRESETS = _presets()
FORMAT_OUTPUTS = ("number", "currency", "percent", "byte", "time", "ordinal")


class NumberKind(Kind):
    """An en-US number; options: a preset's name, or preset, round, displayFormat, outputFormat, min, and max."""

    is_texty = False

    def __init__(self, options: str | Options | None) -> None:
        super().__init__()
        given: dict[str, Any] = {"preset": options} if isinstance(options, str) else dict(options or {})
        preset_format, preset_decimals = PRESETS[str(given.get("preset") or "default")]
        self._format = _format_of(given.get("displayFormat")) or preset_format
        self._decimals: int | None = given["round"] if given.get("round") is not None else preset_decimals
        self._min, self._max = given.get("min"), given.get("max")
        self._bounded = self._min is not None or self._max is not None
        self._symbol = str(self._format.get("currencySymbol") or "$")
        self._common = re.compile(rf"(?:{re.escape(self._symbol)} ?)?{_COMMON}", re.ASCII)
        output_format = _format_of(given.get("outputFormat"))
        if output_format is not None:
            self.to_output = lambda value: None if value is None else format_number(value, output_format)
        self.to_display = lambda value: format_number(value, self._format)

    def column(self, texts: Sequence[str], memo: CellMemo) -> Sequence[Any]:
        if self._bounded or (self._decimals is not None and self._decimals < 0):
            return super().column(texts, memo)
        most = _FAST_DIGITS if self._decimals is None else self._decimals
        match = self._common.fullmatch
        values: list[Any] = []
        for text in texts:
            if text.isdecimal() and len(text) <= _FAST_DIGITS and text.isascii():
                values.append(int(text))
                continue
            found = match(text)
            if found is None or not found[2] or len(found[2]) - 1 > most or len(found[1]) > _FAST_DIGITS:
                values.append(memo[text])
            else:
                values.append(_number(float(found[1].replace(",", "") + found[2])))
        return values

    def parse(self, text: str) -> int | float:
        plain = self._common.fullmatch(text)
        if plain is None:
            return self._checked(self._shortened(self._exact(text)))
        digits = plain[1].replace(",", "")
        fraction = plain[2] or ""
        shown = max(len(fraction) - 1, 0)
        if len(digits) > _FAST_DIGITS or (self._decimals is not None and shown > self._decimals):
            return self._checked(self._shortened(Decimal(digits + fraction)))
        value = _number(float(digits + fraction))
        return self._checked(value) if self._bounded else value

    def _exact(self, text: str) -> Decimal:
        sign, digits = self._bare(text)
        match = _NUMBER.fullmatch(digits)
        if match is None:
            self._notice_commas(text)
            raise CellError("number")
        value = Decimal(match["digits"].replace(",", "") + (match["exponent"] or ""))
        if match["exponent"] and abs(value) >= _ID_MIN:
            self.noticed.add(marks.SCIENTIFIC)
        return value.scaleb(_SCALE_EXPONENTS[match["scale"].lower()]) * sign

    def _notice_commas(self, text: str) -> None:
        if _ZERO_GROUP.fullmatch(text):
            self.noticed.add(marks.ZERO_GROUP)
        if _DECIMAL_COMMA.fullmatch(text):
            self.noticed.add(marks.DECIMAL_COMMA)

    def notices(self, text: str) -> set[str]:
        found = super().notices(text)
        if _GROUP.fullmatch(text):
            found.add(marks.GROUP)
        elif _DECIMAL_POINT.fullmatch(text):
            found.add(marks.DECIMAL_POINT)
        return found

    def _bare(self, text: str) -> tuple[int, str]:
        """Return the sign, and the text without sign, parentheses, currency symbol, and the format's own affixes."""
        text = _without(text, str(self._format.get("prefix") or ""), str(self._format.get("postfix") or ""))
        if text.startswith("%") and self._format.get("prefixSymbol"):
            text = f"{text[1:].lstrip()}%"
        if outside := _PERCENT_OUTSIDE.fullmatch(text):
            text = f"({outside[1]}%)"
        sign, text = _sign(text)
        currency = text.startswith(self._symbol) or text.endswith(self._symbol)
        if currency:
            text = _without_symbol(text, self._symbol)
        if text[:1] in ("-", "+") and currency and not sign:
            sign, text = _sign(text)
        if text.startswith("(") and text.endswith(")") and not sign:
            sign, text = -1, text[1:-1].strip()
            text = text if currency else _without_symbol(text, self._symbol)
        return sign or 1, text

    def _shortened(self, value: Decimal) -> int | float:
        """Round, then return the nearest double, as an int if it is whole. Raises CellError if it is too large."""
        number = float(value if self._decimals is None else round_half_away(value, self._decimals))
        if number in (float("inf"), float("-inf")):
            raise CellError("number-size")
        if abs(number) > MAX_SAFE_INTEGER and decimal_of(number) != value:
            self.noticed.add(marks.DIGITS_LOST)
        return _number(number)

    def _checked(self, value: float) -> int | float:
        if self._min is not None and value < self._min:
            raise CellError("min", min=format_number(self._min, self._format))
        if self._max is not None and value > self._max:
            raise CellError("max", max=format_number(self._max, self._format))
        return value


def _number(value: float) -> int | float:
    """Return a whole number as an int with the digits that JavaScript prints, within the range of the JSON writer."""
    if not value.is_integer() or abs(value) >= _WHOLE_BELOW:
        return value
    return int(value) if abs(value) <= MAX_SAFE_INTEGER else int(decimal_of(value))


def _format_of(given: Any) -> Format | None:
    if given is None:
        return None
    return PRESETS[given][0] if isinstance(given, str) else given


def _sign(text: str) -> tuple[int, str]:
    if text[:1] in ("-", "+"):
        return (-1 if text[0] == "-" else 1), text[1:].lstrip()
    return 0, text


def _without_symbol(text: str, symbol: str) -> str:
    if text.startswith(symbol):
        return text[len(symbol) :].lstrip()
    return text.removesuffix(symbol).rstrip()


def _without(text: str, prefix: str, postfix: str) -> str:
    if prefix and text.startswith(prefix):
        text = text[len(prefix) :].strip()
    return text.removesuffix(postfix).strip() if postfix else text

"""Writes a number by a format object: grouping, decimals, averages, percent, currency, bytes, time, ordinals.

The format's keys are those of the vendor's number options. As there, halves round up. Unlike there, a number that
rounds to zero has no sign, and the noise of a double is not written.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

_SCALES = (("trillion", "t", 12), ("billion", "b", 9), ("million", "m", 6), ("thousand", "k", 3))
_BYTES = {"decimal": (1000, "B KB MB GB TB PB EB ZB YB"), "binary": (1024, "B KiB MiB GiB TiB PiB EiB ZiB YiB")}
_ORDINALS = {Decimal(1): "st", Decimal(2): "nd", Decimal(3): "rd"}
_MAX_DECIMALS = 100
_BARE_CURRENCY = {
    "thousandSeparated": True,
    "totalLength": 4,
    "spaceSeparated": True,
    "spaceSeparatedCurrency": True,
}

Format = Mapping[str, Any]


def format_number(value: float, spec: Format) -> str:
    """Return `value` as `spec` describes it, by the rules of en-US."""
    writer = _WRITERS.get(str(spec.get("output")), _plain)
    return f"{spec.get('prefix') or ''}{writer(decimal_of(value), spec)}{spec.get('postfix') or ''}"


def decimal_of(value: float) -> Decimal:
    """Return the number that a double's shortest text names."""
    return Decimal(repr(value))


def round_half_away(value: Decimal, decimals: int) -> Decimal:
    """Round `value` to `decimals` (negative: tens, hundreds), halves away from zero."""
    return _round(value, decimals, ROUND_HALF_UP)


def _round(value: Decimal, decimals: int, rounding: str) -> Decimal:
    if value.adjusted() + decimals > 26:
        return value
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=rounding)


def _currency(value: Decimal, spec: Format) -> str:
    if len(spec) == 1:
        spec = _BARE_CURRENCY
    symbol = str(spec.get("currencySymbol") or "$")
    space = " " if spec.get("spaceSeparatedCurrency", spec.get("spaceSeparated")) else ""
    position = spec.get("currencyPosition") or "prefix"
    spec = {"lowPrecision": False, **spec}
    if position == "infix":
        return _plain(value, spec, point=f"{space}{symbol}{space}")
    text = _plain(value, spec)
    if position == "postfix":
        return f"{text}{'' if _averages(spec) and not spec.get('spaceSeparatedAbbreviation') else space}{symbol}"
    if text[:1] in ("-", "+"):
        return f"{text[0]}{space}{symbol}{text[1:]}"
    return f"{symbol}{space}{text}"


def _percent(value: Decimal, spec: Format) -> str:
    space = " " if spec.get("spaceSeparated") else ""
    text = _plain(value.scaleb(2), spec)
    return f"%{space}{text}" if spec.get("prefixSymbol") else f"{text}{space}%"


def _byte(value: Decimal, spec: Format) -> str:
    scale, names = _BYTES["decimal" if spec.get("base") == "decimal" else "binary"]
    suffixes = (names if spec.get("base") == "binary" else _BYTES["decimal"][1]).split()
    power = 0
    while abs(value) >= scale and power < len(suffixes) - 1:
        value, power = decimal_of(float(value) / scale), power + 1
    return f"{_plain(value, spec)}{' ' if spec.get('spaceSeparated') else ''}{suffixes[power]}"


def _time(value: Decimal, _spec: Format) -> str:
    seconds = int(round_half_away(abs(value), 0))
    sign = "-" if value < 0 else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _ordinal(value: Decimal, spec: Format) -> str:
    suffix = "th" if value % 100 in (11, 12, 13) else _ORDINALS.get(value % 10, "th")
    return f"{_plain(value, spec)}{' ' if spec.get('spaceSeparated') else ''}{suffix}"


def _plain(value: Decimal, spec: Format, *, point: str = ".") -> str:
    if spec.get("totalLength"):
        spec = {**spec, "characteristic": 0, "optionalMantissa": False}
    value, abbreviation, decimals = _scaled(value, spec)
    if spec.get("exponential"):
        value, abbreviation = _exponential(value, spec, abbreviation)
    text = _with_decimals(value, spec, decimals)
    whole, _, fraction = text.partition(".")
    sign = _sign(value, spec) if text.strip("0.") else ""
    whole = _grouped(_padded(whole, spec), spec)
    text = f"{whole}{point}{fraction}" if fraction else whole
    return f"({text}{abbreviation})" if sign == "(" else f"{sign}{text}{abbreviation}"


def _averages(spec: Format) -> bool:
    return bool(spec.get("average") or spec.get("forceAverage") or spec.get("totalLength"))


def _scaled(value: Decimal, spec: Format) -> tuple[Decimal, str, int | None]:
    """Return the number in thousands, millions, and so on if the format asks for it, its letter, and its decimals."""
    mantissa = spec.get("mantissa")
    decimals = None if mantissa is None or int(mantissa) < 0 else min(int(mantissa), _MAX_DECIMALS)
    if not _averages(spec):
        return value, "", decimals
    name, exponent = _scale(value, spec)
    value = value.scaleb(-exponent)
    total = spec.get("totalLength")
    if total:
        decimals = max(int(total) - len(str(int(abs(value)))), 0)
    elif decimals is None:
        decimals = 0
    letter = str((spec.get("abbreviations") or {}).get(name) or next((s for n, s, _ in _SCALES if n == name), ""))
    space = " " if letter and spec.get("spaceSeparated") else ""
    return value, space + letter, decimals


def _scale(value: Decimal, spec: Format) -> tuple[str, int]:
    forced = spec.get("forceAverage")
    low = spec.get("lowPrecision", True)
    for name, _, exponent in _SCALES:
        reached = abs(value) >= Decimal(10) ** exponent
        nearly = low and round_half_away(abs(value).scaleb(-exponent), 0) == 1
        if forced == name or (not forced and (reached or nearly)):
            return name, exponent
    return "", 0


def _exponential(value: Decimal, spec: Format, abbreviation: str) -> tuple[Decimal, str]:
    exponent = value.adjusted() if value else 0
    exponent -= max(int(spec.get("characteristic") or 0) - 1, 0)
    return value.scaleb(-exponent), f"e{exponent:+d}{abbreviation}"


def _with_decimals(value: Decimal, spec: Format, decimals: int | None) -> str:
    """Return the digits of `value` without its sign."""
    if decimals is None:
        return _shortest(abs(value))
    text = f"{abs(_round(value, decimals, ROUND_HALF_DOWN if value < 0 else ROUND_HALF_UP)):f}"
    whole, _, fraction = text.partition(".")
    if fraction.strip("0") == "" and (spec.get("optionalMantissa") or spec.get("trimMantissa")):
        return whole
    if spec.get("trimMantissa"):
        fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _shortest(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _padded(whole: str, spec: Format) -> str:
    if spec.get("optionalCharacteristic") and whole == "0":
        return ""
    return whole if spec.get("exponential") else whole.zfill(int(spec.get("characteristic") or 0))


def _grouped(whole: str, spec: Format) -> str:
    if not spec.get("thousandSeparated") or not whole:
        return whole
    head = len(whole) % 3
    groups = [whole[at : at + 3] for at in range(head, len(whole), 3)]
    return ",".join([whole[:head], *groups] if head else groups)


def _sign(value: Decimal, spec: Format) -> str:
    if value < 0:
        return "(" if spec.get("negative") == "parenthesis" else "-"
    return "+" if spec.get("forceSign") else ""


_WRITERS = {
    "currency": _currency,
    "percent": _percent,
    "byte": _byte,
    "time": _time,
    "ordinal": _ordinal,
}

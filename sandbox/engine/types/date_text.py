"""Reads the many ways in which people write a date, a time, or both; ambiguous dates are left to the caller."""

import re
from dataclasses import dataclass
from datetime import date, time
from functools import cache

from sandbox.engine.types.locales import ENGLISH, Conventions

_CENTURY_PIVOT = 60
_WORD = r"[^\W\d_]+"
_ZONE = r"(?:Z|UTC?|GMT|[ECMP][SD]T|(?:GMT|UTC)?[-+]\d\d:?(?:\d\d)?)"
_CLOCK = re.compile(
    r"(?:^|(?<=\d)T|[\s,]\s*(?:at\s+)?)T?(?P<hour>\d{1,2})"
    r"(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d{1,9})?)?)?"
    rf"\s*(?P<half>[ap]\.?m\.?)?\s*{_ZONE}?\s*(?:\([^()]*\)|\[[^\[\]]*\])?$",
    re.IGNORECASE,
)
_BASIC_CLOCK = re.compile(
    rf"(?:^|(?<=\d))T(?P<hour>\d\d)(?:(?P<minute>\d\d)(?P<second>\d\d)?(?:[.,]\d{{1,9}})?)?{_ZONE}?$", re.IGNORECASE
)
_YEAR_BEHIND_CLOCK = re.compile(r"(.*\d)\s+(\d\d:\d\d(?::\d\d)?)\s+(?:[A-Z]{3,4}\s+)?(\d{4})")
_YEAR_FIRST = re.compile(r"(\d{4})\s?([-/.])\s?(\d{1,2})\s?\2\s?(\d{1,2})\.?")
_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)")
_WEEK = re.compile(r"(\d{4})-?W(\d\d)-?([1-7])")
_ORDINAL = re.compile(r"(\d{4})-(\d{3})")
_YEAR_LAST = re.compile(r"(\d{1,2})\s?([-/.])\s?(\d{1,2})\s?\2\s?(\d{4}|\d\d)\.?")
_DAY_NAME_YEAR = re.compile(
    rf"(\d{{1,2}})(?:st|nd|rd|th|\.|º|er)?[\s/-]*(?:(?:of|de)\s+)?({_WORD})\.?,?[\s/-]*(?:(?:de|del)\s+)?'?(\d{{4}}|\d\d)",
    re.IGNORECASE,
)
_NAME_DAY_YEAR = re.compile(rf"({_WORD})\.?[\s/-]*(\d{{1,2}})(?:st|nd|rd|th)?[\s,/-]+'?(\d{{4}}|\d\d)", re.IGNORECASE)
_YEAR_NAME_DAY = re.compile(rf"(\d{{4}})[\s/-]+({_WORD})\.?[\s/-]+(\d{{1,2}})", re.IGNORECASE)
_LEADING_WORD = re.compile(rf"({_WORD})\.?,?\s+")
_EASTERN = str.maketrans({"年": "-", "月": "-", "日": "", "년": "-", "월": "-", "일": ""})

_ISO_DATE = r"(?:\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d-?[1-7]|\d{4}-\d{3})"
_ISO = re.compile(rf"{_ISO_DATE}(?:[T ][\d:.,]+(?:Z|[-+]\d\d:?(?:\d\d)?)?)?|T?\d\d:\d\d[\d:.,]*(?:Z|[-+]\d\d:?\d\d)?")
_RFC_2822 = re.compile(
    rf"(?:[A-Z][a-z]{{2}},\s*)?\d{{1,2}}\s[A-Z][a-z]{{2}}\s\d{{2,4}}(?:\s\d\d:\d\d(?::\d\d)?\s*{_ZONE}?(?:\s\([^()]*\))?)?"
)


@dataclass(frozen=True, slots=True)
class NumericDate:
    """Two numbers and a year; either number may be the day."""

    first: int
    second: int
    year: int


def is_standard(text: str) -> bool:
    """Return whether the text follows ISO 8601 or RFC 2822."""
    return bool(_ISO.fullmatch(text) or _RFC_2822.fullmatch(text))


def split_moment(text: str, rules: Conventions) -> tuple[str, time | None]:
    """Split off the time of day: return the rest of `text` and the time (None if there is none), without its zone.

    Raises ValueError for a time that does not exist.
    """
    if rules is not ENGLISH:
        text = _with_latin_halves(text, rules)
    if behind := _YEAR_BEHIND_CLOCK.fullmatch(text):
        text = f"{behind[1]} {behind[3]} {behind[2]}"
    match = _CLOCK.search(text)
    if match is None or not (match["minute"] or match["half"]):
        match = _BASIC_CLOCK.search(text)
    if match is None:
        return text, None
    return text[: match.start()].strip().rstrip(","), _clock(match.groupdict())


def read_date(text: str, rules: Conventions) -> date | NumericDate | None:
    """Return the date in `text`, or None. Raises ValueError for a date that does not exist."""
    if not text.isascii():
        text = text.translate(_EASTERN)
    if match := _YEAR_LAST.fullmatch(text):
        day = _short_year_first(match) if rules.date.startswith("y") else None
        return day or NumericDate(int(match[1]), int(match[3]), full_year(match[4]))
    if match := _YEAR_FIRST.fullmatch(text):
        return date(int(match[1]) - _shift(match[1], rules), int(match[3]), int(match[4]))
    if match := _BASIC.fullmatch(text):
        return date(int(match[1]), int(match[2]), int(match[3]))
    if match := _WEEK.fullmatch(text):
        return date.fromisocalendar(int(match[1]), int(match[2]), int(match[3]))
    if match := _ORDINAL.fullmatch(text):
        return _day_of_year(int(match[1]), int(match[2]))
    return _named_date(text, rules)


def full_year(text: str) -> int:
    """Read a year of four digits, or of two: 00-60 are after 2000."""
    year = int(text)
    if len(text) == 4:
        return year
    return year + (2000 if year <= _CENTURY_PIVOT else 1900)


def _named_date(text: str, rules: Conventions) -> date | None:
    months = _months(rules)
    text = _without_weekday(text, rules)
    if match := _DAY_NAME_YEAR.fullmatch(text):
        day, name, year = match.groups()
    elif match := _NAME_DAY_YEAR.fullmatch(text):
        name, day, year = match.groups()
    elif match := _YEAR_NAME_DAY.fullmatch(text):
        year, name, day = match.groups()
    else:
        return None
    month = months.get(name.casefold())
    return date(full_year(year) - _shift(year, rules), month, int(day)) if month else None


def _short_year_first(match: re.Match[str]) -> date | None:
    """Read three numbers as year, month, and day if the year has two digits and the day exists."""
    year, _, month, day = match.groups()
    if len(year) != 2 or len(day) != 2:
        return None
    try:
        return date(full_year(year), int(month), int(day))
    except ValueError:
        return None


def _shift(year: str, rules: Conventions) -> int:
    return rules.year_shift if len(year) == 4 and int(year) > 2400 else 0


def _day_of_year(year: int, number: int) -> date:
    found = date.fromordinal(date(year, 1, 1).toordinal() + number - 1)
    if number < 1 or found.year != year:
        raise ValueError("no such day of the year")
    return found


def _without_weekday(text: str, rules: Conventions) -> str:
    match = _LEADING_WORD.match(text)
    return text[match.end() :] if match and match[1].casefold() in _weekdays(rules) else text


@cache
def _months_of(names_of_rules: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    found = {"sept": 9}
    for names in names_of_rules:
        for at, name in enumerate(names):
            found.setdefault(name.casefold().rstrip("."), at + 1)
    return found


def _months(rules: Conventions) -> dict[str, int]:
    named = (rules.months, rules.months_alone, ENGLISH.months)
    return _months_of(tuple(names for each in named for names in (each.wide, each.short)))


@cache
def _weekdays_of(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.casefold().rstrip(".") for name in names) | {"tues", "wednes", "thur", "thurs"}


def _weekdays(rules: Conventions) -> frozenset[str]:
    return _weekdays_of(rules.weekdays.all + rules.weekdays_alone.all + ENGLISH.weekdays.all)


def _with_latin_halves(text: str, rules: Conventions) -> str:
    """Replace a locale's own words for before and after noon with AM and PM after the time."""
    for word, latin in zip(rules.am_pm, ("AM", "PM"), strict=True):
        if word.upper() != latin and word in text:
            head, _, tail = text.partition(word)
            return f"{head.rstrip()} {tail.strip()} {latin}".strip()
    return text


def _clock(parts: dict[str, str | None]) -> time:
    hour = int(parts["hour"] or 0)
    half = (parts.get("half") or "").lower().replace(".", "")
    if half:
        if not 1 <= hour <= 12:
            raise ValueError("not an hour from 1 to 12")
        hour = hour % 12 + (12 if half == "pm" else 0)
    return time(hour, int(parts.get("minute") or 0), int(parts.get("second") or 0))

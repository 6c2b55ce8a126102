"""How a locale writes dates and times: patterns, names, digits. en-US is built in, others come from Babel."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.libraries import library

DEFAULT_LOCALE = "en-US"
_ZERO_DIGITS = {
    "arab": 0x660,
    "arabext": 0x6F0,
    "beng": 0x9E6,
    "deva": 0x966,
    "mymr": 0x1040,
    "tibt": 0xF20,
}
_TWELVE_HOURS = {"zh"}  # the vendor's display table has these so; newer data of Unicode write 24 hours
_BUDDHIST = {"th"}
_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u061c"))
_SPACES = dict.fromkeys(map(ord, "\u202f\u00a0\u2009"), " ")


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """A locale's habits. Patterns are Unicode's; `dates` has medium, long and full; names begin with January, Monday.

    `zero` is the code point of its digit 0; `year_shift` is what it adds to the year where it writes whole dates.
    """

    date: str
    time: str
    seconds: str
    joined: str
    dates: dict[str, str]
    months: tuple[str, ...]
    months_short: tuple[str, ...]
    months_alone: tuple[str, ...]
    months_short_alone: tuple[str, ...]
    weekdays: tuple[str, ...]
    weekdays_short: tuple[str, ...]
    am_pm: tuple[str, str]
    zero: int = ord("0")
    year_shift: int = 0

    @property
    def is_day_first(self) -> bool:
        """Whether the day stands before the month where the year comes last; also where the year comes first."""
        return self.date.index("d") < self.date.index("M") or self.date.index("y") < self.date.index("M")


_EN_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_EN_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ENGLISH = Conventions(
    date="M/d/y",
    time="h:mm a",
    seconds="h:mm:ss a",
    joined="{1}, {0}",
    dates={"medium": "MMM d, y", "long": "MMMM d, y", "full": "EEEE, MMMM d, y"},
    months=_EN_MONTHS,
    months_short=tuple(name[:3] for name in _EN_MONTHS),
    months_alone=_EN_MONTHS,
    months_short_alone=tuple(name[:3] for name in _EN_MONTHS),
    weekdays=_EN_WEEKDAYS,
    weekdays_short=tuple(name[:3] for name in _EN_WEEKDAYS),
    am_pm=("AM", "PM"),
)


class UnknownLocaleError(EngineError):
    """A field names a locale that nobody knows."""


@cache
def conventions(tag: str) -> Conventions:
    """The habits of a locale such as `de-DE`. Raises UnknownLocaleError and MissingLibraryError."""
    if tag in (DEFAULT_LOCALE, "en"):
        return ENGLISH
    babel = library("babel", package="babel", purpose="knows locales other than en-US")
    try:
        locale = babel.Locale.parse(tag.replace("-", "_"))
    except (ValueError, TypeError, babel.UnknownLocaleError):
        raise UnknownLocaleError(f'"{tag[:40]}" is not a known locale.') from None
    return _from_babel(locale)


def plain_digits(text: str) -> str:
    """`text` with ASCII digits, plain blanks and no marks of direction."""
    if text.isascii():
        return text
    text = text.translate(_MARKS).translate(_SPACES)
    return "".join(str(int(char)) if char.isdecimal() else char for char in text)


def _from_babel(locale: Any) -> Conventions:
    formats = {length: str(locale.date_formats[length].pattern) for length in ("medium", "long", "full")}
    numeric = locale.datetime_skeletons.get("yMd")
    time, seconds = (_plain(locale.time_formats[length].pattern) for length in ("short", "medium"))
    if locale.language in _TWELVE_HOURS:
        time, seconds = (_plain(locale.datetime_skeletons[name].pattern) for name in ("hm", "hms"))
    names, alone = locale.months["format"], locale.months["stand-alone"]
    days, halves = locale.days["format"], locale.day_periods["format"]
    periods = halves.get("abbreviated") or halves["wide"]
    return Conventions(
        date=_plain(numeric.pattern if numeric else locale.date_formats["short"].pattern),
        time=time,
        seconds=seconds,
        joined=_plain(locale.datetime_formats["short"]),
        dates={length: _plain(pattern) for length, pattern in formats.items()},
        months=_in_order(names["wide"], first=1),
        months_short=_in_order(names["abbreviated"], first=1),
        months_alone=_in_order(alone["wide"], first=1),
        months_short_alone=_in_order(alone["abbreviated"], first=1),
        weekdays=_in_order(days["wide"], first=0),
        weekdays_short=_in_order(days["abbreviated"], first=0),
        am_pm=(str(periods.get("am", "AM")), str(periods.get("pm", "PM"))),
        zero=_ZERO_DIGITS.get(locale.default_numbering_system, ord("0")),
        year_shift=543 if locale.language in _BUDDHIST else 0,
    )


def _in_order(names: Any, *, first: int) -> tuple[str, ...]:
    return tuple(str(names[at]) for at in range(first, first + len(names)))


def _plain(pattern: Any) -> str:
    return str(pattern).translate(_MARKS).translate(_SPACES)

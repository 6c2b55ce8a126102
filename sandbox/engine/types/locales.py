"""How a locale writes dates and times: patterns, names, and digits. en-US is built in; others come from Babel."""

from copy import deepcopy
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
_TWELVE_HOURS = {"zh"}  # as in the vendor's display table; newer Unicode data writes 24 hours
_LATIN_WHEN_SHORT = {"ko"}  # the short names are AM and PM, which no browser shows
_BUDDHIST = {"th"}
_ISO_ORDER = {"en_CA"}
_AT_TIME = {
    "cs": "v", "da": "kl.", "de": "um", "en": "at", "fr": "à", "it": "alle ore", "nl": "om", "pt": "às", "ru": "в",
    "sv": "kl.",
}  # fmt: skip
_OLD_TAGS = {"no": "nb", "iw": "he", "in": "id"}
_LENGTHS = ("short", "medium", "long", "full")
_PARTS = (
    "months", "days", "day_periods", "eras", "date_formats", "time_formats", "datetime_formats", "datetime_skeletons",
)  # fmt: skip
_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u061c"))
_SPACES = dict.fromkeys(map(ord, "\u202f\u00a0\u2009"), " ")


@dataclass(frozen=True, kw_only=True)
class Names:
    """Months (from January) or weekdays (from Monday) as a locale calls them inside a date."""

    wide: tuple[str, ...]
    short: tuple[str, ...]
    narrow: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """The names that a text may use; single letters are ambiguous."""
        return self.wide + self.short


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """A locale's rules. Patterns are Unicode's; `dates` has medium, long, and full; `joined` also has short.

    `clock` and `clock_s` are 24-hour times; `months_alone` and `weekdays_alone` are names outside a date. `eras` are
    short, wide, and narrow. `zero` is the code point of the digit 0. `year_shift` is added to the year in whole dates.
    `week_start` is the first weekday (Monday is 1), and `first_week` how many days of a new year its first week needs.
    """

    date: str
    time: str
    seconds: str
    clock: str = "HH:mm"
    clock_s: str = "HH:mm:ss"
    joined: dict[str, str]
    dates: dict[str, str]
    months: Names
    months_alone: Names
    weekdays: Names
    weekdays_alone: Names
    am_pm: tuple[str, str]
    eras: tuple[str, ...]
    zero: int = ord("0")
    year_shift: int = 0
    week_start: int = 1
    first_week: int = 1

    @property
    def is_day_first(self) -> bool:
        """Whether the day comes before the month if the year is last; also true if the year comes first."""
        return self.date.index("d") < self.date.index("M") or self.date.index("y") < self.date.index("M")


_EN_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_EN_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _shortened(names: tuple[str, ...]) -> Names:
    return Names(wide=names, short=tuple(name[:3] for name in names), narrow=tuple(name[0] for name in names))


ENGLISH = Conventions(
    date="M/d/y",
    time="h:mm a",
    seconds="h:mm:ss a",
    joined={"short": "{1}, {0}", "medium": "{1}, {0}", "long": "{1} 'at' {0}", "full": "{1} 'at' {0}"},
    dates={"medium": "MMM d, y", "long": "MMMM d, y", "full": "EEEE, MMMM d, y"},
    months=_shortened(_EN_MONTHS),
    months_alone=_shortened(_EN_MONTHS),
    weekdays=_shortened(_EN_WEEKDAYS),
    weekdays_alone=_shortened(_EN_WEEKDAYS),
    am_pm=("AM", "PM"),
    eras=("AD", "Anno Domini", "A"),
    week_start=7,
)


class UnknownLocaleError(EngineError):
    """A field names an unknown locale."""


@cache
def conventions(tag: str) -> Conventions:
    """Return the rules of a locale such as `de-DE`. Raises UnknownLocaleError and MissingLibraryError."""
    if tag in (DEFAULT_LOCALE, "en"):
        return ENGLISH
    babel = library("babel", package="babel", purpose="knows locales other than en-US")
    locale = _known(babel, tag)
    if locale is None:
        raise UnknownLocaleError(f'"{tag[:40]}" is not a known locale.')
    return _from_babel(locale, _data_of(str(locale)))


def plain_digits(text: str) -> str:
    """Return `text` with ASCII digits, plain blanks, and no direction marks."""
    if text.isascii():
        return text
    text = text.translate(_MARKS).translate(_SPACES)
    return "".join(str(int(char)) if char.isdecimal() else char for char in text)


def _known(babel: Any, tag: str) -> Any:
    """Return the locale, or that of its language if the region is unknown; None if the language is unknown, too."""
    parts = [part for part in tag.replace("_", "-").split("-u-")[0].split("-") if part]
    parts[:1] = [_OLD_TAGS.get(part.lower(), part) for part in parts[:1]]
    for text in ("_".join(parts), *parts[:1]):
        try:
            return babel.Locale.parse(text)
        except (ValueError, TypeError, babel.UnknownLocaleError):
            continue
    return None


def _data_of(name: str) -> Any:
    """Return a copy of a locale's data: reading Babel's own mixes the names of locales that share an alias."""
    localedata = library("babel.localedata", package="babel", purpose="knows locales other than en-US")
    data = localedata.load(name)
    return localedata.LocaleDataDict(deepcopy({part: data[part] for part in _PARTS}))


def _from_babel(locale: Any, data: Any) -> Conventions:
    skeletons, times = data["datetime_skeletons"], data["time_formats"]
    patterns = {name: _plain(skeletons[name].pattern) for name in skeletons}
    time, seconds = (_plain(times[length].pattern) for length in ("short", "medium"))
    if locale.language in _TWELVE_HOURS:
        time, seconds = patterns["hm"], patterns["hms"]
    dates = {length: _plain(data["date_formats"][length].pattern) for length in _LENGTHS}
    if locale.language in _BUDDHIST:
        dates = {length: pattern.replace("G ", "") for length, pattern in dates.items()}
    in_date = {"short": patterns.get("MMMd", "MMM"), "wide": patterns.get("MMMMd", "MMMM")}
    alone = dict.fromkeys(in_date, patterns.get("MMM", "LLL"))
    halves = data["day_periods"]["format"]
    periods = halves["wide"] if locale.language in _LATIN_WHEN_SHORT else halves.get("abbreviated") or halves["wide"]
    return Conventions(
        date=dates["short"] if str(locale) in _ISO_ORDER else patterns.get("yMd", dates["short"]),
        time=time,
        seconds=seconds,
        clock=patterns.get("Hm", "HH:mm"),
        clock_s=patterns.get("Hms", "HH:mm:ss"),
        joined={length: _joined(locale.language, length, data) for length in _LENGTHS},
        dates=dates | {"medium": patterns.get("yMMMd", dates["medium"])},
        months=_months(data["months"]["format"], data["months"]["stand-alone"], in_date),
        months_alone=_months(data["months"]["stand-alone"], data["months"]["stand-alone"], alone),
        weekdays=_names(data["days"]["format"], data["days"]["stand-alone"], first=0),
        weekdays_alone=_names(data["days"]["stand-alone"], data["days"]["stand-alone"], first=0),
        am_pm=(_plain(periods.get("am", "AM")), _plain(periods.get("pm", "PM"))),
        eras=tuple(str(data["eras"][width][1]) for width in ("abbreviated", "wide", "narrow")),
        zero=_ZERO_DIGITS.get(locale.default_numbering_system, ord("0")),
        year_shift=543 if locale.language in _BUDDHIST else 0,
        week_start=locale.first_week_day + 1,
        first_week=locale.min_week_days,
    )


def _joined(language: str, length: str, data: Any) -> str:
    word = _AT_TIME.get(language) if length in ("long", "full") else None
    return f"{{1}} '{word}' {{0}}" if word else _plain(data["datetime_formats"][length])


def _months(names: Any, narrow: Any, patterns: dict[str, str]) -> Names:
    """Return the months' names, or their numbers if the locale's pattern of that length writes numbers."""
    named = _names(names, narrow, first=1)
    numbers = tuple(map(str, range(1, 13)))
    wide, short = (numbers if "M" in patterns[width] and "MMM" not in patterns[width] else of_width
                   for width, of_width in (("wide", named.wide), ("short", named.short)))  # fmt: skip
    return Names(wide=wide, short=short, narrow=numbers if short is numbers else named.narrow)


def _names(names: Any, alone: Any, *, first: int) -> Names:
    def in_order(of_width: Any) -> tuple[str, ...]:
        return tuple(str(of_width[at]) for at in range(first, first + len(of_width)))

    return Names(wide=in_order(names["wide"]), short=in_order(names["abbreviated"]), narrow=in_order(alone["narrow"]))


def _plain(pattern: Any) -> str:
    return str(pattern).translate(_MARKS).translate(_SPACES)

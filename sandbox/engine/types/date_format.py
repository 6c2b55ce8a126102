"""Format strings of dates and times in Luxon's tokens: they write a moment and read it back."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sandbox.engine.types.locales import Conventions

ISO_FORMAT = "[ISO]"
_PIECE = re.compile(r"'([^']*)(?:'|$)|([A-Za-z])\2*|[^A-Za-z']+")
_ISO_FORMS = {"date": "yyyy-MM-dd", "datetime": "yyyy-MM-dd'T'HH:mm", "time": "HH:mm"}
_DATE_MACROS = {"D": "", "DD": "medium", "DDD": "long", "DDDD": "full"}
_JOINED = ("short", "medium", "long", "full")
_CENTURY_PIVOT = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """A token or a literal text; `local` if it comes from a locale's own pattern."""

    text: str
    is_token: bool
    local: bool = False


class DateFormat:
    """A format string in one locale."""

    def __init__(self, text: str, rules: Conventions) -> None:
        self._rules = rules
        self._pieces = [piece for raw in _pieces(text) for piece in _expanded(raw, rules)]
        self._digits = str.maketrans({str(n): chr(rules.zero + n) for n in range(10)})
        self._pattern: re.Pattern[str] | None = None

    def write(self, moment: datetime) -> str:
        """Return the moment as text; a token for the time zone writes UTC."""
        return "".join(self._written(piece, moment) for piece in self._pieces)

    def read(self, text: str) -> datetime | None:
        """Return the moment in a text of this form (ASCII digits), or None; missing parts are those of 2000-01-01."""
        if self._pattern is None:
            self._pattern = re.compile("".join(map(self._readable, self._pieces)), re.IGNORECASE)
        match = self._pattern.fullmatch(text)
        return _moment(match, self._rules) if match else None

    @property
    def is_day_first(self) -> bool | None:
        """Whether the day comes before the month; None if the format does not have both as numbers."""
        order = [piece.text[0] for piece in self._pieces if piece.is_token and piece.text in ("d", "dd", "M", "MM")]
        return order[0] == "d" if set(order) == {"d", "M"} else None

    @property
    def is_apart(self) -> bool:
        """Whether the format begins with day, month, and then year as numbers with something between them."""
        tokens = [piece for piece in self._pieces if piece.text[0] in "dMy" or not piece.is_token][:5]
        return [piece.is_token for piece in tokens] == [True, False] * 2 + [True] and tokens[-1].text[0] == "y"

    def _written(self, piece: Piece, moment: datetime) -> str:
        if not piece.is_token:
            return piece.text
        write = _WRITERS.get(piece.text)
        if write is None:
            return piece.text
        if piece.local and piece.text[0] == "y" and self._rules.year_shift:
            return str(moment.year + self._rules.year_shift)
        text = write(moment, self._rules)
        return text.translate(self._digits) if self._rules.zero != ord("0") else text

    def _readable(self, piece: Piece) -> str:
        if not piece.is_token:
            comma = ",?" if piece.local else ""  # some versions of the locale data have it between date and time
            return re.sub(rf"{comma}(?:\\ |\s)+", rf"{comma}\\s*", re.escape(piece.text))
        names = _names(piece.text, self._rules)
        if names:
            return f"(?P<{_group(piece)}>{'|'.join(sorted(map(re.escape, names), key=len, reverse=True))})"
        return rf"(?P<{_group(piece)}>{_DIGITS[piece.text]})" if piece.text in _DIGITS else re.escape(piece.text)


def iso_format(kind: str, *, with_seconds: bool) -> str:
    """Return the format string of ISO 8601 for the type date, datetime, or time."""
    return _ISO_FORMS[kind] + (":ss" if with_seconds and kind != "date" else "")


def _pieces(text: str) -> list[Piece]:
    found = []
    for match in _PIECE.finditer(text):
        literal, letter = match.groups()
        found.append(Piece("'" if match[0] == "''" else match[0] if literal is None else literal, letter is not None))
    return found


def _expanded(piece: Piece, rules: Conventions) -> list[Piece]:
    """Expand a token that stands for a whole pattern of the locale; other pieces stay unchanged."""
    pattern = _macro(piece.text, rules) if piece.is_token else None
    if pattern is None:
        return [piece]
    return [Piece(_as_token(part.text) if part.is_token else part.text, part.is_token, local=True)
            for part in _pieces(pattern)]  # fmt: skip


def _macro(token: str, rules: Conventions) -> str | None:
    if token in _DATE_MACROS:
        return rules.dates[_DATE_MACROS[token]] if _DATE_MACROS[token] else rules.date
    if len(token) > 4 or token[0] not in "tTfF":
        return None
    zone = " 'UTC'" if len(token) > 2 else ""
    if token[0] in "tT":
        by_length = (rules.time, rules.seconds) if token[0] == "t" else (rules.clock, rules.clock_s)
        return by_length[len(token) > 1] + zone
    date = _macro("D" * len(token), rules)
    clock = (rules.time if token[0] == "f" else rules.seconds) + zone
    return rules.joined[_JOINED[len(token) - 1]].replace("{1}", str(date)).replace("{0}", clock)


def _as_token(text: str) -> str:
    return {"E": "EEE", "EE": "EEE", "B": "a", "b": "a"}.get(text, text)


def _group(piece: Piece) -> str:
    return {"L": "M", "c": "E"}.get(piece.text[0], piece.text[0]) + ("_local" if piece.local else "")


def _names(token: str, rules: Conventions) -> tuple[str, ...]:
    if token in ("MMM", "MMMM", "LLL", "LLLL"):
        return _month_names(rules)
    if token[0] in "Ec" and len(token) > 2:
        return rules.weekdays.all + rules.weekdays_alone.all
    return (*rules.am_pm, "AM", "PM", "a.m.", "p.m.") if token.startswith("a") else ()


def _month_names(rules: Conventions) -> tuple[str, ...]:
    return rules.months.all + rules.months_alone.all


def _moment(match: re.Match[str], rules: Conventions) -> datetime | None:
    parts = {name.removesuffix("_local"): text for name, text in match.groupdict().items()}
    year = int(parts.get("y", "2000"))
    if len(parts.get("y", "")) == 2:
        year += 2000 if year <= _CENTURY_PIVOT else 1900
    elif "y_local" in match.groupdict():
        year -= rules.year_shift
    hour = int(parts.get("H", parts.get("h", "0")))
    if "h" in parts:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if _is_pm(parts.get("a", ""), rules) else 0)
    try:
        return datetime(  # noqa: DTZ001 - wall clock time; imports have no time zones
            year, _month(parts.get("M", "1"), rules), int(parts.get("d", "1")), hour,
            int(parts.get("m", "0")), int(parts.get("s", "0")),
        )  # fmt: skip
    except ValueError:
        return None


def _month(text: str, rules: Conventions) -> int:
    if text.isdecimal():
        return int(text)
    return [name.casefold() for name in _month_names(rules)].index(text.casefold()) % 12 + 1


def _is_pm(text: str, rules: Conventions) -> bool:
    return text.casefold() in (rules.am_pm[1].casefold(), "pm", "p.m.")


_DIGITS = {
    "d": r"\d{1,2}", "dd": r"\d{2}", "M": r"\d{1,2}", "MM": r"\d{2}", "L": r"\d{1,2}", "LL": r"\d{2}",
    "y": r"\d{4}", "yyyy": r"\d{4}", "yy": r"\d{2}", "H": r"\d{1,2}", "HH": r"\d{2}", "h": r"\d{1,2}", "hh": r"\d{1,2}",
    "m": r"\d{1,2}", "mm": r"\d{2}", "s": r"\d{1,2}", "ss": r"\d{2}", "S": r"\d{1,3}", "SSS": r"\d{3}", "u": r"\d{1,9}",
    "Z": r"[-+]\d{1,2}(?::?\d\d)?", "ZZ": r"[-+]\d\d:\d\d", "ZZZ": r"[-+]\d{4}", "ZZZZ": r"[A-Za-z]{1,5}",
    "z": r"[A-Za-z_]+(?:[/+-][A-Za-z0-9_+-]+)*",
}  # fmt: skip

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - compared with wall clocks only
_Write = Callable[[datetime, Conventions], str]


def _hour12(moment: datetime) -> int:
    return moment.hour % 12 or 12


def _local_week(moment: datetime, rules: Conventions) -> tuple[int, int]:
    """Return the year and the number of the moment's week; weeks begin on the locale's first day."""
    day = moment.toordinal()
    years = (moment.year + 1, moment.year, moment.year - 1)
    starts = ((year, _first_week_ordinal(year, rules)) for year in years if 1 <= year <= 9999)
    year, start = next((year, start) for year, start in starts if start <= day)
    return year, (day - start) // 7 + 1


def _first_week_ordinal(year: int, rules: Conventions) -> int:
    new_year = datetime(year, 1, 1)  # noqa: DTZ001 - only its day counts
    into_week = (new_year.isoweekday() - rules.week_start) % 7
    begins = new_year.toordinal() - into_week
    return begins if 7 - into_week >= rules.first_week else begins + 7


_WRITERS: dict[str, _Write] = {
    "S": lambda moment, _: str(moment.microsecond // 1000),
    "SSS": lambda moment, _: f"{moment.microsecond // 1000:03}",
    "u": lambda moment, _: f"{moment.microsecond // 1000:03}",
    "uu": lambda moment, _: f"{moment.microsecond // 10_000:02}",
    "uuu": lambda moment, _: str(moment.microsecond // 100_000),
    "s": lambda moment, _: str(moment.second),
    "ss": lambda moment, _: f"{moment.second:02}",
    "m": lambda moment, _: str(moment.minute),
    "mm": lambda moment, _: f"{moment.minute:02}",
    "h": lambda moment, _: str(_hour12(moment)),
    "hh": lambda moment, _: f"{_hour12(moment):02}",
    "H": lambda moment, _: str(moment.hour),
    "HH": lambda moment, _: f"{moment.hour:02}",
    "Z": lambda _moment, _: "+0",
    "ZZ": lambda _moment, _: "+00:00",
    "ZZZ": lambda _moment, _: "+0000",
    "ZZZZ": lambda _moment, _: "UTC",
    "ZZZZZ": lambda _moment, _: "UTC",
    "z": lambda _moment, _: "UTC",
    "a": lambda moment, rules: rules.am_pm[moment.hour >= 12],
    "d": lambda moment, _: str(moment.day),
    "dd": lambda moment, _: f"{moment.day:02}",
    "M": lambda moment, _: str(moment.month),
    "MM": lambda moment, _: f"{moment.month:02}",
    "MMM": lambda moment, rules: rules.months.short[moment.month - 1],
    "MMMM": lambda moment, rules: rules.months.wide[moment.month - 1],
    "MMMMM": lambda moment, rules: rules.months.narrow[moment.month - 1],
    "L": lambda moment, _: str(moment.month),
    "LL": lambda moment, _: f"{moment.month:02}",
    "LLL": lambda moment, rules: rules.months_alone.short[moment.month - 1],
    "LLLL": lambda moment, rules: rules.months_alone.wide[moment.month - 1],
    "LLLLL": lambda moment, rules: rules.months_alone.narrow[moment.month - 1],
    "E": lambda moment, _: str(moment.isoweekday()),
    "c": lambda moment, _: str(moment.isoweekday()),
    "EEE": lambda moment, rules: rules.weekdays.short[moment.weekday()],
    "EEEE": lambda moment, rules: rules.weekdays.wide[moment.weekday()],
    "EEEEE": lambda moment, rules: rules.weekdays.narrow[moment.weekday()],
    "ccc": lambda moment, rules: rules.weekdays_alone.short[moment.weekday()],
    "cccc": lambda moment, rules: rules.weekdays_alone.wide[moment.weekday()],
    "ccccc": lambda moment, rules: rules.weekdays_alone.narrow[moment.weekday()],
    "y": lambda moment, _: str(moment.year),
    "yy": lambda moment, _: f"{moment.year % 100:02}",
    "yyyy": lambda moment, _: f"{moment.year:04}",
    "yyyyyy": lambda moment, _: f"{moment.year:06}",
    "G": lambda _moment, rules: rules.eras[0],
    "GG": lambda _moment, rules: rules.eras[1],
    "GGGGG": lambda _moment, rules: rules.eras[2],
    "kk": lambda moment, _: f"{moment.isocalendar().year % 100:02}",
    "kkkk": lambda moment, _: f"{moment.isocalendar().year:04}",
    "W": lambda moment, _: str(moment.isocalendar().week),
    "WW": lambda moment, _: f"{moment.isocalendar().week:02}",
    "n": lambda moment, rules: str(_local_week(moment, rules)[1]),
    "nn": lambda moment, rules: f"{_local_week(moment, rules)[1]:02}",
    "ii": lambda moment, rules: f"{_local_week(moment, rules)[0] % 100:02}",
    "iiii": lambda moment, rules: f"{_local_week(moment, rules)[0]:04}",
    "o": lambda moment, _: str(moment.timetuple().tm_yday),
    "ooo": lambda moment, _: f"{moment.timetuple().tm_yday:03}",
    "q": lambda moment, _: str((moment.month + 2) // 3),
    "qq": lambda moment, _: f"{(moment.month + 2) // 3:02}",
    "X": lambda moment, _: str((moment - _EPOCH).days * 86_400 + (moment - _EPOCH).seconds),
    "x": lambda moment, _: str(((moment - _EPOCH).days * 86_400 + (moment - _EPOCH).seconds) * 1000),
}

"""The types date, datetime, and time; their values are the ISO texts of the result."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

from sandbox.engine.types import marks
from sandbox.engine.types.date_format import ISO_FORMAT, DateFormat, iso_format
from sandbox.engine.types.date_text import NumericDate, is_standard, read_date, split_moment
from sandbox.engine.types.kind import CellError, CellMemo, Kind, Options
from sandbox.engine.types.locales import DEFAULT_LOCALE, conventions, plain_digits

_NUMERIC = re.compile(r"^ *(?:[^\W\d_]+, *)?(\d{1,2})([-/.])(\d{1,2})\2(?:\d{4}|\d\d)(?!\d)", re.MULTILINE)
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ISO_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?", re.ASCII)
_SAFE_DAY = r"[1-9]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
_SAFE_DATE = re.compile(_SAFE_DAY, re.ASCII)
_SAFE_DATETIME = re.compile(rf"{_SAFE_DAY}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d", re.ASCII)
_ISO_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?", re.ASCII)
_DISPLAY_FORMATS = {"date": ("D", "D"), "datetime": ("f", "F"), "time": ("t", "tt")}
_MINUTES_LENGTH = len("yyyy-MM-ddTHH:mm")
_TWO_MARK_LENGTH = len("HH:mm")


class _MomentKind(Kind):
    """The base of the three types; options: locale, displayFormat, outputFormat, withSeconds, autofix."""

    is_texty = False
    name = "date"

    def __init__(self, options: Options | None) -> None:
        super().__init__()
        given = options or {}
        self._rules = conventions(str(given.get("locale") or DEFAULT_LOCALE))
        self._seconds = bool(given.get("withSeconds"))
        self._autofix = given.get("autofix") is not False
        self.learns = self._autofix and self.name != "time"
        self._own_format = given.get("displayFormat") is not None
        self._display = self._format(str(given.get("displayFormat") or _DISPLAY_FORMATS[self.name][self._seconds]))
        self._display_first = self._own_format and not self._display.is_apart
        self._saw_day_first = self._saw_month_first = False
        day_first = self._display.is_day_first if self._own_format else None
        self._day_first = self._rules.is_day_first if day_first is None else day_first
        self.to_display = lambda value: self._display.write(self._moment(value))
        output = str(given.get("outputFormat") or ISO_FORMAT)
        if output != ISO_FORMAT:
            writer = self._format(output)
            self.to_output = lambda value: None if value is None else writer.write(self._moment(value))

    def prepare(self, texts: Sequence[str]) -> None:
        """Learn from unambiguous cells which of two numbers is the day in this column."""
        if self._saw_day_first and self._saw_month_first:
            return
        for one, _, other in set(_NUMERIC.findall(plain_digits("\n".join(texts)))):
            first, second = int(one), int(other)
            self._saw_day_first |= 12 < first <= 31 and second <= 12
            self._saw_month_first |= 12 < second <= 31 and first <= 12
        if self._saw_day_first and self._saw_month_first:
            self.noticed.add(marks.BOTH_ORDERS)

    def notices(self, text: str) -> set[str]:
        for one, _, other in _NUMERIC.findall(plain_digits(text)) if self.learns else ():
            first, second = int(one), int(other)
            if max(first, second) <= 12:
                return {marks.DATE_GUESS} if first != second else set()
            if min(first, second) <= 12 and max(first, second) <= 31:
                return {marks.DAY_FIRST if first > second else marks.MONTH_FIRST}
        return set()

    def parse(self, text: str) -> str:
        try:
            return self._written(*self._read(plain_digits(text)))
        except (ValueError, OverflowError):
            raise CellError(self.name) from None

    def _read(self, text: str) -> tuple[date | None, time | None]:
        standard = is_standard(text)
        if not standard and not self._autofix:
            return self._by_display_format(text)
        if not standard and self._display_first and (moment := self._display.read(text)):
            return moment.date(), moment.time()
        try:
            rest, clock = split_moment(text, self._rules)
            found = read_date(rest, self._rules) if rest else None
            day = self._ordered(found) if isinstance(found, NumericDate) else found
        except ValueError:
            return self._by_display_format(text)
        is_other = (rest and day is None) or (self.name == "time" and clock is None)  # 15.04.05 is a time in Denmark
        return self._by_display_format(text) if is_other else (day, clock)

    def _by_display_format(self, text: str) -> tuple[date, time]:
        moment = self._display.read(text)
        if moment is None:
            raise ValueError("does not match the display format")
        return moment.date(), moment.time()

    def _ordered(self, numbers: NumericDate) -> date:
        day_first = self._day_first
        if self._autofix and self._saw_day_first != self._saw_month_first:
            day_first = self._saw_day_first
        shift = self._rules.year_shift if numbers.year > 2400 else 0
        day, month = (numbers.first, numbers.second) if day_first else (numbers.second, numbers.first)
        if self._autofix and month > 12 >= day:
            day, month = month, day
        return date(numbers.year - shift, month, day)

    def _format(self, text: str) -> DateFormat:
        if text == ISO_FORMAT:
            text = iso_format(self.name, with_seconds=self._seconds)
        return DateFormat(text, self._rules)

    def _cut(self, clock: time) -> str:
        return clock.isoformat("seconds" if self._seconds else "minutes")

    @abstractmethod
    def _written(self, day: date | None, clock: time | None) -> str:
        """Return the value for what was read. Raises ValueError if a needed part is missing."""

    @abstractmethod
    def _moment(self, value: Any) -> datetime:
        """Return the moment that a value displays."""


class DateKind(_MomentKind):
    """A day; a time after it is ignored."""

    as_is = _SAFE_DATE

    def parse(self, text: str) -> str:
        if _ISO_DATE.fullmatch(text):
            try:
                date.fromisoformat(text)
            except ValueError:
                raise CellError("date") from None
            return text
        slashed = _SLASHED.fullmatch(text) if self._autofix else None
        if slashed is None:
            return super().parse(text)
        try:
            return self._ordered(NumericDate(int(slashed[1]), int(slashed[2]), int(slashed[3]))).isoformat()
        except ValueError:
            raise CellError("date") from None

    def _written(self, day: date | None, clock: time | None) -> str:  # noqa: ARG002 - the types share one shape
        if day is None:
            raise ValueError("a time without a date")
        return day.isoformat()

    def _moment(self, value: str) -> datetime:
        return datetime.fromisoformat(value)


class DatetimeKind(_MomentKind):
    """A day and a time, by default midnight. Seconds are dropped unless `withSeconds`, and zones always."""

    name = "datetime"

    def column(self, texts: Sequence[str], memo: CellMemo) -> Sequence[Any]:
        is_safe = _SAFE_DATETIME.fullmatch
        length = None if self._seconds else _MINUTES_LENGTH
        return [text[:length] if is_safe(text) else memo[text] for text in texts]

    def parse(self, text: str) -> str:
        if not _ISO_DATETIME.fullmatch(text):
            return super().parse(text)
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise CellError("datetime") from None
        value = f"{text[:10]}T{text[11:]}"
        if not self._seconds:
            return value[:_MINUTES_LENGTH]
        return value if len(value) > _MINUTES_LENGTH else f"{value}:00"

    def _written(self, day: date | None, clock: time | None) -> str:
        if day is None:
            raise ValueError("a time without a date")
        return f"{day.isoformat()}T{self._cut(clock or time())}"

    def _moment(self, value: str) -> datetime:
        return datetime.fromisoformat(value)


class TimeKind(_MomentKind):
    """A time of day; a date before it is ignored."""

    name = "time"

    def parse(self, text: str) -> str:
        if _ISO_TIME.fullmatch(text):
            if len(text) == _TWO_MARK_LENGTH:
                return f"{text}:00" if self._seconds else text
            return text if self._seconds else text[:_TWO_MARK_LENGTH]
        return super().parse(text)

    def _written(self, day: date | None, clock: time | None) -> str:  # noqa: ARG002 - the types share one shape
        if clock is None:
            raise ValueError("no time of day")
        return self._cut(clock)

    def _moment(self, value: str) -> datetime:
        return datetime.combine(date(2000, 1, 1), time.fromisoformat(value))

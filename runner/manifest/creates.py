"""CreatesOverTime: how many imports were created when, against the quota, as bars of a chart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runner.formatting import counted, lasting

if TYPE_CHECKING:
    from runner.config.units import Rate

BARS_MAX = 300
_BARS_LEAST = 20
_SHORTEST_S = 60
_QUOTA_SHOWN_UP_TO = 8
"""How many times the highest bar the quota may be, so that bars under its line can still be told apart."""

_LOWEST = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROOM = 1.08
"""How much higher than the highest bar or the quota the chart is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One interval: its place from the left, its height in percent of the chart, and what it means."""

    place: int
    height: float
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatesChart:
    """Bars of intervals with creates, from `start` to `end`.

    `quota_count` is what the quota allows in an interval, `quota_height` is in percent; both are None without a quota,
    and there is no height if the quota is far above all bars.
    """

    count: int
    most: int
    place_count: int
    interval: str
    start: datetime
    end: datetime
    bars: tuple[Bar, ...]
    quota_count: int | None
    quota_height: float | None


class CreatesOverTime:
    """Counts creates by interval in constant memory: intervals are doubled once there would be more than `BARS_MAX`."""

    def __init__(self, quota: Rate | None) -> None:
        self._quota = quota
        self._interval_s = max(_SHORTEST_S, round(quota.per_s) if quota else 0)
        self._counts: Counter[int] = Counter()
        self._first = self._last = 0

    def add(self, at: datetime) -> None:
        """Count a create."""
        interval = int((at - _EPOCH).total_seconds() // self._interval_s)
        if not self._counts:
            self._first = self._last = interval
        self._counts[interval] += 1
        self._first, self._last = min(self._first, interval), max(self._last, interval)
        while self._last - self._first >= BARS_MAX:
            self._double()

    def chart(self) -> CreatesChart | None:
        """Return the chart; None if nothing was created."""
        if not self._counts:
            return None
        most = max(self._counts.values())
        quota = self._quota_count()
        is_near = quota is not None and quota <= most * _QUOTA_SHOWN_UP_TO
        top = max(most, quota if quota is not None and is_near else 0) * _ROOM
        count = max(self._last - self._first + 1, _BARS_LEAST)
        return CreatesChart(
            count=self._counts.total(),
            most=most,
            place_count=count,
            interval=lasting(self._interval_s),
            start=self._instant(self._first),
            end=self._instant(self._first + count),
            bars=tuple(
                Bar(place=at - self._first, height=max(_LOWEST, round(100 * n / top, 2)), meaning=self._meaning(at, n))
                for at, n in sorted(self._counts.items())
            ),
            quota_count=quota,
            quota_height=round(100 * quota / top, 2) if quota is not None and is_near else None,
        )

    def _double(self) -> None:
        self._interval_s *= 2
        doubled: Counter[int] = Counter()
        for interval, count in self._counts.items():
            doubled[interval // 2] += count
        self._counts = doubled
        self._first, self._last = self._first // 2, self._last // 2

    def _quota_count(self) -> int | None:
        return None if self._quota is None else int(self._quota.count * self._interval_s / self._quota.per_s)

    def _meaning(self, interval: int, count: int) -> str:
        start, end = self._instant(interval), self._instant(interval + 1)
        return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC: {counted(count, 'create')}"

    def _instant(self, interval: int) -> datetime:
        try:
            return _EPOCH + timedelta(seconds=interval * self._interval_s)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC) if interval > 0 else datetime.min.replace(tzinfo=UTC)

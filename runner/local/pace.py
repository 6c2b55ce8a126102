"""Pace: how fast the items of a batch end, and when all have ended if that goes on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runner.clock import plausible
from runner.models import OPEN_STATES, BatchState, ItemState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from runner.config.units import Rate
    from runner.models import BatchStatus, Item

WINDOW_S = 300.0
"""A pace is measured over this time, or less at the beginning (choice)."""

_FEWEST = 3
_LONGEST_S = 10 * 365 * 86400.0
_CREATES_AHEAD = (ItemState.QUEUED, ItemState.CREATING)
_MEASURED = frozenset({ItemState.COLLECTED, ItemState.FAILED, ItemState.UNCERTAIN, ItemState.NEEDS_REVIEW})
"""States that take an import to reach: skipped and rejected items end as fast as they are listed."""


class Meter:
    """Measures how many items end per second; `ticks` is a monotonic clock in seconds."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._since = ticks()
        self._ended: deque[float] = deque()

    def moved(self, old: ItemState, new: ItemState) -> None:
        """Count an item whose import has ended."""
        if old in OPEN_STATES and new in _MEASURED:
            self._ended.append(self._ticks())

    def restart(self) -> None:
        """Measure from now on, after a time in which nothing could move."""
        self._since = self._ticks()
        self._ended.clear()

    @property
    def per_s(self) -> float | None:
        """Items per second; None as long as too few have ended to tell."""
        now = self._ticks()
        while self._ended and self._ended[0] < now - WINDOW_S:
            self._ended.popleft()
        return _rate(len(self._ended), over_s=min(now - self._since, WINDOW_S))


def _rate(count: int, *, over_s: float) -> float | None:
    if over_s <= 0 or (count < _FEWEST and over_s < WINDOW_S):
        return None
    return count / over_s


def done_at(now: datetime, *, open_count: int, quota_s: float, per_s: float | None) -> datetime | None:
    """Return when the open items have ended, at what the quota allows or at `per_s`, whichever is slower.

    `quota_s`: in how many seconds the quota allows the last create. None if no item is open, if none ends any more, or
    if nobody can tell.
    """
    if not open_count or per_s == 0:
        return None
    seconds = max(quota_s, open_count / per_s if per_s else 0.0)
    if not 0 < seconds <= _LONGEST_S:
        return None
    try:
        return plausible(now + timedelta(seconds=seconds))
    except OverflowError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a batch moves: `per_minute` items end, and at `done_at` all have; both None unless a run works on it.

    `last_move_at` is when an item last moved; None if none has.
    """

    last_move_at: datetime | None = None
    per_minute: float | None = None
    done_at: datetime | None = None

    def document(self) -> dict[str, object]:
        """Return the pace in types that JSON has."""
        rounded = None if self.per_minute is None else round(self.per_minute, 1)
        return {"last_move_at": self.last_move_at, "items_per_minute": rounded, "done_at": self.done_at}


async def pace_of(status: BatchStatus, items: AsyncIterator[Item], *, quota: Rate, now: datetime) -> Pace:
    """Return the pace of a batch from all of its items. A run that says why it cannot go on is never done."""
    last: datetime | None = None
    begin = now - timedelta(seconds=WINDOW_S)
    ended = 0
    async for item in items:
        moved = max(filter(None, (item.intent_at, item.uploaded_at, item.finished_at)), default=None)
        if moved is None:
            continue
        last = moved if last is None else max(last, moved)
        ended += item.state in _MEASURED and begin < moved <= now
    batch = status.batch
    if batch.state is not BatchState.RUNNING:
        return Pace(last_move_at=last)
    per_s = _rate(ended, over_s=min((now - batch.started_at).total_seconds(), WINDOW_S))
    creates = sum(status.by_state.get(state, 0) for state in _CREATES_AHEAD)
    finish = done_at(
        now,
        open_count=sum(status.by_state.get(state, 0) for state in OPEN_STATES),
        quota_s=quota.last_in_s(creates, free=0),
        per_s=per_s,
    )
    per_minute = None if per_s is None else per_s * 60
    return Pace(last_move_at=last, per_minute=per_minute, done_at=None if batch.reason else finish)

"""ProgressState: the counts of a run so far, from its events, and when it will be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import singledispatchmethod

from runner.clock import system_now
from runner.config.units import Rate
from runner.events import (
    BatchStarted,
    BytesUploaded,
    CreateAnswered,
    CreateThrottled,
    Event,
    ItemMoved,
    ItemsDiscovered,
    OutageBegan,
    OutageEnded,
    PacksChanged,
)
from runner.local.pace import Meter, done_at
from runner.models import OPEN_STATES, ItemState

_CREATES_AHEAD = (ItemState.QUEUED, ItemState.CREATING)


class ProgressState:
    """Counts of one run; `ticks` is a monotonic clock in seconds, `now` the wall clock."""

    def __init__(self, *, quota: Rate, ticks: Callable[[], float], now: Callable[[], datetime] = system_now) -> None:
        self._quota = quota
        self._ticks = ticks
        self.now = now
        self._meter = Meter(ticks)
        self._started = ticks()
        self._due = self._started
        self._refused_until = self._started
        self.by_state: dict[ItemState, int] = {}
        self.batch_id = ""
        self.listing = True
        self.bytes_uploaded = 0
        self.packs: tuple[int, int] | None = None
        """How many packs have ended, and how many there are; None if there are none."""
        self._waiting_for_packs = self._packs_unsent = 0
        self.outage: str | None = None
        """Since when the vendor has not answered, and why; None while it answers."""
        self.slots_free = quota.count
        """Creates of the quota that could be sent at once, as of the start or of the last create."""

    def take(self, event: Event) -> None:
        """Count an event."""
        self._take(event)

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    @property
    def finished(self) -> int:
        """Items that this run is done with."""
        return sum(count for state, count in self.by_state.items() if state not in OPEN_STATES)

    @property
    def creates_left(self) -> int:
        singly = sum(self.by_state.get(state, 0) for state in _CREATES_AHEAD)
        return max(singly - self._waiting_for_packs, 0) + self._packs_unsent

    @property
    def elapsed_s(self) -> float:
        return self._ticks() - self._started

    @property
    def last_create_in_s(self) -> float:
        """Seconds until the quota allows the last create; 0 if no creates are left."""
        return max(self._due - self._ticks(), 0.0) if self.creates_left else 0.0

    @property
    def done_at(self) -> datetime | None:
        """When all items will have ended, see `pace.done_at`; None while the vendor does not answer."""
        if self.outage is not None:
            return None
        open_count = self.total - self.finished
        return done_at(self.now(), open_count=open_count, quota_s=self.last_create_in_s, per_s=self._meter.per_s)

    @singledispatchmethod
    def _take(self, _event: object) -> None:
        """Other events change no count."""

    @_take.register
    def _(self, event: BatchStarted) -> None:
        self.batch_id, self.slots_free = event.batch_id, event.slots_free
        self._recount(event.by_state)

    @_take.register
    def _(self, event: ItemsDiscovered) -> None:
        self.listing = not event.finished
        self._recount(event.by_state)

    @_take.register
    def _(self, event: PacksChanged) -> None:
        self.packs = (event.ended, event.total) if event.total else None
        self._waiting_for_packs, self._packs_unsent = event.waiting, event.unsent
        self._estimate()

    @_take.register
    def _(self, event: ItemMoved) -> None:
        self.by_state[event.old] = max(self.by_state.get(event.old, 0) - 1, 0)
        self.by_state[event.new] = self.by_state.get(event.new, 0) + 1
        self._meter.moved(event.old, event.new)

    @_take.register
    def _(self, event: CreateAnswered) -> None:
        if event.slots_free is not None:
            self.slots_free = event.slots_free
        self._estimate()

    @_take.register
    def _(self, event: CreateThrottled) -> None:
        self._refused_until = self._ticks() + event.wait_s
        self._estimate()

    @_take.register
    def _(self, event: BytesUploaded) -> None:
        self.bytes_uploaded += event.count

    @_take.register
    def _(self, event: OutageBegan) -> None:
        self.outage = event.message

    @_take.register
    def _(self, event: OutageEnded) -> None:  # noqa: ARG002 - its type says it all
        self.outage = None
        self._meter.restart()

    def _recount(self, by_state: Mapping[str, int]) -> None:
        self.by_state = {ItemState(state): count for state, count in by_state.items() if count}
        self._estimate()

    def _estimate(self) -> None:
        due = self._ticks() + self._quota.last_in_s(self.creates_left, free=self.slots_free)
        self._due = max(due, self._refused_until)

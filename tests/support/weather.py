"""Faults on the wire: the fate of each call, drawn at random from a menu until the faults end."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Call = Literal["create", "retrieve", "list", "url", "upload", "download"]
Kind = Literal[
    "fine",
    "not_sent",  # the request never leaves
    "lost_before",  # the connection is cut, nothing has happened
    "lost_after",  # it happened, the answer is cut
    "late",  # the caller is cut off, and it happens afterwards
    "error_before",  # 5xx, nothing has happened
    "error_after",  # 5xx, and it happened
    "throttled",  # 429 without effect
    "crossed",  # it happened, and the answer is that of an earlier create
    "slow",  # everything takes so long that the caller may give up
    "expired",  # storage says that the url has expired
    "cut",  # a transfer breaks off
    "short",  # a download ends early and looks complete
]

_WRITES: tuple[Kind, ...] = ("not_sent", "lost_before", "lost_after", "late", "error_before", "error_after", "slow")
_READS: tuple[Kind, ...] = ("not_sent", "lost_before", "error_before", "throttled", "slow")
MENU: dict[Call, tuple[Kind, ...]] = {
    "create": (*_WRITES, "throttled", "crossed"),
    "retrieve": _READS,
    "list": _READS,
    "url": _READS,
    "upload": (*_WRITES, "expired", "cut"),
    "download": ("not_sent", "error_before", "expired", "cut", "short"),
}
MOST_FAULTS_IN_A_ROW = 4
"""The most faults for one call of an import: attempts are limited, and after the last one an item rightly waits."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one call; durations are in seconds, `late_s` is the time from sending to effect."""

    kind: Kind
    up_s: float
    down_s: float
    late_s: float = 0.0
    retry_after_s: float | None = None


@dataclass(kw_only=True)
class Weather:
    """Draws fates. `rates` maps a call to its share of faults, `outages` are windows without any response.

    No create takes effect later than `latest_create_s` after it was sent, no upload later than `latest_upload_s`.
    """

    rng: random.Random
    rates: Mapping[Call, float] = field(default_factory=dict)
    kinds: frozenset[Kind] = frozenset()
    outages: tuple[tuple[float, float], ...] = ()
    clears_at: float = 0.0
    latest_create_s: float = 120.0
    latest_upload_s: float = 60.0
    _row: dict[str, int] = field(default_factory=dict)

    def fate(self, call: Call, key: str, now: float) -> Fate:
        """Draw the fate of a call; calls with the same `key` are counted together."""
        up_s, down_s = self.latency(), self.latency()
        if any(start <= now < end for start, end in self.outages):
            return Fate("not_sent" if self.rng.random() < 0.7 else "lost_before", up_s, down_s)
        kind = self._kind(call, f"{call} {key}", now)
        latest_s = self.latest_upload_s if call == "upload" else self.latest_create_s
        if kind == "slow":
            up_s, down_s = self.rng.uniform(0, latest_s / 2), self.rng.uniform(0, 40)
        late_s = self.rng.uniform(0, latest_s / 2) if kind == "late" else 0.0
        retry_after_s = self.rng.choice((None, 0.0, 1.0, 7.0)) if kind == "throttled" else None
        return Fate(kind, up_s, down_s, late_s=late_s, retry_after_s=retry_after_s)

    def latency(self) -> float:
        return self.rng.lognormvariate(-2.5, 0.8)

    def survives_kill(self) -> float | None:
        """Return how much later a request in progress takes effect if its sender dies, or None if it is lost."""
        drawn = self.rng.random()
        if drawn < 0.4:
            return None
        return 0.0 if drawn < 0.7 else self.rng.uniform(0, min(self.latest_create_s, self.latest_upload_s) / 2)

    def _kind(self, call: Call, key: str, now: float) -> Kind:
        possible = [kind for kind in MENU[call] if kind in self.kinds]
        struck = now < self.clears_at and possible and self.rng.random() < self.rates.get(call, 0.0)
        if not struck or self._row.get(key, 0) >= MOST_FAULTS_IN_A_ROW:
            self._row[key] = 0
            return "fine"
        self._row[key] = self._row.get(key, 0) + 1
        return self.rng.choice(possible)

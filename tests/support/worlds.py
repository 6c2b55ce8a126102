"""Worlds: how a vendor, or its surroundings, may differ from what the core hopes for.

A world is on in a simulation or not, and each has draws of its own: turning one on changes no other draw of a seed.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from enum import StrEnum


class World(StrEnum):
    ODD_404 = "odd-404"
    """A retrieve or a results url is answered with 404 now and then, a few times in a row, or for minutes."""
    LATE_READS = "late-reads"
    """A retrieve and the list do not know an import for up to a minute after its create."""
    DATE_OFF = "date-off"
    """The `Date` of answers is minutes before or after the clock that dates the imports."""
    DATE_AHEAD = "date-ahead"
    """The `Date` of answers is an hour ahead of the clock that dates the imports and signs the urls."""
    NAMED_JSON = "named-json"
    """An import of JSON shows a name: one that all share, or one of its own."""
    STORAGE_403 = "storage-403"
    """Storage refuses a transfer with 403 once or twice."""


ON_BY_DEFAULT: frozenset[World] = frozenset()
"""Worlds in which the core holds: a quarter of all seeds plays each."""

SHARE = 0.25


def drawn_worlds(seed: int, among: Iterable[World]) -> frozenset[World]:
    """Return the worlds that a seed plays."""
    return frozenset(world for world in among if random.Random(f"{seed} plays {world}").random() < SHARE)


def named_worlds(names: Iterable[str]) -> frozenset[World]:
    """Return worlds by their names, separated by commas."""
    return frozenset(World(name) for text in names for name in text.split(",") if name not in ("", "none"))


class Oddities:
    """What the vendor does oddly in the worlds of one simulation; `until` is when passing trouble ends."""

    def __init__(self, worlds: Collection[World] = (), *, seed: int = 0, until: float = 0.0) -> None:
        self._worlds = frozenset(worlds)
        self._seed = seed
        self._until = until
        self._asked: dict[str, int] = {}
        self.date_off_s = self._date_off_s()

    def _draws(self, world: World, of: str = "") -> random.Random | None:
        """Return the draws of a world, the same each time, for one import or for all; None if it is off."""
        return random.Random(f"{self._seed} {world} {of}") if world in self._worlds else None

    def _date_off_s(self) -> float:
        if self._draws(World.DATE_AHEAD):
            return 3600.0
        rng = self._draws(World.DATE_OFF)
        return rng.choice((-1, 1)) * rng.uniform(120, 900) if rng else 0.0

    def is_unknown(self, call: str, import_id: str, *, now: float, made_at: float) -> bool:
        """Tell whether a retrieve or a results url of an import that exists is answered with 404."""
        if call == "retrieve" and self.is_unlisted(import_id, now=now, made_at=made_at):
            return True
        rng = self._draws(World.ODD_404, f"{call} {import_id}")
        if rng is None or now >= self._until:
            return False
        number = self._asked[f"{call} {import_id}"] = self._asked.get(f"{call} {import_id}", 0) + 1
        mood, first = rng.choice(("never", "once", "row", "minutes")), rng.randint(1, 4)
        match mood:
            case "once":
                return number == first
            case "row":
                return first <= number < first + rng.randint(2, 6)
            case "minutes":
                begin = made_at + rng.uniform(0, 300)
                return begin <= now < begin + rng.uniform(10, 900)
        return False

    def is_unlisted(self, import_id: str, *, now: float, made_at: float) -> bool:
        """Tell whether the list does not show an import yet."""
        rng = self._draws(World.LATE_READS, import_id)
        return rng is not None and now < made_at + rng.choice((0.0, rng.uniform(0, 5), rng.uniform(0, 60)))

    def json_name(self, import_id: str) -> str | None:
        """Return the name that an import of JSON shows."""
        rng = self._draws(World.NAMED_JSON)
        return rng.choice(("initial_data.json", "Untitled", f"{import_id}.json")) if rng else None

    def refuses_transfer(self, call: str, import_id: str, *, now: float) -> bool:
        """Tell whether storage refuses a transfer of an import this time."""
        rng = self._draws(World.STORAGE_403, f"{call} {import_id}")
        if rng is None or now >= self._until:
            return False
        number = self._asked[f"{call} {import_id}"] = self._asked.get(f"{call} {import_id}", 0) + 1
        return number <= rng.choice((0, 1, 1, 2))

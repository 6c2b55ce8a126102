"""What one seed stands for: the files that land, the loads, the vendor's habits, and everything that goes wrong."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from runner.cloud.protocols import Queue
from runner.models import ItemKind
from sandbox.api_state import SandboxSettings
from sandbox.quotas import CREATE_QUOTA, Rate
from tests.cloudcore.bucket import POISON
from tests.support.inputs import Fate, Input
from tests.support.vendor import Habits
from tests.support.weather import MENU, Call, Kind
from tests.support.worlds import World

Webhooks = Literal["once", "lost", "tripled", "reversed", "mixed"]

BEGIN_S = 79_200.0
"""The simulation begins at 22:00, so that a rolling batch's day is soon over."""

FATES: tuple[Fate, ...] = ("good", "good", "good", "good", "good", "review", "broken", "refused")
FOLDERS = ("orders", "customers/new", "Ünïts", "json")
NAMES = ("a.csv", "b.csv", "c.xlsx")
SETTLE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A file that is put into the inbox at an instant after the beginning; its event comes `events` times."""

    key: str
    given: Input
    at: float
    events: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that happens in one simulation but the draws on the wire, which come from `seed`."""

    seed: int
    drops: tuple[Drop, ...] = ()
    nightly: tuple[Drop, ...] = ()
    """Files below `nightly/`: no event reports them, a load adds them."""
    loads: tuple[float, ...] = ()
    page_length: int = 1000
    versioned: bool = True
    webhooks: Webhooks = "once"
    quota: Rate = CREATE_QUOTA
    settings: SandboxSettings = field(default_factory=SandboxSettings)
    habits: Habits = field(default_factory=Habits)
    rates: dict[Call, float] = field(default_factory=dict)
    kinds: frozenset[Kind] = frozenset()
    outages: tuple[tuple[float, float], ...] = ()
    stopped: dict[Queue, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """When an operator has stopped the function of a queue, in seconds after the beginning."""
    kills: float = 0.0
    """The share of functions that are killed at one of their events."""
    doubled: float = 0.0
    """The share of messages that are delivered twice."""
    late_s: float = 0.0
    life_s: float = 900.0
    concurrency: int = 2
    landed_share: float = 0.25
    upload_apart_bytes: int = 1_000_000
    """Larger files are uploaded by a function of its own; 0 are all."""
    clears_at: float = 0.0
    """Seconds after the beginning when the faults are over."""
    reviewed: bool = False
    """Whether a person finishes the reviews in the end."""
    worlds: frozenset[World] = frozenset()

    @property
    def inputs(self) -> dict[str, Drop]:
        """Return what was put into the inbox, by the mark of its content."""
        return {drop.given.source: drop for drop in (*self.drops, *self.nightly)}


def plan_of(seed: int) -> Plan:
    """Draw a plan; a seed always stands for the same one, and each part has draws of its own."""
    rng = _draws(seed, "vendor")
    clears_at = rng.choice((0.0, 300.0, 1500.0, 3000.0))
    queues, functions = _draws(seed, "queues"), _draws(seed, "functions")
    nightly = _nightly(_draws(seed, "nightly"))
    drops = _with_lost_events(_drops(_draws(seed, "drops")), _draws(seed, "lost events"))
    return Plan(
        seed=seed,
        drops=drops,
        nightly=nightly,
        loads=tuple(queues.uniform(0, 900) for _ in range(queues.choice((1, 1, 2)))) if nightly else (),
        page_length=queues.choice((2, 3, 1000)),
        versioned=queues.random() < 0.8,
        webhooks=queues.choice(("once", "lost", "tripled", "reversed", "mixed")),
        quota=Rate(rng.choice((3, 6, 20, 20)), 60.0),
        settings=_settings(_draws(seed, "settings")),
        habits=Habits(list_lag_s=rng.choice((0.0, 0.0, rng.uniform(0, 20))), page_size=rng.choice((3, 10, 1000))),
        rates={call: _draws(seed, f"rate of {call}").choice((0.0, 0.03, 0.15, 0.4)) for call in MENU},
        kinds=frozenset(kind for kinds in MENU.values() for kind in kinds if _draws(seed, kind).random() < 0.6),
        outages=_outages(_draws(seed, "outages"), until=clears_at),
        kills=functions.choice((0.0, 0.05, 0.3)) if clears_at else 0.0,
        doubled=queues.choice((0.0, 0.1, 0.5)),
        late_s=queues.choice((0.0, 2.0, 60.0)),
        life_s=functions.choice((200.0, 300.0, 900.0)),
        concurrency=functions.choice((1, 2, 4)),
        upload_apart_bytes=_draws(seed, "uploads").choice((0, 1_000_000)),
        clears_at=clears_at,
        reviewed=functions.random() < 0.5,
    )


def within(plan: Plan, worlds: frozenset[World]) -> Plan:
    """Put a plan into worlds that it has time to meet; a third of the seeds meet nothing else."""
    rng = _draws(plan.seed, "worlds")
    plan = replace(plan, worlds=worlds, clears_at=max(plan.clears_at, rng.choice((600.0, 3000.0))))
    if World.CONDITION_IGNORED in worlds:
        plan = replace(plan, settings=replace(plan.settings, upload_lag_s=0.0))
    if World.LONG_OUTAGE in worlds:
        start = rng.uniform(0, 600)
        return replace(plan, outages=((start, start + 3600.0),), clears_at=start + 3600.0)
    return plan if rng.random() < 0.67 else replace(plan, rates={}, outages=(), kills=0.0)


def _draws(seed: int, part: str) -> random.Random:
    return random.Random(f"cloud {seed} {part}")


def _drops(rng: random.Random) -> tuple[Drop, ...]:
    """Draw files of several folders, some keys with a second version, some with the content of another key."""
    drops = [
        _drop(rng, f"{folder}/{name}" if folder != "json" else f"json/{name[0]}.json")
        for folder in FOLDERS
        for name in rng.sample(NAMES, rng.randint(0, len(NAMES)))
    ]
    again = [drop for drop in drops if rng.random() < 0.2]
    drops += [_drop(rng, drop.key, mark=f"{drop.key} again", after=drop.at) for drop in again]
    if rng.random() < 0.2:
        drops.append(_drop(rng, f"orders/{POISON}.csv"))
    return tuple(drops)


def _with_lost_events(drops: tuple[Drop, ...], rng: random.Random) -> tuple[Drop, ...]:
    """Lose all events of some files; only the latest version of a key can be found without them."""
    share = rng.choice((0.0, 0.0, 0.2))
    versions = Counter(drop.key for drop in drops)
    return tuple(
        replace(drop, events=0) if versions[drop.key] == 1 and rng.random() < share else drop for drop in drops
    )


def _drop(rng: random.Random, key: str, *, mark: str | None = None, after: float = 0.0) -> Drop:
    kind = ItemKind.JSON if key.endswith(".json") else ItemKind.FILE
    given = Input.make(mark or key, kind, rng.choice(FATES))
    return Drop(key=key, given=given, at=after + rng.uniform(0, 900), events=rng.choice((1, 1, 2, 3)))


def _nightly(rng: random.Random) -> tuple[Drop, ...]:
    names = [f"nightly/{number:02}.{rng.choice(('csv', 'csv', 'json'))}" for number in range(rng.choice((0, 0, 5, 12)))]
    return tuple(
        Drop(
            key=name,
            given=Input.make(name, ItemKind.JSON if name.endswith(".json") else ItemKind.FILE, rng.choice(FATES)),
            at=0.0,
        )
        for name in names
    )


def _settings(rng: random.Random) -> SandboxSettings:
    return SandboxSettings(
        upload_lag_s=rng.choice((0.0, 0.0, rng.uniform(0, 60))),
        pending_s=rng.choice((0.2, 5.0, 60.0)),
        running_s=rng.choice((0.3, 10.0, 200.0)),
        if_none_match=rng.choice(("accept", "accept", "not_implemented", "not_signed")),
        fresh_upload_url=rng.random() < 0.8,
        absent_as_null=rng.random() < 0.5,
    )


def _outages(rng: random.Random, *, until: float) -> tuple[tuple[float, float], ...]:
    if until == 0.0 or rng.random() < 0.6:
        return ()
    start = rng.uniform(0, until)
    return ((start, min(until, start + rng.choice((60.0, 60.0, 400.0)))),)

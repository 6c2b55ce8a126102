"""What one seed stands for: the batch, the vendor's habits, and everything that will go wrong."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from runner.models import ItemKind
from runner.packing.planner import PackLimits
from sandbox.api_state import SandboxSettings
from sandbox.quotas import CREATE_QUOTA, Rate
from tests.simulation.options import Options
from tests.support.inputs import Fate, Input
from tests.support.vendor import Habits
from tests.support.weather import MENU, Call, Kind
from tests.support.worlds import World

Store = Literal["memory", "disk"]

FOLDERS = ("2026-06", "2026-07", "archive", "east/north")
NAMES = ("customers.csv", "orders.csv", "contacts.xlsx", "Bericht März.csv")
FATES: tuple[Fate, ...] = ("good", "good", "good", "good", "good", "good", "review", "broken", "refused")
SETTLE_S = 120.0
_OF_JSON = frozenset(
    {
        World.NAMED_JSON,
        World.DATE_OFF,
        World.LATE_READS,
        World.OLD_LIST,
        World.DRIFTING_LIST,
        World.SHRINKING_LIST,
        World.UNORDERED_LIST,
    }
)
"""Worlds that matter to JSON documents whose create was not answered."""

_OF_ONE_LEDGER = frozenset({World.KEPT_REVIEW, World.OTHER_OPTIONS, World.UNREADABLE})
"""Worlds that are judged only where no other run has files of the same source."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """One life of the runner: events are counted from its start, instants and durations are seconds."""

    kill_at: int | None = None
    stop_after_s: float | None = None
    freezes: tuple[tuple[int, float], ...] = ()
    skew_s: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()
    """Steps of the machine's wall clock: seconds after the start of this life, and by how much."""
    rest_s: float = 1.0
    """How long the machine is idle before the next life."""
    loses_ledger: bool = False
    loses_out: bool = False
    changes_inputs: bool = False
    """What happens meanwhile: the ledger is gone, all results are gone, files change, go, and come."""
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, kw_only=True)
class StackHabits:
    """How others move the ledger: shares of the webhooks that are `lost` or `doubled`, and of functions that are
    `killed`; by how much webhooks are late and pages of the ledger lag; the share of reviews that is finished early;
    how often a colleague repairs the ledger by the vendor.
    """

    lost: float = 0.0
    doubled: float = 0.0
    killed: float = 0.0
    reviewed: float = 0.0
    late_s: float = 0.0
    page_lag_s: float = 0.0
    repaired_every_s: float | None = None
    track_by: Literal["list", "ledger"] | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that happens in one simulation but the draws on the wire, which come from `seed`."""

    seed: int
    inputs: tuple[Input, ...]
    lives: tuple[Life, ...] = ()
    store: Store = "memory"
    quota: Rate = CREATE_QUOTA
    settings: SandboxSettings = field(default_factory=SandboxSettings)
    habits: Habits = field(default_factory=Habits)
    rates: dict[Call, float] = field(default_factory=dict)
    kinds: frozenset[Kind] = frozenset()
    outages: tuple[tuple[float, float], ...] = ()
    full: tuple[tuple[float, float], ...] = ()
    longest_life_s: float = 43_200.0
    """A run that still works after so long hangs."""
    clears_at: float = 0.0
    latest_create_s: float = 25.0
    latest_upload_s: float = 25.0
    strangers: tuple[tuple[str, float, float], ...] = ()
    """Files that somebody else imports in the same account: name, instant of the create, delay of the upload."""
    deletions: tuple[tuple[float, float], ...] = ()
    """Instants at which a person deletes an import that waits for its file, and which of them, in [0, 1)."""
    filename_tag: bool = True
    uploads: int = 8
    reviewed: bool = False
    """Whether a person finishes the reviews in the end."""
    pack_limits: PackLimits | None = None
    """How files are packed, if they are."""
    mispredicted: float = 0.0
    """The share of the files without a result of which the engine here predicts one."""
    stack: StackHabits | None = None
    """Whether the ledger is shared with functions that webhooks wake."""
    worlds: frozenset[World] = frozenset()
    last_options: Options = field(default_factory=Options)
    """The options of the runs without faults."""
    second_at: float = 0.0
    """When the run with the second ledger begins, if there is one."""
    second_slots: bool = False
    """Whether that run is on another machine, with create slots of its own."""

    @property
    def loses_ledger(self) -> bool:
        return any(life.loses_ledger for life in self.lives)

    @property
    def loses_out(self) -> bool:
        return any(life.loses_out for life in self.lives)

    def changed(self, inputs: Iterable[Input], *, life: int) -> tuple[Input, ...]:
        """Return the inputs after a life in which files have changed: some are others, some gone, and some new."""
        rng = _draws(self.seed, f"changes after life {life}")
        share = rng.choice((0.05, 0.2, 0.6))
        kept = [
            _changed(given, rng) if given.kind is ItemKind.FILE and rng.random() < share else given
            for given in inputs
            if given.kind is ItemKind.JSON or rng.random() > share / 2
        ]
        names = [f"small/new-{life}-{number}.csv" for number in range(rng.choice((0, 1, 3)))]
        kept += [Input.make(name, ItemKind.FILE, rng.choice(FATES)) for name in names]
        made = tuple(sorted(kept, key=lambda given: given.source))
        return made if self.pack_limits is None else _tables(made)

    @property
    def next_inputs(self) -> tuple[Input, ...]:
        """Return the inputs of the next night: with a shared `--out`, every other file has changed."""
        if World.SHARED_OUT not in self.worlds:
            return self.inputs
        changed = tuple(
            Input.make(given.source, given.kind, "good", version=2)
            if place % 2 and given.kind is ItemKind.FILE and given.fate != "refused"
            else given
            for place, given in enumerate(self.inputs)
        )
        return changed if self.pack_limits is None else _tables(changed)

    @property
    def is_calm(self) -> bool:
        """Tell whether nothing goes wrong but what the worlds bring, and they do not stop a run."""
        trouble = [*self.outages, *self.full, *self.deletions, *self.strangers, *(life.freezes for life in self.lives)]
        is_quiet = not any(trouble) and not any(self.rates.values()) and self.stack is None
        return is_quiet and bool(self.worlds) and self.worlds.isdisjoint({World.FAILING_OUT, World.SECOND_LEDGER})

    @property
    def confirms_lists(self) -> bool:
        """Tell whether retrieves show at once what a list shows."""
        odd = {World.ODD_404, World.LATE_READS, World.LONG_OUTAGE}
        return not self.rates.get("retrieve") and not self.outages and self.worlds.isdisjoint(odd)

    @property
    def is_polite(self) -> bool:
        """Tell whether everything that happens is within what the quota's guard allows for."""
        frozen = any(life.freezes for life in self.lives)
        return self.latest_create_s <= 30.0 and not frozen and not self.strangers and not self.second_slots


def plan_of(seed: int) -> Plan:
    """Draw a plan; a seed always stands for the same one, and each part has draws of its own."""
    rng = _draws(seed, "vendor")
    lag_s = rng.choice((0.0, 0.0, rng.uniform(0, 90)))
    clears_at = rng.choice((30.0, 200.0, 1000.0, 3000.0))
    batch, space, reach = _draws(seed, "batch"), _draws(seed, "space"), _draws(seed, "reach")
    return Plan(
        seed=seed,
        inputs=_inputs(_draws(seed, "inputs")),
        lives=_lives(_draws(seed, "lives"), clocks=_draws(seed, "clocks")),
        quota=Rate(rng.choice((3, 6, 20)), 60.0),
        settings=_settings(_draws(seed, "settings"), lag_s=lag_s),
        habits=_habits(_draws(seed, "habits")),
        rates={call: _draws(seed, f"rate of {call}").choice((0.0, 0.03, 0.15, 0.4)) for call in MENU},
        kinds=frozenset(kind for kinds in MENU.values() for kind in kinds if _draws(seed, kind).random() < 0.6),
        outages=_windows(_draws(seed, "outages"), until=clears_at, share=0.3, longest_s=240.0),
        full=_windows(space, until=clears_at, share=0.25, longest_s=40.0),
        clears_at=clears_at,
        latest_create_s=reach.choice((25.0, 25.0, 120.0)),
        latest_upload_s=min(SETTLE_S - lag_s - 10.0, reach.choice((25.0, 100.0))),
        strangers=_strangers(_draws(seed, "strangers")),
        deletions=_deletions(_draws(seed, "deletions"), until=clears_at),
        store="disk" if batch.random() < 0.1 else "memory",
        filename_tag=batch.random() < 0.85,
        uploads=batch.choice((1, 3, 8)),
        reviewed=batch.random() < 0.5,
    )


def pack_plan_of(seed: int) -> Plan:
    """Draw a plan in which small files travel together."""
    rng, plan = _draws(seed, "packs"), plan_of(seed)
    names = [f"small/{number:02}.csv" for number in range(rng.choice((0, 8, 30)))]
    small = [Input.make(name, ItemKind.FILE, rng.choice(FATES)) for name in names]
    limits = PackLimits(members=rng.choice((3, 8, 1000)), canary_members=rng.choice((2, 5)))
    return replace(
        plan,
        inputs=_tables(sorted((*plan.inputs, *small), key=lambda given: given.source)),
        filename_tag=True,
        pack_limits=limits,
        mispredicted=rng.choice((0.0, 0.0, 0.3, 1.0)),
    )


def _tables(inputs: Iterable[Input]) -> tuple[Input, ...]:
    return tuple(given.as_table() if given.kind is ItemKind.FILE else given for given in inputs)


def shared_plan_of(seed: int) -> Plan:
    """Draw a plan in which others move the ledger too."""
    rng = _draws(seed, "stack")
    habits = StackHabits(
        lost=rng.choice((0.0, 0.2, 1.0)),
        doubled=rng.choice((0.0, 0.3)),
        killed=rng.choice((0.0, 0.3)),
        reviewed=rng.choice((0.0, 0.7)),
        late_s=rng.choice((1.0, 30.0, 600.0)),
        page_lag_s=rng.choice((0.0, 2.0, 20.0)),
        track_by=rng.choice(("list", "ledger", "ledger", None)),
        repaired_every_s=rng.choice((None, None, 3.0, 30.0)),
    )
    return replace(plan_of(seed), store="memory", stack=habits)


def within(plan: Plan, worlds: frozenset[World]) -> Plan:
    """Put a plan into worlds that it has time to meet; a third of the seeds meet nothing else."""
    rng = _draws(plan.seed, "worlds")
    clears_at = max(plan.clears_at, rng.choice((600.0, 3000.0)))
    plan = replace(plan, worlds=worlds, clears_at=clears_at, lives=plan.lives or (Life(),))
    if worlds & _OF_JSON:
        plan = _with_lost_json(plan, rng)
    if World.CONDITION_IGNORED in worlds:
        plan = replace(plan, settings=replace(plan.settings, upload_lag_s=0.0), latest_upload_s=1.0)
    if World.LONG_OUTAGE in worlds:
        start, hours = rng.uniform(0, 600), rng.uniform(0.5, 5)
        outage = (start, start + hours * 3600)
        plan = replace(plan, outages=(*plan.outages, outage), clears_at=outage[1] + 600.0, longest_life_s=12_600.0)
    if World.SHARED_OUT in worlds - {World.LOST_AND_CHANGED}:
        inputs = tuple(Input.make(given.source, given.kind, given.fate) for given in plan.inputs)
        inputs = inputs if plan.pack_limits is None else _tables(inputs)
        plan = replace(plan, inputs=inputs, reviewed=False, filename_tag=True)
    if World.LOST_AND_CHANGED in worlds:
        plan = _with_changes(plan)
    if World.LOST_LEDGER in worlds:
        rested = tuple(replace(life, rest_s=life.rest_s + 300.0, loses_ledger=True) for life in plan.lives)
        # Nothing tells a new ledger of an import that had data and was deleted.
        kept = plan.worlds - {World.FINISHED_PACK}
        plan = replace(plan, worlds=kept, lives=rested, filename_tag=True, stack=None, deletions=())
    if World.SECOND_LEDGER in plan.worlds:
        plan = replace(plan, worlds=plan.worlds - _OF_ONE_LEDGER)
        plan = _with_second_ledger(plan)
    if rng.random() < 0.67 or World.LONG_OUTAGE in worlds:
        return _with_pack_worlds(plan)
    calm = tuple(replace(life, kill_at=None, stop_after_s=None, freezes=()) for life in plan.lives)
    rates: dict[Call, float] = {
        call: rate for call, rate in plan.rates.items() if call == "create" and worlds & _OF_JSON
    }
    plan = replace(plan, lives=calm, rates=rates, outages=(), full=(), strangers=(), deletions=())
    return _with_pack_worlds(plan)


def _with_pack_worlds(plan: Plan) -> Plan:
    """Let some imports of packs need a review if it cannot be deleted, lose ledgers, and give each run its options."""
    if World.LOST_AGAIN in plan.worlds:
        plan = _with_losses(plan)
    if World.KEPT_REVIEW in plan.worlds and plan.pack_limits is not None:
        rng = _draws(plan.seed, "kept")
        more = _more(rng, ("good", "good", "good", "review"))
        plan = replace(plan, mispredicted=rng.choice((0.3, 1.0)), inputs=_joined(plan.inputs, more))
    if not plan.worlds.isdisjoint({World.OTHER_OPTIONS, World.UNREADABLE}):
        plan = replace(plan, worlds=plan.worlds - {World.NEXT_NIGHT, World.SHARED_OUT})
    return _with_other_options(plan) if World.OTHER_OPTIONS in plan.worlds else plan


def _with_other_options(plan: Plan) -> Plan:
    """Let each run have options of its own, and end most runs but the last one early."""
    rng = _draws(plan.seed, "options")
    if plan.pack_limits is not None:
        plan = replace(plan, inputs=_joined(plan.inputs, _more(rng, FATES)))
    lives = plan.lives if len(plan.lives) > 1 else (*plan.lives, replace(plan.lives[-1], rest_s=60.0))
    # A new ledger does not know files that are gone, and come back.
    drawn = [Options.drawn(rng, plan.inputs, may_be_gone=not plan.loses_ledger) for _ in range(len(lives) + 1)]
    if rng.random() < 0.7:
        drawn[0] = Options()
    last = drawn.pop() if rng.random() < 0.3 and not plan.loses_ledger else Options()
    ended = [
        rng.choice((life, replace(life, stop_after_s=rng.uniform(0, 90)), replace(life, kill_at=rng.randint(20, 150))))
        for life in lives
    ]
    return replace(
        plan,
        quota=Rate(rng.choice((2, 3, plan.quota.count)), plan.quota.window_s),
        lives=tuple(replace(life, options=options) for life, options in zip(ended, drawn, strict=False)),
        last_options=last,
    )


def _more(rng: random.Random, fates: tuple[Fate, ...]) -> list[Input]:
    """Return more small files."""
    count = rng.choice((0, 6, 12))
    return [Input.make(f"small/more-{number:02}.csv", ItemKind.FILE, rng.choice(fates)) for number in range(count)]


def _joined(inputs: Iterable[Input], more: Iterable[Input]) -> tuple[Input, ...]:
    return tuple(sorted((*inputs, *_tables(more)), key=lambda given: given.source))


def _with_changes(plan: Plan) -> Plan:
    """Lose the ledger after the first life, and after some of the others; the results of a third of the plans, too."""
    rng = _draws(plan.seed, "losses")
    loses_out = rng.random() < 0.33
    lives = []
    for life in plan.lives:
        is_lost = not lives or rng.random() < 0.4
        lives.append(
            replace(
                life, rest_s=life.rest_s + 300.0 * is_lost, loses_ledger=is_lost, loses_out=is_lost and loses_out,
                changes_inputs=is_lost,
            )
        )  # fmt: skip
    worlds = plan.worlds - {World.SHARED_OUT, World.SECOND_LEDGER, World.FINISHED_PACK}
    return replace(plan, lives=tuple(lives), worlds=worlds, filename_tag=True, stack=None, deletions=())


def _with_losses(plan: Plan) -> Plan:
    """Lose the ledger after each of two to four lives."""
    rng = _draws(plan.seed, "losses again")
    lives = [*plan.lives, *(Life() for _ in range(3))][: rng.choice((2, 2, 3, 4))]
    ended = [
        rng.choice((life, replace(life, kill_at=rng.randint(5, 150)), replace(life, stop_after_s=rng.uniform(0, 200))))
        for life in lives
    ]
    lost = tuple(replace(life, rest_s=rng.choice((400.0, 1000.0)), loses_ledger=True) for life in ended)
    worlds = plan.worlds - {World.SHARED_OUT, World.SECOND_LEDGER, World.FINISHED_PACK}
    return replace(plan, lives=lost, worlds=worlds, filename_tag=True, stack=None, deletions=())


def _changed(given: Input, rng: random.Random) -> Input:
    return Input.make(given.source, given.kind, rng.choice(FATES), version=given.version + 1)


def _with_second_ledger(plan: Plan) -> Plan:
    """Let another run begin at the same time or up to two minutes later, on the same machine or on another one.

    Nothing is promised for JSON there: no tag tells whose import is whose.
    """
    rng = _draws(plan.seed, "second")
    return replace(
        plan,
        second_at=rng.choice((0.0, rng.uniform(0, 30), rng.uniform(0, 120))),
        second_slots=rng.random() < 0.5,
        quota=Rate(rng.choice((3, 6)), 60.0),
        inputs=tuple(given for given in plan.inputs if given.kind is ItemKind.FILE),
        filename_tag=True,
        stack=None,
        deletions=(),
    )


def _with_lost_json(plan: Plan, rng: random.Random) -> Plan:
    """Add JSON documents, and lose the answers to many creates."""
    names = [f"{rng.choice(('json', 'inline'))}/more-{number}.json" for number in range(rng.randint(1, 4))]
    more = [Input.make(name, ItemKind.JSON, "good") for name in names]
    inputs = tuple(sorted((*plan.inputs, *more), key=lambda given: given.source))
    kinds = frozenset({*plan.kinds, "lost_after", "error_after"})
    return replace(plan, inputs=inputs, kinds=kinds, rates={**plan.rates, "create": 0.3})


def _draws(seed: int, part: str) -> random.Random:
    return random.Random(f"{seed} {part}")


def _inputs(rng: random.Random) -> tuple[Input, ...]:
    """Draw inputs with equal base names in several folders, some with the content of another."""
    places = [f"{folder}/{name}" for folder in FOLDERS for name in NAMES]
    files = rng.sample(places, rng.randint(6, len(places)))
    json_count = rng.choice((0, 0, 1, 3, 5))
    inputs: list[Input] = []
    for place in files:
        twin = rng.choice(inputs) if inputs and rng.random() < 0.15 else None
        fate = twin.fate if twin else rng.choice(FATES)
        mark = twin.source if twin else None
        inputs.append(Input.make(place, ItemKind.FILE, fate, like=mark))
    for number in range(json_count):
        folder = rng.choice(("json", "inline"))
        fate = rng.choice(FATES)
        inputs.append(Input.make(f"{folder}/{number}.json", ItemKind.JSON, fate))
    return tuple(sorted(inputs, key=lambda given: given.source))


def _strangers(rng: random.Random) -> tuple[tuple[str, float, float], ...]:
    count = rng.choice((0, 0, 0, 3))
    return tuple((rng.choice(NAMES), rng.uniform(0, 60), rng.uniform(0, 300)) for _ in range(count))


def _deletions(rng: random.Random, *, until: float) -> tuple[tuple[float, float], ...]:
    return tuple((rng.uniform(0, until), rng.random()) for _ in range(rng.choice((0, 0, 0, 0, 20))))


def _habits(rng: random.Random) -> Habits:
    return Habits(
        list_lag_s=rng.choice((0.0, 0.0, rng.uniform(0, 30))),
        page_size=rng.choice((3, 10, 1000)),
        unknown_status=rng.random() < 0.2,
    )


def _lives(rng: random.Random, *, clocks: random.Random) -> tuple[Life, ...]:
    """Draw lives, half of them on machines whose clocks are nearly right; the others' are hours off, or are set."""
    lives = tuple(_life(rng) for _ in range(rng.choice((0, 1, 1, 2, 3))))
    if clocks.random() < 0.5:
        return lives
    return tuple(replace(life, skew_s=_skew(clocks), steps=_steps(clocks)) for life in lives)


def _skew(rng: random.Random) -> float:
    return rng.choice((0.0, rng.uniform(-4000, 4000)))


def _steps(rng: random.Random) -> tuple[tuple[float, float], ...]:
    return tuple((rng.uniform(0, 1500), rng.uniform(-4000, 4000)) for _ in range(rng.choice((0, 1, 2))))


def _life(rng: random.Random) -> Life:
    return Life(
        kill_at=rng.choice((None, rng.randint(1, 60), rng.randint(1, 400))),
        stop_after_s=rng.choice((None, None, None, rng.uniform(0, 300))),
        freezes=tuple((rng.randint(1, 200), rng.uniform(1, 400)) for _ in range(rng.choice((0, 0, 0, 1)))),
        skew_s=rng.choice((0.0, rng.uniform(-5, 5))),
        rest_s=rng.choice((0.0, 1.0, 60.0, 2000.0)),
    )


def _settings(rng: random.Random, *, lag_s: float) -> SandboxSettings:
    return SandboxSettings(
        upload_lag_s=lag_s,
        pending_s=rng.choice((0.2, 5.0, 60.0)),
        running_s=rng.choice((0.3, 10.0, 400.0)),
        if_none_match=rng.choice(("accept", "accept", "not_implemented", "not_signed")),
        fresh_upload_url=rng.random() < 0.8,
        absent_as_null=rng.random() < 0.5,
    )


def _windows(rng: random.Random, *, until: float, share: float, longest_s: float) -> tuple[tuple[float, float], ...]:
    if rng.random() >= share:
        return ()
    starts = [rng.uniform(0, until) for _ in range(rng.randint(1, 2))]
    return tuple((start, min(until, start + rng.uniform(1, longest_s))) for start in starts)

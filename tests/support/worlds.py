"""Worlds: how a vendor, or its surroundings, may differ from what the core hopes for.

A world is on in a simulation or not, and each has draws of its own: turning one on changes no other draw of a seed.
"""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from runner.errors import AuthRefused, BulkheadError, FileUnavailable, ItemRejected, RequestInvalid, Unavailable

_DAMAGED_SHARE = 0.4
_OTHERS_MAX = 60
"""The most imports of others in a list that drifts."""


_ODD_METADATA: tuple[object, ...] = (
    {},
    None,
    [],
    "300",
    {"totalRows": None, "errors": None},
    {"totalRows": "300"},
    {"totalRows": True, "invalidRows": True},
    {"totalRows": -1},
    {"totalRows": 1e400, "validRows": float("nan")},
    {"totalRows": 10**40},
    {"totalRows": 0},
    {"totalRows": 10**12, "invalidRows": 10**13},
    {"totalRows": 1000, "validRows": 990, "errors": [None, 5, [], {}, {"fieldKey": 5, "message": ["x"]}]},
    {"totalRows": 1000, "errors": {"fieldKey": "a"}, "invalidRows": "10"},
    {"totalRows": 1000, "errors": [{"fieldKey": f"f{n}", "message": f"m{n}", "rowIndex": n} for n in range(300)]},
    {"totalRows": 1000, "errors": [{"fieldKey": "x" * 10_000, "message": "y" * 10_000, "rowIndex": -1}]},
)


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
    OLD_LIST = "old-list"
    """The list shows what was one to fifteen minutes ago."""
    DRIFTING_LIST = "drifting-list"
    """Others make imports, so that rows move from one page of the list to the next while it is read."""
    SHRINKING_LIST = "shrinking-list"
    """Others make and delete imports, so that a row may move to a page that was read before."""
    UNORDERED_LIST = "unordered-list"
    """The list is not newest first, and has imports of earlier days."""
    SWALLOWED_UPLOAD = "swallowed-upload"
    """Storage says 200 to an upload, and the import never gets the file."""
    EXPIRED_ALWAYS = "expired-always"
    """Storage says for long that the url of a transfer has expired, while the API gives no other."""
    FAILING_OUT = "failing-out"
    """Results cannot be written for a while: a disk that fails, or too many open files. It stops the run."""
    CONDITION_IGNORED = "condition-ignored"
    """Storage accepts `If-None-Match` and ignores it."""
    LONG_OUTAGE = "long-outage"
    """No request is answered for hours."""
    NEXT_NIGHT = "next-night"
    """Another batch lists the same source after the first has ended."""
    SHARED_OUT = "shared-out"
    """The next night some files have changed, their results go where those of the first are, and reviews end late."""
    ODD_METADATA = "odd-metadata"
    """What an import says about its rows is missing, of other types, absurd, or another thing at each retrieve."""
    LOST_LEDGER = "lost-ledger"
    """The ledger is gone when the next run begins."""
    LOST_AND_CHANGED = "lost-and-changed"
    """The ledger is gone now and then when the next run begins, at times with all results; files have changed, some are
    gone, and there are new ones."""
    LOST_AGAIN = "lost-again"
    """The ledger is gone each time when the next run begins, and most of several runs end early."""
    DAMAGED_PACK = "damaged-pack"
    """Now and then, the result of a pack lacks its last row, or has one twice, or a marker in it is damaged."""
    FINISHED_PACK = "finished-pack"
    """Now and then, a person finishes the review of a pack that the vendor says it has deleted, at once or later."""
    KEPT_REVIEW = "kept-review"
    """The vendor refuses to delete a pack in review, for a while or for good, or does so although it does not say so;
    people finish or delete some of those that are left."""
    OTHER_OPTIONS = "other-options"
    """Each run has other filters, and packs otherwise or not at all; some files are gone for the time of a run."""
    UNREADABLE = "unreadable"
    """Some files cannot be read, for a while or for good, and lists of packs neither."""
    SECOND_LEDGER = "second-ledger"
    """Another run with another ledger imports the same source at the same time, where no lock keeps it away."""


ON_BY_DEFAULT: frozenset[World] = frozenset(
    {
        World.CONDITION_IGNORED,
        World.DATE_AHEAD,
        World.DATE_OFF,
        World.DRIFTING_LIST,
        World.EXPIRED_ALWAYS,
        World.FAILING_OUT,
        World.LATE_READS,
        World.LONG_OUTAGE,
        World.LOST_AND_CHANGED,
        World.LOST_LEDGER,
        World.NAMED_JSON,
        World.NEXT_NIGHT,
        World.ODD_404,
        World.ODD_METADATA,
        World.SECOND_LEDGER,
        World.SHARED_OUT,
        World.STORAGE_403,
        World.SWALLOWED_UPLOAD,
    }
)
"""Worlds in which the core holds: a quarter of all seeds plays each."""

OF_PACKS = frozenset(
    {
        World.DAMAGED_PACK,
        World.FINISHED_PACK,
        World.KEPT_REVIEW,
        World.LOST_AGAIN,
        World.OTHER_OPTIONS,
        World.UNREADABLE,
    }
)
"""Further worlds in which the core holds, for plans with packs."""

SHARE = 0.25
ALONE_ONLY = frozenset(
    {
        World.NEXT_NIGHT,
        World.SHARED_OUT,
        World.LOST_LEDGER,
        World.LOST_AND_CHANGED,
        World.LOST_AGAIN,
        World.SECOND_LEDGER,
        World.OTHER_OPTIONS,
        World.UNREADABLE,
    }
)
"""Worlds of a run on one machine; the functions have neither several ledgers nor lives."""


def shows_others(worlds: Collection[World]) -> bool:
    """Return whether the list shows imports of others, so that a person must say that JSON is new."""
    return not {World.DRIFTING_LIST, World.SHRINKING_LIST, World.UNORDERED_LIST}.isdisjoint(worlds)


def drawn_worlds(seed: int, among: Iterable[World]) -> frozenset[World]:
    """Return the worlds that a seed plays."""
    return frozenset(world for world in among if random.Random(f"{seed} plays {world}").random() < SHARE)


def named_worlds(names: Iterable[str]) -> frozenset[World]:
    """Return worlds by their names, separated by commas."""
    return frozenset(World(name) for text in names for name in text.split(",") if name not in ("", "none"))


_DELETE_MOODS = ("refused", "refused", "refused", "refused_first", "down", "lost", "late", "usual")
_DELETE_REFUSALS: tuple[BulkheadError, ...] = (
    AuthRefused("the license key may not do this (HTTP 403)"),
    RequestInvalid("Method DELETE is not allowed (HTTP 405)"),
    RequestInvalid("The import is being reviewed (HTTP 409)"),
)


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    """The answer to a request to delete an import: an error if it is not the usual one; and when it takes effect.

    `after_s` is None if an error means that nothing happens.
    """

    error: BulkheadError | None = None
    after_s: float | None = None


class Oddities:
    """What the vendor does oddly in the worlds of one simulation; `until` is when passing trouble ends."""

    def __init__(self, worlds: Collection[World] = (), *, seed: int = 0, until: float = 0.0) -> None:
        self._worlds = frozenset(worlds)
        self._seed = seed
        self._until = until
        self._asked: dict[str, int] = {}
        self._deletes_begun: dict[str, float] = {}
        self.struck: set[str] = set()
        """Imports that met something odd."""
        self.swallowed: set[str] = set()
        """Imports whose upload was acknowledged and lost."""
        self.damaged: set[str] = set()
        """Imports of packs with a damaged result."""
        self.list_lag_s = self._list_lag_s()
        rng = self._draws(World.EXPIRED_ALWAYS)
        self._expired_share = rng.choice((0.3, 0.8)) if rng else 0.0
        self._list = OddList(self._draws)
        self.date_off_s = self._date_off_s()

    def _draws(self, world: World, of: str = "") -> random.Random | None:
        """Return the draws of a world, the same each time, for one import or for all; None if it is off."""
        return random.Random(f"{self._seed} {world} {of}") if world in self._worlds else None

    def pack_result(self, import_id: str, data: bytes) -> bytes:
        """Return the result of a pack as this vendor gives it, the same each time."""
        rng = self._draws(World.DAMAGED_PACK, import_id)
        rows = orjson.loads(data) if rng is not None and rng.random() < _DAMAGED_SHARE else []
        if rng is None or not rows:
            return data
        self.damaged.add(import_id)
        match rng.choice(("lost", "twice", "marker")):
            case "lost":
                rows.pop()
            case "twice":
                rows.append(rows[0])
            case _:
                rows[-1]["$unmapped"]["0"] += "7"
        return orjson.dumps(rows)

    def finishes_after_delete_s(self, import_id: str) -> float | None:
        """Return when a person finishes the review of an import whose delete was answered; None if it is deleted."""
        rng = self._draws(World.FINISHED_PACK, import_id)
        return rng.choice((0.0, 1.0, 30.0, 300.0, 3000.0, None)) if rng is not None else None

    def hides_until_finished(self, import_id: str) -> bool:
        """Tell whether an import whose delete was answered is hidden until its review is finished."""
        rng = self._draws(World.FINISHED_PACK, f"hide {import_id}")
        return rng is not None and rng.random() < 0.6

    def answer_to_delete(self, import_id: str, *, now: float) -> DeleteAnswer:
        """Return what happens to this request to delete an import."""
        rng = self._draws(World.KEPT_REVIEW, import_id)
        if rng is None:
            return DeleteAnswer()
        number, begun = self._nth("delete", import_id), self._deletes_begun.setdefault(import_id, now)
        mood, refusal = rng.choice(_DELETE_MOODS), rng.choice(_DELETE_REFUSALS)
        count, later_s, down_s = rng.randint(1, 3), rng.choice((1.0, 20.0, 300.0)), rng.choice((30.0, 600.0, 7200.0))
        match mood:
            case "refused":
                return DeleteAnswer(error=refusal)
            case "refused_first" if number == 1:
                return DeleteAnswer(error=refusal)
            case "down" if now < min(begun + down_s, self._until):
                return DeleteAnswer(error=Unavailable("the server answers 503"))
            case "lost" if number <= count:
                return DeleteAnswer(error=Unavailable("the connection was cut"), after_s=0.0)
            case "late" if number == 1:
                return DeleteAnswer(error=Unavailable("no answer in time"), after_s=later_s)
            case "late" if count > 1:
                return DeleteAnswer(error=refusal)
        return DeleteAnswer()

    def person_acts_on_kept(self, import_id: str) -> tuple[float, str]:
        """Return what a person does with a review whose import cannot be deleted, and after how many seconds."""
        rng = random.Random(f"{self._seed} {World.KEPT_REVIEW} person {import_id}")
        return rng.choice((5.0, 70.0, 300.0, 3000.0)), rng.choice(("finishes", "finishes", "deletes", "nothing"))

    def out_failures(self, *, until: float) -> list[tuple[float, float]]:
        """Return from when to when results cannot be written."""
        rng = self._draws(World.FAILING_OUT)
        begins = [rng.uniform(0, until) for _ in range(rng.randint(1, 3))] if rng else []
        return [(begin, min(until, begin + rng.choice((1.0, 30.0, 600.0)))) for begin in begins if rng]

    def _list_lag_s(self) -> float:
        rng = self._draws(World.OLD_LIST)
        return rng.choice((60.0, 100.0, 300.0, 900.0)) if rng else 0.0

    def _nth(self, call: str, import_id: str) -> int:
        """Count a call for an import, and return its number."""
        key = f"{call} {import_id}"
        self._asked[key] = self._asked.get(key, 0) + 1
        return self._asked[key]

    def _date_off_s(self) -> float:
        if self._draws(World.DATE_AHEAD):
            return 3600.0
        rng = self._draws(World.DATE_OFF)
        return rng.choice((-1, 1)) * rng.uniform(120, 900) if rng else 0.0

    def is_unknown(self, call: str, import_id: str, *, now: float, made_at: float) -> bool:
        """Tell whether a retrieve or a results url of an import that exists is answered with 404."""
        if call == "retrieve" and self.is_unlisted(import_id, now=now, made_at=made_at):
            return self._strikes(import_id)
        rng = self._draws(World.ODD_404, f"{call} {import_id}")
        if rng is None or now >= self._until:
            return False
        number = self._nth(call, import_id)
        mood, first = rng.choice(("never", "once", "row", "minutes")), rng.randint(1, 4)
        begin = made_at + rng.uniform(0, 300)
        struck = {
            "never": False,
            "once": number == first,
            "row": first <= number < first + rng.randint(2, 6),
            "minutes": begin <= now < begin + rng.uniform(10, 900),
        }[mood]
        return struck and self._strikes(import_id)

    def is_unlisted(self, import_id: str, *, now: float, made_at: float) -> bool:
        """Tell whether the list does not show an import yet."""
        rng = self._draws(World.LATE_READS, import_id)
        return rng is not None and now < made_at + rng.choice((0.0, rng.uniform(0, 5), rng.uniform(0, 60)))

    def metadata(self, import_id: str, usual: object) -> object:
        """Return the `result_metadata` that an import shows this time."""
        rng = self._draws(World.ODD_METADATA, import_id)
        if rng is None or usual is None:
            return usual
        kinds = [rng.randrange(len(_ODD_METADATA)), rng.randrange(len(_ODD_METADATA))]
        odd = _ODD_METADATA[kinds[self._nth("metadata", import_id) % 2]]
        return {**usual, **odd} if isinstance(usual, dict) and isinstance(odd, dict) else odd

    def json_name(self, import_id: str) -> str | None:
        """Return the name that an import of JSON shows."""
        rng = self._draws(World.NAMED_JSON)
        return rng.choice(("initial_data.json", "Untitled", f"{import_id}.json")) if rng else None

    def refuses_transfer(self, call: str, import_id: str, *, now: float) -> bool:
        """Tell whether storage refuses a transfer of an import this time."""
        rng = self._draws(World.STORAGE_403, f"{call} {import_id}")
        if rng is None or now >= self._until:
            return False
        refused = self._nth(call, import_id) <= rng.choice((0, 1, 1, 2))
        return refused and self._strikes(import_id)

    def is_expired(self, call: str, import_id: str, *, now: float) -> bool:
        """Tell whether storage takes a valid url for expired."""
        rng, share = self._draws(World.EXPIRED_ALWAYS, f"{call} {import_id}"), self._expired_share
        return rng is not None and now < self._until and rng.random() < share and self._strikes(import_id)

    def swallows(self, import_id: str) -> bool:
        """Tell whether storage loses an upload that it acknowledges."""
        rng = self._draws(World.SWALLOWED_UPLOAD, import_id)
        if rng is None or rng.random() > 0.25:
            return False
        self.swallowed.add(import_id)
        return self._strikes(import_id)

    @property
    def takes_conditions(self) -> bool:
        return World.CONDITION_IGNORED not in self._worlds

    def _strikes(self, import_id: str) -> bool:
        self.struck.add(import_id)
        return True

    def arranged(self, rows: list[dict[str, Any]], *, now: float) -> list[dict[str, Any]]:
        """Return the rows of the list as this vendor shows them."""
        return self._list.arranged(rows, now=now)

    def page_size(self, usual: int) -> int:
        return self._list.page_size or usual


class OddList:
    """The list of imports with rows of others, in another order, and with small pages; each call may change it."""

    def __init__(self, draws: Callable[[World], random.Random | None]) -> None:
        self._drifts = draws(World.SHRINKING_LIST) or draws(World.DRIFTING_LIST)
        self._shrinks = draws(World.SHRINKING_LIST) is not None
        self._disorder = draws(World.UNORDERED_LIST)
        self._others: list[dict[str, Any]] = []
        self._numbers = itertools.count()
        rng = self._drifts or self._disorder
        self.page_size = rng.choice((3, 10)) if rng else 0
        self._order = self._disorder.choice(("oldest", "modified", "any", "nearly")) if self._disorder else ""
        self._archive_count = self._disorder.randint(0, 25) if self._disorder else 0

    def arranged(self, rows: list[dict[str, Any]], *, now: float) -> list[dict[str, Any]]:
        if self._drifts is not None:
            self._drift(self._drifts, now)
            rows = sorted([*self._others, *rows], key=_made_at, reverse=True)
        if self._disorder is not None:
            earlier = [self._other(now - 86_400.0 * (1 + day), f"archive-{day}") for day in range(self._archive_count)]
            rows = self._disordered([*rows, *earlier])
        return rows

    def _drift(self, rng: random.Random, now: float) -> None:
        """Let others make some imports, and delete some."""
        for _ in range(rng.choice((0, 1, 1, 4)) if len(self._others) < _OTHERS_MAX else 0):
            self._others.append(self._other(now, f"other-{next(self._numbers)}"))
        if self._shrinks:
            for _ in range(rng.choice((0, 1, 1, 3))):
                self._others = self._others and rng.sample(self._others, len(self._others) - 1)

    def _disordered(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        match self._order:
            case "oldest":
                return sorted(rows, key=_made_at)
            case "modified":
                return sorted(rows, key=lambda row: str(row["modified_date"]), reverse=True)
            case "nearly":
                pairs = [rows[at : at + 2][::-1] for at in range(0, len(rows), 2)]
                return [row for pair in pairs for row in pair]
            case _:
                return sorted(rows, key=lambda row: zlib.crc32(str(row["id"]).encode()))

    def _other(self, at: float, import_id: str) -> dict[str, Any]:
        made = datetime.fromtimestamp(at, UTC).isoformat()
        return {
            "id": import_id, "schema_id": "others", "status": "SUCCESSFUL", "original_filename": "other.csv",
            "created_date": made, "modified_date": made,
        }  # fmt: skip


def _made_at(row: dict[str, Any]) -> str:
    return str(row["created_date"])


class OddFiles:
    """Files that cannot be read at times, and lists of packs; `until` is when passing trouble ends."""

    def __init__(self, worlds: Collection[World] = (), *, seed: int = 0, until: float = 0.0) -> None:
        self._is_on = World.UNREADABLE in worlds
        self._seed = seed
        self._until = until
        self._share = self._rng("share").choice((0.1, 0.3, 1.0))
        self._reads = itertools.count()
        self.met: set[str] = set()
        """Files that could not be read at some time."""
        self.denied: set[str] = set()
        """Those of them that nobody was allowed to read."""

    def refusal(self, source: str, *, now: float) -> BulkheadError | None:
        """Return why a file cannot be read now, None if it can; note it."""
        error = self.trouble(source, now=now)
        if error is not None:
            self.met.add(source)
        if isinstance(error, ItemRejected):
            self.denied.add(source)
        return error

    def trouble(self, source: str, *, now: float) -> BulkheadError | None:
        """Return why a file cannot be read now, None if it can."""
        rng = self._rng(source)
        if not self._is_on or rng.random() >= self._share:
            return None
        mood = rng.choice(("window", "window", "denied", "flaky", "denied_for_good"))
        begin = rng.choice((0.0, rng.uniform(0, self._until)))
        end = min(self._until, begin + rng.choice((1.0, 60.0, 2000.0)))
        if mood == "denied_for_good" and self._rng("for good").random() < _FOR_GOOD:
            return _DENIED if now >= begin else None
        if mood == "flaky":
            is_struck = now < self._until and self._rng(f"read {next(self._reads)}").random() < _FLAKY
            return _IO_ERROR if is_struck else None
        if not begin <= now < end:
            return None
        return _IO_ERROR if mood == "window" else _DENIED

    def list_trouble(self, *, now: float) -> BulkheadError | None:
        """Return why the list of a pack can be neither read nor written now, None if it can."""
        rng = self._rng("lists")
        begin = rng.choice((0.0, rng.uniform(0, self._until)))
        end = min(self._until, begin + rng.choice((0.0, 1.0, 60.0)))
        return _IO_ERROR if self._is_on and begin <= now < end else None

    def _rng(self, of: str) -> random.Random:
        return random.Random(f"{self._seed} {World.UNREADABLE} {of}")


_FOR_GOOD = 0.4
"""The share of the seeds in which some files stay unreadable."""

_FLAKY = 0.4
_IO_ERROR = FileUnavailable("it cannot be read at the moment: Input/output error")
_DENIED = ItemRejected("unreadable", "it cannot be read: Permission denied")

"""Events: what the core reports about its progress, and the type of a listener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner.models import BatchState, Deferral, ItemState


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStarted:
    """A run of a batch begins; `slots_free` creates of the quota can be sent at once."""

    batch_id: str
    source_uri: str
    out: str
    resumed: bool
    by_state: dict[str, int]
    slots_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsDiscovered:
    """`new` items joined the batch, which has `total` items now; `finished` is True once the listing is complete."""

    new: int
    total: int
    finished: bool
    by_state: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PacksChanged:
    """Of the `total` packs that a run knows, `ended` have ended, and `unsent` have no import yet.

    `waiting` of the queued files wait for packs that are not made yet: all of them while they are read to plan packs.
    """

    total: int
    ended: int
    unsent: int
    waiting: int


MOVED_BY_ANOTHER = "moved by another process"
"""The reason of a move that this process found in the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemMoved:
    source: str
    old: ItemState
    new: ItemState
    reason: str
    import_id: str | None
    error_code: str | None = None
    error_message: str | None = None
    review_url: str | None = None
    attempts: int = 0
    row_count: int | None = None
    rows_in: int | None = None
    rows_left_out: int | None = None

    @property
    def is_of_another(self) -> bool:
        """Return whether another process made the move."""
        return self.reason == MOVED_BY_ANOTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAnswered:
    """The vendor counted a create; `slots_free` of the quota can be used at once, None if nobody has looked."""

    source: str
    slots_free: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateThrottled:
    """A create was refused with 429; creates of everyone who shares the key are held for `wait_s`."""

    source: str
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesUploaded:
    source: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that the user should know and that is not one item's state, such as an unreachable vendor."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageBegan:
    """The vendor's API gives no answer; `since` is when the first call without one began."""

    since: datetime
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageEnded:
    """The vendor's API answers again."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStands:
    """How a worker stands, once a minute: creates since its start, messages in work, and about how many wait.

    `away` is a sentence if the vendor does not answer.
    """

    created: int
    in_work: int
    waiting: int
    away: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestWritten:
    """The manifest of a batch is in `out`, a folder or URL; `summary` is what its summary.json has."""

    batch_id: str
    out: str
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFinished:
    """A run of a batch ends; it left `deferred_count` items to a later one, of which `deferred` has the first.

    `rows` are the totals of `RowTotals.document`.
    """

    batch_id: str
    state: BatchState
    by_state: dict[str, int]
    exit_code: int
    reason: str
    deferred_count: int = 0
    deferred: tuple[Deferral, ...] = ()
    rows: dict[str, int | None] = field(default_factory=dict)


Event = (
    BatchStarted
    | ItemsDiscovered
    | PacksChanged
    | ItemMoved
    | CreateAnswered
    | CreateThrottled
    | BytesUploaded
    | Notice
    | OutageBegan
    | OutageEnded
    | WorkerStands
    | ManifestWritten
    | BatchFinished
)
EventHook = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Ignore an event."""

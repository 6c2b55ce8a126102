"""What Bulkhead counts and moves: batches, items, their states, and the one table of legal transitions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypedDict, Unpack

from runner.errors import IllegalTransition
from runner.row_counts import NO_ROWS, LeftOutReason, RowsRead, RowTotals

MAX_FILE_BYTES = 1 << 30
MAX_JSON_BYTES = 15_000_000

RESULT_INVALID = "result_invalid"
"""Error code of an item whose import succeeded but whose result is unusable: its data is at the vendor."""

RESULT_TOO_LARGE = "result_too_large"
"""Error code of an item whose import succeeded but whose result is larger than the limit for results."""

FILTERED_OUT = "filtered_out"
"""Error code of a skipped item that the filters of a run left out when it continued the batch; it can be sent later."""

UPLOAD_TOO_SLOW = "upload_too_slow"
"""Error code of an item whose upload several functions of a stack could not end."""

IMPORT_MISSING = "import_missing"
"""Error code of an item whose import is gone; on an open item, the vendor's last answer was that it is not there."""

RESULT_MISSING = "result_missing"
"""Error code of an item whose import succeeded without a result; on an open item, the result was not there so far."""

PACK_REVIEW_FINISHED = "pack_review_finished"
"""Error code of an item whose pack was to be sent otherwise, and whose review a person has finished anyway."""

PACK_REVIEW_OPEN = "pack_review_open"
"""Error code of an item whose pack needs a review, and whose import the vendor refuses to delete."""

PACK_UNACCOUNTED = "pack_unaccounted"
"""Error code of an item whose pack was imported with a result that does not account for every row that was sent."""

UPLOAD_NOT_TAKEN = "upload_not_taken"
"""Error code of an item whose file is in storage although its import waited for it until its upload URL ended."""

FAILED_BEFORE = "failed_before"
"""Error code of a file that is not sent: its import in an earlier batch failed or was refused, and it is unchanged."""

_REFUSED_CODES = frozenset({"create_refused", "upload_refused", "import_failed", FAILED_BEFORE})
"""Error codes of failed items whose data the vendor has not imported and never will."""

DISMISSED = "dismissed"
"""Error code of a failed or uncertain item that a person has dismissed: held, but not in need of attention."""

REVIEW_DISMISSED = "review_dismissed"
"""Error code of an item whose review a person has dismissed; if it is finished anyway, `track` collects it."""

DISMISSED_CODES = frozenset({DISMISSED, REVIEW_DISMISSED})


class ItemState(StrEnum):
    """Our word for where an item is; the vendor's word for its import is `Item.status`."""

    QUEUED = "queued"
    PACKED = "packed"
    CREATING = "creating"
    CREATED = "created"
    PROCESSING = "processing"
    NEEDS_REVIEW = "needs_review"
    SUCCEEDED = "succeeded"
    COLLECTED = "collected"
    FAILED = "failed"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    UNCERTAIN = "uncertain"


TERMINAL_STATES = frozenset(
    {ItemState.COLLECTED, ItemState.FAILED, ItemState.REJECTED, ItemState.SKIPPED, ItemState.UNCERTAIN}
)
OPEN_STATES = frozenset(
    {
        ItemState.QUEUED,
        ItemState.PACKED,
        ItemState.CREATING,
        ItemState.CREATED,
        ItemState.PROCESSING,
        ItemState.SUCCEEDED,
    }
)
"""States in which the runner still has work to do; a batch without such items is settled."""

REDRIVABLE_STATES = frozenset({ItemState.FAILED, ItemState.REJECTED, ItemState.UNCERTAIN})

UNTRIED_STATES = frozenset({ItemState.QUEUED, ItemState.REJECTED, ItemState.SKIPPED})
"""States of items for which no create was made, or none whose import got data."""

BLOCKING_STATES = frozenset(ItemState) - UNTRIED_STATES - {ItemState.FAILED}
"""States in which an item's data is at the vendor, or may be: the same file must not be sent for another item."""

UNSENT_STATES = frozenset({ItemState.PACKED, ItemState.CREATING, ItemState.CREATED})
"""The BLOCKING_STATES in which the data may still not get to the vendor; an item with the same file waits for it."""

SENT_STATES = BLOCKING_STATES - UNSENT_STATES
"""The BLOCKING_STATES in which the data is at the vendor: an item with the same file is skipped without a wait."""

_S = ItemState
TRANSITIONS: dict[ItemState, frozenset[ItemState]] = {
    _S.QUEUED: frozenset({_S.PACKED, _S.CREATING, _S.FAILED, _S.REJECTED, _S.SKIPPED}),
    _S.PACKED: frozenset({_S.QUEUED, _S.COLLECTED, _S.FAILED}),
    _S.CREATING: frozenset({_S.QUEUED, _S.CREATED, _S.PROCESSING, _S.FAILED, _S.REJECTED, _S.UNCERTAIN}),
    _S.CREATED: frozenset({_S.QUEUED, _S.PROCESSING, _S.NEEDS_REVIEW, _S.SUCCEEDED, _S.FAILED, _S.REJECTED}),
    _S.PROCESSING: frozenset({_S.NEEDS_REVIEW, _S.SUCCEEDED, _S.FAILED}),
    _S.NEEDS_REVIEW: frozenset({_S.SUCCEEDED, _S.FAILED}),
    _S.SUCCEEDED: frozenset({_S.COLLECTED, _S.FAILED}),
    _S.COLLECTED: frozenset({_S.PACKED, _S.SUCCEEDED}),
    _S.FAILED: frozenset({_S.QUEUED, _S.PACKED, _S.PROCESSING, _S.NEEDS_REVIEW, _S.SUCCEEDED, _S.SKIPPED}),
    _S.REJECTED: frozenset({_S.QUEUED}),
    _S.SKIPPED: frozenset({_S.QUEUED}),
    _S.UNCERTAIN: frozenset({_S.QUEUED, _S.FAILED}),
}


class ImportStatus(StrEnum):
    """The vendor's statuses (headless import reference). A status not listed here keeps the import open."""

    AWAITING_UPLOAD = "AWAITING_UPLOAD"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESSFUL = "SUCCESSFUL"
    NEEDS_REVIEW = "NEEDS_REVIEW"
    FAILED = "FAILED"


STATE_OF_STATUS: dict[str, ItemState] = {
    ImportStatus.PENDING: ItemState.PROCESSING,
    ImportStatus.RUNNING: ItemState.PROCESSING,
    ImportStatus.NEEDS_REVIEW: ItemState.NEEDS_REVIEW,
    ImportStatus.SUCCESSFUL: ItemState.SUCCEEDED,
    ImportStatus.FAILED: ItemState.FAILED,
}


class ItemKind(StrEnum):
    """How an item's data reaches the vendor: as an uploaded file, or inside the create as `initial_data`.

    A pack is a file that the runner makes of the rows of several files.
    """

    FILE = "file"
    JSON = "json"
    PACK = "pack"


class BatchState(StrEnum):
    """`settled`: nothing is in progress; `complete`: settled, and no review is open."""

    RUNNING = "running"
    SETTLED = "settled"
    COMPLETE = "complete"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One input file or JSON document of a batch, identified by (`batch_id`, `source`).

    `file_key` identifies the file at an endpoint, whatever its content and binding; it is empty in rows of 0.1.0.
    `version` is what listing knows (size and modification time, or an S3 etag); `fingerprint` is of the content and
    is known once the item was prepared. The `earlier_` fields say which item of the same file is the reason why this
    one was not sent, and what its state was then. `rows_in` is how many rows the vendor read, None if it does not say.
    `pack` is the source of the pack that the item is, or was last, a member of; its rows are the `pack_rows` rows of
    the pack from `pack_row` on, counted from 1. Such an item has no import of its own: `pack_import_id` is the pack's.
    Instants are aware UTC datetimes, sizes are bytes.
    """

    batch_id: str
    source: str
    kind: ItemKind = ItemKind.FILE
    rank: int = 0
    size_bytes: int | None = None
    file_key: str = ""
    version: str = ""
    version_key: str = ""
    binding: str = ""
    schema_id: str | None = None
    state: ItemState = ItemState.QUEUED
    revision: int = 0
    fingerprint: str | None = None
    tag: str | None = None
    original_filename: str | None = None
    status: str | None = None
    attempts: int = 0
    import_id: str | None = None
    review_url: str | None = field(default=None, repr=False)
    error_code: str | None = None
    error_message: str | None = None
    row_count: int | None = None
    result: str | None = None
    result_sha256: str | None = None
    intent_at: datetime | None = None
    created_at: datetime | None = None
    uploaded_at: datetime | None = None
    finished_at: datetime | None = None
    earlier_batch_id: str | None = None
    earlier_import_id: str | None = None
    earlier_state: ItemState | None = None
    rows_in: int | None = None
    left_out_reasons: tuple[LeftOutReason, ...] | None = None
    pack: str | None = None
    pack_row: int | None = None
    pack_rows: int | None = None
    pack_import_id: str | None = None

    @property
    def rows_left_out(self) -> int | None:
        """Return how many of the rows that the vendor read are not in the result; None if nobody knows."""
        if self.rows_in is None or self.row_count is None:
            return None
        return max(0, self.rows_in - self.row_count)

    @property
    def row_totals(self) -> RowTotals:
        """Return what the item adds to the totals of its batch: nothing unless its result is saved."""
        if self.state is not ItemState.COLLECTED:
            return NO_ROWS
        lost = self.rows_left_out
        return RowTotals(
            file_count=1,
            known_count=int(lost is not None),
            row_count=self.row_count or 0,
            rows_in=0 if lost is None else self.rows_in or 0,
            rows_left_out=lost or 0,
            lossy_count=int(bool(lost)),
            empty_count=int(self.row_count == 0),
        )

    @property
    def was_imported(self) -> bool:
        """Return whether the vendor has imported the data, even if the result could not be collected."""
        return self.state is ItemState.FAILED and self.status == ImportStatus.SUCCESSFUL

    @property
    def was_tried(self) -> bool:
        """Return whether the item itself was sent, is being sent, or was refused by the vendor."""
        return self.state not in UNTRIED_STATES and self.error_code != FAILED_BEFORE

    @property
    def was_refused(self) -> bool:
        """Return whether the vendor refused the item's data, or ended its import as failed."""
        if self.state is not ItemState.FAILED or self.error_code == FAILED_BEFORE or self.is_dismissed:
            return False
        return self.status == ImportStatus.FAILED or self.error_code in _REFUSED_CODES

    @property
    def is_held(self) -> bool:
        """Return whether nobody knows what became of the data, or a person must finish its import.

        No run sends the content of a held item again; only a person's redrive does.
        """
        if self.state is ItemState.FAILED:
            return self.was_imported or not (self.error_code in {None, FAILED_BEFORE} or self.was_refused)
        return self.state in (ItemState.UNCERTAIN, ItemState.NEEDS_REVIEW)

    def is_same_as(self, other: Item) -> bool:
        """Return whether both stand for the same item, whatever has changed in between."""
        return (self.batch_id, self.source) == (other.batch_id, other.source)

    @property
    def is_dismissed(self) -> bool:
        """Return whether a person has dismissed the item."""
        return self.state is ItemState.FAILED and self.error_code in DISMISSED_CODES

    @property
    def blocks_content(self) -> bool:
        """Return whether the data is, or may be, at the vendor, so that the same content must not be sent again."""
        return self.state in BLOCKING_STATES or self.is_held

    def as_earlier(self) -> ItemChanges:
        """Return the fields of an item that is not sent because of this one."""
        return {
            "earlier_batch_id": self.batch_id,
            "earlier_import_id": self.import_id,
            "earlier_state": self.state,
        }

    @property
    def label(self) -> str:
        """Return how notices name the item: a file by its source; a pack, which is no item to people, as such."""
        return f"pack {self.source}" if self.kind is ItemKind.PACK else self.source

    @property
    def is_in_pack(self) -> bool:
        """Return whether the item's data is in a pack, or was sent with one."""
        return self.state is ItemState.PACKED or self.pack_import_id is not None

    @property
    def rows_of_pack(self) -> tuple[int, int] | None:
        """Return the numbers of the item's first and last row in its pack, from 1; None if no pack has its data."""
        if not self.is_in_pack or self.pack_row is None or self.pack_rows is None:
            return None
        return self.pack_row, self.pack_row + self.pack_rows - 1

    @property
    def carrying_id(self) -> str | None:
        """Return the id of the import that has the item's data: its own, or that of its pack."""
        return self.import_id or self.pack_import_id

    @property
    def bound_id(self) -> str:
        """Return the id of the item's import. Raises LookupError if it has none."""
        if self.import_id is None:
            raise LookupError(f"item {self.source} has no import")
        return self.import_id

    def with_state(self, state: ItemState, **changes: Unpack[ItemChanges]) -> Item:
        """Return this item in `state`, one revision later. Raises IllegalTransition if the table forbids it."""
        if state != self.state and state not in TRANSITIONS[self.state]:
            raise IllegalTransition(self.source, self.state, state)
        return replace(self, state=state, revision=self.revision + 1, **changes)


class ItemChanges(TypedDict, total=False):
    """The fields of an item that a transition can set besides its state."""

    rank: int
    size_bytes: int | None
    file_key: str
    version: str
    version_key: str
    binding: str
    schema_id: str | None
    fingerprint: str | None
    tag: str | None
    original_filename: str | None
    status: str | None
    attempts: int
    import_id: str | None
    review_url: str | None
    error_code: str | None
    error_message: str | None
    row_count: int | None
    result: str | None
    result_sha256: str | None
    intent_at: datetime | None
    created_at: datetime | None
    uploaded_at: datetime | None
    finished_at: datetime | None
    earlier_batch_id: str | None
    earlier_import_id: str | None
    earlier_state: ItemState | None
    rows_in: int | None
    left_out_reasons: tuple[LeftOutReason, ...] | None
    pack: str | None
    pack_row: int | None
    pack_rows: int | None
    pack_import_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One step in an item's life: the state it came to, when, why, and the attempt and import it then had."""

    at: datetime
    state: ItemState
    reason: str
    attempts: int
    import_id: str | None


_OF_PACKS = ".packs"


def batch_of_packs(batch_id: str) -> str:
    """Return the id of the batch whose items are the packs of a batch."""
    return batch_id + _OF_PACKS


def batch_of_members(batch_id: str) -> str:
    """Return the id of the batch whose items are the members of packs; of any other batch, its own id."""
    return batch_id.removesuffix(_OF_PACKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One bulk run: items from one source, one manifest. `config` is the JSON text that a resume reads.

    `account` is as in `identity.account`; until the vendor has accepted a key, it is only the endpoint.
    `reason` is a sentence: why the last run ended as it did, or, while a run works, why it cannot go on.
    """

    batch_id: str
    source_uri: str
    account: str
    out: str
    config: str
    state: BatchState = BatchState.RUNNING
    listed: bool = False
    started_at: datetime
    finished_at: datetime | None = None
    exit_code: int | None = None
    reason: str | None = None
    counters: dict[str, int] = field(default_factory=dict)
    number: int = field(default=0, compare=False)
    """Place in the order in which batches were created in the ledger: clocks may be set back."""

    @property
    def is_of_packs(self) -> bool:
        """Return whether its items are the packs of another batch, which no list of batches shows."""
        return self.batch_id.endswith(_OF_PACKS)

    @property
    def is_bound(self) -> bool:
        """Return whether the vendor has accepted the key of an earlier run, so that another key is another account."""
        return "-" in self.account

    @property
    def driver(self) -> str:
        """Return what moves the items: a `runner`, or the functions of a `stack`. Raises ValueError: no JSON object."""
        config = json.loads(self.config)
        if not isinstance(config, dict):
            raise ValueError(f"the record of batch {self.batch_id} is no JSON object")  # noqa: TRY004 - not a type fault
        return str(config.get("driver", "runner"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """A batch, how many of its items are in each state, and how current the manifest of a stack is.

    `moves` counts the state changes in the batch, `manifest_moves` is that count when the stack wrote the manifest.
    Both are 0 for a batch of a runner, which writes its manifest at the end of each run.
    """

    batch: Batch
    by_state: dict[ItemState, int]
    moves: int = 0
    manifest_moves: int = 0
    rows: RowTotals = NO_ROWS

    @property
    def driver(self) -> str:
        """Return `Batch.driver`."""
        return self.batch.driver

    @property
    def manifest(self) -> str | None:
        """Return the URL of the manifest that a stack wrote; None if it has not, or if a runner writes it."""
        if self.driver == "runner" or not self.manifest_moves:
            return None
        return f"{self.batch.out}/manifest.jsonl"

    @property
    def manifest_is_current(self) -> bool:
        """Return whether no state has changed since a stack wrote the manifest."""
        return self.manifest is not None and self.manifest_moves >= self.moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """An item that a run left to a later one, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferrals:
    """The items that a run left to a later one: how many, and the first of them in the order of their sources."""

    count: int = 0
    first: tuple[Deferral, ...] = ()


NONE_DEFERRED = Deferrals()


class BatchChanges(TypedDict, total=False):
    """The fields of a batch that can be set after it was started; its counters are added to."""

    state: BatchState
    listed: bool
    config: str
    out: str
    account: str
    finished_at: datetime | None
    exit_code: int | None
    reason: str | None


COUNTERS = ("creates", "throttled", "list_calls", "retrieve_calls", "bytes_uploaded")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteImport:
    """An import as the vendor shows it; the fields after `modified_at` come with a retrieve or a create, not a list.

    Each of `import_errors` has the `rowIndex` that it names, if it names one; the first of them also `type` and
    `message`.
    """

    import_id: str
    status: str
    schema_id: str | None = None
    original_filename: str | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None
    upload_url: str | None = field(default=None, repr=False)
    review_url: str | None = field(default=None, repr=False)
    import_errors: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    rows: RowsRead | None = field(default=None, repr=False)
    result_metadata: Mapping[str, Any] | None = field(default=None, repr=False)
    """What the vendor says about the rows, as it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPage:
    """One page of the vendor's list: `imports` are those of this page, `count` is the number in all, if it is known.

    `left_out` counts the entries that cannot be read. Unless `is_whole`, there are some, or some that do not say whose
    import they are: such a page does not prove that an import does not exist.
    """

    count: int | None
    imports: tuple[RemoteImport, ...]
    has_next: bool
    left_out: int = 0
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """The create body: exactly one of schema_id | fields, exactly one of original_filename | initial_data."""

    schema_id: str | None = None
    fields: tuple[dict[str, Any], ...] | None = None
    settings: dict[str, Any] | None = None
    hooks: dict[str, Any] | None = None
    original_filename: str | None = None
    initial_data: bytes | None = field(default=None, repr=False)
    """JSON text of the rows, already checked; it is spliced into the body as it is."""
    user: dict[str, Any] | None = None
    source: str | None = None
    batch_id: str | None = None
    """Source and batch are not part of the body: only a sandbox on this machine gets them, for its pages."""

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object without the rows; absent fields are left out."""
        parts = {
            "schema_id": self.schema_id,
            "fields": list(self.fields) if self.fields is not None else None,
            "settings": self.settings,
            "hooks": self.hooks,
            "original_filename": self.original_filename,
            "import_metadata": {"user": self.user} if self.user is not None else None,
        }
        return {key: value for key, value in parts.items() if value is not None}


PACK_NAME_START = "pack-of-"
"""How the `original_filename` of each pack begins."""

_TAG = re.compile(r"\.~([a-z2-7]{13})(?=\.|$)")


def tag_of(filename: str | None) -> str | None:
    """Return the tag in an `original_filename` such as `customers.~k3f9x2ab7q2mc.csv`, or None."""
    found = _TAG.search(filename or "")
    return found.group(1) if found else None


def iso(instant: datetime | None) -> str | None:
    """Render an instant as ISO 8601 UTC with milliseconds and `Z`, None as None."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

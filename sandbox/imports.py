"""One import: its timeline, its runs, and how the API shows it."""

import random
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import orjson

from sandbox.engine.corrections import Corrections
from sandbox.engine.draft import Draft
from sandbox.engine.outcome import Outcome, Status
from sandbox.item_origin import without_tag
from sandbox.storage import Blob, BlobWriter

ImportStatus = Literal["AWAITING_UPLOAD", "PENDING", "RUNNING", "SUCCESSFUL", "NEEDS_REVIEW", "FAILED"]
_QUICKLY = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one run of the engine needs; it can be pickled for another process.

    `source` is the uploaded content or its path; with `is_json` it is the JSON text of `initial_data`, which the engine
    gets as a list. `result_path` is where the result goes (None: in memory), `hook_hosts` are the hosts that its hooks
    may fetch from, and `remembered` maps headers to the fields that earlier imports gave them. In a review,
    `decisions_path` holds the corrections, and the draft goes to `draft_path`. While it runs, an engine may write the
    result's rows as a JSON array into `result` instead of returning them, and it adds every row to `draft`.
    """

    import_id: str
    source: bytes | Path | list[Any]
    filename: str
    schema: Mapping[str, Any]
    user: Mapping[str, Any] | None
    is_json: bool = False
    corrections: Corrections | None = None
    decisions_path: Path | None = None
    draft_path: Path | None = None
    draft: Draft | None = None
    hook_hosts: tuple[str, ...] = ()
    remembered: Mapping[str, str] | None = None
    result_path: Path | None = None
    result: BlobWriter | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The end of a run: its outcome without the rows, and the rows as a stored JSON array (None if FAILED).

    The outcome is held compressed: it may list ten thousand errors, and a sandbox keeps many outcomes.
    """

    status: Status
    packed: bytes
    result: Blob | None

    @classmethod
    def of(cls, outcome: Outcome, *, result: Blob | None = None) -> Self:
        packed = zlib.compress(orjson.dumps(replace(outcome, rows=None)), _QUICKLY)
        return cls(status=outcome.status, packed=packed, result=result)

    @property
    def outcome(self) -> Outcome:
        return Outcome(**orjson.loads(zlib.decompress(self.packed)))


@dataclass(frozen=True, kw_only=True)
class Ended:
    """An import that ended: its status, and the full import as a webhook shows it."""

    found: "Import"
    status: ImportStatus
    shown: dict[str, Any]


@dataclass(kw_only=True, slots=True)
class Review:
    """A review's files: its decisions and its latest draft. `trouble` says why the last run failed, if it did."""

    decisions: Path
    draft: Path | None = None
    trouble: str = ""

    def files(self) -> list[Path]:
        return [path for path in (self.decisions, self.draft) if path is not None]


@dataclass(kw_only=True, slots=True)
class Import:
    """An import and the instants that decide its status (epoch seconds; None means not yet).

    Without `original_filename`, it is a JSON import. `arrived_at` is when the import noticed its data; PENDING then
    lasts `pending_s`, and RUNNING at least `running_s` and until the engine has `finished`. Both durations are those of
    the settings at that instant. `announced` is the last status that webhooks reported. `review` exists once
    someone has opened the review. `source` and `batch_id` are what the client said about it; "" if nothing.
    """

    id: str
    schema_id: str | None
    schema: Mapping[str, Any]
    original_filename: str | None
    user: Mapping[str, Any] | None
    created_at: float
    pending_s: float = 0.0
    running_s: float = 0.0
    upload_target: str = ""
    review_token: str = ""
    upload: Blob | None = None
    arrived_at: float | None = None
    finished: Finished | None = None
    finished_at: float | None = None
    reviewed_at: float | None = None
    announced: str = ""
    review: Review | None = None
    source: str = ""
    batch_id: str = ""

    @property
    def path(self) -> str:
        """The file for people: with its folder if the client named it, and without a tag; "" for JSON data."""
        return self.source or without_tag(self.original_filename or "")

    @property
    def review_path(self) -> str:
        return f"/review/{self.id}/{self.review_token}"

    def files(self) -> list[Path]:
        """Return the files of its upload, its result, and its review."""
        blobs = [self.upload, self.finished.result if self.finished else None]
        stored = [blob.source for blob in blobs if blob is not None and isinstance(blob.source, Path)]
        return stored + (self.review.files() if self.review else [])

    def close_review(self) -> list[Path]:
        """End the review and return its files, which nothing needs any more."""
        review, self.review = self.review, None
        return review.files() if review else []

    def has_arrived(self, now: float) -> bool:
        return self.arrived_at is not None and now >= self.arrived_at

    def status(self, now: float) -> ImportStatus:
        if self.arrived_at is None or now < self.arrived_at:
            return "AWAITING_UPLOAD"
        if now < self.arrived_at + self.pending_s:
            return "PENDING"
        if self.finished is None or self.finished_at is None or now < self.finished_at:
            return "RUNNING"
        return self.final_status

    def modified_at(self, now: float) -> float:
        """When the status last changed."""
        if self.arrived_at is None or now < self.arrived_at:
            return self.created_at
        changes = [self.arrived_at, self.arrived_at + self.pending_s, self.finished_at, self.reviewed_at]
        return max(at for at in changes if at is not None and at <= now)

    @property
    def final_status(self) -> ImportStatus:
        """The status that the import ends with after its time; RUNNING while the engine works on it."""
        if self.reviewed_at is not None:
            return "SUCCESSFUL"
        return self.finished.status if self.finished else "RUNNING"

    def has_ended(self, now: float) -> bool:
        return self.ended_at is not None and now >= self.ended_at

    @property
    def ended_at(self) -> float | None:
        """When the import last ended; None while the engine works on it."""
        return self.finished_at if self.reviewed_at is None else self.reviewed_at

    def finish(self, finished: Finished, *, at: float) -> None:
        """Record the end of its run; the import stays RUNNING until its time is over."""
        assert self.arrived_at is not None
        self.finished = finished
        self.finished_at = max(at, self.arrived_at + self.pending_s + self.running_s)

    def short(self, now: float) -> dict[str, Any]:
        """Return the import as the list shows it; values that do not apply are None."""
        return {
            "id": self.id,
            "schema_id": self.schema_id,
            "status": self.status(now),
            "original_filename": self.original_filename,
            "created_date": iso_instant(self.created_at),
            "modified_date": iso_instant(self.modified_at(now)),
        }

    def result_fields(self, now: float) -> dict[str, Any]:
        """Return `result_metadata` and `import_errors` of the full import."""
        ended = self.finished is not None and self.finished_at is not None and now >= self.finished_at
        outcome = self.finished.outcome if self.finished and ended else None
        return {
            "result_metadata": (outcome.metadata or None) if outcome else None,
            "import_errors": (outcome.errors or None) if outcome else None,
        }


def iso_instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def new_id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))

"""JSON documents on stdout: what commands write with `--json`, except those that write a line per event."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import AsyncIterable, Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from runner.errors import ConfigError
from runner.findings import Level
from runner.formatting import storable
from runner.manifest import shown_name
from runner.models import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from _typeshed import DataclassInstance

    from runner.cloud.ops.stack import Sender
    from runner.findings import Finding
    from runner.local.plan import Explanation, Plan
    from runner.models import BatchStatus, Item
    from runner.reviews import OpenReview


def write_document(value: Any) -> None:
    """Write one JSON document and a newline. Dataclasses become objects, instants ISO 8601 UTC."""
    sys.stdout.buffer.write(orjson.dumps(plain(value), option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def status_document(status: BatchStatus) -> dict[str, Any]:
    """Return what `status --json` says about one batch."""
    batch = status.batch
    return {
        "batch_id": batch.batch_id,
        "state": batch.state,
        "source": batch.source_uri,
        "out": batch.out,
        "items": sum(status.by_state.values()),
        "by_state": status.by_state,
        "counters": batch.counters,
        "started_at": batch.started_at,
        "finished_at": batch.finished_at,
        "exit_code": batch.exit_code,
        "reason": batch.reason,
        **status.rows.document(),
    }


def stack_status_document(status: BatchStatus, sender: Sender) -> dict[str, Any]:
    """Return what `cloud status --json` says about one batch; `worker_is_there` is null if functions send the files."""
    return {
        **status_document(status),
        "driver": status.driver,
        "listed": status.batch.listed,
        "manifest": status.manifest,
        "manifest_is_current": status.manifest_is_current,
        "submit_by": sender.by,
        "worker_is_there": sender.is_there,
    }


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return what `plan --json` says."""
    samples = [
        {"source": shown_name(source), "code": code, "message": message}
        for source, code, message in plan.rejected_samples
    ]
    remarks = [remark.as_object() for remark in plan.schema_remarks]
    reviews = [review_document(review) for review in plan.earlier_reviews]
    return {**_fields(plan), "rejected_samples": samples, "schema_remarks": remarks, "earlier_reviews": reviews}


def review_document(review: OpenReview, now: datetime | None = None) -> dict[str, Any]:
    """Return a review as `reviews --json` and `plan --json` say it, its file named as in the manifest."""
    return {**review.document(now), "source": shown_name(review.source)}


def dismissed_document(batch_id: str, items: Sequence[Item]) -> dict[str, Any]:
    """Return what `dismiss --json` says: the items that are dismissed now, named as in the manifest."""
    return {"batch_id": batch_id, "dismissed": [shown_name(item.source) for item in items]}


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """Return what `explain --json` says."""
    tried = [{"route": route, "match": match, "matched": matched} for route, match, matched in explanation.tried]
    return {**_fields(explanation), "tried": tried}


def findings_document(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return what `doctor --json` says."""
    return [
        {
            "name": finding.name,
            "ok": finding.level is not Level.FAIL,
            "detail": finding.detail,
            "hint": finding.hint,
            "level": finding.level,
        }
        for finding in findings
    ]


def plain(value: Any) -> Any:
    """Return a value in types that JSON has; text that is not valid UTF-8 is escaped."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = _fields(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return _scalar(value)


def _fields(value: DataclassInstance) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return iso(value)
    return storable(value) if isinstance(value, str) else value


T = TypeVar("T")


async def write_pieces(pieces: AsyncIterable[bytes], to: Path | None = None) -> None:
    """Write pieces to stdout, or to a file, which appears or changes only once it is complete. Raises ConfigError."""
    if to is None:
        async for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    partial = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            async for piece in pieces:
                file.write(piece)
        partial.replace(to)
    except OSError as error:
        raise ConfigError(f"{to} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)

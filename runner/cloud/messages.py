"""The messages of the queues and their JSON: each refers to work and carries no state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from runner.errors import MessageInvalid
from runner.models import iso


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCreated:
    """A file arrived in the inbox: `key` is not percent-encoded, `etag` has no quotes, `at` is when it arrived."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    version_id: str | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRef:
    """Submit this item, or upload its file to the import `import_id`, or if that is None, to the one that it has."""

    batch_id: str
    source: str
    import_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLoad:
    """Start a load of everything under `uri`; `name` and `at`, the time of the request, make its batch id.

    If `at` is missing or unreadable, the minute in which the message is read is used.
    """

    uri: str
    name: str = "load"
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """List one page of a batch's source: the first, or the page of `token`; `lap` tells a listing that began again."""

    batch_id: str
    token: str | None = None
    lap: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPage:
    """Compare one page of the inbox with the ledger: the first, or the page of `token`, of the sweep begun `at`.

    `oldest` is when the oldest file arrived that was missing on the pages before.
    """

    at: datetime
    token: str | None = None
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportHint:
    """An import may have ended; `at` is when its webhook arrived, None if reconcile noticed it."""

    import_id: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRef:
    """A batch may be idle."""

    batch_id: str


Message = ObjectCreated | ItemRef | StartLoad | ListPage | SweepPage | ImportHint | BatchRef
M = TypeVar("M", bound=Message)

_KINDS: dict[str, type[Message]] = {
    "landed": ObjectCreated,
    "item_ref": ItemRef,
    "start_load": StartLoad,
    "list_page": ListPage,
    "sweep_page": SweepPage,
    "import_hint": ImportHint,
    "batch_ref": BatchRef,
}
_KIND_OF: dict[type[Message], str] = {kind: name for name, kind in _KINDS.items()}
_TIMES = {"datetime": False, "datetime | None": True}
"""The types of instants: whether one may be missing, or unreadable."""


def encode(message: Message) -> str:
    """Return the message as ASCII JSON: its `kind`, and all fields that are not None."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    shown = {name: iso(value) if isinstance(value, datetime) else value for name, value in values.items()}
    raw = {"kind": _KIND_OF[type(message)]} | {name: value for name, value in shown.items() if value is not None}
    return json.dumps(raw, separators=(",", ":"))


def decode(text: str) -> Message:
    """Parse what `encode` wrote, or an `Object Created` event of EventBridge. Raises MessageInvalid."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageInvalid("the message is not JSON") from error
    if not isinstance(raw, dict):
        raise MessageInvalid("the message is not an object")
    if "kind" not in raw and "detail" in raw:
        return from_event_bridge(raw)
    kind = _KINDS.get(str(raw.pop("kind", "")))
    if kind is None:
        raise MessageInvalid("the message has an unknown kind")
    return _read(kind, raw)


def known_version(version_id: Any) -> Any:
    """Return the id of an object's version, None for that of objects that were stored without versioning."""
    return None if version_id in ("", "null") else version_id


def from_event_bridge(event: Mapping[str, Any]) -> ObjectCreated:
    """Parse the event `Object Created` of S3, whose keys are not percent-encoded. Raises MessageInvalid."""
    detail = event.get("detail")
    if event.get("detail-type") != "Object Created" or not isinstance(detail, dict):
        raise MessageInvalid("the event is not of the type Object Created")
    try:
        stored = detail["object"]
        raw = {
            "bucket": detail["bucket"]["name"],
            "key": stored["key"],
            "size_bytes": stored.get("size", 0),
            "etag": str(stored.get("etag", "")).strip('"'),
            "version_id": known_version(stored.get("version-id")),
            "at": event.get("time"),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise MessageInvalid("the event names no object") from error
    return _read(ObjectCreated, raw)


_READERS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
}


def _read(kind: type[M], raw: dict[str, Any]) -> M:
    """Return a message with every field checked; fields added by a later version are ignored."""
    known = {field.name: str(field.type) for field in fields(kind)}
    values = {name: value for name, value in raw.items() if name in known}
    for name, wanted in known.items():
        if wanted in _TIMES:
            values[name] = _instant(values.get(name), is_optional=_TIMES[wanted])
        elif name in values and not _READERS[wanted](values[name]):
            raise MessageInvalid(f"the message's {name} has the wrong type")
    try:
        return kind(**values)
    except TypeError as error:
        raise MessageInvalid("the message is missing a field") from error


def _instant(value: object, *, is_optional: bool) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError as error:
        if is_optional:
            return None
        raise MessageInvalid("the message's time is unreadable") from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)

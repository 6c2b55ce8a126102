"""What the queues carry: references to work, never a state, as frozen messages and their JSON."""

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
    """A file landed in the inbox; `key` is the object's key as it is, `etag` without quotes, `at` when it landed."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    version_id: str | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRef:
    """An item is to be taken as far as it gets."""

    batch_id: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLoad:
    """A load of everything under `uri` starts; `at` is when that was asked for, and names it with `name`.

    Without a readable `at` the load is of the minute in which the message is read.
    """

    uri: str
    name: str = "load"
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """A page of a batch's source is to be listed: the first, or the one that `token` stands for."""

    batch_id: str
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportHint:
    """Something may have become of an import; `at` is when a webhook said so, None where reconcile did."""

    import_id: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRef:
    """A batch may have come to rest."""

    batch_id: str


Message = ObjectCreated | ItemRef | StartLoad | ListPage | ImportHint | BatchRef
M = TypeVar("M", bound=Message)

_KINDS: dict[str, type[Message]] = {
    "landed": ObjectCreated,
    "item_ref": ItemRef,
    "start_load": StartLoad,
    "list_page": ListPage,
    "import_hint": ImportHint,
    "batch_ref": BatchRef,
}
_KIND_OF: dict[type[Message], str] = {kind: name for name, kind in _KINDS.items()}
_MAY_LACK_TIME = (StartLoad, ImportHint)


def encode(message: Message) -> str:
    """Return the message as ASCII JSON: its `kind`, and its fields but for those that are None."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    shown = {name: iso(value) if isinstance(value, datetime) else value for name, value in values.items()}
    raw = {"kind": _KIND_OF[type(message)]} | {name: value for name, value in shown.items() if value is not None}
    return json.dumps(raw, separators=(",", ":"))


def decode(text: str) -> Message:
    """Read what `encode` wrote, or an event of EventBridge that says that a file landed. Raises MessageInvalid."""
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
        raise MessageInvalid("the message is of no known kind")
    return _read(kind, raw)


def from_event_bridge(event: Mapping[str, Any]) -> ObjectCreated:
    """Read the event `Object Created` of S3, whose keys come as they are, not quoted. Raises MessageInvalid."""
    detail = event.get("detail")
    if event.get("detail-type") != "Object Created" or not isinstance(detail, dict):
        raise MessageInvalid("the event does not say that an object was created")
    try:
        stored = detail["object"]
        raw = {
            "bucket": detail["bucket"]["name"],
            "key": stored["key"],
            "size_bytes": stored.get("size", 0),
            "etag": str(stored.get("etag", "")).strip('"'),
            "version_id": stored.get("version-id") or None,
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
    """Return a message of a kind, every field of it checked; what a later version has added is left out."""
    known = {field.name: str(field.type) for field in fields(kind)}
    values = {name: value for name, value in raw.items() if name in known}
    if "at" in known:
        values["at"] = _instant(values.get("at"), may_lack=kind in _MAY_LACK_TIME)
    for name, wanted in known.items():
        if name in values and name != "at" and not _READERS[wanted](values[name]):
            raise MessageInvalid(f"the message's {name} cannot be read")
    try:
        return kind(**values)
    except TypeError as error:
        raise MessageInvalid("the message lacks a field") from error


def _instant(value: object, *, may_lack: bool) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError as error:
        if may_lack:
            return None
        raise MessageInvalid("the message's time cannot be read") from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)

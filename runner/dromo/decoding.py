"""Decoding of the vendor's answers: imports, pages, refusal messages, and times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from runner.clock import http_date
from runner.models import ImportPage, RemoteImport

MESSAGE_LIMIT = 500
UNKNOWN_STATUS = "UNKNOWN"
_USABLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,199}")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def is_usable_id(value: object) -> bool:
    """Return whether a value can be an id in a path of the API."""
    return isinstance(value, str) and _USABLE_ID.fullmatch(value) is not None


def import_of(data: Any) -> RemoteImport:
    """Decode a short or full import; its status is kept verbatim. Raises ValueError if it has no usable id."""
    if not isinstance(data, dict) or not is_usable_id(data.get("id")):
        raise ValueError("the answer has no usable import id")
    metadata = data.get("result_metadata")
    return RemoteImport(
        import_id=data["id"],
        status=_text(data.get("status")) or UNKNOWN_STATUS,
        schema_id=_text(data.get("schema_id")),
        original_filename=_text(data.get("original_filename")),
        created_at=_instant(data.get("created_date")),
        modified_at=_instant(data.get("modified_date")),
        upload_url=_text(data.get("upload")),
        review_url=_text(data.get("review_url")),
        import_errors=_import_errors(data.get("import_errors")),
        result_metadata=metadata if isinstance(metadata, dict) else None,
    )


def page_of(data: Any) -> ImportPage:
    """Decode one page of the list. Raises ValueError if it is not a page of imports."""
    if not isinstance(data, dict) or not isinstance(data.get("results"), list):
        raise ValueError("the answer is not a page of imports")  # noqa: TRY004 - one error for all that is unusable
    imports = tuple(import_of(entry) for entry in data["results"])
    count = data.get("count")
    return ImportPage(
        count=count if isinstance(count, int) else len(imports),
        imports=imports,
        has_next=bool(data.get("next")) and bool(imports),
    )


def message_of(body: bytes, *, status: int) -> str:
    """Flatten the vendor's refusal, `{"detail": ...}` or `{"field": [...]}`, into at most 500 characters.

    If the body is anything else, such as an HTML page, the message is `HTTP <status>`.
    """
    message = "; ".join(_sentences(_refusal(body)))
    if not message:
        return f"HTTP {status}"
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"


def is_of_the_api(body: bytes) -> bool:
    """Return whether a body can be one of the API, which writes JSON or nothing."""
    return not body.strip() or _refusal(body) is not None


def _refusal(body: bytes) -> dict[str, Any] | list[Any] | None:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict | list) else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the wait that `Retry-After` asks for, in seconds; a date is measured from the answer's `Date`."""
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    until, now = http_date(value), date_of(headers)
    if until is None or now is None:
        return None
    return max(0.0, (until - now).total_seconds())


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Return the server's time from its `Date` header, to the second; None if there is none."""
    return http_date(headers.get("Date", ""))


def _sentences(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            named = key not in {"detail", "non_field_errors"}
            yield from _sentences(inner, f"{path}.{key}".lstrip(".") if named else path)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _sentences(inner, f"{path}[{index}]" if isinstance(inner, dict | list) else path)
    elif value is not None:
        text = " ".join(str(value).split())
        yield f"{path}: {text}" if path else text


def _import_errors(value: Any) -> tuple[dict[str, Any], ...]:
    entries = value if isinstance(value, list) else []
    return tuple(entry if isinstance(entry, dict) else {"message": str(entry)} for entry in entries)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _instant(value: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)

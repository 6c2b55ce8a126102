"""Decoding of the vendor's answers: imports, pages, refusal messages, and times.

Nothing odd gets past here: a field that has not what it should have counts as absent, and an answer that lacks what it
is for raises ValueError. Nor does a secret that the vendor quotes: `mask` hides it, and knows the license key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from runner.clock import http_date, plausible
from runner.dromo.allowed_hosts import ReviewLinks
from runner.dromo.row_metadata import rows_of
from runner.masking import FORMS, TEXT_LIMIT, Mask
from runner.models import ImportPage, ImportStatus, RemoteImport

UNKNOWN_STATUS = "UNKNOWN"
_STATUSES = frozenset(str(status) for status in ImportStatus)
_WORD_LIMIT = 200
_URL_LIMIT = 8192
_ERRORS_LIMIT = 100
_DEPTH_LIMIT = 20
_USABLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,199}")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_LINK = re.compile(r'https?://[^\s<>"\\]+', re.IGNORECASE)
_TELLING = ("schema_id", "original_filename", "created_date")
"""The fields of a list that tell whose import it is. An entry in which one of them is odd proves nothing."""


def is_usable_id(value: object) -> bool:
    """Return whether a value can be an id in a path of the API."""
    return isinstance(value, str) and _USABLE_ID.fullmatch(value) is not None


def import_of(data: Any, *, mask: Mask = FORMS, links: ReviewLinks | None = None) -> RemoteImport:
    """Decode a short or full import; its status is kept verbatim. Raises ValueError if it has no usable id.

    A review url that `links` does not allow becomes a text.
    """
    if not isinstance(data, dict) or not _has_id(data, mask):
        raise ValueError("the answer has no usable import id")
    return _import_of(data, mask, links)


def _import_of(data: dict[str, Any], mask: Mask, links: ReviewLinks | None) -> RemoteImport:
    return RemoteImport(
        import_id=data["id"],
        status=_status(data.get("status"), mask),
        schema_id=_id(data.get("schema_id"), mask),
        original_filename=_name(data.get("original_filename"), mask),
        created_at=_instant(data.get("created_date")),
        modified_at=_instant(data.get("modified_date")),
        upload_url=_text(data.get("upload"), limit=_URL_LIMIT),
        review_url=_review_url(data.get("review_url"), mask, links),
        import_errors=_import_errors(data.get("import_errors"), mask),
        rows=rows_of(data.get("result_metadata"), mask),
        result_metadata=_object(data.get("result_metadata")),
    )


def _object(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def page_of(data: Any, *, mask: Mask = FORMS, links: ReviewLinks | None = None) -> ImportPage:
    """Decode one page of the list; an entry without a usable id is left out. Raises ValueError if it is not a page."""
    if not isinstance(data, dict) or not isinstance(data.get("results"), list):
        raise ValueError("the answer is not a page of imports")  # noqa: TRY004 - one error for all that is unusable
    entries = data["results"]
    usable = [entry for entry in entries if _has_id(entry, mask)]
    imports = tuple(_import_of(entry, mask, links) for entry in usable)
    count = data.get("count")
    return ImportPage(
        count=count if isinstance(count, int) and not isinstance(count, bool) else None,
        imports=imports,
        has_next=bool(data.get("next")) and bool(entries),
        left_out=len(entries) - len(imports),
        is_whole=len(usable) == len(entries) and all(map(_is_telling, usable, imports)),
    )


def _has_id(entry: Any, mask: Mask) -> bool:
    return isinstance(entry, dict) and is_usable_id(entry.get("id")) and not mask.knows(entry["id"])


def _is_telling(entry: dict[str, Any], remote: RemoteImport) -> bool:
    """Return whether an entry of the list says whose import it is, as far as the vendor knows."""
    decoded = (remote.schema_id, remote.original_filename, remote.created_at)
    return all(
        entry.get(name) in (None, "") or value is not None for name, value in zip(_TELLING, decoded, strict=True)
    )


def message_of(body: bytes, *, status: int, mask: Mask = FORMS) -> str:
    """Flatten the vendor's refusal, `{"detail": ...}` or `{"field": [...]}`, into at most 500 characters.

    If the body is anything else, such as an HTML page, the message is `HTTP <status>`.
    """
    return _message(_refusal(body), mask) or f"HTTP {status}"


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


def _sentences(value: Any, path: str = "", *, depth: int = 0) -> Iterator[str]:
    if depth > _DEPTH_LIMIT:
        yield f"{path}: …" if path else "…"
    elif isinstance(value, dict):
        for key, inner in value.items():
            named = key not in {"detail", "non_field_errors"}
            yield from _sentences(inner, f"{path}.{key}".lstrip(".") if named else path, depth=depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            at = f"{path}[{index}]" if isinstance(inner, dict | list) else path
            yield from _sentences(inner, at, depth=depth + 1)
    elif value is not None:
        text = " ".join(str(value)[: 2 * TEXT_LIMIT].split())
        yield f"{path}: {text}" if path else text


def _message(value: Any, mask: Mask) -> str:
    """Flatten any JSON value into at most 500 characters, without secrets."""
    sentences: list[str] = []
    for sentence in _sentences(value):
        sentences.append(sentence)
        if sum(map(len, sentences)) > TEXT_LIMIT:
            break
    return mask.short("; ".join(sentences))


def _import_errors(value: Any, mask: Mask) -> tuple[dict[str, Any], ...]:
    """Decode all errors: the row that each names; of the first 100 also type and message, as plain text."""
    entries = value if isinstance(value, list) else [value]
    given = [entry if isinstance(entry, dict) else {"message": entry} for entry in entries]
    errors = [error for error in given if error != {"message": None}]
    told = [_told(error, mask) | _row_named(error) for error in errors[:_ERRORS_LIMIT]]
    return (*told, *map(_row_named, errors[_ERRORS_LIMIT:]))


def _told(error: dict[str, Any], mask: Mask) -> dict[str, Any]:
    return {key: _message(error[key], mask) for key in ("type", "message") if error.get(key) is not None}


def _row_named(error: dict[str, Any]) -> dict[str, Any]:
    """Return the index of the row that an error names, if it names one, by which a pack knows the file."""
    row = error.get("rowIndex")
    return {"rowIndex": row} if isinstance(row, int) and not isinstance(row, bool) and row >= 0 else {}


def _text(value: Any, *, limit: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= limit else None


def _word(value: Any, mask: Mask) -> str | None:
    """Return one short line."""
    word = _text(value, limit=_WORD_LIMIT)
    return word if word is not None and word.isprintable() and mask(word) == word else None


def _status(value: Any, mask: Mask) -> str:
    if isinstance(value, str) and value in _STATUSES:
        return value
    return _word(value, mask) or UNKNOWN_STATUS


def _id(value: Any, mask: Mask) -> str | None:
    """Return an id, which may look like a secret, but is not the license key."""
    return value if is_usable_id(value) and not mask.knows(value) else _word(value, mask)


def _name(value: Any, mask: Mask) -> str | None:
    """Return the name of a file, which may look like a secret, but is not the license key."""
    name = _text(value, limit=_URL_LIMIT)
    return name if name is not None and not mask.knows(name) else None


def _link(value: Any, mask: Mask) -> str | None:
    """Return a url that a person can open."""
    url = _text(value, limit=_URL_LIMIT)
    is_plain = url is not None and url.isprintable() and _LINK.fullmatch(url)
    return url if url is not None and is_plain and not mask.knows(url) else None


def _review_url(value: Any, mask: Mask, links: ReviewLinks | None) -> str | None:
    url = _link(value, mask)
    return links.shown(url) if url is not None and links is not None else url


def _instant(value: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return plausible(instant if instant.tzinfo else instant.replace(tzinfo=UTC))

"""The lossless manifest: one JSON object per line, one line per item."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from runner.manifest.document import CHUNK_BYTES
from runner.models import ItemState, iso
from runner.sinks.result_array import Chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.models import Batch, Item

FIELDS = (
    "source",
    "size_bytes",
    "fingerprint",
    "schema_id",
    "state",
    "status",
    "import_id",
    "original_filename",
    "review_url",
    "error_code",
    "error_message",
    "row_count",
    "result",
    "result_sha256",
    "attempts",
    "created_at",
    "uploaded_at",
    "finished_at",
    "batch_id",
    "earlier_batch_id",
    "earlier_import_id",
    "earlier_state",
    "rows_in",
    "rows_left_out",
    "left_out_reasons",
    "pack_id",
    "pack_rows",
)
_ON_ITS_WAY = frozenset({ItemState.PACKED, ItemState.SUCCEEDED, ItemState.FAILED})
"""States in which the `result` of an item says where it was to be saved, but may not be there."""

_NEEDS_ESCAPE = re.compile(r"\\[xu\\]|[\ud800-\udfff]")
_ESCAPED = re.compile(r"[\\\ud800-\udfff]")
_UNDECODABLE_BYTES = range(0xDC80, 0xDD00)


def line(item: Item, batch: Batch) -> dict[str, Any]:
    """Return an item's fields in the manifest's order: absent is None, instants are ISO 8601 UTC."""
    return {
        "source": shown_name(item.source),
        "size_bytes": item.size_bytes,
        "fingerprint": item.fingerprint,
        "schema_id": _text(item.schema_id),
        "state": item.state.value,
        "status": _text(item.status),
        "import_id": _text(item.carrying_id),
        "original_filename": _text(item.original_filename),
        "review_url": _text(item.review_url),
        "error_code": _text(item.error_code),
        "error_message": _text(item.error_message),
        "row_count": item.row_count,
        "result": item.result if item.state not in _ON_ITS_WAY else None,
        "result_sha256": item.result_sha256 if item.state not in _ON_ITS_WAY else None,
        "attempts": item.attempts,
        "created_at": iso(item.created_at),
        "uploaded_at": iso(item.uploaded_at),
        "finished_at": iso(item.finished_at),
        "batch_id": batch.batch_id,
        "earlier_batch_id": item.earlier_batch_id,
        "earlier_import_id": _text(item.earlier_import_id),
        "earlier_state": None if item.earlier_state is None else item.earlier_state.value,
        "rows_in": item.rows_in,
        "rows_left_out": item.rows_left_out,
        "left_out_reasons": _reasons(item),
        "pack_id": item.pack if item.is_in_pack else None,
        "pack_rows": item.rows_of_pack,
    }


async def jsonl(items: AsyncIterator[Item], batch: Batch) -> AsyncIterator[bytes]:
    """Yield the manifest in chunks of about 64 KiB, in the order of `items`."""
    chunks = Chunks(CHUNK_BYTES)
    async for item in items:
        if chunk := chunks.add(json_line(line(item, batch))):
            yield chunk
    if rest := chunks.rest():
        yield rest


def json_line(fields: dict[str, Any]) -> bytes:
    """Render a `line`, with its line end."""
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def shown_name(name: str) -> str:
    r"""Return a name as valid Unicode that can be turned back.

    A name with bytes that are not UTF-8, or with `\x`, `\u` or `\\` in it, gets every backslash doubled, each such byte
    as `\xNN` and any other lone surrogate as `\uNNNN`; every other name stays as it is.
    """
    if name.isascii() and "\\" not in name:
        return name
    return _ESCAPED.sub(_escape, name) if _NEEDS_ESCAPE.search(name) else name


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] == "\\":
        return "\\\\"
    return f"\\x{code - 0xDC00:02x}" if code in _UNDECODABLE_BYTES else f"\\u{code:04x}"


def _reasons(item: Item) -> list[dict[str, Any]] | None:
    if item.left_out_reasons is None or item.rows_left_out is None:
        return None
    return [{"rule": one.rule, "field": _text(one.field), "count": one.count} for one in item.left_out_reasons]


def _text(value: str | None) -> str | None:
    """Return a text with lone surrogates, which no UTF-8 can hold, as `\\uNNNN`."""
    if value is None or value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()

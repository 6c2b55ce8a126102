"""The body of a webhook: the ids in it that may be an import's; everything else is ignored.

Managed webhooks are JSON, `{"event": ..., "data": {"id": ..., "headless": {"id": ...}}}`; basic ones a form,
`uploadId=<id>`. The input is untrusted: any bytes lead to a list of ids, which may be empty.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

MAX_BODY_BYTES = 256 * 1024
_MAX_BASE64_CHARS = MAX_BODY_BYTES * 4 // 3 + 4
_MAX_FORM_FIELDS = 32

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def body_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the decoded body of an HTTP API's event; None if it is larger than MAX_BODY_BYTES."""
    text = event.get("body")
    if not isinstance(text, str):
        return b""
    if len(text) > _MAX_BASE64_CHARS:
        return None
    body = _from_base64(text) if event.get("isBase64Encoded") else text.encode("utf-8", "replace")
    return body if len(body) <= MAX_BODY_BYTES else None


def import_ids(body: bytes) -> list[str]:
    """Return the ids that may be an import's, most likely ones first; never raises."""
    found = _ids_of_form(body) if body.lstrip()[:1] not in (b"{", b"[") else _ids_of_json(body)
    texts = (one for one in found if isinstance(one, str) and _UUID.fullmatch(one))
    return list(dict.fromkeys(texts))


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _ids_of_json(body: bytes) -> Sequence[object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    data = _member(document, "data")
    return [_member(_member(data, "headless"), "id"), _member(data, "id")]


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _ids_of_form(body: bytes) -> Sequence[object]:
    try:
        fields = parse_qsl(body.decode("utf-8"), max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        return []
    return [value for name, value in fields if name == "uploadId"][:1]

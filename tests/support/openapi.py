"""The vendor's OpenAPI description, if the file is available, combined with what other pages document."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FILE_NAME = "shared/vendor/dromo-openapi.json"
REFUSALS = ("400", "401", "404", "429")
"""Documented elsewhere for every call: an invalid body, a missing key, an unknown id, an exhausted quota."""


@cache
def _path() -> Path | None:
    return next((path for folder in Path(__file__).parents if (path := folder / FILE_NAME).is_file()), None)


def description(*, lenient: bool = False) -> dict[str, Any]:
    """Return the description, with the status PENDING that is missing from it.

    A `lenient` one lacks what other pages contradict: it accepts unknown keys, and a field without type or label. Skips
    the test if the file isn't available.
    """
    path = _path()
    if path is None:
        pytest.skip("the vendor's OpenAPI description is not available")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    statuses = loaded["components"]["schemas"]["HeadlessImport"]["properties"]["status"]["enum"]
    assert "PENDING" not in statuses
    statuses.append("PENDING")
    return _lenient(loaded) if lenient else loaded


def with_refusals(described: dict[str, Any]) -> dict[str, Any]:
    """Return the description with the error responses that every call may get, as nonempty objects."""
    content = {"application/json": {"schema": {"type": "object", "minProperties": 1}}}
    for path in described["paths"].values():
        for operation in path.values():
            for status in REFUSALS:
                operation["responses"][status] = {"description": "refused", "content": content}
    return described


def _lenient(node: Any) -> Any:
    if isinstance(node, list):
        return [_lenient(child) for child in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _lenient(child) for key, child in node.items() if (key, child) != ("additionalProperties", False)}
    return kept | {"required": ["key"]} if kept.get("required") == ["key", "type", "label"] else kept

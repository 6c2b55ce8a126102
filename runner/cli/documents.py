"""What the commands that only look answer with `--json`: one JSON document on stdout."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

import orjson

from runner.cli.text import storable
from runner.models import iso


def write_document(value: Any) -> None:
    """Write one JSON document and a newline. Dataclasses become objects, instants ISO 8601 UTC."""
    sys.stdout.buffer.write(orjson.dumps(plain(value), option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def plain(value: Any) -> Any:
    """Return a value made of what JSON knows; text that UTF-8 cannot hold is escaped."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, datetime):
        return iso(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {storable(str(plain(key))): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return value

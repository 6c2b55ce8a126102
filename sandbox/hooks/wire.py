"""The wire: JSON to and from the driver, with nothing in it that the engine could not write again."""

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

NESTING_MAX = 200
"""Levels of lists and objects in one value of a hook; orjson writes up to 254, and a result adds some (choice)."""

_WRITTEN_MAX = 254
_INTEGER_BITS = 63


class TooDeep(ValueError):
    """A value has more levels than NESTING_MAX."""

    def __init__(self) -> None:
        super().__init__(f"nested deeper than {NESTING_MAX} levels")


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as JSON. Raises TooDeep."""
    try:
        return orjson.dumps(message)
    except TypeError:
        return orjson.dumps(_plain(message))


def decode(body: bytes) -> Any:
    """Return the value of a JSON text, and None for anything else; half a surrogate pair becomes U+FFFD.

    Raises TooDeep.
    """
    with contextlib.suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    try:
        return _plain(json.loads(body))
    except RecursionError:
        raise TooDeep from None
    except TooDeep:
        raise
    except ValueError:
        return None


def shallow(value: Any) -> Any:
    """Return a value that the engine can write, inside others, as it is. Raises TooDeep."""
    nested = value
    for _ in range(_WRITTEN_MAX - NESTING_MAX):
        nested = [nested]
    try:
        orjson.dumps(nested)
    except TypeError:
        raise TooDeep from None
    return value


def _plain(value: Any, level: int = 0) -> Any:
    """Return a copy without half surrogate pairs and without numbers that JSON or 64 bits cannot hold."""
    if level > _WRITTEN_MAX:
        raise TooDeep
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, Mapping):
        return {_whole(str(key)): _plain(each, level + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, level + 1) for each in value]
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
        return _float(value)
    return value


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _float(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf

"""The text of a bulkhead.toml: parsed, without values that no setting can have."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from runner.errors import ConfigError

SHOWN_CHARS = 200
"""Characters of a key or value that an error shows."""

_TOML_KEY = re.compile(r"\s*([^\s=#\[]+)\s*=")
_NESTED_MOST = 100
_INTEGER_MOST = 2**63 - 1


def parsed(text: str, path: str) -> dict[str, Any]:
    """Return the values of a text by its keys. Raises ConfigError, which names the file's `path`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except (RecursionError, ValueError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else "has a number with too many digits"
        raise ConfigError(f"{path} cannot be read: {_key_that_raises(type(error), text)} {reason}") from None
    for key, value in raw.items():
        if (odd := _oddity(value)) is not None:
            raise ConfigError(f"{path}: {key[:SHOWN_CHARS]} {odd}")
    return raw


def _key_that_raises(kind: type[Exception], text: str) -> str:
    """Return the key in the first line after which a TOML text cannot be parsed for a reason that names no place."""
    lines = text.splitlines()
    for count in range(1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        except kind:
            named = [found.group(1) for line in lines[:count] if (found := _TOML_KEY.match(line))]
            return f"line {count}, {named[-1][:SHOWN_CHARS]}" if named else f"line {count}"
    return "a value"


def _oddity(value: object, *, depth: int = 0) -> str | None:
    """Return what is wrong with a value that no setting can have."""
    if depth > _NESTED_MOST:
        return "is nested too deeply"
    if isinstance(value, int) and abs(value) > _INTEGER_MOST:
        return "has a number that is too large"
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((odd for one in inner if (odd := _oddity(one, depth=depth + 1)) is not None), None)

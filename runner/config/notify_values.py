"""The settings of notifications: as people write them, and as they are shown, with secrets masked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import SecretStr

from runner.errors import ConfigError
from runner.masking import FORMS

TABLE = "notify"
"""The table of bulkhead.toml with `urls` and `on`: the settings `notify_urls` and `notify_on`."""

MASK = "****"
_KEYS = ("urls", "on")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,30})://\S", re.IGNORECASE)
_BETWEEN_URLS = re.compile(r"[\s,]+(?=[a-z][a-z0-9+.-]{0,30}://)", re.IGNORECASE)


class Occasion(StrEnum):
    """What people can be notified of."""

    FINISHED = "finished"
    PAUSED = "paused"
    NEEDS_REVIEW = "needs_review"
    UNREACHABLE = "unreachable"


def urls_of(value: object) -> object:
    """Return URLs as secrets; in a text, they are separated by spaces or commas. Raises ValueError."""
    if isinstance(value, str):
        value = _BETWEEN_URLS.split(value.strip())
    listed = value if isinstance(value, list | tuple) else [None]
    texts = [one.get_secret_value() if isinstance(one, SecretStr) else one for one in listed]
    found = [text.strip() for text in texts if isinstance(text, str) and _SCHEME.match(text.strip())]
    if len(found) < len(texts):
        raise ValueError("write a list of URLs that begin with a service, such as slack:// or mailto://")
    return tuple(SecretStr(text) for text in found)


def occasions_of(value: object) -> object:
    """Return occasions; in a text, they are separated by commas. Raises ValueError."""
    if isinstance(value, str):
        value = [part for part in (part.strip() for part in value.split(",")) if part]
    known = {str(occasion) for occasion in Occasion}
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one in known for one in value):
        raise ValueError(f"write a list of {', '.join(Occasion)}")
    return tuple(dict.fromkeys(Occasion(one) for one in value))


def command_of(value: object) -> object:
    """Return a command as words; in a text, they are quoted as in a shell. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError:
            raise ValueError("a quote is not closed") from None
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise ValueError('write a command as a list of words, such as ["load.sh", "--all"]')
    if value and not value[0].strip():
        raise ValueError("the first word names a program")
    return tuple(value)


def flattened(raw: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the values of a bulkhead.toml with the table `notify` as single settings. Raises ConfigError."""
    if TABLE not in raw:
        return dict(raw)
    table = raw[TABLE]
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {TABLE} is a table", hint=f'write [{TABLE}], and below it urls = ["..."]')
    for key in table:
        if key.replace("-", "_") == "on_finish":
            raise ConfigError(f"{path}: {key} is not in [{TABLE}]", hint="write it above the first line with [ ]")
        if key not in _KEYS:
            raise ConfigError(
                f"{path}: the key {TABLE}.{key[:50]} is not known", hint=f"the keys of [{TABLE}] are {', '.join(_KEYS)}"
            )
        if any(other.replace("-", "_") == f"{TABLE}_{key}" for other in raw):
            raise ConfigError(f"{path}: {TABLE}_{key} is given twice", hint=f"keep {key} in [{TABLE}]")
    others = {key: value for key, value in raw.items() if key != TABLE}
    return others | {f"{TABLE}_{key}": value for key, value in table.items()}


def masked_url(url: str) -> str:
    """Return of a URL only the name of its service: each other part can be a secret."""
    found = _SCHEME.match(url.strip())
    return f"{found[1].lower()}://{MASK}" if found else MASK


def masked_urls(value: object) -> str:
    """Return URLs, as `urls_of` takes them, each masked."""
    try:
        urls = urls_of(value)
    except ValueError:
        return MASK
    assert isinstance(urls, tuple)
    return ", ".join(masked_url(url.get_secret_value()) for url in urls) or "none"


def shown_command(value: object) -> str:
    """Return a command, as `command_of` takes it, as words that are quoted where a shell needs it."""
    try:
        words = command_of(value)
    except ValueError:
        return FORMS(str(value))
    assert isinstance(words, tuple)
    return FORMS(shlex.join(words)) or "none"

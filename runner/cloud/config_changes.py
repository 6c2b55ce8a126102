"""What differs between two texts of bulkhead.toml, as lines for people: no secrets, and of limited length."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from runner.formatting import counted, shown
from runner.masking import FORMS, cut

MOST_LINES = 100
MOST_CHARS = 160
"""The longest value that is shown; a place in the file is shown as long."""

ONLY_LAYOUT = "only comments or the layout"

_SECRET = re.compile(r"hook|callback|token|secret|passw|licen[cs]e|credential|api_?key|auth(?!or)", re.IGNORECASE)
_NAME = re.compile(r"\[[^\]]*\]")
_ABSENT = "not set"


def config_changes(before: str | None, after: str) -> list[str]:
    """Return a line for each value that differs, such as `routes[orders].schema_id: "a" -> "b"`.

    The texts are valid configurations. Of hooks, secrets, and the paths of URLs, only the fact of a change is shown.
    """
    old, new = _flat(before), _flat(after)
    lines = [_line(place, old.get(place), new.get(place)) for place in _places(old, new)]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"and {counted(len(lines) - MOST_LINES, 'more change')}"]
    return lines or [ONLY_LAYOUT]


def _places(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Yield the places that differ, in the order of the new text; those that are gone come last."""
    yield from (place for place in dict.fromkeys((*new, *old)) if old.get(place) != new.get(place))


def _flat(text: str | None) -> dict[str, str]:
    """Return {place: value as JSON} of all values."""
    return dict(_walk(tomllib.loads(text.removeprefix("\ufeff")), "")) if text else {}


def _walk(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        names = _names(value)
        yield f"{place} (order)", json.dumps(names)
        for name, inner in zip(names, value, strict=True):
            yield from _walk(inner, f"{place}[{name}]")
    else:
        yield place, json.dumps(value, ensure_ascii=False, default=str)


def _names(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each table in a list: its `name` or `key`, else its number; no two are equal."""
    names: list[str] = []
    for number, table in enumerate(tables, start=1):
        name = str(table.get("name") or table.get("key") or number)
        names.append(f"{name} {number}" if name in names else name)
    return names


def _line(place: str, old: str | None, new: str | None) -> str:
    if _SECRET.search(_NAME.sub("", place)):
        what = "changed" if old is not None and new is not None else "added" if old is None else "removed"
        return f"{_cut(place)}: {what}"
    return f"{_cut(place)}: {_value(old)} -> {_value(new)}"


def _value(text: str | None) -> str:
    return _ABSENT if text is None else _cut(FORMS.short(re.sub(r"https?://[^\s\"'\\]+", _host_only, text)))


def _host_only(found: re.Match[str]) -> str:
    """Return a URL without what may be secret in it: user, path, and query."""
    try:
        parts = urlsplit(found[0])
    except ValueError:
        return "…"
    return f"{parts.scheme}://{parts.hostname or ''}/…"


def _cut(text: str) -> str:
    return shown(cut(text, MOST_CHARS))

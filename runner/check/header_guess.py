"""Which header a file may have meant for a field that found no column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

LIKELY_MIN = 0.5
"""Similarity, 0 to 1, from which a header is worth naming: it is a hint to a person, nothing is mapped by it."""

_WHOLE_NAME_MIN = 4
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")


def likely_headers(
    fields: Sequence[Mapping[str, Any]], headers: Sequence[str]
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield (field, header) pairs, the most similar first; each field and each header at most once."""
    pairs = [
        (_similarity(_names(field), header), place, header) for place, field in enumerate(fields) for header in headers
    ]
    fields_left, headers_left = set(range(len(fields))), set(headers)
    for score, place, header in sorted(pairs, key=lambda pair: -pair[0]):
        if score >= LIKELY_MIN and place in fields_left and header in headers_left:
            fields_left.discard(place)
            headers_left.discard(header)
            yield fields[place], header
    if len(fields_left) == 1 and len(headers_left) == 1 and len(fields) == 1:
        yield fields[0], headers_left.pop()


def _names(field: Mapping[str, Any]) -> tuple[str, ...]:
    names = (field.get("label"), field.get("key"), *(field.get("alternateMatches") or ()))
    return tuple(str(name) for name in names if name)


@lru_cache(maxsize=4096)
def _similarity(names: tuple[str, ...], header: str) -> float:
    plain = _plain(header)
    if not plain:
        return 0.0
    return max((_likeness(_plain(name), plain) for name in names), default=0.0)


def _likeness(name: str, header: str) -> float:
    """How alike two names are; one that holds the other whole, as `Mail` in `E-Mail address`, is likely meant."""
    short, long = sorted((name, header), key=len)
    if len(short) >= _WHOLE_NAME_MIN and short in long:
        return 0.9
    return SequenceMatcher(None, name, header).ratio()


def _plain(name: str) -> str:
    return _NOT_ALPHANUMERIC.sub("", name.casefold())

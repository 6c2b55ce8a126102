"""The marker: a cell in the first column of a pack that says which row of which member a row is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from runner.identity import TAG_LENGTH
from runner.problems.header_names import plain_name

MARKER_NAMES = ("Bulkhead marker", "Bhpk qzxv", "Xjqv wzkf", "Qwvz jxhk")
"""Headers of the marker column; the first one that is unlike all other names is used."""

LIKENESS_MAX = 0.7
"""From this similarity on, from 0 to 1, a name or a word is like the marker's header (choice)."""

UNMAPPED_SETTING, UNMAPPED_KEY = "passThroughUnmappedColumns", "$unmapped"
"""The setting by which each row of a result has the cells of columns without a field, and the key that has them."""

_SHORTEST_WORD = 4
_PATTERN = re.compile(rf"([a-z2-7]{{{TAG_LENGTH}}})\.([1-9]\d{{0,8}})", re.ASCII)
_WORDS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True, order=True)
class Marker:
    """Row `number`, from 1, of the member `tag`."""

    tag: str
    number: int

    def __str__(self) -> str:
        return f"{self.tag}.{self.number}"

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """Return the marker that a text is as a whole, or None."""
        found = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        return cls(found[1], int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class MarkerColumn:
    """The first column of a pack: its header, and how it comes back.

    With `is_field`, the create's inline schema has a string field with this label, and each row of the result has its
    `key`. Otherwise, no field takes the column, and each row has it in `$unmapped`, as key "0".
    """

    name: str
    is_field: bool = False

    @property
    def key(self) -> str:
        """Return the key of the field, such as `bulkhead_marker`."""
        return self.name.lower().replace(" ", "_")

    @property
    def field(self) -> dict[str, Any]:
        """Return the field of an inline schema."""
        return {"key": self.key, "label": self.name, "type": "string"}

    def create_parts(
        self, *, fields: Sequence[Mapping[str, Any]] | None, settings: Mapping[str, Any] | None
    ) -> tuple[tuple[dict[str, Any], ...] | None, dict[str, Any] | None]:
        """Return the fields and the settings of a pack's create, from those of the route of its members."""
        if self.is_field:
            return (self.field, *map(dict, fields or ())), dict(settings) if settings is not None else None
        return (tuple(map(dict, fields)) if fields is not None else None), {**(settings or {}), UNMAPPED_SETTING: True}


def marker_name(names: Iterable[str]) -> str | None:
    """Return a header for the marker column that is unlike all these names of fields and columns, or None.

    No two of them have words in common or similar ones, contain each other, or are similar as a whole: whatever an
    import takes for similar names, it must not take the marker column for a field.
    """
    given = list(names)
    plain = [name for name in map(plain_name, given) if name]
    words = [word for name in given for word in _words(name)]
    return next((name for name in MARKER_NAMES if not _is_like_any(name, plain, words)), None)


def _is_like_any(name: str, others: Sequence[str], words: Sequence[str]) -> bool:
    one = plain_name(name)
    if any(one in other or (len(other) >= _SHORTEST_WORD and other in one) for other in others):
        return True
    if get_close_matches(one, others, n=1, cutoff=LIKENESS_MAX):
        return True
    return any(get_close_matches(word, words, n=1, cutoff=LIKENESS_MAX) for word in _words(name))


def _words(name: str) -> list[str]:
    return _WORDS.findall(name.casefold())

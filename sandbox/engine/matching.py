"""Which columns of a file belong to which field."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from sandbox.engine.libraries import is_installed, library
from sandbox.engine.schema import Field

SIMILARITY_MIN = 85
LEAD_MIN = 5
SUGGESTIONS_MAX_COUNT = 3
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"\d+")

Columns = dict[str, list[int]]
_Matches = Callable[[Field, str], bool]


def match_columns(
    header: Sequence[str], *, fields: Sequence[Field], fuzzy: bool, remembered: Mapping[str, str] | None = None
) -> Columns:
    """Return the columns of each field that finds one, by field key; several only for a manyToOne field.

    Tried in turn: exact label, key, and alternate names; `remembered` headers (header -> key) of earlier imports; with
    `fuzzy`, the names without case and punctuation (and numbered ones of a manyToOne field), then similar names. The
    leftmost column and the first field win; hidden fields take no column.
    """
    visible = [field for field in fields if not field.hidden]
    found = _Found(header)
    found.claim(visible, lambda field, name: name == field.label)
    found.claim(visible, lambda field, name: name == field.key)
    found.claim(visible, lambda field, name: name in field.alternates)
    if remembered:
        found.claim(visible, lambda field, name: remembered.get(name) == field.key)
    if fuzzy:
        found.claim(visible, lambda field, name: normalized(name) in _plain_names(field))
        found.claim([field for field in visible if field.many_to_one], _is_numbered)
        found.claim_similar(visible)
    return found.columns


def normalized(name: str) -> str:
    """Letters and digits only, without case: "First_Name" and "first name" are one."""
    return _NOT_ALPHANUMERIC.sub("", unicodedata.normalize("NFKC", name).casefold())


def is_name(text: str, fields: Sequence[Field]) -> bool:
    """Return whether a text is a name of a field that is not hidden, apart from case and punctuation."""
    plain = normalized(text)
    return any(plain in _plain_names(field) for field in fields if not field.hidden)


def suggestions(name: str, fields: Sequence[Field]) -> list[str]:
    """Return the keys of the fields that a header may mean, best first; at most a few, none without a header."""
    if not name or not is_installed("rapidfuzz"):
        return []
    scored = [(_similarity(name, field), -place) for place, field in enumerate(fields) if not field.hidden]
    best = sorted((pair for pair in scored if pair[0] > 0), reverse=True)[:SUGGESTIONS_MAX_COUNT]
    return [fields[-place].key for _, place in best]


class _Found:
    def __init__(self, header: Sequence[str]) -> None:
        self._free = {at: name.strip() for at, name in enumerate(header) if name.strip()}
        self.columns: Columns = {}

    def claim(self, fields: Sequence[Field], matches: _Matches) -> None:
        for field in fields:
            if field.key in self.columns and not field.many_to_one:
                continue
            wanted = [at for at, name in self._free.items() if matches(field, name)]
            for at in wanted if field.many_to_one else wanted[:1]:
                self._take(field, at)

    def claim_similar(self, fields: Sequence[Field]) -> None:
        """Match columns to fields, most similar first. Skip pairs whose numbers differ or that barely beat another."""
        open_fields = [field for field in fields if field.key not in self.columns]
        if not self._free or not open_fields or not is_installed("rapidfuzz"):
            return
        pairs = [pair for at, name in self._free.items() if (pair := _best_pair(at, name, open_fields))]
        for _, at, field in sorted(pairs, key=lambda pair: (-pair[0], pair[1])):
            if field.key not in self.columns or field.many_to_one:
                self._take(field, at)

    def _take(self, field: Field, at: int) -> None:
        self.columns[field.key] = sorted([*self.columns.get(field.key, ()), at])
        del self._free[at]


def _best_pair(at: int, name: str, fields: Sequence[Field]) -> tuple[float, int, Field] | None:
    scores = sorted(((_similarity(name, field), -place) for place, field in enumerate(fields)), reverse=True)
    best, place = scores[0]
    lead = best - (scores[1][0] if len(scores) > 1 else 0.0)
    return (best, at, fields[-place]) if best >= SIMILARITY_MIN and lead >= LEAD_MIN else None


def _similarity(name: str, field: Field) -> float:
    fuzz = library("rapidfuzz.fuzz", package="rapidfuzz", purpose="matches similar headers")
    plain = normalized(name)
    numbers = _DIGITS.findall(plain)
    names = (other for other in _plain_names(field) if _DIGITS.findall(other) == numbers)
    return max((float(fuzz.ratio(plain, other, score_cutoff=SIMILARITY_MIN / 2)) for other in names), default=0.0)


def _is_numbered(field: Field, name: str) -> bool:
    return normalized(name).rstrip("0123456789") in _plain_names(field)


def _plain_names(field: Field) -> frozenset[str]:
    return _plain_set(field.names)


@lru_cache(maxsize=1024)
def _plain_set(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(normalized, names)) - {""}

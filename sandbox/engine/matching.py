"""Which columns of a file belong to which field."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from sandbox.engine.header_words import has_same_words, vocabulary, words_of
from sandbox.engine.libraries import is_installed, library
from sandbox.engine.schema import Field

SIMILARITY_MIN = 85
LEAD_MIN = 5
NAME_MAX_CHARS = 200
SWAPPED_SCORE = 90.0
"""The similarity of names that have the same letters, two neighbors of which are swapped."""

SUGGESTIONS_MAX_COUNT = 3
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"\d+")

Columns = dict[str, list[int]]
_Matches = Callable[[Field, str], bool]


def match_columns(
    header: Sequence[str],
    *,
    fields: Sequence[Field],
    fuzzy: bool,
    remembered: Mapping[str, str] | None = None,
    tell: Callable[[int, Field], None] | None = None,
) -> Columns:
    """Return the columns of each field that finds one, by field key; several only for a manyToOne field.

    Tried in turn: exact label, key, and alternate names; `remembered` headers (header -> key) of earlier imports; with
    `fuzzy`, the names without case and punctuation (and numbered ones of a manyToOne field), then similar names. The
    leftmost column and the first field win; hidden fields take no column. `tell` gets each column that is only similar.
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
        found.claim_similar(visible, tell)
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

    def claim_similar(self, fields: Sequence[Field], tell: Callable[[int, Field], None] | None) -> None:
        """Match columns to fields, most similar first.

        Skip pairs with different words or numbers, and those that barely beat another one.
        """
        open_fields = [field for field in fields if field.key not in self.columns]
        if not self._free or not open_fields or not is_installed("rapidfuzz"):
            return
        names = {at: name for at, name in self._free.items() if len(name) <= NAME_MAX_CHARS}
        known = vocabulary(tuple(name for field in fields for name in field.names))
        pairs = [pair for at, name in names.items() if (pair := _best_pair(at, name, open_fields, known))]
        for _, at, field in sorted(pairs, key=lambda pair: (-pair[0], pair[1])):
            if field.key not in self.columns or field.many_to_one:
                self._take(field, at)
                if tell is not None:
                    tell(at, field)

    def _take(self, field: Field, at: int) -> None:
        self.columns[field.key] = sorted([*self.columns.get(field.key, ()), at])
        del self._free[at]


def _best_pair(at: int, name: str, fields: Sequence[Field], known: frozenset[str]) -> tuple[float, int, Field] | None:
    scores = sorted(((_score(name, field, known), -place) for place, field in enumerate(fields)), reverse=True)
    best, place = scores[0]
    lead = best - (scores[1][0] if len(scores) > 1 else 0.0)
    return (best, at, fields[-place]) if best >= SIMILARITY_MIN and lead >= LEAD_MIN else None


def _score(name: str, field: Field, known: frozenset[str]) -> float:
    """Return the similarity of a header to the best name of a field that has the same words and numbers."""
    best = 0.0
    for other in field.names:
        score = _likeness(name, other) if _numbers(name) == _numbers(other) else 0.0
        if score > best and (score < SIMILARITY_MIN - LEAD_MIN or has_same_words(name, other, known=known)):
            best = score
    return best


def _likeness(name: str, other: str) -> float:
    """Return how alike two names are, from 0 to 100: as they are, or with their words in full."""
    one, two = "".join(words_of(name)), "".join(words_of(other))
    swapped = SWAPPED_SCORE if len(one) == len(two) and sorted(one) == sorted(two) else 0.0
    return max(_ratio(_plain(name), _plain(other)), _ratio(one, two), swapped)


def _similarity(name: str, field: Field) -> float:
    """Return how alike a header and the best name of a field are, from 0 to 100, for a person to choose from."""
    names = (other for other in field.names if _numbers(name) == _numbers(other))
    return max((_ratio(_plain(name), _plain(other)) for other in names), default=0.0)


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return normalized(name[:NAME_MAX_CHARS])


@lru_cache(maxsize=4096)
def _numbers(name: str) -> list[str]:
    return _DIGITS.findall(_plain(name))


def _ratio(one: str, other: str) -> float:
    fuzz = library("rapidfuzz.fuzz", package="rapidfuzz", purpose="matches similar headers")
    return float(fuzz.ratio(one, other, score_cutoff=SIMILARITY_MIN / 2))


def _is_numbered(field: Field, name: str) -> bool:
    return normalized(name).rstrip("0123456789") in _plain_names(field)


def _plain_names(field: Field) -> frozenset[str]:
    return _plain_set(field.names)


@lru_cache(maxsize=1024)
def _plain_set(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(normalized, names)) - {""}

"""Headers and the fields that they may belong to: what is proposed to people, never what is mapped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

NAME_MAX_CHARS = 60
NAME_MAX_WORDS = 8
"""The longest header that can be an alternate name; more is a sentence or a whole line (choice)."""

WORD_LIKENESS_MIN = 0.8
"""Lowest similarity, from 0 to 1, of two words that count as one (choice)."""

ENCODINGS = (
    "utf-8", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "iso8859-2", "cp437", "cp850", "cp852",
    "mac-roman", "koi8-r", "cp866", "cp932", "gb18030", "big5", "cp949",
)  # fmt: skip
"""Encodings that a header is tried in, the first of several that fit wins (choice)."""

LEAD_MIN = 0.05
"""How much more alike the best header must be than the next one (choice)."""

_WORD_MIN = 3
_ABBREVIATION_MIN = 3
_HITS_MIN = 2
_DATA = re.compile(r"@\w|://|^[-+$€£(]?\s*\d[\d.,:/ -]*\s*%?\)?$|^\d{4}-\d\d-\d\d")
_NOT_IN_NAMES = re.compile(r'[",;\t|\r\n{}=<>\\]')
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_E_WORD = re.compile(r"\be[ -](?=[a-z])")
_SHORT_FORMS = {"no": "number", "nr": "number", "num": "number", "tel": "phone", "telephone": "phone", "dob": "birth"}
_FALSE_FRIENDS = frozenset(
    frozenset(pair)
    for pair in (("contact", "contract"), ("country", "county"), ("quality", "quantity"), ("price", "prize"))
)
_ROLES = re.compile(r"(.+)(ee|er|or)")
"""Words for the two parties of one matter, such as payee and payer, differ in their ends only."""

_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")


def is_name(header: str) -> bool:
    """Return whether a header can be an alternate name of a field: short, visible, without delimiters, and no data."""
    text = header.strip()
    return (
        0 < len(text) <= NAME_MAX_CHARS
        and text.isprintable()
        and len(text.split()) <= NAME_MAX_WORDS
        and _NOT_IN_NAMES.search(text) is None
        and _DATA.search(text) is None
        and any(map(str.isalpha, text))
    )


def likely_headers(
    fields: Sequence[Mapping[str, Any]], headers: Sequence[str]
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield (field, header) pairs that are alike, the most similar first; each field and each header at most once.

    A field that two headers are like equally, as First Name and Last Name are like Name, has none.
    """
    names = [header for header in dict.fromkeys(headers) if is_name(_visible(header))]
    scores = {(place, header): _score(field, header) for place, field in enumerate(fields) for header in names}
    fields_left, headers_left = set(range(len(fields))), set(names)
    for (place, header), score in sorted(scores.items(), key=lambda pair: -pair[1]):
        if not score or place not in fields_left or header not in headers_left:
            continue
        fields_left.discard(place)
        if score - max((scores[place, other] for other in headers_left - {header}), default=0.0) >= LEAD_MIN:
            headers_left.discard(header)
            yield fields[place], header


def fitting_delimiter(fields: Sequence[Mapping[str, Any]], header: Sequence[str], delimiter: str) -> str:
    """Return the delimiter that would split a header, which `delimiter` split, into names of fields; "" if none would.

    It is one that gives more names than the header has now, and at least two. A blank is none: names contain blanks.
    """
    known = {plain_name(name) for field in fields if not field.get("hidden") for name in names_of(field)} - {""}
    line = delimiter.join(header)
    now = len(known.intersection(map(plain_name, header)))
    chars = [char for char in dict.fromkeys(line) if _may_delimit(char) and char != delimiter]
    found = {char: [plain_name(part) for part in line.split(char) if part.strip()] for char in chars}
    hits = {char: len(known.intersection(parts)) for char, parts in found.items()}
    best = max(hits, key=hits.__getitem__, default="")
    is_better = bool(best) and hits[best] > now and hits[best] >= _HITS_MIN and hits[best] * 2 >= len(found[best])
    return best if is_better else ""


def fitting_encoding(fields: Sequence[Mapping[str, Any]], header: Sequence[str], encoding: str) -> str:
    """Return the encoding in which a header, decoded with `encoding`, has more names of fields; "" if there is none."""
    odd = [name for name in header if not name.isascii()]
    known = {plain_name(name) for field in fields if not field.get("hidden") for name in names_of(field)} - {""}
    now = len(known.intersection(map(plain_name, odd)))
    hits = {other: len(known.intersection(_read_again(odd, encoding, other))) for other in ENCODINGS} if odd else {}
    best = max(hits, key=hits.__getitem__, default="")
    return best if best and hits[best] > now else ""


def _read_again(names: Sequence[str], encoding: str, other: str) -> Iterator[str]:
    for name in names:
        try:
            yield plain_name(name.encode(encoding).decode(other))
        except (UnicodeError, LookupError):
            continue


def _visible(header: str) -> str:
    return "".join(char for char in header if unicodedata.category(char) != "Cf")


def _may_delimit(char: str) -> bool:
    return not char.isalnum() and unicodedata.category(char) != "Zs" and char not in "\"'_\r\n"


def _score(field: Mapping[str, Any], header: str) -> float:
    header, label = _visible(header), str(field.get("label") or field.get("key") or "")
    if _each_has_its_own(_words(label), _words(header)):
        return 0.0
    return max((_likeness(name, header) for name in names_of(field)), default=0.0)


def _each_has_its_own(words: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether each of two names has a word without a like in the other: Patient Email is no Patient Name."""
    joined = "".join(words), "".join(others)
    if joined[0] in _runs(others) or joined[1] in _runs(words):
        return False
    return all(
        any(max((_word_likeness(word, one) for one in there), default=0.0) < WORD_LIKENESS_MIN for word in here)
        for here, there in ((words, others), (others, words))
    )


def names_of(field: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names by which a header names a field: its label, its key, and its alternate names."""
    alternates = field.get("alternateMatches")
    others = alternates if isinstance(alternates, list) else ()
    return tuple(str(name) for name in (field.get("label"), field.get("key"), *others) if name)


def plain_name(name: str) -> str:
    """Return a name's letters and digits, without case."""
    return _NOT_ALPHANUMERIC.sub("", unicodedata.normalize("NFKC", name).casefold())


@lru_cache(maxsize=4096)
def _likeness(name: str, header: str) -> float:
    """Return how alike two names are, from 0 to 1; 0 if a number or a word of the shorter one has no like in the other.

    "E-Mail address" is like "Mail", "Cust. No" is like "Customer No"; "Billing Date" is not like "Billing State".
    """
    mine, other = _words(name), _words(header)
    if [word for word in mine if word.isdigit()] != [word for word in other if word.isdigit()]:
        return 0.0
    if plain_name(name) == plain_name(header):
        return 1.0
    whole = SequenceMatcher(None, plain_name(name), plain_name(header)).ratio()
    short, long = sorted((mine, other), key=lambda words: (len(words), sum(map(len, words))))
    joined = "".join(short)
    if len(joined) < _WORD_MIN:
        return 0.0
    if joined in _runs(long):
        return max(whole, 0.9)
    left = list(long)
    for word in short:
        like = max(left, key=lambda one: _word_likeness(word, one), default="")
        if _word_likeness(word, like) < WORD_LIKENESS_MIN:
            return 0.0
        left.remove(like)
    return max(whole, WORD_LIKENESS_MIN)


def _word_likeness(word: str, other: str) -> float:
    """Return how alike two words are; an abbreviation of at least three letters is like its word."""
    if not word or not other:
        return 0.0
    if word == other:
        return 1.0
    roles = (_ROLES.fullmatch(word), _ROLES.fullmatch(other))
    if frozenset((word, other)) in _FALSE_FRIENDS or (roles[0] and roles[1] and roles[0][1] == roles[1][1]):
        return 0.0
    short, long = sorted((word, other), key=len)
    if len(short) >= _ABBREVIATION_MIN and long.startswith(short):
        return 0.9
    return SequenceMatcher(None, word, other).ratio() if word[0] == other[0] or short in long else 0.0


def _words(name: str) -> list[str]:
    text = _CAMEL.sub(" ", unicodedata.normalize("NFKC", name)).casefold()
    return [_SHORT_FORMS.get(word, word) for word in _WORDS.findall(_E_WORD.sub("e", text))]


def _runs(words: Sequence[str]) -> set[str]:
    """Return the texts of words that stand next to each other, joined."""
    return {"".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1)}

"""Which code page a text without any mark is in: the one whose letters are the most plausible within their words.

Each candidate decodes the same pieces of the file. What its letters cost in its likeliest language, in nats, decides;
the candidates that people use most are preferred.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise

from sandbox.engine.reading.languages import INITIAL, characters_of, folded, is_latin, letters_of, pairs_of

_WESTERN = ("de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "is", "ca", "ga", "gl", "et", "sq", "en")
_CENTRAL = ("pl", "cs", "sk", "hu", "hr", "sl", "ro", "sq", "de", "en")
_CYRILLIC = ("ru", "uk", "bg", "sr", "mk", "be")
_BALTIC = ("lt", "lv", "et", "pl")
_EAST_ASIAN = frozenset({"zh", "zh_Hant", "ja", "ko"})
_WITHOUT_LATIN = _EAST_ASIAN | {*_CYRILLIC, "el", "he", "ar", "fa", "th"}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A codec, what it costs to be rare, in nats (choice), and the languages that are written in it."""

    name: str
    rarity: float
    languages: tuple[str, ...]


_CANDIDATES = (
    _Candidate("cp1252", 0, _WESTERN),
    _Candidate("cp1250", 6.5, _CENTRAL),
    _Candidate("cp1251", 3, _CYRILLIC),
    _Candidate("cp1253", 3, ("el",)),
    _Candidate("cp1254", 5, ("tr", "de")),
    _Candidate("cp1255", 3, ("he",)),
    _Candidate("cp1256", 3, ("ar", "fa")),
    _Candidate("cp1257", 5, _BALTIC),
    _Candidate("cp874", 3, ("th",)),
    _Candidate("cp932", 3, ("ja",)),
    _Candidate("gb18030", 3, ("zh",)),
    _Candidate("big5", 3, ("zh_Hant",)),
    _Candidate("cp949", 3, ("ko",)),
    _Candidate("euc_jp", 7, ("ja",)),
    _Candidate("koi8-r", 8, ("ru", "bg")),
    _Candidate("koi8-u", 9, ("uk",)),
    _Candidate("cp866", 8, ("ru", "uk", "bg", "be")),
    _Candidate("mac-roman", 8, _WESTERN),
    _Candidate("cp850", 8, _WESTERN),
    _Candidate("cp437", 9, _WESTERN),
    _Candidate("iso8859-15", 9, _WESTERN),
    _Candidate("iso8859-2", 8, _CENTRAL),
    _Candidate("cp852", 9, _CENTRAL),
    _Candidate("mac-latin2", 10, _CENTRAL),
    _Candidate("iso8859-5", 9, _CYRILLIC),
    _Candidate("mac-cyrillic", 10, _CYRILLIC),
    _Candidate("iso8859-7", 10, ("el",)),
    _Candidate("cp737", 10, ("el",)),
    _Candidate("iso8859-13", 9, _BALTIC),
    _Candidate("cp775", 10, _BALTIC),
    _Candidate("cp857", 9, ("tr",)),
    _Candidate("mac-turkish", 10, ("tr",)),
    _Candidate("cp1258", 7, ("vi",)),
    _Candidate("cp862", 10, ("he",)),
)
_UTF8 = _Candidate("utf-8", 0, tuple(dict.fromkeys(language for one in _CANDIDATES for language in one.languages)))
_SINGLE_BYTE = tuple(one.name for one in _CANDIDATES if one.languages[0] not in _EAST_ASIAN)
_WITH_COMBINING_MARKS = "cp1258"
_DEFAULT = "cp1252"

HINT, HINT_OF_DEFAULT = 3.0, 1.5
"""What a candidate gains, in nats, if chardet names it (choice): less for cp1252, which it names when in doubt."""

DOUBT = 10.0
"""A guess is doubtful if another text costs at most so much more, in nats (measured by `benchmarks.encoding`)."""

_FIRST_PIECES = 16
_HOPELESS = 30.0
_OWN_LANGUAGE, _OTHER_LANGUAGE = -math.log(0.85), -math.log(0.15)
_SMALL = 2.0
_SMALL_LANGUAGES = frozenset({"is", "sq", "ga", "gl"})
_CONTEXT_WEIGHT = 0.3
_CONTEXT_MOST = 9.0
_CONTEXT_OF_OTHERS = 4.5
_MIXED_SCRIPTS = 6.0
_INNER_CAPITAL = 6.0
_CAPITALS_THEN_SMALL = 4.0
_SYMBOL_IN_WORD = 7.0
_SYMBOL_AT_WORD = 4.0
_NEVER_AT_WORDS = frozenset("¹²³¼½¾¢£¥§¤¦¬±µ¶¿¡÷\xd7")
_KATAKANA_IN_WORD = 8.0
_QUOTE_ALONE = 3.0
_CONTROL = 25.0
_REPLACED = "\ufffd"
_REPLACEMENT, _REPLACEMENT_UTF8 = 16.0, 5.0
_HOPELESS_BYTE = 20.0
_OTHER_SYMBOL = 11.0
_PRIVATE_USE, _PRIVATE_USE_END = "\ue000", "\uf900"
_SCRIPT_CHANGE = 8.0
_COMMON_CHARACTER = 9.8
_RARE_CHARACTER = 13.0
_FOREIGN_BLOCK = 5.0
_HALF_WIDTH = frozenset(map(chr, range(0xFF61, 0xFFA0)))
_BLOCKS = (
    ("\u3040", "\u30ff", "ja", 5.5),
    ("\uff61", "\uff9f", "ja", 4.2),
    ("\uff00", "\uff60", "ja", 8.0),
)
"""Blocks of characters: first, last, the language that they are usual in, and their cost there."""

_COMMON_ROWS = {
    "zh": ("gb18030", 0xB0, 0xD7, 0xA1),
    "zh_Hant": ("big5", 0xA4, 0xC6, 0x40),
    "ja": ("cp932", 0x88, 0x97, 0x40),
    "ko": ("cp949", 0xB0, 0xC8, 0xA1),
}
"""A standard of each language; the first and last lead byte of its common characters, and their least trail byte."""

_SYMBOLS = {
    **dict.fromkeys("\u2019", 3.0),
    **dict.fromkeys("\u201c\u201d\u2013\xa0€°。・\uff08\uff09\u3000\uff0c", 4.0),
    **dict.fromkeys("„—«»…•£º§№¿¡\u2018\uff1a々〒ª", 5.0),
    **dict.fromkeys("©®™½²\xd7·±µ\xb4", 6.0),
    **dict.fromkeys("¼¾³¥¢÷‰†", 7.0),
    **dict.fromkeys("\u201a\u2039\u203a", 8.0),
    "ー": 3.0,
}
"""What symbols cost that are found in tables (choice)."""

_THAI_MARKS = frozenset(
    "\u0e31\u0e34\u0e35\u0e36\u0e37\u0e38\u0e39\u0e3a\u0e47\u0e48\u0e49\u0e4a\u0e4b\u0e4c\u0e4d\u0e4e"
)
_PLAIN_WORD = re.compile("[A-Za-z]{3,}")


@dataclass(frozen=True, slots=True)
class Guess:
    """A codec's name, the texts that it makes of the pieces, what they cost in nats, and how much of that is rarity."""

    name: str
    texts: tuple[str, ...]
    cost: float
    rarity: float


def guesses(
    pieces: Sequence[bytes], plain: Sequence[str], *, seen: bytes, hint: str | None, or_utf8: bool
) -> list[Guess]:
    """Return the code pages that may be meant, the most plausible first; with `or_utf8`, UTF-8 with errors is one.

    `pieces` are different parts of the file, each with bytes above 127, before which no character of any code page is
    cut. `plain` are other words of the file, in ASCII; `seen` are all of its bytes above 127, each once; `hint` is the
    codec that another detector names.
    """
    context = _costs_of_context(plain)
    missing = {name: _HOPELESS_BYTE * seen.decode(name, "replace").count(_REPLACED) for name in _SINGLE_BYTE}
    scores = _Scores(context, missing, hint)
    candidates = [*_CANDIDATES, *([_UTF8] if or_utf8 else [])]
    if len(pieces) > _FIRST_PIECES:
        first = {one: scores.guess(one, pieces[:_FIRST_PIECES]).cost for one in candidates}
        candidates = [one for one in candidates if first[one] <= min(first.values()) + _HOPELESS]
    return sorted((scores.guess(one, pieces) for one in candidates), key=lambda guess: guess.cost)


@dataclass(frozen=True, slots=True)
class _Scores:
    """What is known about a file beside its pieces: costs by language and by codec, and another detector's guess."""

    by_language: Mapping[str, float]
    by_codec: Mapping[str, float]
    hint: str | None

    def guess(self, candidate: _Candidate, pieces: Sequence[bytes]) -> Guess:
        name = candidate.name
        texts = tuple(_decoded(piece, name) for piece in pieces)
        replaced = sum(text.count(_REPLACED) for text in texts)
        cost = replaced * (_REPLACEMENT_UTF8 if candidate is _UTF8 else _REPLACEMENT)
        cost += candidate.rarity + self.by_codec.get(name, 0) + _cost(texts, candidate, self.by_language)
        hint = HINT_OF_DEFAULT if name == _DEFAULT else HINT
        return Guess(name, texts, cost - (hint if name == self.hint else 0), candidate.rarity)


def _decoded(piece: bytes, name: str) -> str:
    text = piece.decode(name, "replace")
    return unicodedata.normalize("NFC", text) if name == _WITH_COMBINING_MARKS else text


def _costs_of_context(plain: Sequence[str]) -> dict[str, float]:
    """Return what the words in ASCII say against each language, in nats: little, since they are often foreign."""
    words = [pairs_of(folded(word)) for text in plain for word in _PLAIN_WORD.findall(text)]
    languages = {language for candidate in _CANDIDATES for language in candidate.languages}
    latin = languages - _WITHOUT_LATIN
    costs = {language: sum(map(letters_of(language).of_word, words)) for language in latin}
    least = min(costs.values())
    context = {
        language: min(_CONTEXT_MOST, _CONTEXT_WEIGHT * (cost - least)) + (_SMALL if language in _SMALL_LANGUAGES else 0)
        for language, cost in costs.items()
    }
    return {**context, **dict.fromkeys(_WITHOUT_LATIN, min(_CONTEXT_OF_OTHERS, context["en"]))}


def _cost(texts: Iterable[str], candidate: _Candidate, context: Mapping[str, float]) -> float:
    """Return what the texts cost in the likeliest language of a candidate."""
    words, cost = _split(texts)
    costs = [context[one] + _of_characters(words, one) for one in candidate.languages if one in _EAST_ASIAN]
    if alphabets := [one for one in candidate.languages if one not in _EAST_ASIAN]:
        costs.append(sum(map(_cost_of_form, words)) + _of_alphabets(words, alphabets, context))
    return cost + min(costs)


def _of_alphabets(words: Iterable[str], languages: Iterable[str], context: Mapping[str, float]) -> float:
    pairs = [pairs_of(folded(word)) for word in words]
    by_language = {language: list(map(letters_of(language).of_word, pairs)) for language in languages}
    of_any = [_mixed(costs) for costs in zip(*by_language.values(), strict=True)]
    return min(
        context[language] + sum(_either(own, other) for own, other in zip(costs, of_any, strict=True))
        for language, costs in by_language.items()
    )


def _mixed(costs: Sequence[float]) -> float:
    """Return the cost of a word that is in any of the languages, all of which are equally likely."""
    least = min(costs)
    return least - math.log(sum(math.exp(least - cost) for cost in costs) / len(costs))


def _either(own: float, other: float) -> float:
    """Return the cost of a word in a file of one language, in which some words are in another one."""
    own, other = own + _OWN_LANGUAGE, other + _OTHER_LANGUAGE
    least = min(own, other)
    return least - math.log(math.exp(least - own) + math.exp(least - other))


def _split(texts: Iterable[str]) -> tuple[list[str], float]:
    """Return the different words of the texts, and the cost of all symbols."""
    words: dict[str, None] = {}
    cost = 0.0
    for text in texts:
        word = ""
        for at, char in enumerate(text):
            if char.isalpha() or (word and char in _THAI_MARKS):
                word += char
                continue
            if not char.isascii():
                cost += _cost_of_symbol(char, before=text[at - 1 : at], after=text[at + 1 : at + 2])
            if word:
                words[word] = None
            word = ""
        if word:
            words[word] = None
    return list(words), cost


def _cost_of_symbol(char: str, *, before: str, after: str) -> float:
    if char == _REPLACED:
        return 0.0
    if char < "\xa0" or _PRIVATE_USE <= char < _PRIVATE_USE_END:
        return _CONTROL
    cost, in_word = _SYMBOLS.get(char, _OTHER_SYMBOL), before.isalpha() and after.isalpha()
    if char == "\u2019":
        return cost + (0 if in_word else _QUOTE_ALONE)
    if in_word and char < "\u3000" and char != "·":
        return cost + _SYMBOL_IN_WORD
    return cost + (_SYMBOL_AT_WORD if char in _NEVER_AT_WORDS and (before.isalpha() or after.isalpha()) else 0)


def _cost_of_form(word: str) -> float:
    """Return the cost of capitals within a word, and of letters of two scripts."""
    inner = sum(a.islower() and b.isupper() for a, b in pairwise(word)) * _INNER_CAPITAL
    if word[:2].isupper() and any(a.isupper() and b.islower() for a, b in pairwise(word[1:])):
        inner += _CAPITALS_THEN_SMALL
    is_mixed = any(map(is_latin, word)) and not all(map(is_latin, word))
    return inner + (_MIXED_SCRIPTS if is_mixed else 0)


def _of_characters(words: Iterable[str], language: str) -> float:
    return sum(_of_characters_of_word(word, language) for word in words)


def _of_characters_of_word(word: str, language: str) -> float:
    known = characters_of(language)
    cost = 0.0
    for is_ascii, run in groupby(word, key=str.isascii):
        text = "".join(run)
        if is_ascii:
            cost += letters_of("en").of_word(pairs_of(folded(text)))
        else:
            cost += sum(known[char] if char in known else _of_character(char, language) for char in text)
            cost += _KATAKANA_IN_WORD * (len(text) < len(word) and text[0] in _HALF_WIDTH)
        cost += _SCRIPT_CHANGE * (len(text) < len(word)) / 2
    return cost if len(word) > 1 else max(cost, INITIAL)


@cache
def _of_character(char: str, language: str) -> float:
    """Return the cost of a character that is not among the frequent ones of its language."""
    for first, last, home, cost in _BLOCKS:
        if first <= char <= last:
            return cost + (0 if language == home else _FOREIGN_BLOCK)
    name, low, high, trail = _COMMON_ROWS[language]
    code = char.encode(name, "replace")
    is_common = len(code) == 2 and low <= code[0] <= high and code[1] >= trail
    return _COMMON_CHARACTER if is_common else _RARE_CHARACTER

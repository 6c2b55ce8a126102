"""How plausible the letters of words are in a language, as costs in nats: -ln(probability).

`letters.json` holds the statistics, which `python -m benchmarks.letters` makes: for each language with an alphabet, the
costs of its pairs of letters; for Chinese, Japanese, and Korean, the most frequent characters, in classes.
"""

import json
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any

COST_STEP = 1 / 6
COST_ZERO = 35
"""A cost is one character of the table: its code is COST_ZERO plus the cost in steps."""

EDGE = " "
"""What stands before and after each word."""

_OTHER_LATIN = 9.0
_OTHER_ASCII = 8.0
_OTHER_SCRIPT = 13.0
_AFTER_FOREIGN = 1.5
INITIAL = 7.0
"""The least cost of a single letter, which may be an initial in any language."""

_PAIRS_OF_A_LETTER = 2
_FOLDED = str.maketrans("șțȘȚ", "şţŞŢ")


def folded(word: str) -> str:
    """Return a word in the form that statistics know: lower case, one character for each."""
    return "".join(low if len(low := char.lower()) == 1 else "i" for char in word.translate(_FOLDED))


class Letters(dict[str, float]):
    """{pair of letters: cost} of one language; pairs that it does not have are added when they are first looked up."""

    def __init__(self, letters: str, costs: str) -> None:
        pairs = (before + after for before in letters for after in letters)
        super().__init__((pair, (ord(cost) - COST_ZERO) * COST_STEP) for pair, cost in zip(pairs, costs, strict=True))
        self._letters = frozenset(letters)
        self._is_latin = "a" in self._letters

    def __missing__(self, pair: str) -> float:
        cost = self._cost_of_other(pair[1])
        self[pair] = cost
        return cost

    def _cost_of_other(self, letter: str) -> float:
        if letter in self._letters:
            return self[EDGE + letter] + _AFTER_FOREIGN
        if letter.isascii():
            return _OTHER_ASCII
        return _OTHER_LATIN if self._is_latin and is_latin(letter) else _OTHER_SCRIPT

    def of_word(self, pairs: list[str]) -> float:
        """Return the cost of a folded word, given as `pairs_of` it."""
        cost = sum(map(self.__getitem__, pairs))
        return cost if len(pairs) > _PAIRS_OF_A_LETTER else max(cost, INITIAL)


def pairs_of(word: str) -> list[str]:
    """Return all pairs of neighbors in a word and its edges."""
    padded = EDGE + word + EDGE
    return [padded[at : at + 2] for at in range(len(padded) - 1)]


@cache
def is_latin(letter: str) -> bool:
    return "LATIN" in unicodedata.name(letter, "")


@cache
def letters_of(language: str) -> Letters:
    """Return the statistics of a language with an alphabet, by its ISO 639 code."""
    found = _statistics()["alphabets"][language]
    return Letters(found["letters"], found["costs"])


@cache
def characters_of(language: str) -> dict[str, float]:
    """Return {character: cost} of the frequent characters of `zh`, `zh_Hant`, `ja`, or `ko`."""
    classes = _statistics()["characters"][language]
    return {char: float(cost) for cost, chars in classes.items() for char in chars}


@cache
def _statistics() -> Any:
    return json.loads(files("sandbox.engine.reading").joinpath("letters.json").read_text(encoding="utf-8"))

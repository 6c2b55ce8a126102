"""Numbers in the cells of a workbook that are too long to be stored as numbers: which columns have them, and where."""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.engine.reading.cell_facts import Fact

LONG_MIN_CHARS = 16
_LONG_FROM = 10**15
_EXACT_MAX = 2**53


class LongNumbers:
    """Whole numbers by column: those beyond 2^53, and shorter ones that end in 0 as spreadsheets round them."""

    def __init__(self) -> None:
        self.beyond: dict[int, Fact] = {}
        self.rounded: dict[int, Fact] = {}

    def see(self, values: Sequence[Any], texts: Sequence[str], at: int) -> None:
        """Look at the values of row `at`, at least one of which has a text of LONG_MIN_CHARS."""
        for column, (value, text) in enumerate(zip(values, texts, strict=False)):
            if type(value) in (float, int) and abs(value) >= _LONG_FROM and value == int(value):
                if abs(value) > _EXACT_MAX:
                    _add(self.beyond, column, at, text)
                elif value % 10 == 0:
                    _add(self.rounded, column, at, text)

    def told(self, column: int) -> Mapping[str, Fact]:
        """Return what is to tell about a column by the code of its warning."""
        found = {"digits_lost": self.beyond.get(column), "digits_rounded": self.rounded.get(column)}
        return {code: fact for code, fact in found.items() if fact is not None}


def _add(facts: dict[int, Fact], column: int, at: int, text: str) -> None:
    facts.setdefault(column, Fact()).add(at, text)

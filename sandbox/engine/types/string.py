"""The type string: the text exactly as it was entered."""

import re
from collections.abc import Sequence
from typing import Any

from sandbox.engine.types import marks
from sandbox.engine.types.kind import CellMemo, Kind, Options

_SCIENTIFIC = re.compile(r"^[^\S\n]*-?\d(?:[.,]\d+)?[eE]\+\d\d[^\S\n]*$", re.MULTILINE)
_FLOAT = re.compile(r"\s*-?\d+\.0\s*")
_FIRST_CELLS = 100


class StringKind(Kind):
    """Any text."""

    empty = ""

    def __init__(self, _options: Options | None) -> None:
        super().__init__()
        self._has_begun = False

    def parse(self, text: str) -> str:
        return text

    def column(self, texts: Sequence[str], memo: CellMemo) -> Sequence[Any]:  # noqa: ARG002 - nothing is parsed
        if not self._has_begun:
            self._has_begun = True
            first = next((text for text in texts[:_FIRST_CELLS] if text and not text.isspace()), "")
            if _FLOAT.fullmatch(first):
                self.noticed.add(marks.FLOAT)
        if self.may_have_plus and marks.SCIENTIFIC not in self.noticed:
            joined = "\n".join(texts)
            if "+" in joined and _SCIENTIFIC.search(joined):
                self.noticed.add(marks.SCIENTIFIC)
        return texts

    def notices(self, text: str) -> set[str]:
        if not text or text.isspace():
            return set()
        found = {marks.FLOAT if _FLOAT.fullmatch(text) else marks.NOT_FLOAT}
        return found | {marks.SCIENTIFIC} if _SCIENTIFIC.fullmatch(text) else found

"""What the cells of a workbook's sheet hold and its reader keeps to itself: errors, formulas, and formats."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.engine.warning import FileWarnings

_FORMULA = re.compile(
    rb'<c r="[A-Z]{1,3}(\d{1,7})"([^<>]*)><f(?:\s[^<>]*)?(?:/>|>([^<]*)</f>)(?:(<v\s*/>|<v(?:\s[^<>]*)?></v>))?</c>'
)
_ERROR = re.compile(
    rb'<c r="[A-Z]{1,3}(\d{1,7})"[^<>]*\st="e"[^<>]*>(?:<f(?:\s[^<>]*)?(?:/>|>[^<]*</f>))?<v>([^<]*)</v>'
)
_NUMBER = re.compile(rb'<c r="[A-Z]{1,3}(\d{1,7})"([^<>]*)><v>(\d{1,15})</v>')
_STYLE = re.compile(rb"""\ss=["'](\d{1,5})["']""")
_OTHER_TYPE = re.compile(rb"""\st=["'](?!n["'])""")
_TEXT_TYPE = b't="str"'
_CELL_END = b"</c>"
_TAIL_MAX_BYTES = 64 << 10


@dataclass
class Fact:
    """How many cells, the row of the first one (from 0), and its text."""

    count: int = 0
    row: int | None = None
    sample: str = ""

    def add(self, row: int, sample: str, *, count: int = 1) -> None:
        self.count += count
        if self.row is None:
            self.row, self.sample = row, sample


class CellFacts:
    """The errors, the formulas without a value, and the numbers shown with leading zeros, of one sheet.

    `padded` has the digits that cells of a style show, as `number_formats.padded_styles` returns them.
    """

    def __init__(self, padded: Mapping[str, int] | None = None) -> None:
        self.errors = Fact()
        self.formulas = Fact()
        self.zeros = Fact()
        self.padded = padded or {}

    def __bool__(self) -> bool:
        return bool(self.errors.count or self.formulas.count or self.zeros.count)

    def add_number(self, row: int, style: str, digits: str) -> None:
        """Note a whole number if its style shows more digits than it has."""
        shown = self.padded.get(style, 0)
        if len(digits) < shown:
            self.zeros.add(row, f"{digits} for {digits.zfill(shown)}")

    def warn(self, warnings: FileWarnings) -> None:
        """Add what was found to the warnings of the file."""
        for code, fact in (
            ("formula_empty", self.formulas),
            ("cell_error", self.errors),
            ("zeros_by_format", self.zeros),
        ):
            if fact.count:
                warnings.add(code, row=fact.row, count=fact.count, sample=fact.sample)


class FactSearch:
    """Searches the bytes of an xlsx's sheet in pieces, for cells as spreadsheet programs write them."""

    def __init__(self, padded: Mapping[str, int] | None = None) -> None:
        self.found = CellFacts(padded)
        self._tail = b""

    def add(self, piece: bytes) -> None:
        """Look at the next bytes; a cell may be in two pieces."""
        text = self._tail + piece
        end = text.rfind(_CELL_END) + len(_CELL_END)
        if end < len(_CELL_END):
            self._tail = text[-_TAIL_MAX_BYTES:]
            return
        self._tail = text[end:][-_TAIL_MAX_BYTES:]
        if b"<f" in text:
            for match in _FORMULA.finditer(text, 0, end):
                if match[4] is None or _TEXT_TYPE not in match[2]:
                    self.found.formulas.add(int(match[1]) - 1, "=" + (match[3] or b"").decode("utf-8", "replace"))
        if self.found.padded:
            for match in _NUMBER.finditer(text, 0, end):
                style = _STYLE.search(match[2])
                if style and not _OTHER_TYPE.search(match[2]):
                    self.found.add_number(int(match[1]) - 1, style[1].decode(), match[3].decode())
        if b't="e"' in text:
            for match in _ERROR.finditer(text, 0, end):
                self.found.errors.add(int(match[1]) - 1, match[2].decode("utf-8", "replace"))


_ERROR_CODES = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}


def error_text(code: bytes) -> str:
    """Return the text of an error in a binary workbook."""
    return _ERROR_CODES.get(int.from_bytes(code, "little"), "")

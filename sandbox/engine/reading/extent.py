"""How far the cells of a sheet's XML reach: the reader allocates every cell in between.

For what spreadsheet programs write, a few searches are enough. A part with tags of another form goes through a parser,
because one overlooked reference can end the process that reads it.
"""

import re
from collections.abc import Mapping
from xml.parsers import expat

from sandbox.engine.errors import UnreadableFileError
from sandbox.engine.reading.cell_facts import CellFacts
from sandbox.engine.warning import SAMPLE_MAX_CHARS

CELLS_MAX_COUNT = 20_000_000
DAMAGED = "The workbook is damaged and cannot be read."
TOO_MANY_CELLS = f"The sheet spans more than {CELLS_MAX_COUNT:,} cells."
_UNUSUAL = re.compile(
    rb'<(?:(?:c|row)(?=[\s>/])(?! r="[A-Z]{0,3}\d{1,7}"(?![^<>]*\sr\s*=))|[\w.-]{1,64}:(?:c|row)(?=[\s>/]))'
)
_FAR_COLUMN = re.compile(rb'<c r="([A-Z]{2,3})\d')
_FAR_ROW = re.compile(rb'<(?:c r="[A-Z]{1,3}|row r=")(\d{5,7})"')
_SHEET = b"sheetData"
_CONTENT = ("v", "is", "f")
_REFERENCE = re.compile(r"\s*([A-Za-z]*)(\d*)\s*")
_NEAR_ROWS, _NEAR_COLUMNS = 9_999, 26
_TAIL_MAX_BYTES = 64 << 10


class QuickLook:
    """Searches the bytes of a part in pieces.

    `needs_parser` is true once it has tags that the searches do not understand, or cells that may span too much.
    """

    def __init__(self) -> None:
        self._rows, self._columns = _NEAR_ROWS, _NEAR_COLUMNS
        self._tail = b""
        self._is_markup: bool | None = None
        self._is_unusual = self._is_sheet = False

    @property
    def needs_parser(self) -> bool:
        """Whether XML needs a parser; other bytes may look like any tag. Raises UnreadableFileError for a bad sheet."""
        if self._is_unusual and not self._is_markup and self._is_sheet:
            raise UnreadableFileError(DAMAGED)
        return self._is_unusual and bool(self._is_markup)

    def add(self, piece: bytes) -> None:
        """Look at the next bytes."""
        if self._is_markup is None and (start := piece.removeprefix(b"\xef\xbb\xbf").lstrip()):
            self._is_markup = start.startswith(b"<")
        text = self._tail + piece
        cut = text.rfind(b"<")
        self._tail = text[cut:] if cut >= 0 else b""
        if len(self._tail) > _TAIL_MAX_BYTES:
            self._is_unusual |= b">" not in self._tail
            self._tail = b""
        self._look(text)

    def _look(self, text: bytes) -> None:
        self._is_sheet = self._is_sheet or _SHEET in text
        whole = text[: len(text) - len(self._tail)]
        self._is_unusual = self._is_unusual or _UNUSUAL.search(whole) is not None
        for letters in set(_FAR_COLUMN.findall(text)):
            self._columns = max(self._columns, _column_number(letters.decode()))
        self._rows = max([self._rows, *map(int, set(_FAR_ROW.findall(text)))])
        self._is_unusual |= self._rows * self._columns > CELLS_MAX_COUNT


class XmlLook:
    """Parses the XML of a part."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()

    def add(self, piece: bytes) -> None:
        self._parse(piece)

    def finish(self) -> None:
        """Parse what the parser postponed: newer versions hold back a long tag until more data comes."""
        self._parse(b"", is_last=True)

    def _parse(self, piece: bytes, *, is_last: bool = False) -> None:
        try:
            self.parser.Parse(piece, is_last)
        except (expat.ExpatError, ValueError) as error:
            raise UnreadableFileError(DAMAGED) from error


class ExactLook(XmlLook):
    """Parses a sheet for the references of cells with content, and for what they hold."""

    def __init__(self, padded: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self._rows = self._columns = self._row = self._column = 0
        self._type = self._style = ""
        self._formula = self._value = ""
        self._has_formula = self._has_value = False
        self._part = ""
        self.facts = CellFacts(padded)
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        kind = name.rpartition(":")[2]
        if kind in ("c", "row"):
            self._place(kind, attributes)
        elif kind in _CONTENT:
            self._part = kind
            self._has_formula |= kind == "f"
            self._has_value |= kind == "v"
            self._rows, self._columns = max(self._rows, self._row), max(self._columns, self._column)
            check_span(self._rows, self._columns)

    def _place(self, kind: str, attributes: Mapping[str, str]) -> None:
        match = _REFERENCE.fullmatch(attributes.get("r", ""))
        if match is None:
            raise UnreadableFileError(DAMAGED)
        letters, digits = match.groups()
        if kind == "row":
            self._row, self._column = int(digits[:9] or self._row + 1), 0
            return
        self._row = int(digits[:9] or self._row)
        self._column = _column_number(letters[:9].upper()) if letters else self._column + 1
        self._type, self._formula, self._value = attributes.get("t", ""), "", ""
        self._style = attributes.get("s", "")
        self._has_formula = self._has_value = False

    def _text(self, text: str) -> None:
        if self._part == "v":
            self._value = (self._value + text)[:SAMPLE_MAX_CHARS]
        elif self._part == "f":
            self._formula = (self._formula + text)[:SAMPLE_MAX_CHARS]

    def _end(self, name: str) -> None:
        kind = name.rpartition(":")[2]
        if kind in _CONTENT:
            self._part = ""
        elif kind == "c" and self._type == "e" and self._value:
            self.facts.errors.add(self._row - 1, self._value)
        elif kind == "c" and self._has_formula and not self._value and not (self._has_value and self._type == "str"):
            self.facts.formulas.add(self._row - 1, f"={self._formula}")
        elif kind == "c" and self._type in ("", "n") and self._value.isdecimal():
            self.facts.add_number(self._row - 1, self._style, self._value)


def check_span(rows: int, columns: int) -> None:
    """Raise UnreadableFileError if a sheet spans too many cells."""
    if rows * columns > CELLS_MAX_COUNT:
        raise UnreadableFileError(TOO_MANY_CELLS)


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number

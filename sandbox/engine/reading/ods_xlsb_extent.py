"""How far the cells of an ods or an xlsb reach, as `extent` says for an xlsx."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from sandbox.engine.reading.cell_facts import CellFacts, error_text
from sandbox.engine.reading.extent import XmlLook, check_span

ODS_PART = "content.xml"
XLSB_SHEET = b"\x81\x01"
_ROW_RECORD = 0
_CELL_RECORDS = range(2, 12)
_ERROR_RECORDS = (3, 11)
_VALUE_AT = 8
_SHEET_RECORD = 156


class OdsLook(XmlLook):
    """Parses an ods, in which a row or cell may repeat; blank ones count only if something follows them."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = self._blank_rows = self._columns = 0
        self._row_repeats = self._cell_repeats = 1
        self._width = self._blank_cells = 0
        self._is_filled = False
        self.facts: defaultdict[str, CellFacts] = defaultdict(CellFacts)
        self.breaks_lines = False
        self._table = ""
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        match name.rpartition(":")[2]:
            case "table":
                self._table = _attribute(attributes, "name") or ""
                self._rows = self._blank_rows = self._columns = 0
            case "table-row":
                self._row_repeats = _repeats(attributes, "number-rows-repeated")
                self._width = self._blank_cells = 0
            case "table-cell" | "covered-table-cell":
                self._cell_repeats = _repeats(attributes, "number-columns-repeated")
                self._is_filled = any("value" in attribute or "formula" in attribute for attribute in attributes)
                if self._is_filled:
                    self._see(attributes)
            case "p":
                self._is_filled = True
            case "line-break":
                self.breaks_lines = True

    def _see(self, attributes: Mapping[str, str]) -> None:
        """Look at a cell with a value or a formula."""
        formula = _attribute(attributes, "formula")
        kinds = {value for name, value in attributes.items() if name.endswith(":value-type")}
        facts = self.facts[self._table] if "error" in kinds or (formula is not None and not kinds) else None
        if facts is not None:
            fact = facts.errors if "error" in kinds else facts.formulas
            row = self._rows + self._blank_rows
            fact.add(row, formula or "", count=self._cell_repeats * self._row_repeats)

    def _end(self, name: str) -> None:
        kind = name.rpartition(":")[2]
        if kind in ("table-cell", "covered-table-cell"):
            self._blank_cells += self._cell_repeats
            if self._is_filled:
                self._width, self._blank_cells = self._width + self._blank_cells, 0
        elif kind == "table-row":
            self._blank_rows += self._row_repeats
            if self._width:
                self._rows, self._blank_rows = self._rows + self._blank_rows, 0
                self._columns = max(self._columns, self._width)
                check_span(self._rows, self._columns)


class XlsbLook:
    """Reads the records of an xlsb's sheet: a number for the kind, one for the length, then that many bytes."""

    def __init__(self) -> None:
        self._rows = self._columns = self._row = 0
        self.facts = CellFacts()
        self._waiting = b""
        self._skip_bytes = 0

    def add(self, piece: bytes) -> None:
        data, at = self._waiting + piece, self._skip_bytes
        while at + _HEAD_BYTES <= len(data):
            kind, at = _number(data, at, most=2)
            length, at = _number(data, at, most=4)
            index = int.from_bytes(data[at : at + 4], "little") + 1
            if kind == _ROW_RECORD:
                self._row = index
            elif kind in _CELL_RECORDS:
                self._rows, self._columns = max(self._rows, self._row), max(self._columns, index)
                check_span(self._rows, self._columns)
            if kind in _ERROR_RECORDS:
                self.facts.errors.add(self._row - 1, error_text(data[at + _VALUE_AT : at + _VALUE_AT + 1]))
            at += length
        self._skip_bytes = max(at - len(data), 0)
        self._waiting = data[at:]

    def finish(self) -> None:
        """Do nothing: what remains is not a whole record."""


_HEAD_BYTES = 2 + 4 + 4


def _number(data: bytes, at: int, *, most: int) -> tuple[int, int]:
    """Return a number stored in seven bits per byte, and the position after it."""
    number = 0
    for place in range(most):
        byte = data[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    return number, at + most


def _attribute(attributes: Mapping[str, str], name: str) -> str | None:
    """Return an attribute by its name without a prefix."""
    return next((text for key, text in attributes.items() if key.rpartition(":")[2] == name), None)


def _repeats(attributes: Mapping[str, str], ending: str) -> int:
    found = next((text for name, text in attributes.items() if name.endswith(ending)), "1")
    return max(int(found[:12]), 1)


def xlsb_sheets(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the name of each sheet in an xlsb's workbook.bin, and the id of the relation to its part."""
    at = 0
    while at + 2 <= len(data):
        kind, at = _number(data, at, most=2)
        length, at = _number(data, at, most=4)
        if kind == _SHEET_RECORD:
            relation, after = _wide_text(data, at + 8)
            name, _ = _wide_text(data, after)
            yield name, relation
        at += length


def _wide_text(data: bytes, at: int) -> tuple[str, int]:
    """Return a text that follows its length, and the position after it."""
    end = at + 4 + int.from_bytes(data[at : at + 4], "little") * 2
    return data[at + 4 : end].decode("utf-16-le", "replace"), end

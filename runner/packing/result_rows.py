"""The rows of a pack's result: the marker of each, and the text that the row has in its own file's result.

Nothing of a row is decoded and written again: only the marker is cut out, and the indexes of unmapped columns count one
less. So a row is, byte for byte, what the import of its file alone would have given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NoReturn

from runner.errors import PackUnaccounted
from runner.packing.marker import MARKER_NAMES, UNMAPPED_KEY, Marker, MarkerColumn
from runner.sinks.result_array import ResultArray

MARKER_INDEX = "0"

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_VALUE = rf'(?:{_STRING}|[^\s"\[\]{{}},]++)'
_UNMAPPED = re.compile(r'(?<=[{,\s])"\$unmapped"\s*:\s*')
_ENTRY = re.compile(rf'"(\d{{1,9}})"(\s*:\s*)({_VALUE})', re.ASCII)
_OBJECT = re.compile(rf"\{{\s*(?:{_STRING}\s*:\s*{_VALUE}\s*(?:,\s*|(?=\}})))*+\}}")
_KEY = re.compile(rf"{_STRING}\s*:")
_COMMA_BEFORE = re.compile(r",\s*\Z")
_COMMA_AFTER = re.compile(r"\s*,\s*")

TakeRow = Callable[[Marker, bytes], None]


class PackRows:
    """Fed with the bytes of a pack's result as they come; gives `take` each row's marker and its own text.

    Without `column`, as for a pack that nothing is known about, the first row tells how its marker comes back.
    `keeps_unmapped` says that the results of single files have `$unmapped`.
    """

    def __init__(self, take: TakeRow, *, column: MarkerColumn | None, keeps_unmapped: bool) -> None:
        self._take = take
        self._column = column
        self._keeps_unmapped = keeps_unmapped
        self._array = ResultArray(self._see)
        self.row_count = 0

    @property
    def column(self) -> MarkerColumn | None:
        """Return how the markers come back; None as long as that is not known."""
        return self._column

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Raises ResultInvalid, and PackUnaccounted for a row without a valid marker."""
        self._array.feed(data)

    def finish(self) -> None:
        """Declare the end of the result. Raises as `feed`, and ResultInvalid if the result is not complete."""
        self._array.finish()

    def _see(self, value: object, text: str) -> None:
        self.row_count += 1
        if not isinstance(value, Mapping):
            self._refuse()
        if self._column is None:
            self._column = column_of(value)
        marker = _marker_in(value, self._column) if self._column is not None else None
        if marker is None or self._column is None:
            self._refuse()
        row = self._own_text(value, text, marker, self._column)
        if row is None:
            self._refuse()
        self._take(marker, row.encode())

    def _own_text(self, value: Mapping[str, object], text: str, marker: Marker, column: MarkerColumn) -> str | None:
        if column.is_field:
            row = _without_field(text, column.key, str(marker))
            return _renumbered(row) if row is not None and UNMAPPED_KEY in value else row
        return _renumbered(text, drops_marker=True) if self._keeps_unmapped else _without_unmapped(text, str(marker))

    def _refuse(self) -> NoReturn:
        raise PackUnaccounted("marker_invalid", f"row {self.row_count} of the pack's result has no valid marker")


def column_of(row: Mapping[str, object]) -> MarkerColumn | None:
    """Return how the marker of a row of a result came back, None if it has none."""
    for column in (MarkerColumn(MARKER_NAMES[0]), *(MarkerColumn(name, is_field=True) for name in MARKER_NAMES)):
        if _marker_in(row, column) is not None:
            return column
    return None


def _marker_in(row: Mapping[str, object], column: MarkerColumn) -> Marker | None:
    if column.is_field:
        return Marker.parse(row.get(column.key))
    unmapped = row.get(UNMAPPED_KEY)
    return Marker.parse(unmapped.get(MARKER_INDEX)) if isinstance(unmapped, Mapping) else None


def _without_field(text: str, key: str, marker: str) -> str | None:
    found = list(re.finditer(rf'(?<=[{{,\s])"{re.escape(key)}"\s*:\s*"{re.escape(marker)}"', text))
    return _without(text, *found[0].span()) if len(found) == 1 else None


def _without_unmapped(text: str, marker: str) -> str | None:
    last = f',"{UNMAPPED_KEY}":{{"{MARKER_INDEX}":"{marker}"}}}}'
    if text.endswith(last):
        return f"{text[: -len(last)]}}}"
    span = _unmapped_span(text)
    return None if span is None else _without(text, *span)


def _unmapped_span(text: str) -> tuple[int, int] | None:
    """Return where `$unmapped` and its object stand in a row; None if it has another form than index and text."""
    found = list(_UNMAPPED.finditer(text))
    inside = _OBJECT.match(text, found[0].end()) if len(found) == 1 else None
    return None if inside is None else (found[0].start(), inside.end())


def _without(text: str, start: int, end: int) -> str:
    """Return a JSON object's text without one of its entries, and without the comma beside it."""
    if before := _COMMA_BEFORE.search(text, 0, start):
        return text[: before.start()] + text[end:]
    after = _COMMA_AFTER.match(text, end)
    return text[:start] + text[after.end() if after else end :]


def _renumbered(text: str, *, drops_marker: bool = False) -> str | None:
    """Return a row whose indexes of unmapped columns count one less; None if they cannot be read."""
    span = _unmapped_span(text)
    if span is None:
        return None
    head, brace, inside = text[slice(*span)].partition("{")
    found = list(_ENTRY.finditer(inside))
    kept = [entry for entry in found if int(entry[1])]
    if len(kept) != len(found) - drops_marker or len(found) != _entry_count(inside):
        return None
    comma = inside[found[0].end() : found[1].start()] if len(found) > 1 else ""
    shifted = comma.join(f'"{int(entry[1]) - 1}"{entry[2]}{entry[3]}' for entry in kept)
    return f"{text[: span[0]]}{head}{brace}{shifted}}}{text[span[1] :]}"


def _entry_count(inside: str) -> int:
    """Return how many entries an object has, of which the text after its brace is given."""
    return len(_KEY.findall(inside))

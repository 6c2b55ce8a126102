"""The data below a header, and which of its columns make which field."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sandbox.engine.batch import Batch, Part
from sandbox.engine.matching import Columns
from sandbox.engine.reading.sheet import Row, Sheet
from sandbox.engine.schema import Field, Settings
from sandbox.engine.types import CellMemo, Kind, make_kind
from sandbox.engine.validators.uniqueness import Uniqueness


class Rows:
    """Some thousand rows, and their columns; short rows are filled up with ""."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self._least = min(map(len, rows))
        self._columns: list[tuple[str, ...]] | None = None

    def turn(self) -> None:
        """Make all columns at once: quicker where most of them are asked for."""
        if self._least == self.width:
            self._columns = list(zip(*self.rows, strict=True))

    @property
    def width(self) -> int:
        return max(map(len, self.rows))

    def column(self, at: int) -> Sequence[str]:
        if self._columns is not None and at < self._least:
            return self._columns[at]
        if at < self._least:
            return list(map(itemgetter(at), self.rows))
        return [row[at] if at < len(row) else "" for row in self.rows]


class FieldColumns:
    """A mapped field's columns in the file, and what reads their cells."""

    def __init__(self, field: Field, ats: Sequence[int]) -> None:
        self.field = field
        self.ats = ats
        self.kind: Kind = make_kind(field.definition)
        message = field.definition.get("invalidValueMessage")
        self._memo = CellMemo(self.kind, message=str(message) if message else None)

    def parts(self, rows: Rows) -> list[Part]:
        made = []
        for at in self.ats:
            texts = rows.column(at)
            self._memo.saw_invalid = False
            values = self.kind.column(texts, self._memo)
            made.append(Part(self.kind, texts, values, has_invalid=self._memo.saw_invalid))
        return made


@dataclass(frozen=True, kw_only=True)
class Table:
    """Data rows of `sheet` from the physical row `start` on, at most `limit`; `header` is [] where there is none."""

    sheet: Sheet
    start: int
    limit: int | None
    header: Row
    columns: Columns
    fields: list[Field]

    def batches(self) -> Iterator[Rows]:
        for rows in self.sheet.batches(start=self.start, limit=self.limit):
            yield Rows(rows)

    def mapped_fields(self) -> list[Field]:
        return [field for field in self.fields if field.key in self.columns]


@dataclass(frozen=True)
class Survey:
    """What a first reading of the data learned: the columns without a name that hold something."""

    filled: frozenset[int]


def survey(
    table: Table, mapped: Sequence[FieldColumns], *, settings: Settings, searches: Sequence[Uniqueness]
) -> Survey:
    """Let date columns see their cells and `searches` their keys, and find the nameless columns to pass through.

    The data are not read without need.
    """
    learners = [each for each in mapped if each.kind.learns]
    taken = {at for ats in table.columns.values() for at in ats}
    named = {at for at, name in enumerate(table.header) if name}
    filled: set[int] = set()
    searched = [each for each in mapped if any(each.field.key in rule.field_keys for rule in searches)]
    if not learners and not searched and not settings.passes_unmapped:
        return Survey(frozenset())
    for rows in table.batches():
        for each in learners:
            for at in each.ats:
                each.kind.prepare(rows.column(at))
        batch = batch_of(searched, rows)
        for rule in searches:
            rule.sift(batch)
        if settings.passes_unmapped:
            open_columns = (at for at in range(rows.width) if at not in taken | named | filled)
            filled.update(at for at in open_columns if any(map(str.strip, rows.column(at))))
    for rule in searches:
        rule.settle()
    return Survey(frozenset(filled))


def batch_of(mapped: Sequence[FieldColumns], rows: Rows) -> Batch:
    parts: Mapping[str, list[Part]] = {each.field.key: each.parts(rows) for each in mapped}
    return Batch(len(rows.rows), parts)


def spare_columns(table: Table, found: Survey) -> list[int]:
    """The columns no field took and that hold something, a name or a cell; by their place in the file."""
    taken = {at for ats in table.columns.values() for at in ats}
    named = {at for at, name in enumerate(table.header) if name}
    return sorted((named | found.filled) - taken)


def unmapped_cells(row: Row, spare: Sequence[int], width: int) -> dict[str, Any]:
    """The cells of the spare columns; beyond the header's `width` only those that the row has."""
    return {str(at): row[at] if at < len(row) else "" for at in spare if at < len(row) or at < width}

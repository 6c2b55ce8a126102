"""The data below a header, and which columns belong to which field."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import orjson

from sandbox.engine.batch import Batch, Part
from sandbox.engine.matching import Columns
from sandbox.engine.reading.sheet import Row, Sheet
from sandbox.engine.row_watch import RowWatch
from sandbox.engine.rows import FileRows, Rows
from sandbox.engine.schema import Field, Settings
from sandbox.engine.types import CellMemo, Invalid, Kind, make_kind
from sandbox.engine.validators.uniqueness import Uniqueness

_CHOICE_TYPES = ("select", "multi-select")


class FieldColumns:
    """A mapped field's columns by their places, and the kind that reads their cells.

    `messages` are the sentences in the settings for broken rules; the field's own sentence wins.
    """

    def __init__(self, field: Field, ats: Sequence[int], *, messages: Mapping[str, str]) -> None:
        self.field = field
        self.ats = ats
        self._messages = messages
        self.kind: Kind = make_kind(field.definition)
        message = field.definition.get("invalidValueMessage")
        self._message = str(message) if message else None
        self._memo = self._memo_of(self.kind)
        self._own_memos: dict[bytes, CellMemo] = {}
        self._typing_kind = make_kind(field.definition) if self.kind.learns else None

    def moved(self, ats: Sequence[int]) -> Self:
        """Return the same field in other places, with everything learned about its cells."""
        moved = copy(self)
        moved.ats = ats
        return moved

    def parts(self, rows: Rows) -> list[Part]:
        return [self._part(rows, at) for at in self.ats]

    def read(self, texts: Sequence[str], options: Mapping[int, Sequence[Any]]) -> Part:
        """Read one column's cells; `options` are those that hooks gave to single cells."""
        self._memo.saw_invalid = False
        values = self.kind.column(texts, self._memo)
        part = Part(self.kind, texts, values, has_invalid=self._memo.saw_invalid)
        if options and self.field.type in _CHOICE_TYPES:
            self._choose(part, options)
        return part

    def typed(self, text: str) -> str:
        """Return the text to store for one that was typed over a displayed text.

        A typed date has the order of day and month of the display; the file's column may have another one, which the
        kind learned.
        """
        if self._typing_kind is None:
            return text
        value = CellMemo(self._typing_kind)[text]
        return text if value is None or isinstance(value, Invalid) else str(value)

    def _part(self, rows: Rows, at: int) -> Part:
        part = self.read(rows.column(at), rows.options(at))
        part.messages = rows.messages(at)
        return part

    def _choose(self, part: Part, options: Mapping[int, Sequence[Any]]) -> None:
        """Read the cells again to which a hook gave options of their own."""
        values = list(part.values)
        for row, choices in options.items():
            memo = self._memo_of_options(choices)
            part.kinds[row] = memo.kind
            values[row] = memo[part.texts[row]]
        part.values = values
        part.has_invalid = any(type(value) is Invalid for value in values)

    def _memo_of_options(self, choices: Sequence[Any]) -> CellMemo:
        """Return one memo for all cells with the same options; entries that are not options are ignored."""
        name = orjson.dumps(list(choices))
        if name not in self._own_memos:
            options = [each for each in choices if isinstance(each, dict)]
            self._own_memos[name] = self._memo_of(make_kind({**self.field.definition, "selectOptions": options}))
        return self._own_memos[name]

    def _memo_of(self, kind: Kind) -> CellMemo:
        return CellMemo(kind, message=self._message, messages=self._messages)


@dataclass(frozen=True, kw_only=True)
class Table:
    """At most `limit` data rows of `sheet` from the physical row `start` on; `header` is [] if there is none.

    `watch` looks at each row for what the file's warnings tell.
    """

    sheet: Sheet
    start: int
    limit: int | None
    header: Row
    columns: Columns
    fields: list[Field]
    watch: RowWatch | None = None

    def batches(self) -> Iterator[FileRows]:
        first = 0
        for rows in self.sheet.batches(start=self.start, limit=self.limit, watch=self.watch):
            yield FileRows(rows, first=first)
            first += len(rows)

    def numbered_rows(self) -> Iterator[tuple[int, Row]]:
        """Yield the rows with their physical numbers."""
        return self.sheet.numbered_rows(start=self.start, limit=self.limit)

    def mapped_fields(self) -> list[Field]:
        return [field for field in self.fields if field.key in self.columns]


@dataclass(frozen=True)
class Survey:
    """What a first pass over the data learned: the nameless columns that are not empty."""

    filled: frozenset[int]


def survey(
    table: Table, mapped: Sequence[FieldColumns], *, settings: Settings, searches: Sequence[Uniqueness]
) -> Survey:
    """Prepare date columns, collect the keys for `searches`, and find the nameless columns to pass through.

    If nothing of that is needed, the data is not read.
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
    return Batch(rows.indexes, parts)


def spare_columns(table: Table, found: Survey) -> list[int]:
    """Return the places of the columns without a field that have a name or a cell."""
    taken = {at for ats in table.columns.values() for at in ats}
    named = {at for at, name in enumerate(table.header) if name}
    return sorted((named | found.filled) - taken)


def unmapped_cells(row: Row, spare: Sequence[int], width: int) -> dict[str, Any]:
    """Return the cells of the spare columns; beyond the header's `width`, only those that the row has."""
    return {str(at): row[at] if at < len(row) else "" for at in spare if at < len(row) or at < width}

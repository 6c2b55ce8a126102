"""The data below a header, and which of its columns make which field."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol

import orjson

from sandbox.engine.batch import Batch, Part
from sandbox.engine.matching import Columns
from sandbox.engine.reading.sheet import Row, Sheet
from sandbox.engine.schema import Field, Settings
from sandbox.engine.types import CellMemo, Invalid, Kind, make_kind
from sandbox.engine.validators.uniqueness import Uniqueness
from sandbox.hooks import Message

_CHOICE_TYPES = ("select", "multi-select")


class FieldColumns:
    """A mapped field's columns in the file, none where only hooks fill it, and what reads their cells."""

    def __init__(self, field: Field, ats: Sequence[int]) -> None:
        self.field = field
        self.ats = ats
        self.kind: Kind = make_kind(field.definition)
        message = field.definition.get("invalidValueMessage")
        self._message = str(message) if message else None
        self._memo = CellMemo(self.kind, message=self._message)
        self._own_memos: dict[bytes, CellMemo] = {}
        self._typing_kind = make_kind(field.definition) if self.kind.learns else None

    def part(
        self,
        texts: Sequence[str],
        *,
        infos: Mapping[int, Sequence[Message]] | None = None,
        options: Mapping[int, Sequence[Any]] | None = None,
    ) -> Part:
        """One column's cells read; `infos` and `options` are messages and select options of single cells, by row."""
        self._memo.saw_invalid = False
        values = self.kind.column(texts, self._memo)
        if options and self.field.type in _CHOICE_TYPES:
            return self._part_of_own_options(texts, list(values), infos or {}, options)
        return Part(self.kind, texts, values, has_invalid=self._memo.saw_invalid, infos=infos or {})

    def typed(self, text: str) -> str:
        """The text to keep of one written in place of a displayed one.

        A date is written as it is displayed, whatever order of day and month the file's column has.
        """
        if self._typing_kind is None or not text.strip():
            return text
        value = CellMemo(self._typing_kind)[text]
        return text if isinstance(value, Invalid) else str(value)

    def _part_of_own_options(
        self,
        texts: Sequence[str],
        values: list[Any],
        infos: Mapping[int, Sequence[Message]],
        options: Mapping[int, Sequence[Any]],
    ) -> Part:
        kinds = {}
        for row, given in options.items():
            memo = self._memo_of(given)
            values[row] = memo[texts[row]]
            kinds[row] = memo.kind
        has_invalid = any(type(value) is Invalid for value in values)
        return Part(self.kind, texts, values, has_invalid=has_invalid, infos=infos, kinds=kinds)

    def _memo_of(self, options: Sequence[Any]) -> CellMemo:
        name = orjson.dumps(list(options))
        if name not in self._own_memos:
            kind = make_kind({**self.field.definition, "selectOptions": [o for o in options if isinstance(o, dict)]})
            self._own_memos[name] = CellMemo(kind, message=self._message)
        return self._own_memos[name]


class RowBatch(Protocol):
    """Some thousand rows as they are now."""

    @property
    def indexes(self) -> Sequence[int] | None:
        """The rows' places in the data; None where they run on from the batch before."""

    @property
    def raws(self) -> Sequence[Row | None]:
        """The file's rows; None for one that a hook added."""

    def turn(self) -> None:
        """Make ready for most of the columns."""

    def parts(self, columns: FieldColumns) -> list[Part]: ...


class RowSource(Protocol):
    """Rows to be read again and again; `is_held` says that they lie in memory."""

    @property
    def is_held(self) -> bool: ...

    def batches(self) -> Iterator[RowBatch]: ...


class Rows:
    """Some thousand rows of the file, and their columns; short rows are filled up with ""."""

    indexes: Sequence[int] | None = None

    def __init__(self, rows: list[Row]) -> None:
        self.raws = rows
        self._least = min(map(len, rows))
        self._columns: list[tuple[str, ...]] | None = None

    def turn(self) -> None:
        """Make all columns at once: quicker where most of them are asked for."""
        if self._least == self.width:
            self._columns = list(zip(*self.raws, strict=True))

    @property
    def width(self) -> int:
        return max(map(len, self.raws))

    def column(self, at: int) -> Sequence[str]:
        if self._columns is not None and at < self._least:
            return self._columns[at]
        if at < self._least:
            return list(map(itemgetter(at), self.raws))
        return [row[at] if at < len(row) else "" for row in self.raws]

    def parts(self, columns: FieldColumns) -> list[Part]:
        return [columns.part(self.column(at)) for at in columns.ats]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Data rows of `sheet` from the physical row `start` on, at most `limit`; `header` is [] where there is none."""

    sheet: Sheet
    start: int
    limit: int | None
    header: Row
    columns: Columns
    fields: list[Field]

    @property
    def is_held(self) -> bool:
        return self.sheet.is_held

    def batches(self) -> Iterator[Rows]:
        for rows in self.sheet.batches(start=self.start, limit=self.limit):
            yield Rows(rows)

    def mapped_fields(self) -> list[Field]:
        return [field for field in self.fields if field.key in self.columns]

    def field_columns(self) -> list[FieldColumns]:
        return [FieldColumns(field, self.columns[field.key]) for field in self.mapped_fields()]


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


def batch_of(mapped: Sequence[FieldColumns], rows: RowBatch) -> Batch:
    return Batch(len(rows.raws), {each.field.key: rows.parts(each) for each in mapped}, rows.indexes)


def spare_columns(table: Table, found: Survey) -> list[int]:
    """The columns no field took and that hold something, a name or a cell; by their place in the file."""
    taken = {at for ats in table.columns.values() for at in ats}
    named = {at for at, name in enumerate(table.header) if name}
    return sorted((named | found.filled) - taken)


def unmapped_cells(row: Row, spare: Sequence[int], width: int) -> dict[str, Any]:
    """The cells of the spare columns; beyond the header's `width` only those that the row has."""
    return {str(at): row[at] if at < len(row) else "" for at in spare if at < len(row) or at < width}

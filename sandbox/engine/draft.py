"""The draft: what a review shows of an import, its layout and every row with its messages."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sandbox.engine.batch import Batch
from sandbox.engine.cell_errors import BatchFindings
from sandbox.engine.matching import suggestions
from sandbox.engine.reading.sheet import Row
from sandbox.engine.schema import Field
from sandbox.engine.table import FieldColumns, Table
from sandbox.engine.table_builder import BuiltTable, preview

SAMPLES_MAX_COUNT = 3
_SAMPLED_ROWS = 100


@dataclass(frozen=True, kw_only=True)
class DraftColumn:
    """A column of the file: its header ("" if it has none), some of its texts, and suggested fields, best first."""

    at: int
    header: str
    samples: Sequence[str]
    suggestions: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the file was understood.

    `preview` are its first physical rows, blank rows included. `header_row` is None if the header was not found, and
    NO_HEADER if a person said that there is none. `columns` maps field keys to the places of their columns. `fields`
    are the definitions in force, including those that hooks added.
    """

    preview: Sequence[Row]
    header_row: int | None
    file_columns: Sequence[DraftColumn]
    columns: Mapping[str, tuple[int, ...]]
    fields: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DraftMessage:
    """A message at a cell; `level` is info, warning, or error."""

    key: str
    part: int
    message: str
    level: str = "error"


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A row as a person edits it: the displayed text of each part by field key, and all messages in order."""

    index: int
    texts: Mapping[str, Sequence[str]]
    messages: Sequence[DraftMessage]


class Draft(Protocol):
    """Receives an import while it runs: the layout, then each row that is not dropped, once and in order."""

    def begin(self, layout: Layout) -> None: ...

    def add(self, rows: Sequence[DraftRow]) -> None: ...


def layout(built: BuiltTable, fields: Sequence[Field], mapped: Sequence[FieldColumns], *, is_json: bool) -> Layout:
    """Return the layout of a table; `fields` include those that hooks added."""
    table = built.table
    return Layout(
        preview=[] if is_json else preview(table.sheet),
        header_row=built.header_row,
        file_columns=[] if is_json else _file_columns(table, fields),
        columns={} if is_json else {each.field.key: tuple(table.columns.get(each.field.key, ())) for each in mapped},
        fields=[field.definition for field in fields],
    )


def draft_rows(batch: Batch, fields: Sequence[Field], found: BatchFindings) -> list[DraftRow]:
    """Return the rows of a batch with the displayed texts of their cells and all findings."""
    messages: defaultdict[int, list[DraftMessage]] = defaultdict(list)
    for each in sorted([*found.errors, *found.remarks]):
        key = fields[each.field_at].key
        messages[each.row].append(DraftMessage(key, each.part_at, each.message, each.level))
    shown = {
        field.key: list(zip(*(part.displayed for part in batch.parts(field.key)), strict=True)) for field in fields
    }
    return [
        DraftRow(index, {key: texts[row] for key, texts in shown.items()}, messages.get(row, ()))
        for row, index in enumerate(batch.indexes)
    ]


def _file_columns(table: Table, fields: Sequence[Field]) -> list[DraftColumn]:
    rows = _first_rows(table)
    width = max([len(table.header), *map(len, rows)])
    columns = [DraftColumn(at=at, header=_at(table.header, at), samples=_samples(rows, at),
                           suggestions=suggestions(_at(table.header, at), fields)) for at in range(width)]  # fmt: skip
    return [column for column in columns if column.header or column.samples]


def _first_rows(table: Table) -> list[Row]:
    for rows in table.batches():
        return list(rows.raw[:_SAMPLED_ROWS])
    return []


def _samples(rows: Sequence[Row], at: int) -> list[str]:
    texts = dict.fromkeys(text for row in rows if (text := _at(row, at)).strip())
    return list(texts)[:SAMPLES_MAX_COUNT]


def _at(row: Row, at: int) -> str:
    return row[at] if at < len(row) else ""

"""What a review shows of an import: its layout, and every row with its messages."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from sandbox.engine.batch import Batch
from sandbox.engine.judging import Finding
from sandbox.engine.matching import ranked_fields
from sandbox.engine.reading.sheet import Row
from sandbox.engine.schema import Field
from sandbox.engine.table import Table

PREVIEW_ROWS = 20
SAMPLES_MAX_COUNT = 3


@dataclass(frozen=True, kw_only=True)
class DraftColumn:
    """A column of the file: its header ("" without one), some of its texts, and fields it may belong to, best first."""

    at: int
    header: str
    samples: Sequence[str]
    suggestions: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the file was understood.

    `preview` are its first physical rows, blank ones among them; `header_row` is None where no row is the header.
    `columns` is field key -> places of its columns; `fields` are the definitions in force, those that hooks added too.
    """

    preview: Sequence[Row]
    header_row: int | None
    file_columns: Sequence[DraftColumn]
    columns: Mapping[str, tuple[int, ...]]
    fields: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DraftMessage:
    """A message at a cell; `level` is info, warning or error."""

    key: str
    part: int
    message: str
    level: str = "error"


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A row as a person edits it: field key -> the text displayed in each of its parts, and all messages in order."""

    index: int
    texts: Mapping[str, Sequence[str]]
    messages: Sequence[DraftMessage]


class Draft(Protocol):
    """Is told of an import while it runs: its layout once, then its rows in order, dropped ones left out.

    Where no row is left to submit the rows may come a second time, after a second `begin`.
    """

    def begin(self, layout: Layout) -> None: ...

    def add(self, rows: Sequence[DraftRow]) -> None: ...


def layout_of(table: Table, *, fuzzy: bool) -> Layout:
    """What a review shows of how a file was understood; without a header the suggestions go by position."""
    preview = [list(row) for row in islice(iter(table.sheet.rows), PREVIEW_ROWS)]
    first = next(table.batches(), None)
    rows = list(first.raws) if first else []
    width = max(map(len, [table.header, *preview, *rows[:PREVIEW_ROWS]]), default=0)
    return Layout(
        preview=preview,
        header_row=table.start - 1 if table.header else None,
        file_columns=[_column(table, at, rows, fuzzy=fuzzy) for at in range(width)],
        columns={key: tuple(ats) for key, ats in table.columns.items()},
        fields=[field.definition for field in table.fields],
    )


def _column(table: Table, at: int, rows: Sequence[Row], *, fuzzy: bool) -> DraftColumn:
    header = table.header[at] if at < len(table.header) else ""
    texts = (row[at] for row in rows if at < len(row) and row[at].strip())
    by_position = [key for key, ats in table.columns.items() if at in ats]
    return DraftColumn(
        at=at,
        header=header,
        samples=list(islice(texts, SAMPLES_MAX_COUNT)),
        suggestions=ranked_fields(header, fields=table.fields, fuzzy=fuzzy) if table.header else by_position,
    )


def draft_rows(
    batch: Batch, fields: Sequence[Field], findings: Sequence[Finding], *, first_index: int
) -> list[DraftRow]:
    """A batch's rows for a review; the rows are counted from `first_index` where they have no index of their own."""
    messages: defaultdict[int, list[DraftMessage]] = defaultdict(list)
    for each in sorted(findings):
        key = fields[each.field_at].key
        messages[each.row].append(DraftMessage(key, each.part_at, each.message, each.level))
    displayed = {field.key: [part.displayed for part in batch.parts(field.key)] for field in fields}
    return [
        DraftRow(
            index=batch.indexes[row] if batch.indexes is not None else first_index + row,
            texts={key: [texts[row] for texts in parts] for key, parts in displayed.items()},
            messages=messages.get(row, []),
        )
        for row in range(batch.size)
    ]

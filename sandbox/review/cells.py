"""The rows of one page as its table shows them: cells with their messages, options, and marks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from sandbox.engine.draft import DraftMessage, DraftRow, Layout
from sandbox.engine.schema import Field, read_fields
from sandbox.engine.types import type_and_options
from sandbox.review.decisions import Unchecked
from sandbox.review.forms import as_sent, cell_name

OPTIONS_IN_CELL_MAX = 40
EDITABLE_MAX_LENGTH = 10_000
TIGHT_MAX = 9
ROOMY_MIN = 17


@dataclass(frozen=True)
class Column:
    """A column of the table: a part of a field, its label, and the options of a select field."""

    field: str
    part: int
    label: str
    options: Sequence[str]
    size: str = ""

    @property
    def has_short_options(self) -> bool:
        return 0 < len(self.options) <= OPTIONS_IN_CELL_MAX


@dataclass(frozen=True)
class Cell:
    column: Column
    id: str
    name: str
    text: str
    messages: Sequence[DraftMessage]
    is_unchecked: bool

    @property
    def is_editable(self) -> bool:
        return len(self.text) <= EDITABLE_MAX_LENGTH

    @property
    def is_invalid(self) -> bool:
        return not self.is_unchecked and any(each.level == "error" for each in self.messages)

    @cached_property
    def is_long(self) -> bool:
        return "\n" in self.text


@dataclass(frozen=True)
class TableRow:
    """A row of the table. `is_dropped` is what was decided since the last check; None if nothing was."""

    index: int
    cells: Sequence[Cell]
    is_dropped: bool | None


@dataclass(frozen=True)
class Fields:
    """A layout's fields by key, with their labels."""

    by_key: Mapping[str, Field]

    @classmethod
    def of(cls, layout: Layout) -> "Fields":
        return cls({field.key: field for field in read_fields({"fields": layout.fields})})

    def label(self, key: str) -> str:
        field = self.by_key.get(key)
        return field.title if field else key

    def options(self, key: str) -> list[str]:
        """Return the labels of a select field's options; none if it also accepts other texts."""
        field = self.by_key.get(key)
        if field is None or field.type != "select":
            return []
        _, given = type_and_options(field.definition)
        options = given if isinstance(given, Mapping) else {}
        if options.get("allowCustom"):
            return []
        choices = field.definition.get("selectOptions") or options.get("selectOptions") or ()
        return [as_sent(_option_label(each)) for each in choices if isinstance(each, Mapping)]

    def columns(self, layout: Layout, rows: Sequence[DraftRow]) -> list[Column]:
        """Return the table's columns in the schema's order."""
        widths = {key: len(ats) for key, ats in layout.columns.items()}
        for row in rows:
            for key, texts in row.texts.items():
                widths[key] = max(len(texts), widths.get(key, 0))
        keys = [key for key in self.by_key if widths.get(key)]
        columns = [column for key in keys for column in self._parts(key, widths[key])]
        return [replace(column, size=_size(column, rows)) for column in columns]

    def _parts(self, key: str, width: int) -> list[Column]:
        label, options = self.label(key), self.options(key)
        labels = [label] if width == 1 else [f"{label} ({part + 1})" for part in range(width)]
        return [Column(key, part, text, options) for part, text in enumerate(labels)]


def table_rows(rows: Sequence[DraftRow], columns: Sequence[Column], unchecked: Unchecked) -> list[TableRow]:
    return [
        TableRow(row.index, [_cell(row, at, each, unchecked) for at, each in enumerate(columns) if _has(row, each)],
                 unchecked.dropped.get(row.index))
        for row in rows
    ]  # fmt: skip


def shown_texts(rows: Sequence[TableRow]) -> str:
    """Return what a form shows as JSON: the texts of each part by row and field."""
    shown: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        of_row = shown.setdefault(str(row.index), {})
        for cell in row.cells:
            of_row.setdefault(cell.column.field, []).append(cell.text if cell.is_editable else "")
    return orjson.dumps(shown).decode()


def _cell(row: DraftRow, at: int, column: Column, unchecked: Unchecked) -> Cell:
    edited = unchecked.texts.get((row.index, column.field, column.part))
    return Cell(
        column=column,
        id=f"c{row.index}-{at}",
        name=cell_name(row.index, column.part, column.field),
        text=as_sent(row.texts[column.field][column.part] if edited is None else edited),
        messages=[each for each in row.messages if (each.key, each.part) == (column.field, column.part)],
        is_unchecked=edited is not None,
    )


def _size(column: Column, rows: Sequence[DraftRow]) -> str:
    """Return the width class of a column, by the longest of its texts and options."""
    texts = [row.texts[column.field][column.part] for row in rows if _has(row, column)]
    longest = max(map(len, [*texts, *column.options]), default=0)
    return "tight" if longest <= TIGHT_MAX else "roomy" if longest > ROOMY_MIN else ""


def _has(row: DraftRow, column: Column) -> bool:
    return column.part < len(row.texts.get(column.field, ()))


def _option_label(option: Mapping[str, Any]) -> str:
    label = option.get("label")
    return str(option.get("value") if label is None else label)

"""Rows that hooks or a person may change: pages, how their cells are read, and the batches that are made of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sandbox.engine.batch import Part
from sandbox.engine.reading.sheet import Row
from sandbox.engine.schema import Field
from sandbox.engine.table import FieldColumns, Rows, Table
from sandbox.hooks import Page, PageColumn, Pages, row_id


class PageRows:
    """One page as a batch of rows."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.raws: Sequence[Row | None] = page.tails
        given = page.indexes
        self.indexes = None if given is None else [index for index in given if index is not None]

    def turn(self) -> None:
        """A page is made of columns already."""

    def parts(self, columns: FieldColumns) -> list[Part]:
        own = [(name[1] or 0, column) for name, column in self._page.columns.items() if name[0] == columns.field.key]
        own.sort(key=lambda each: each[0])
        return [columns.part(column.texts, infos=column.infos, options=column.options) for _, column in own]


class PageSource:
    """The pages of a stage as they are now."""

    is_held = False

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def batches(self) -> Iterator[PageRows]:
        return (PageRows(page) for page in self._pages if page.ids)


class CellReader:
    """Reads cells for hooks, as fields that are known by now; implements Reader."""

    def __init__(self, columns: Iterable[FieldColumns]) -> None:
        self._columns = {each.field.key: each for each in columns}

    def know(self, fields: Iterable[Field]) -> None:
        """Fields without a column, which hooks may fill."""
        for field in fields:
            known = self._columns.get(field.key)
            if known is None or known.field != field:
                self._columns[field.key] = FieldColumns(field, known.ats if known else ())

    def columns(self, field: Field) -> FieldColumns:
        return self._columns[field.key]

    def read(self, key: str, column: PageColumn) -> tuple[Sequence[str], Sequence[Any]]:
        if key not in self._columns:
            return column.texts, column.texts
        part = self._columns[key].part(column.texts, options=column.options)
        if part.values is part.texts:
            return part.texts, part.texts
        return part.displayed, [part.output(row) for row in range(len(part.texts))]

    def typed(self, key: str, text: str) -> str:
        return self._columns[key].typed(text) if key in self._columns else text


def pages_of(table: Table, mapped: Sequence[FieldColumns], *, keeps_rows: bool) -> Pages:
    """The table's mapped columns as pages, with `keeps_rows` beside the file's own rows."""
    pages = Pages()
    start = 0
    try:
        for rows in table.batches():
            rows.turn()
            count = len(rows.raws)
            tails = list(rows.raws) if keeps_rows else [None] * count
            ids = [row_id(index) for index in range(start, start + count)]
            pages.append(Page(ids=ids, tails=tails, columns=_page_columns(rows, mapped)))
            start += count
    except BaseException:
        pages.close()
        raise
    return pages


def _page_columns(rows: Rows, mapped: Sequence[FieldColumns]) -> dict[tuple[str, int | None], PageColumn]:
    columns: Mapping[tuple[str, int | None], PageColumn] = {
        (each.field.key, place if each.field.many_to_one else None): PageColumn(list(rows.column(at)))
        for each in mapped
        for place, at in enumerate(each.ats)
    }
    return dict(columns)

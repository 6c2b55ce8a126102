"""The rows of an import while hooks and a person's corrections edit them, as pages that may be on disk."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sandbox.engine.corrections import CellName, Corrections
from sandbox.engine.hooks import fields_after
from sandbox.engine.rows import PageRows
from sandbox.engine.schema import Field
from sandbox.engine.table import FieldColumns, Table
from sandbox.engine.types import Invalid
from sandbox.hooks import CellColumn, HookRunner, HookStage, Orders, Page, PageColumn, Pages, row_id

StepData = Callable[[], dict[str, Any]]


class PageTable:
    """The rows of pages without the dropped ones; a column's place is its index among all columns."""

    def __init__(self, pages: Pages, *, dropped: frozenset[int]) -> None:
        self._pages = pages
        self._dropped = dropped
        self._names = list(pages.names)

    def batches(self) -> Iterator[PageRows]:
        start = 0
        for page in self._pages:
            numbers: Sequence[int] = page.indexes or range(start, start + len(page.ids))
            kept = [at for at, index in enumerate(numbers) if index not in self._dropped]
            whole = len(kept) == len(page.ids)
            indexes = numbers if whole else [numbers[at] for at in kept]
            start += len(page.ids)
            if kept:
                yield PageRows(page if whole else page.arranged(kept), self._names, indexes=indexes)

    def places(self, key: str) -> list[int]:
        return sorted(
            (at for at, (of, _) in enumerate(self._names) if of == key), key=lambda at: self._names[at][1] or 0
        )


class EditedRows:
    """Takes the rows of a table through the hooks of `runner` and through `corrections`; close() it.

    `fields` are the fields in force, and `orders` is everything that hooks asked for so far. `messages` are sentences
    from the settings; `keeps_raw` keeps the file's cells.
    """

    def __init__(
        self,
        table: Table,
        mapped: Sequence[FieldColumns],
        *,
        runner: HookRunner | None,
        corrections: Corrections,
        messages: Mapping[str, str],
        keeps_raw: bool,
    ) -> None:
        self.fields = list(table.fields)
        self._by_key = {field.key: field for field in self.fields}
        self.orders = Orders()
        self._runner = runner
        self._corrections = corrections
        self._messages = messages
        self._mapped = list(mapped)
        self._readers = {each.field.key: each for each in mapped}
        self._stage = HookStage(
            runner, _written(table, mapped, keeps_raw=keeps_raw), read=self._read, typed=self._typed
        )

    def close(self) -> None:
        self._stage.close()

    def run(self, asked: Orders, *, step_data: StepData) -> PageTable:
        """Run the data hooks and the later steps, and apply the corrections. Raises HookFailed.

        `asked` is what earlier step hooks asked for; the table has their fields already.
        """
        self._stage.apply_orders(asked)
        if self._runner is not None:
            self._stage.run()
            self._apply_orders(self._runner.review_step_post_hooks(**step_data()))
        self._correct()
        if self._runner is not None:
            self._submit_step(self._runner.review_step_pre_submit(**step_data()))
        self.orders = self._stage.orders
        self.fields = fields_after(self.fields, Orders(removed_fields=self.orders.removed_fields))
        return PageTable(self._stage.pages, dropped=self._corrections.dropped)

    def columns(self, table: PageTable) -> list[FieldColumns]:
        """Return the fields that have cells: the file's in the schema's order, then those that only hooks set."""
        filled = [(field, table.places(field.key)) for field in self.fields]
        placed = {field.key: self._reader(field).moved(ats) for field, ats in filled if ats}
        of_file = [each.field.key for each in self._mapped if each.field.key in placed]
        return [placed[key] for key in dict.fromkeys([*of_file, *placed])]

    def _apply_orders(self, orders: Orders) -> None:
        self.fields = fields_after(self.fields, orders)
        self._by_key = {field.key: field for field in self.fields}
        self._stage.apply_orders(orders)

    def _correct(self) -> None:
        self._stage.edit(self._cells())
        self._stage.delete(self._corrections.dropped)

    def _submit_step(self, asked: Orders) -> None:
        """Run what the step asked for. Rows keep their indexes; corrections of rows that it adds apply afterwards."""
        if not asked.added_rows and not asked.removed_rows:
            self._apply_orders(asked)
            return
        count = self._stage.pages.row_count
        self._stage.number()
        self._apply_orders(asked)
        self._stage.number(first=count)
        places = self._stage.positions(first=count)
        self._stage.edit({places[row]: texts for row, texts in self._cells().items() if row in places})
        self._stage.delete([places[row] for row in self._corrections.dropped if row in places])

    def _cells(self) -> dict[int, dict[CellColumn, str]]:
        """Return the corrected cells of the remaining rows."""
        dropped = self._corrections.dropped
        cells = {row: self._known(texts) for row, texts in self._corrections.cells.items() if row not in dropped}
        return {row: texts for row, texts in cells.items() if texts}

    def _known(self, texts: Mapping[CellName, str]) -> dict[CellColumn, str]:
        many = {field.key: field.many_to_one for field in self.fields}
        return {(key, part if many[key] else None): text for (key, part), text in texts.items() if key in many}

    def _typed(self, key: str, text: str) -> str:
        field = self._by_key.get(key)
        return text if field is None else self._reader(field).typed(text)

    def _read(
        self, key: str, texts: Sequence[str], options: Mapping[int, Sequence[Any]]
    ) -> tuple[Sequence[str], Sequence[Any]]:
        field = self._by_key.get(key)
        if field is None:
            return texts, texts
        part = self._reader(field).read(texts, options)
        displayed = part.displayed
        if part.values is part.texts and part.kind.to_output is None:
            return displayed, displayed
        if part.kind.to_output is None:
            return displayed, [None if type(value) is Invalid else value for value in part.values]
        return displayed, [part.output(row) for row in range(len(texts))]

    def _reader(self, field: Field) -> FieldColumns:
        if field.key not in self._readers or self._readers[field.key].field is not field:
            self._readers[field.key] = FieldColumns(field, [], messages=self._messages)
        return self._readers[field.key]


def _written(table: Table, mapped: Sequence[FieldColumns], *, keeps_raw: bool) -> Pages:
    """Write the file's rows to pages: the columns of the mapped fields and, with `keeps_raw`, all cells."""
    pages = Pages()
    names = [((each.field.key, part if each.field.many_to_one else None), at)
             for each in mapped for part, at in enumerate(each.ats)]  # fmt: skip
    pages.names |= dict.fromkeys(name for name, _ in names)
    for rows in table.batches():
        rows.turn()
        columns = {name: PageColumn(list(rows.column(at))) for name, at in names}
        tails = list(rows.raw) if keeps_raw else [None] * len(rows.indexes)
        pages.append(Page([row_id(index) for index in rows.indexes], tails, columns))
    return pages

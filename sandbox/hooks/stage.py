"""Runs the data hooks of an import in order: column, bulk, and row hooks, each with the result of the previous ones."""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from sandbox.hooks.cells import Batch, Changes, ColumnChange, HookColumn, Message
from sandbox.hooks.hook_runner import HookRunner
from sandbox.hooks.orders import AddedCell, AddedRow, Orders
from sandbox.hooks.pages import UNNUMBERED, CellColumn, Page, Pages
from sandbox.hooks.sources import Hook, Hooks


class ReadCells(Protocol):
    """How the engine reads a column: returns (displayed texts, result values) for a field's texts, in order.

    `options` are select options of single cells, by position. If values equal their texts, it returns the same list
    twice, which is then sent only once.
    """

    def __call__(
        self, key: str, texts: Sequence[str], options: Mapping[int, Sequence[Any]]
    ) -> tuple[Sequence[str], Sequence[Any]]: ...


TypedText = Callable[[str, str], str]


class HookStage:
    """Takes rows through the hooks. `pages` are the current rows; `orders` is everything that hooks asked for.

    Rows and messages of `orders` are applied here; the engine applies fields, user, header row, and development mode.
    Methods raise HookFailed. Call close() at the end, which closes the pages.
    """

    def __init__(
        self, runner: HookRunner | None, pages: Pages, *, read: ReadCells, typed: TypedText = lambda _, text: text
    ) -> None:
        """Without a `runner`, no hook runs: only what a person or a step asks for is applied.

        `typed` takes a field's key and a text that was typed over a displayed one, and returns the text to store.
        """
        self._runner = runner
        self._hooks = Hooks() if runner is None else runner.hooks
        self._read = read
        self._typed = typed
        self._first_messages: dict[tuple[str, CellColumn], list[Message]] = {}
        self.pages = pages
        self.orders = Orders()

    def close(self) -> None:
        self.pages.close()

    def apply_orders(self, orders: Orders) -> None:
        """Add and remove rows, and add messages, as a step hook asked."""
        orders = replace(orders, added_rows=tuple(map(self._typed_row, orders.added_rows)))
        self.orders += orders
        if orders.added_rows or orders.removed_rows or orders.messages:
            with self._rewriting() as made:
                self.pages.write_changed(orders, into=made)

    def run(self) -> None:
        """Run all data hooks. A column hook for a field without columns does not run."""
        for hook in self._hooks.column:
            for name in [name for name in self.pages.names if name[0] == hook.target]:
                self._run_column(hook, name)
        if self._hooks.bulk or self._hooks.row:
            self._first_messages = {each: list(infos) for each, infos in self._messages()}
        for hook in self._hooks.bulk:
            self._run_bulk(hook)
        if self._hooks.row:
            self._run_rows()

    def edit(self, cells: Mapping[int, Mapping[CellColumn, str]]) -> None:
        """Write a person's texts into cells, by row, and run bulk and row hooks on these rows in mode `update`.

        This removes the messages at an edited cell, and those that these hooks added in its row.
        """
        rows = self._present(cells)
        if not rows:
            return
        page = self._taken(rows)
        for at, row in enumerate(rows):
            for (key, part), text in cells[row].items():
                page.column(key, part).texts[at] = self._typed(key, text)
            self._clear(page, at, edited=cells[row])
        asked = self._update(page, rows)
        with self._rewriting() as made:
            for start, old in self._numbered():
                _put_back(page, rows, into=old, start=start)
                made.append(old)
        self.apply_orders(asked)

    def delete(self, rows: Collection[int]) -> None:
        """Call the row delete hooks for the rows that a person deletes; the rows stay in the pages."""
        order = self._present(rows)
        if not order or not self._hooks.row_delete:
            return
        batch = self._batch_of(self._taken(order), order)
        asked = [self._running.deleted(hook, batch) for hook in self._hooks.row_delete]
        self.apply_orders(_in_place(sum(asked, Orders())))

    def number(self, *, first: int = 0) -> None:
        """Fix each row's index from now on, whatever is added or removed; new rows count from `first`."""
        with self._rewriting() as made:
            for page in self.pages:
                page.indexes = page.indexes or [UNNUMBERED] * len(page.ids)
                for at, index in enumerate(page.indexes):
                    if index == UNNUMBERED:
                        page.indexes[at] = first
                        first += 1
                made.append(page)

    def positions(self, *, first: int) -> dict[int, int]:
        """Return the current positions of the numbered rows from the index `first` on."""
        return {
            index: start + at
            for start, page in self._numbered()
            for at, index in enumerate(page.indexes or ())
            if index >= first
        }

    @property
    def _running(self) -> HookRunner:
        assert self._runner is not None, "hooks need a runner"
        return self._runner

    def _typed_row(self, row: AddedRow) -> AddedRow:
        return replace(row, cells={key: self._typed_cell(key, cell) for key, cell in row.cells.items()})

    def _typed_cell(self, key: str, cell: AddedCell) -> AddedCell:
        parts = cell.parts and tuple(self._typed_cell(key, part) for part in cell.parts)
        return replace(cell, text=self._typed(key, cell.text), parts=parts)

    def _present(self, rows: Iterable[int]) -> list[int]:
        return sorted(row for row in rows if 0 <= row < self.pages.row_count)

    def _messages(self) -> Iterator[tuple[tuple[str, CellColumn], Sequence[Message]]]:
        for page in self.pages:
            for name, column in page.columns.items():
                for at, infos in column.infos.items():
                    yield (page.ids[at], name), infos

    def _taken(self, rows: Sequence[int]) -> Page:
        """Return copies of rows by their positions, in ascending order."""
        wanted = set(rows)
        taken = [
            page.arranged([at for at in range(len(page.ids)) if start + at in wanted])
            for start, page in self._numbered()
        ]
        return Page.joined(taken)

    def _clear(self, page: Page, at: int, *, edited: Container[CellColumn]) -> None:
        reruns = bool(self._hooks.bulk or self._hooks.row)
        for name, column in page.columns.items():
            if name in edited or reruns:
                column.infos.pop(at, None)
            first = self._first_messages.get((page.ids[at], name))
            if first and name not in edited:
                column.infos[at] = first

    def _update(self, page: Page, rows: Sequence[int]) -> Orders:
        asked = Orders()
        for hook in self._hooks.bulk:
            for changes in self._running.bulk(hook, [self._batch_of(page, rows)], mode="update"):
                self._apply(page, changes, 0)
                asked += changes.orders
        for hook in self._hooks.row:
            for at, changes in self._running.rows(hook, self._batch_of(page, rows), mode="update"):
                self._apply(page, changes, at)
                asked += changes.orders
        return _in_place(asked)

    def _run_column(self, hook: Hook, name: CellColumn) -> None:
        texts: list[str] = []
        ids: list[str] = []
        for page in self.pages:
            column = page.columns[name]
            texts += column.texts
            ids += page.ids
        changes = self._running.column(hook, HookColumn(key=name[0], texts=texts, part=name[1]), ids=ids)
        del texts, ids
        with self._rewriting() as made:
            for start, page in self._numbered():
                for change in changes.columns:
                    self._apply_addition(page, change, start)
                made.append(page)
        self.apply_orders(changes.orders)

    def _run_bulk(self, hook: Hook) -> None:
        asked = Orders()
        results = self._running.bulk(hook, (self._batch(page, start) for start, page in self._numbered()))
        with self._rewriting() as made:
            for page, changes in zip(self.pages, results, strict=True):
                self._apply(page, changes, 0)
                asked += changes.orders
                made.append(page)
        self.apply_orders(asked)

    def _run_rows(self) -> None:
        asked = Orders()
        with self._rewriting() as made:
            for start, page in self._numbered():
                for hook in self._hooks.row:
                    for at, changes in self._running.rows(hook, self._batch(page, start)):
                        self._apply(page, changes, at)
                        asked += changes.orders
                made.append(page)
        self.apply_orders(asked)

    @contextmanager
    def _rewriting(self) -> Iterator[Pages]:
        """Yield new pages to write while the old ones are read; they replace the old ones unless a hook fails."""
        made = Pages()
        try:
            yield made
        except BaseException:
            made.close()
            raise
        self.pages.close()
        self.pages = made

    def _numbered(self) -> Iterator[tuple[int, Page]]:
        start = 0
        for page in self.pages:
            yield start, page
            start += len(page.ids)

    def _batch(self, page: Page, start: int) -> Batch:
        return self._batch_of(page, range(start, start + len(page.ids)))

    def _batch_of(self, page: Page, indexes: Sequence[int]) -> Batch:
        columns = []
        for (key, part), column in page.columns.items():
            displayed, results = self._read(key, column.texts, column.options)
            columns.append(
                HookColumn(
                    key=key,
                    part=part,
                    texts=displayed,
                    results=None if results is displayed else results,
                    infos=column.infos,
                    options=column.options,
                )
            )
        return Batch(columns=columns, indexes=indexes, ids=page.ids)

    def _apply(self, page: Page, changes: Changes, start: int) -> None:
        """Apply a row hook's changes: messages and options replace those of the cell."""
        for change in changes.columns:
            column = page.column(change.key, change.part)
            for at, text in change.texts.items():
                column.texts[start + at] = self._typed(change.key, text)
            column.infos |= {start + at: list(infos) for at, infos in change.infos.items()}
            column.options |= {start + at: list(options) for at, options in change.options.items()}

    def _apply_addition(self, page: Page, change: ColumnChange, start: int) -> None:
        """Apply a column hook's changes to this page, whose first row has the position `start`.

        The hook got the texts of the file, so its texts are read like those of the file.
        """
        column = page.column(change.key, change.part)
        for at in range(len(page.ids)):
            if start + at in change.texts:
                column.texts[at] = change.texts[start + at]
            if start + at in change.infos:
                column.infos[at] = [*column.infos.get(at, ()), *change.infos[start + at]]


def _in_place(orders: Orders) -> Orders:
    """Drop the orders that add or remove rows: a person's corrections rely on the rows' positions."""
    return replace(orders, added_rows=(), removed_rows=())


def _put_back(page: Page, rows: Sequence[int], *, into: Page, start: int) -> None:
    """Write the rows of `page` back to their positions, `rows`."""
    for at, row in enumerate(rows):
        place = row - start
        if 0 <= place < len(into.ids):
            for (key, part), column in page.columns.items():
                column.copy_cell(at, to=into.column(key, part), at=place)

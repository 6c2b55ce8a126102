"""The data hooks of an import in order, column, bulk, row, each seeing what the former left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sandbox.hooks.cells import Batch, Changes, ColumnChange, HookColumn
from sandbox.hooks.hook_runner import HookRunner
from sandbox.hooks.orders import Orders
from sandbox.hooks.pages import CellColumn, Page, Pages
from sandbox.hooks.sources import Hook


class ReadCells(Protocol):
    """How the engine reads a column: (texts as displayed, result values) of a field's texts, in their order.

    The same list twice where a result value is its text saves sending it twice.
    """

    def __call__(self, key: str, texts: Sequence[str]) -> tuple[Sequence[str], Sequence[Any]]: ...


class HookStage:
    """Takes rows through the hooks. `pages` is always the rows as they are now; `orders` all that was asked for.

    Of `orders` the rows and messages are done here; fields, user, header row and development mode are the engine's.
    Raises HookFailed. close() the pages at the end, through close().
    """

    def __init__(self, runner: HookRunner, pages: Pages, *, read: ReadCells) -> None:
        self._runner = runner
        self._read = read
        self.pages = pages
        self.orders = Orders()

    def close(self) -> None:
        self.pages.close()

    def obey(self, orders: Orders) -> None:
        """Add and remove rows and add messages as a step hook has asked."""
        self.orders += orders
        if orders.added_rows or orders.removed_rows or orders.messages:
            with self._rewriting() as made:
                self.pages.write_changed(orders, into=made)

    def run(self) -> None:
        """Run all data hooks. A column hook for a field without a column does not run."""
        for hook in self._runner.hooks.column:
            for name in [name for name in self.pages.names if name[0] == hook.target]:
                self._run_column(hook, name)
        for hook in self._runner.hooks.bulk:
            self._run_bulk(hook)
        if self._runner.hooks.row:
            self._run_rows()

    def _run_column(self, hook: Hook, name: CellColumn) -> None:
        texts: list[str] = []
        ids: list[str] = []
        for page in self.pages:
            texts += self._read(name[0], page.columns[name].texts)[0]
            ids += page.ids
        changes = self._runner.column(hook, HookColumn(key=name[0], texts=texts, part=name[1]), ids=ids)
        del texts, ids
        with self._rewriting() as made:
            for start, page in self._numbered():
                for change in changes.columns:
                    _apply_addition(page, change, start)
                made.append(page)
        self.obey(changes.orders)

    def _run_bulk(self, hook: Hook) -> None:
        asked = Orders()
        results = self._runner.bulk(hook, (self._batch(page, start) for start, page in self._numbered()))
        with self._rewriting() as made:
            for page, changes in zip(self.pages, results, strict=True):
                _apply(page, changes, 0)
                asked += changes.orders
                made.append(page)
        self.obey(asked)

    def _run_rows(self) -> None:
        asked = Orders()
        with self._rewriting() as made:
            for start, page in self._numbered():
                for hook in self._runner.hooks.row:
                    for at, changes in self._runner.rows(hook, self._batch(page, start)):
                        _apply(page, changes, at)
                        asked += changes.orders
                made.append(page)
        self.obey(asked)

    @contextmanager
    def _rewriting(self) -> Iterator[Pages]:
        """New pages to write while the old ones are read, and to go on with unless a hook fails."""
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
        columns = []
        for (key, part), column in page.columns.items():
            displayed, results = self._read(key, column.texts)
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
        return Batch(columns=columns, indexes=range(start, start + len(page.ids)), ids=page.ids)


def _apply(page: Page, changes: Changes, start: int) -> None:
    """A row hook's changes: messages and options replace what the cell had."""
    for change in changes.columns:
        column = page.column(change.key, change.part)
        for at, text in change.texts.items():
            column.texts[start + at] = text
        column.infos |= {start + at: list(infos) for at, infos in change.infos.items()}
        column.options |= {start + at: list(options) for at, options in change.options.items()}


def _apply_addition(page: Page, change: ColumnChange, start: int) -> None:
    """The part of a column hook's changes that is for this page, whose first row has the position `start`."""
    column = page.column(change.key, change.part)
    for at in range(len(page.ids)):
        if start + at in change.texts:
            column.texts[at] = change.texts[start + at]
        if start + at in change.infos:
            column.infos[at] = [*column.infos.get(at, ()), *change.infos[start + at]]

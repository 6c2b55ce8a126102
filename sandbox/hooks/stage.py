"""The data hooks of an import, column, bulk, row, each seeing what the former left; then a person's changes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sandbox.hooks.cells import Batch, Changes, ColumnChange, HookColumn
from sandbox.hooks.hook_runner import HookRunner
from sandbox.hooks.orders import Orders
from sandbox.hooks.pages import CellColumn, Page, PageColumn, Pages
from sandbox.hooks.sources import Hook


class Reader(Protocol):
    """How the engine reads and writes a field's texts."""

    def read(self, key: str, column: PageColumn) -> tuple[Sequence[str], Sequence[Any]]:
        """(texts as displayed, result values); the same list twice where a result value is its text."""

    def typed(self, key: str, text: str) -> str:
        """The text to keep of one that was written in place of a displayed one."""


class HookStage:
    """Takes rows through the hooks, or, without a runner, through a person's changes alone.

    `pages` is always the rows as they are now; `orders` all that was asked for, of which the rows and messages are
    done here; fields, user, header row and development mode are the engine's. `numbered_count` is the index that the
    next row to be numbered gets. Raises HookFailed. close() the pages at the end, through close().
    """

    def __init__(self, runner: HookRunner | None, pages: Pages, *, reader: Reader) -> None:
        self._runner = runner
        self._reader = reader
        self.numbered_count = 0
        self._is_numbered = False
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
            if self._is_numbered:
                self.number()

    def run(self) -> None:
        """Run all data hooks. A column hook for a field without a column does not run."""
        if self._runner is None:
            return
        for hook in self._runner.hooks.column:
            for name in [name for name in self.pages.names if name[0] == hook.target]:
                self._run_column(self._runner, hook, name)
        for hook in self._runner.hooks.bulk:
            self._run_bulk(self._runner, hook)
        if self._runner.hooks.row:
            self._run_rows(self._runner)

    def number(self) -> None:
        """Give each row that has none its index, which it keeps whatever is added or removed from now on."""
        self._is_numbered = True
        with self._rewriting() as made:
            for page in self.pages:
                page.indexes = [self._numbered(at) for at in page.indexes or [None] * len(page.ids)]
                made.append(page)

    def correct(self, cells: Mapping[int, Mapping[tuple[str, int], str]]) -> None:
        """Put a person's texts into numbered rows, and run the bulk and row hooks again on these rows alone.

        The messages of a corrected cell are gone with its old text; those of the other cells stay, unless a hook
        gives others.
        """
        picked = [page.arranged(places) for page in self.pages if (places := _places(page, cells))]
        for page in picked:
            for at, index in enumerate(page.indexes or ()):
                self._retype(page, at, cells[index or 0])
        asked = self._update(picked) if picked and self._runner else Orders()
        rest = iter(picked)
        with self._rewriting() as made:
            for page in self.pages:
                if places := _places(page, cells):
                    page.put(places, next(rest))
                made.append(page)
        self.obey(asked)

    def drop(self, indexes: Collection[int]) -> None:
        """Leave numbered rows out, and tell the row delete hooks."""
        asked = Orders()
        with self._rewriting() as made:
            for page in self.pages:
                gone = _places(page, indexes)
                if gone and self._runner:
                    rows = self._batch(page.arranged(gone), 0)
                    for hook in self._runner.hooks.row_delete:
                        asked += self._runner.deleted(hook, rows)
                made.append(page.arranged(_other_places(page, gone)) if gone else page)
        self.obey(asked)

    def _numbered(self, index: int | None) -> int:
        if index is None:
            index = self.numbered_count
            self.numbered_count += 1
        return index

    def _retype(self, page: Page, at: int, texts: Mapping[tuple[str, int], str]) -> None:
        for (key, part), text in texts.items():
            column = page.column(key, part if (key, part) in page.columns else None)
            column.texts[at] = self._reader.typed(key, text)
            column.infos.pop(at, None)

    def _update(self, picked: Sequence[Page]) -> Orders:
        assert self._runner is not None
        asked = Orders()
        for hook in self._runner.hooks.bulk:
            results = self._runner.bulk(hook, (self._batch(page, 0) for page in picked), mode="update")
            for page, changes in zip(picked, results, strict=True):
                asked += self._apply(page, changes, 0)
        for page in picked:
            for hook in self._runner.hooks.row:
                for at, changes in self._runner.rows(hook, self._batch(page, 0), mode="update"):
                    asked += self._apply(page, changes, at)
        return asked

    def _run_column(self, runner: HookRunner, hook: Hook, name: CellColumn) -> None:
        texts: list[str] = []
        ids: list[str] = []
        for page in self.pages:
            texts += self._reader.read(name[0], page.columns[name])[0]
            ids += page.ids
        changes = runner.column(hook, HookColumn(key=name[0], texts=texts, part=name[1]), ids=ids)
        del texts, ids
        with self._rewriting() as made:
            for start, page in self._placed():
                for change in changes.columns:
                    self._apply_addition(page, change, start)
                made.append(page)
        self.obey(changes.orders)

    def _run_bulk(self, runner: HookRunner, hook: Hook) -> None:
        asked = Orders()
        results = runner.bulk(hook, (self._batch(page, start) for start, page in self._placed()))
        with self._rewriting() as made:
            for page, changes in zip(self.pages, results, strict=True):
                asked += self._apply(page, changes, 0)
                made.append(page)
        self.obey(asked)

    def _run_rows(self, runner: HookRunner) -> None:
        asked = Orders()
        with self._rewriting() as made:
            for start, page in self._placed():
                for hook in runner.hooks.row:
                    for at, changes in runner.rows(hook, self._batch(page, start)):
                        asked += self._apply(page, changes, at)
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

    def _placed(self) -> Iterator[tuple[int, Page]]:
        start = 0
        for page in self.pages:
            yield start, page
            start += len(page.ids)

    def _batch(self, page: Page, start: int) -> Batch:
        columns = []
        for (key, part), column in page.columns.items():
            displayed, results = self._reader.read(key, column)
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
        numbers = [index for index in page.indexes or () if index is not None]
        return Batch(columns=columns, indexes=numbers or range(start, start + len(page.ids)), ids=page.ids)

    def _apply(self, page: Page, changes: Changes, start: int) -> Orders:
        """A row hook's changes: messages and options replace what the cell had. Returns what it asked for."""
        for change in changes.columns:
            column = page.column(change.key, change.part)
            for at, text in change.texts.items():
                column.texts[start + at] = self._reader.typed(change.key, text)
            column.infos |= {start + at: list(infos) for at, infos in change.infos.items()}
            column.options |= {start + at: list(options) for at, options in change.options.items()}
        return changes.orders

    def _apply_addition(self, page: Page, change: ColumnChange, start: int) -> None:
        """The part of a column hook's changes that is for this page, whose first row has the position `start`."""
        column = page.column(change.key, change.part)
        for at in range(len(page.ids)):
            if start + at in change.texts:
                column.texts[at] = self._reader.typed(change.key, change.texts[start + at])
            if start + at in change.infos:
                column.infos[at] = [*column.infos.get(at, ()), *change.infos[start + at]]


def _places(page: Page, indexes: Collection[int]) -> list[int]:
    """The positions of the page's rows that are among these."""
    return [at for at, index in enumerate(page.indexes or ()) if index in indexes]


def _other_places(page: Page, places: Sequence[int]) -> list[int]:
    left_out = frozenset(places)
    return [at for at in range(len(page.ids)) if at not in left_out]

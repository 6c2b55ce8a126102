"""The rows that hooks edit: some thousand in a page, and on disk if there are many."""

import pickle
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from sandbox.hooks.cells import Message
from sandbox.hooks.orders import AddedCell, AddedRow, CellMessage, Orders

IN_MEMORY_MAX_BYTES = 32 << 20
UNNUMBERED = -1

CellColumn = tuple[str, int | None]


@dataclass
class PageColumn:
    """One column's texts as the engine reads them, and its cells' messages and select options by position."""

    texts: list[str]
    infos: dict[int, list[Message]] = field(default_factory=dict)
    options: dict[int, list[Any]] = field(default_factory=dict)

    def copy_cell(self, source: int, *, to: "PageColumn", at: int) -> None:
        """Copy the cell at `source` with its messages and options to another cell."""
        to.texts[at] = self.texts[source]
        _copy_item(self.infos, source, to.infos, at)
        _copy_item(self.options, source, to.options, at)


@dataclass
class Page:
    """Rows as columns by field key and part (None if the field is not manyToOne).

    `ids` are the rows' ids, and `tails` is what else the engine keeps of each row (None for a row that a hook added).
    `indexes`, once rows are numbered, are their indexes in errors; UNNUMBERED for a row that was added later.
    """

    ids: list[str]
    tails: list[Any]
    columns: dict[CellColumn, PageColumn]
    indexes: list[int] | None = None

    def column(self, key: str, part: int | None) -> PageColumn:
        """Return a column; a new one has empty cells."""
        return self.columns.setdefault((key, part), PageColumn([""] * len(self.ids)))

    @classmethod
    def joined(cls, pages: Iterable["Page"]) -> "Page":
        """Return one page with the rows of all pages, which have the same columns."""
        made = cls([], [], {})
        for page in pages:
            for (key, part), column in page.columns.items():
                into = made.column(key, part)
                into.texts += column.texts
                into.infos |= {len(made.ids) + at: infos for at, infos in column.infos.items()}
                into.options |= {len(made.ids) + at: options for at, options in column.options.items()}
            made.ids += page.ids
            made.tails += page.tails
        return made

    def arranged(self, order: Sequence[int | AddedRow]) -> "Page":
        """Return a page with rows of this one, by position, and added rows, in the given order."""
        return Page(
            ids=[each.id if isinstance(each, AddedRow) else self.ids[each] for each in order],
            tails=[None if isinstance(each, AddedRow) else self.tails[each] for each in order],
            columns={name: _arranged(column, name, order) for name, column in self.columns.items()},
            indexes=self._arranged_indexes(order),
        )

    def _arranged_indexes(self, order: Sequence[int | AddedRow]) -> list[int] | None:
        given = self.indexes
        if given is None:
            return None
        return [UNNUMBERED if isinstance(each, AddedRow) else given[each] for each in order]


class Pages:
    """Pages in order, written once and read any number of times; close() frees the disk."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_MAX_BYTES)  # noqa: SIM115 - close() ends it
        self._page_count = 0
        self.row_count = 0
        self.names: dict[CellColumn, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def append(self, page: Page) -> None:
        pickler = pickle.Pickler(self._file, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.fast = True  # no memo of texts seen: a fifth of the time, and a page holds nothing twice
        pickler.dump(page)
        self._page_count += 1
        self.row_count += len(page.ids)
        self.names |= dict.fromkeys(page.columns)

    def __iter__(self) -> Iterator[Page]:
        """Yield every page, all with the same columns; one reader at a time."""
        self._file.seek(0)
        for _ in range(self._page_count):
            page: Page = pickle.load(self._file)  # noqa: S301 - a nameless file that this process alone has written
            for key, part in self.names:
                page.column(key, part)
            yield page

    def write_changed(self, orders: Orders, into: "Pages") -> None:
        """Write the rows with what a hook asked for: rows added and removed, and messages, by current indexes."""
        waiting = _waiting(orders, self.row_count)
        messages = _by_row(orders)
        removed = frozenset(orders.removed_rows)
        new_names = [(key, None) for key in _new_keys(orders, self.names)]
        start = 0
        for page in self:
            for name in new_names:
                page.column(*name)
            _add_messages(page, messages, start)
            into.append(page.arranged(_order(page, waiting, removed, start)))
            start += len(page.ids)
        if waiting:
            columns = {name: PageColumn([]) for name in [*self.names, *new_names]}
            into.append(Page([], [], columns).arranged([row for rows in waiting.values() for row in rows]))


def _copy_item(source: Mapping[int, Any], key: int, into: dict[int, Any], at: int) -> None:
    if key in source:
        into[at] = source[key]
    else:
        into.pop(at, None)


def _waiting(orders: Orders, row_count: int) -> dict[int, list[AddedRow]]:
    """Return the added rows by the index that they come before; those at the end are under the count of rows."""
    waiting: defaultdict[int, list[AddedRow]] = defaultdict(list)
    for row in orders.added_rows:
        waiting[row_count if row.index is None else min(max(row.index, 0), row_count)].append(row)
    return waiting


def _order(page: Page, waiting: dict[int, list[AddedRow]], removed: frozenset[str], start: int) -> list[int | AddedRow]:
    order: list[int | AddedRow] = []
    for at, row_id in enumerate(page.ids):
        order += waiting.pop(start + at, ())
        if row_id not in removed:
            order.append(at)
    return order


def _by_row(orders: Orders) -> dict[int, list[CellMessage]]:
    by_row: defaultdict[int, list[CellMessage]] = defaultdict(list)
    for each in orders.messages:
        by_row[each.row_index].append(each)
    return by_row


def _new_keys(orders: Orders, names: Iterable[CellColumn]) -> list[str]:
    """Return the fields that only added rows have a value for."""
    known = {key for key, _ in names}
    return list(dict.fromkeys(key for row in orders.added_rows for key in row.cells if key not in known))


def _add_messages(page: Page, by_row: Mapping[int, list[CellMessage]], start: int) -> None:
    """Add messages at cells, at the first part of a manyToOne field; those for a field without a column are dropped."""
    firsts = {key: column for (key, _), column in reversed(page.columns.items())}
    for at in range(len(page.ids)) if by_row else ():
        for each in by_row.get(start + at, ()):
            if each.key in firsts:
                infos = firsts[each.key].infos
                infos[at] = [*infos.get(at, ()), Message(each.message, each.level)]


def _arranged(column: PageColumn, name: CellColumn, order: Sequence[int | AddedRow]) -> PageColumn:
    made = PageColumn([])
    for at, each in enumerate(order):
        if isinstance(each, AddedRow):
            cell = _added_cell(each, name)
            made.texts.append(cell.text)
            infos: Sequence[Message] = [Message(*message) for message in cell.infos]
            options: Sequence[Any] | None = cell.options
        else:
            made.texts.append(column.texts[each])
            infos, options = column.infos.get(each, ()), column.options.get(each)
        if infos:
            made.infos[at] = list(infos)
        if options is not None:
            made.options[at] = list(options)
    return made


def _added_cell(row: AddedRow, name: CellColumn) -> AddedCell:
    key, part = name
    cell = row.cells.get(key, AddedCell())
    if part is None or (cell.parts is None and part == 0):
        return cell
    return cell.parts[part] if cell.parts and part < len(cell.parts) else AddedCell()

"""Some thousand rows as columns, from the file or from pages that hooks or a person changed."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from sandbox.engine.reading.sheet import Row
from sandbox.hooks import CellColumn, Message, Page

_NOTHING: Mapping[int, Any] = {}


class Rows(Protocol):
    """Rows in order. `indexes` are their indexes in the data; `raw` are the file's cells, for columns without a field.

    A column is named by its place in the file, or among the columns of a page.
    """

    @property
    def indexes(self) -> Sequence[int]: ...

    @property
    def raw(self) -> Sequence[Row]: ...

    def column(self, at: int) -> Sequence[str]: ...

    def turn(self) -> None: ...

    def messages(self, at: int) -> Mapping[int, Sequence[Message]]: ...

    def options(self, at: int) -> Mapping[int, Sequence[Any]]: ...


class FileRows:
    """Rows of the file; short rows are padded with ""."""

    def __init__(self, rows: list[Row], *, first: int) -> None:
        self.raw = rows
        self.indexes = range(first, first + len(rows))
        self._least = min(map(len, rows))
        self._columns: list[tuple[str, ...]] | None = None

    def turn(self) -> None:
        """Transpose all rows at once, which is faster if most columns are needed."""
        if self._least == self.width:
            self._columns = list(zip(*self.raw, strict=True))

    @property
    def width(self) -> int:
        return max(map(len, self.raw))

    def column(self, at: int) -> Sequence[str]:
        if self._columns is not None and at < self._least:
            return self._columns[at]
        if at < self._least:
            return list(map(itemgetter(at), self.raw))
        return [row[at] if at < len(row) else "" for row in self.raw]

    def messages(self, _at: int) -> Mapping[int, Sequence[Message]]:
        return _NOTHING

    def options(self, _at: int) -> Mapping[int, Sequence[Any]]:
        return _NOTHING


class PageRows:
    """Rows of a page; a column's place is the index of its name in `names`."""

    def __init__(self, page: Page, names: Sequence[CellColumn], *, indexes: Sequence[int]) -> None:
        self.indexes = indexes
        self._columns = [page.columns[name] for name in names]
        self._tails = page.tails

    @property
    def raw(self) -> Sequence[Row]:
        return [tail or [] for tail in self._tails]

    def turn(self) -> None:
        """Do nothing: a page consists of columns."""

    def column(self, at: int) -> Sequence[str]:
        return self._columns[at].texts

    def messages(self, at: int) -> Mapping[int, Sequence[Message]]:
        return self._columns[at].infos

    def options(self, at: int) -> Mapping[int, Sequence[Any]]:
        return self._columns[at].options

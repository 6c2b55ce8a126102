"""Reads a draft's file, a page at a time."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sandbox.engine.draft import DraftColumn, DraftMessage, DraftRow, Layout

Show = tuple[str, str, str]
ALL_ROWS: Show = ("all", "", "")


@dataclass(frozen=True)
class RowList:
    """A list of rows: those with errors (`kind` "errors"), with errors in a field, or with one message in a field."""

    id: int
    kind: str
    field: str
    message: str
    level: str
    row_count: int

    @property
    def name(self) -> Show:
        return (self.kind, self.field, self.message)


@dataclass(frozen=True)
class WrongText:
    text: str
    cell_count: int


class NoDraft(Exception):
    """The draft does not exist, or no longer exists."""


class Draft:
    """One draft, open for reading. Every query uses an index; none reads all rows."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        facts = {name: orjson.loads(value) for name, value in connection.execute("SELECT name, value FROM facts")}
        self.status: str = facts["status"]
        self.errors: list[dict[str, Any]] = facts["errors"]
        self.revision: int = facts["revision"]
        self.row_count: int = facts["row_count"]
        self.layout = _layout(facts["layout"]) if "layout" in facts else None

    def lists(self) -> list[RowList]:
        """Return all lists, the longest first."""
        found = self._connection.execute("SELECT * FROM lists ORDER BY row_count DESC, id")
        return [RowList(*row) for row in found]

    def page(self, rows: RowList | None, *, start: int, count: int) -> list[DraftRow]:
        """Return `count` rows of a list from place `start` on; None means all rows."""
        query, values = (_ALL_PAGE, ()) if rows is None else (_LIST_PAGE, (rows.id,))
        found = self._connection.execute(query, (*values, start, start + count))
        return [_row(*each) for each in found]

    def has_row(self, row: int) -> bool:
        return self._connection.execute("SELECT 1 FROM rows WHERE row = ?", (row,)).fetchone() is not None

    def wrong_texts(self, field: str, *, count: int) -> list[WrongText]:
        """Return the texts of a field's cells with errors, frequent ones first."""
        return [WrongText(*found) for found in self._connection.execute(_WRONG_TEXTS, (field, count))]

    def wrong_text(self, field: str, at: int) -> str | None:
        """Return the text at a place among those of `wrong_texts`, or None."""
        query = "SELECT text FROM wrong_texts WHERE field = ? AND place = ?"
        row = self._connection.execute(query, (field, at)).fetchone()
        return row and str(row[0])

    def wrong_text_count(self, field: str) -> int:
        (last,) = self._connection.execute("SELECT max(place) FROM wrong_texts WHERE field = ?", (field,)).fetchone()
        return 0 if last is None else int(last) + 1


_ALL_PAGE = "SELECT row, texts, messages FROM rows WHERE n >= ? AND n < ? ORDER BY n"
_LIST_PAGE = (
    "SELECT row, texts, messages FROM listed CROSS JOIN rows USING (n)"
    " WHERE list = ? AND place >= ? AND place < ? ORDER BY place"
)
_WRONG_TEXTS = "SELECT text, cell_count FROM wrong_texts WHERE field = ? AND place < ? ORDER BY place"


@contextmanager
def open_draft(path: Path | None) -> Iterator[Draft]:
    """Open a draft for reading. Raises NoDraft."""
    if path is None or not path.exists():
        raise NoDraft
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.OperationalError:
        raise NoDraft from None
    try:
        yield Draft(connection)
    finally:
        connection.close()


def _layout(given: Mapping[str, Any]) -> Layout:
    columns = [DraftColumn(**column) for column in given["file_columns"]]
    matched = {key: tuple(ats) for key, ats in given["columns"].items()}
    return Layout(**{**given, "file_columns": columns, "columns": matched})


def _row(row: int, texts: str, messages: str) -> DraftRow:
    found: Sequence[Any] = orjson.loads(messages) if messages else ()
    return DraftRow(row, orjson.loads(texts), [DraftMessage(*each) for each in found])

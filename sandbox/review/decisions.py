"""What people decided in one review, in a SQLite file: corrections, and how to undo them."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from sandbox.engine.corrections import NO_HEADER, CellName, Corrections
from sandbox.private_files import create
from sandbox.review.draft_writer import disk_full_error, script

CHANGES_MAX_COUNT = 200
_BUSY_S = 30.0

Columns = Mapping[str, Sequence[int]]


class Stale(Exception):
    """The review changed after the form was made."""


@dataclass(frozen=True)
class CellEdit:
    """One cell: what a person typed, and what it showed before."""

    row: int
    field: str
    part: int
    text: str
    before: str


@dataclass(frozen=True)
class Unchecked:
    """Decisions about some rows after a revision: texts by row, field, and part; rows left out or taken back."""

    texts: Mapping[tuple[int, str, int], str]
    dropped: Mapping[int, bool]


class Decisions:
    """The decisions of one review in one transaction. Every change increments `revision` and can be undone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        row = connection.execute("SELECT revision, structure, header_row, columns FROM state").fetchone()
        self.revision: int = row[0]
        self.structure: int = row[1]
        self.header_row: int | None = row[2]
        self.columns: Columns | None = None if row[3] is None else orjson.loads(row[3])

    def corrections(self) -> Corrections:
        """Return all decisions as the engine applies them."""
        cells: dict[int, dict[CellName, str]] = defaultdict(dict)
        kept = "SELECT row, field, part, text FROM cells WHERE text IS NOT NULL"
        for row, field, part, text in self._connection.execute(kept):
            cells[row][field, part] = text
        dropped = self._connection.execute("SELECT row FROM dropped WHERE is_dropped")
        columns = self.columns
        return Corrections(
            header_row=self.header_row,
            columns=None if columns is None else {key: tuple(ats) for key, ats in columns.items()},
            cells=dict(cells),
            dropped=frozenset(row for (row,) in dropped),
        )

    def unchecked(self, rows: Sequence[int], *, since: int) -> Unchecked:
        """Return the decisions about these rows after the revision `since`."""
        marks = ", ".join("?" * len(rows))
        cells = self._connection.execute(
            f"SELECT row, field, part, shown FROM cells WHERE row IN ({marks}) AND revision > ?",  # noqa: S608 - marks
            (*rows, since),
        )
        dropped = self._connection.execute(
            f"SELECT row, is_dropped FROM dropped WHERE row IN ({marks}) AND revision > ?",  # noqa: S608 - marks
            (*rows, since),
        )
        texts = {(row, field, part): shown for row, field, part, shown in cells}
        return Unchecked(texts, {row: bool(is_dropped) for row, is_dropped in dropped})

    def unchecked_count(self, *, since: int) -> int:
        """Return how many cells and rows changed after the revision `since`."""
        query = (
            "SELECT (SELECT count(*) FROM cells WHERE revision > ?) + (SELECT count(*) FROM dropped WHERE revision > ?)"
        )
        (count,) = self._connection.execute(query, (since, since)).fetchone()
        return int(count)

    def dropped_count(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM dropped WHERE is_dropped").fetchone()
        return int(count)

    def last_change(self) -> str | None:
        row = self._connection.execute("SELECT label FROM changes ORDER BY id DESC LIMIT 1").fetchone()
        return row and str(row[0])

    # Changes

    def expect(self, revision: int) -> None:
        """Raise Stale if anything changed since `revision`."""
        if revision != self.revision:
            raise Stale

    def expect_rows_of(self, revision: int) -> None:
        """Raise Stale if the header or the columns changed since `revision`: the rows are then different ones."""
        if not self.structure <= revision <= self.revision:
            raise Stale

    def edit(self, edits: Iterable[CellEdit], *, dropped: Sequence[int] = (), label: str) -> None:
        change = self._begin(label)
        for edit in edits:
            self._remember_cell(change, edit.row, edit.field, edit.part, before=edit.before)
            self._connection.execute(
                "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?)",
                (edit.row, edit.field, edit.part, edit.text, edit.text, self.revision),
            )
        self._connection.execute(
            "INSERT INTO dropped_before SELECT ?, r.value, coalesce(d.is_dropped, 0) FROM json_each(?) r"
            " LEFT JOIN dropped d ON d.row = r.value",
            (change, orjson.dumps(sorted(set(dropped))).decode()),
        )
        self._drop(change)

    def replace(self, field: str, text: str, replacement: str, *, since: int, label: str) -> None:
        """Replace `text` in the cells of a field that have errors in the attached draft.

        Cells that were edited after `since`, the draft's revision, keep their text.
        """
        change = self._begin(label)
        self._connection.execute(
            "INSERT INTO cells_before SELECT ?, w.row, w.field, w.part, c.text, w.text FROM draft.wrong w"
            " LEFT JOIN cells c ON c.row = w.row AND c.field = w.field AND c.part = w.part"
            " WHERE w.field = ? AND w.text = ? AND (c.revision IS NULL OR c.revision <= ? OR c.shown = w.text)",
            (change, field, text, since),
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO cells SELECT row, field, part, ?, ?, ? FROM cells_before WHERE change = ?",
            (replacement, replacement, self.revision, change),
        )

    def drop_listed(self, list_id: int, *, label: str) -> None:
        """Leave out all rows of a list of the attached draft."""
        change = self._begin(label)
        self._connection.execute(
            "INSERT INTO dropped_before SELECT ?, row, coalesce(is_dropped, 0)"
            " FROM draft.listed CROSS JOIN draft.rows USING (n) LEFT JOIN dropped USING (row) WHERE list = ?",
            (change, list_id),
        )
        self._drop(change)

    def set_header(self, row: int) -> None:
        """Set another header row, or NO_HEADER. All other decisions are dropped: the rows are then different ones."""
        label = "the file has no header" if row == NO_HEADER else f"row {row + 1} is the header"
        change = self._begin(label, is_structure=True)
        self._forget(change, "SELECT DISTINCT field FROM cells")
        self._connection.execute("INSERT INTO dropped_before SELECT ?, row, is_dropped FROM dropped", (change,))
        self._connection.execute("DELETE FROM dropped")
        self._set_structure(row, None)

    def set_columns(self, columns: Columns, *, before: Columns) -> None:
        """Set another matching; corrections stay in fields whose columns do not change."""
        change = self._begin("columns matched", is_structure=True)
        changed = [key for key in {*columns, *before} if list(columns.get(key, ())) != list(before.get(key, ()))]
        self._forget(change, "SELECT value FROM json_each(?)", orjson.dumps(changed).decode())
        self._set_structure(self.header_row, columns)

    def undo(self) -> None:
        """Undo the last change, if there is one."""
        found = self._connection.execute("SELECT * FROM changes ORDER BY id DESC LIMIT 1").fetchone()
        if found is None:
            return
        change, _, header_row, columns, is_structure = found
        self._count_up()
        if is_structure:
            self._set_structure(header_row, None if columns is None else orjson.loads(columns))
        self._connection.execute(
            "INSERT OR REPLACE INTO cells SELECT row, field, part, text, shown, ? FROM cells_before WHERE change = ?",
            (self.revision, change),
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO dropped SELECT row, is_dropped, ? FROM dropped_before WHERE change = ?",
            (self.revision, change),
        )
        self._forget_changes(change, change)

    # Inside

    def _begin(self, label: str, *, is_structure: bool = False) -> int:
        self._count_up()
        columns = None if self.columns is None else orjson.dumps(self.columns).decode()
        made = self._connection.execute(
            "INSERT INTO changes (label, header_row, columns, is_structure) VALUES (?, ?, ?, ?)",
            (label, self.header_row, columns, is_structure),
        )
        assert made.lastrowid is not None
        self._forget_changes(0, made.lastrowid - CHANGES_MAX_COUNT)
        return made.lastrowid

    def _count_up(self) -> None:
        self.revision += 1
        self._connection.execute("UPDATE state SET revision = ?", (self.revision,))

    def _set_structure(self, header_row: int | None, columns: Columns | None) -> None:
        self.structure, self.header_row, self.columns = self.revision, header_row, columns
        text = None if columns is None else orjson.dumps({key: list(ats) for key, ats in columns.items()}).decode()
        self._connection.execute(
            "UPDATE state SET structure = revision, header_row = ?, columns = ?", (header_row, text)
        )

    def _remember_cell(self, change: int, row: int, field: str, part: int, *, before: str) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO cells_before VALUES (?, ?, ?, ?,"
            " (SELECT text FROM cells WHERE row = ? AND field = ? AND part = ?), ?)",
            (change, row, field, part, row, field, part, before),
        )

    def _drop(self, change: int) -> None:
        """Leave out the rows that the change just remembered."""
        self._connection.execute(
            "INSERT OR REPLACE INTO dropped SELECT row, 1, ? FROM dropped_before WHERE change = ?",
            (self.revision, change),
        )

    def _forget(self, change: int, fields: str, *values: str) -> None:
        """Drop the corrections in some fields."""
        self._connection.execute(
            f"INSERT INTO cells_before SELECT ?, row, field, part, text, shown FROM cells WHERE field IN ({fields})",  # noqa: S608 - queries of this module's own
            (change, *values),
        )
        self._connection.execute(f"DELETE FROM cells WHERE field IN ({fields})", values)  # noqa: S608 - as above

    def _forget_changes(self, first: int, last: int) -> None:
        for query in (
            "DELETE FROM cells_before WHERE change BETWEEN ? AND ?",
            "DELETE FROM dropped_before WHERE change BETWEEN ? AND ?",
            "DELETE FROM changes WHERE id BETWEEN ? AND ?",
        ):
            self._connection.execute(query, (first, last))


@contextmanager
def open_decisions(path: Path, *, draft: Path | None = None) -> Iterator[Decisions]:
    """Open the decisions in `path`, created if missing, with `draft` attached; changes are saved at the end.

    Raises OSError if the disk is full.
    """
    create(path)
    connection = sqlite3.connect(path.absolute().as_uri(), uri=True, timeout=_BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        if draft is not None:
            connection.execute("ATTACH ? AS draft", (f"{draft.absolute().as_uri()}?mode=ro&immutable=1",))
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            connection.executescript(f"BEGIN IMMEDIATE; {script('decisions.sql')} COMMIT;")
        connection.execute("BEGIN IMMEDIATE")
        yield Decisions(connection)
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise disk_full_error(error) from None
    finally:
        connection.close()

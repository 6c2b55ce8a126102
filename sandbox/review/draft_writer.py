"""Writes a draft as a SQLite file while the engine runs."""

import errno
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path

import orjson

from sandbox.engine.draft import DraftRow, Layout
from sandbox.engine.outcome import Outcome
from sandbox.private_files import create
from sandbox.storage import PART_SUFFIX, clear_place

PREVIEW_CELLS = 30
PREVIEW_TEXT_LENGTH = 200
LISTS_MAX_COUNT = 500
STRUCTURAL_MAX_COUNT = 100

ListName = tuple[str, str, str]
ERRORS: ListName = ("errors", "", "")


class DraftWriter:
    """A Draft that becomes the file `path` at `finish`. It has lists for at most LISTS_MAX_COUNT messages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        clear_place(path)
        part = path.with_suffix(PART_SUFFIX)
        create(part)
        self._connection = sqlite3.connect(part, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.executescript(script("draft.sql"))
        self._connection.execute("BEGIN")
        self._restart()

    def begin(self, layout: Layout) -> None:
        for table in ("facts", "rows", "lists", "listed", "wrong"):
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of this module's own
        self._restart()
        self._note("layout", asdict(replace(layout, preview=[_cut(row) for row in layout.preview])))

    def add(self, rows: Sequence[DraftRow]) -> None:
        listed: list[tuple[int, int, int]] = []
        wrong: list[tuple[str, str, int, int]] = []
        made = []
        for n, row in enumerate(rows, start=self._row_count):
            messages = [(each.key, each.part, each.message, each.level) for each in row.messages]
            made.append((n, row.index, _text(row.texts), _text(messages) if messages else ""))
            if messages:
                listed += [(self._list(name, level), self._place(name), n) for name, level in _lists(row).items()
                           if self._has_room(name)]  # fmt: skip
                cells = {(each.key, each.part) for each in row.messages if each.level == "error"}
                wrong += [(key, row.texts[key][part], row.index, part) for key, part in cells if key in row.texts]
        self._row_count += len(made)
        self._connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", made)
        self._connection.executemany("INSERT INTO listed VALUES (?, ?, ?)", listed)
        self._connection.executemany("INSERT OR IGNORE INTO wrong VALUES (?, ?, ?, ?)", wrong)

    def finish(self, outcome: Outcome, *, revision: int) -> None:
        """Add the end of the run and give the file its name."""
        structural = [error for error in outcome.errors if error["type"] != "VALIDATION"]
        self._note("status", outcome.status)
        self._note("errors", structural[:STRUCTURAL_MAX_COUNT])
        self._note("revision", revision)
        self._note("row_count", self._row_count)
        self._connection.executemany(
            "INSERT INTO lists VALUES (?, ?, ?, ?, ?, ?)",
            [(at, *name, self._levels[name], self._counts[name]) for name, at in self._ids.items()],
        )
        self._connection.execute("CREATE UNIQUE INDEX rows_by_index ON rows (row)")
        self._connection.execute(
            "INSERT INTO wrong_texts SELECT field,"
            " row_number() OVER (PARTITION BY field ORDER BY count(*) DESC, text) - 1, text, count(*)"
            " FROM wrong GROUP BY field, text"
        )
        self._connection.execute("COMMIT")
        self._connection.close()
        self._path.with_suffix(PART_SUFFIX).replace(self._path)

    def abort(self) -> None:
        self._connection.close()
        clear_place(self._path)

    def _restart(self) -> None:
        self._row_count = 0
        self._ids: dict[ListName, int] = {}
        self._levels: dict[ListName, str] = {}
        self._counts: dict[ListName, int] = defaultdict(int)

    def _note(self, name: str, value: object) -> None:
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, _text(value)))

    def _has_room(self, name: ListName) -> bool:
        return name in self._ids or len(self._ids) < LISTS_MAX_COUNT

    def _list(self, name: ListName, level: str) -> int:
        self._levels.setdefault(name, level)
        return self._ids.setdefault(name, len(self._ids))

    def _place(self, name: ListName) -> int:
        self._counts[name] += 1
        return self._counts[name] - 1


def disk_full_error(error: sqlite3.OperationalError) -> Exception:
    """Return an OSError (ENOSPC) for SQLite's error of a full disk; any other error unchanged."""
    is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return OSError(errno.ENOSPC, "no space is left for a review") if is_full else error


def script(name: str) -> str:
    return resources.files("sandbox.review").joinpath(name).read_text("utf-8")


def _cut(row: Sequence[str]) -> list[str]:
    """Return the cells of a preview's row that are shown, plus one more if there are more."""
    return [text[:PREVIEW_TEXT_LENGTH] for text in row[: PREVIEW_CELLS + 1]]


def _lists(row: DraftRow) -> dict[ListName, str]:
    """Return the lists that a row belongs to, with their level."""
    lists: dict[ListName, str] = {}
    for each in row.messages:
        if each.level == "error":
            lists[ERRORS] = lists["field", each.key, ""] = "error"
        lists.setdefault(("message", each.key, each.message), each.level)
    return lists


def _text(value: object) -> str:
    return orjson.dumps(value, default=list).decode()

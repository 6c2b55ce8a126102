"""One SQLite file: opens it, migrates it to its schema, runs transactions, and translates its errors."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from runner._version import __version__
from runner.errors import (
    BulkheadError,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerReplaced,
    LedgerTooNew,
    StorageFull,
)
from runner.ledger.sqlite.lockfile import LockFile, is_in_place, lock_path, refuse_network_file_system
from runner.permissions import PRIVATE, Permissions

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 5.0
RESERVE_BYTES = 4 << 20
ANOTHER_LEDGER = "--ledger names another file"

_T = TypeVar("_T")
_WRITE_FAILURES = frozenset(
    {
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The tables of a file: `script` creates the newest version; `migrations[n]` migrates version n to n + 1."""

    application_id: int
    version: int
    script: str
    migrations: Mapping[int, str] = field(default_factory=dict)


class DiskReserve:
    """Reserved disk space, so that answers to requests in flight can still be recorded when the disk is full."""

    def __init__(self, path: Path, permissions: Permissions = PRIVATE) -> None:
        self._path = path
        self._permissions = permissions

    def make(self) -> None:
        """Write the file, unless it exists or the disk has no room for it."""
        try:
            if not self._path.exists() or self._path.stat().st_size != RESERVE_BYTES:
                content = os.urandom(RESERVE_BYTES)  # a file system may store zeros without using space
                self._permissions.write(self._path, content)
        except OSError as error:
            logger.warning("no disk space for the ledger's reserve", extra={"error": error.strerror})
            self.free()

    def free(self) -> bool:
        """Delete the file; False if there is none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


class Database:
    """One connection, used on one thread. A transaction that fails changes nothing."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        path: Path,
        descriptor: int | None = None,
        lock: LockFile | None = None,
        reserve: DiskReserve | None = None,
        permissions: Permissions = PRIVATE,
    ) -> None:
        """`descriptor` is the open file of a writer. It is closed last: closing it releases the locks of SQLite."""
        self._permissions = permissions
        self.connection = connection
        self._path = path
        self._log = sibling(path, "-wal")
        self._descriptor = descriptor
        self._lock = lock
        self._reserve = reserve

    @classmethod
    def in_memory(cls, schema: Schema) -> Database:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        bring_up(connection, schema, Path(":memory:"))
        return cls(connection, path=Path(":memory:"))

    @classmethod
    def for_writing(cls, path: Path, schema: Schema, *, now: datetime, permissions: Permissions = PRIVATE) -> Database:
        """Open the file as its only writer; creates it, with `permissions`, if it is missing.

        SQLite gives the mode of the file to those that it makes beside it.

        Raises LedgerLocked, LedgerCorrupt, LedgerTooNew, LedgerError, StorageFull.
        """
        with contextlib.ExitStack() as undo, explained(path):
            permissions.make_folder(path.parent)
            if path.exists() and not path.is_file():
                raise LedgerError(f"{path} is not a file", hint=ANOTHER_LEDGER)
            refuse_network_file_system(path)
            lock = LockFile.take(lock_path(path), ledger=path, now=now, permissions=permissions)
            undo.callback(lock.release)
            descriptor = permissions.open(path, os.O_RDWR)
            undo.callback(os.close, descriptor)
            connection = connect(path, mode="rw")
            undo.callback(connection.close)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -4000")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            bring_up(connection, schema, path)
            reserve = DiskReserve(sibling(path, ".ballast"), permissions)
            reserve.make()
            undo.pop_all()
        return cls(connection, path=path, descriptor=descriptor, lock=lock, reserve=reserve, permissions=permissions)

    @classmethod
    def for_reading(cls, path: Path, schema: Schema) -> Database:
        """Open the file for reading, also while another process writes it.

        A reader neither writes nor checkpoints: SQLite before 3.51.3 may damage a WAL that two connections reset at
        the same instant, and many Python builds include such a version.
        Raises LedgerCorrupt, LedgerTooNew, LedgerError.
        """
        if not path.exists():
            raise LedgerError(
                f"there is no ledger at {path}", hint="`bulkhead run` creates one; --ledger names another"
            )
        with contextlib.ExitStack() as undo, explained(path):
            connection = connect(path, mode="ro", immutable=_is_archived(path))
            undo.callback(connection.close)
            connection.execute("PRAGMA query_only = ON")
            if _version(connection, schema, path) != schema.version:
                raise LedgerError(
                    f"an earlier version of Bulkhead wrote the ledger {path}", hint="the next run migrates it"
                )
            undo.pop_all()
        return cls(connection, path=path)

    def fetch(self, query: str, values: tuple[Any, ...] | dict[str, Any]) -> list[Any]:
        """Return the rows of one query."""
        with explained(self._path):
            return self.connection.execute(query, values).fetchall()

    def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` on one consistent state of the file."""
        return self._transact("BEGIN", work)

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one durable transaction; when the disk is first full, free the reserve and run it again."""
        try:
            return self._transact("BEGIN IMMEDIATE", work)
        except StorageFull:
            if self._reserve is None or not self._reserve.free():
                raise
        logger.warning("the disk is full: the ledger uses its reserve")
        return self._transact("BEGIN IMMEDIATE", work)

    @property
    def is_in_place(self) -> bool:
        """Return whether a writer's path still leads to the file that it has open, with all that was written."""
        if self._descriptor is None:
            return True
        return is_in_place(self._descriptor, self._path) and self._log.exists()

    def check(self) -> None:
        """Raise LedgerReplaced if another process could open a writer's path, since it no longer leads here."""
        if not self.is_in_place:
            raise LedgerReplaced(f"the ledger {self._path} was deleted, moved, or replaced while this run used it")
        if self._lock is not None and not self._lock.is_in_place:
            raise LedgerReplaced(f"the lock {lock_path(self._path)} was deleted while this run used the ledger")

    def copy_to(self, path: Path) -> None:
        """Write all that this connection sees to a new file. Raises LedgerError, StorageFull."""
        with explained(path):
            self._permissions.make_folder(path.parent)
            os.close(self._permissions.open(path, os.O_WRONLY | os.O_EXCL))
            self.connection.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        is_in_place = self.is_in_place
        self.connection.close()
        if self._reserve is not None and is_in_place:
            self._reserve.free()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._lock is not None:
            self._lock.release()

    def _transact(self, begin: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with explained(self._path), rolled_back(self.connection):
            self.connection.execute(begin)
            result = work(self.connection)
            self.connection.execute("COMMIT")
            return result


def connect(
    path: Path, *, mode: str, immutable: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> sqlite3.Connection:
    """Open a connection without implicit transactions; `mode` is ro, rw, or rwc."""
    uri = f"{path.absolute().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout_s)


def sibling(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def bring_up(connection: sqlite3.Connection, schema: Schema, path: Path) -> None:
    """Create the tables of an empty file, or migrate an older one, in one transaction; fails if it is read-only."""
    with rolled_back(connection):
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection, schema, path)
        if version == schema.version:
            return
        scripts = (
            [schema.migrations[number] for number in range(version, schema.version)] if version else [schema.script]
        )
        for statement in _statements("\n".join(scripts)):
            connection.execute(statement)
        if not version:
            connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
            connection.execute("INSERT INTO meta VALUES ('created_by', ?)", (f"bulkhead {__version__}",))
            connection.execute(f"PRAGMA application_id = {schema.application_id}")
        connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """Split a script whose last statement ends with a semicolon."""
    pending = ""
    for piece in script.split(";")[:-1]:
        pending += piece + ";"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _version(connection: sqlite3.Connection, schema: Schema, path: Path) -> int:
    """Return the file's schema version, 0 for an empty file. Raises LedgerCorrupt, LedgerTooNew."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application_id != schema.application_id and (application_id or version or tables):
        raise LedgerCorrupt(f"{path} is a database, but not a ledger", hint=ANOTHER_LEDGER)
    if version > schema.version:
        raise LedgerTooNew(
            f"the ledger {path} has version {version}; this Bulkhead knows up to {schema.version}",
            hint="update Bulkhead, or name another ledger with --ledger",
        )
    return version


def _is_archived(path: Path) -> bool:
    """Return whether the file is complete and in a folder where SQLite cannot create the files of a WAL reader."""
    return not os.access(path.parent, os.W_OK) and not sibling(path, "-wal").exists()


@contextlib.contextmanager
def rolled_back(connection: sqlite3.Connection) -> Iterator[None]:
    """Roll back what the body did not commit; after some errors, SQLite has already done so."""
    try:
        yield
    finally:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


@contextlib.contextmanager
def explained(path: Path, *, elsewhere: str = ANOTHER_LEDGER) -> Iterator[None]:
    """Translate the errors of SQLite and of the system into ours; a misuse of the module (ProgrammingError) is a bug.

    `elsewhere` is the hint that says how to use another file.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.Error as error:
        raise _meaning(error, path, elsewhere) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _full(path) from error
        raise LedgerError(f"{path} cannot be used: {error.strerror}", hint=elsewhere) from error


def _meaning(error: sqlite3.Error, path: Path, elsewhere: str) -> BulkheadError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL or code in _WRITE_FAILURES:
        return _full(path)
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        hint = f"move it away and restore a backup, or start with a new file: {elsewhere}"
        return LedgerCorrupt(f"{path} is damaged or not a database", hint=hint)
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return LedgerLocked(f"another program holds {path}", hint="close the program that has it open, and run again")
    if primary == sqlite3.SQLITE_READONLY:
        return LedgerError(f"{path} cannot be written: it is read-only", hint=elsewhere)
    return LedgerError(f"{path} cannot be used: {error}", hint=elsewhere)


def _full(path: Path) -> StorageFull:
    return StorageFull(f"no space is left for {path}", hint="free some space and run again: nothing is lost")

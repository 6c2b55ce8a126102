"""The journal that saves an account in one SQLite file; uploads and results are separate files."""

import dataclasses
import hashlib
import secrets
import sqlite3
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from sandbox.clock import Reading
from sandbox.engine.outcome import Outcome
from sandbox.imports import Finished, Import, Review
from sandbox.journal import Delivery, Registration, SavedAccount
from sandbox.private_files import create
from sandbox.storage import Blob

FORMAT = 1
_SECRET_BYTES = 32
_HELD_APART = {"schema", "upload", "finished", "review"}


class Archive:
    """A Journal in the file `path`. Raises OSError if SQLite cannot write, ValueError for a file of another kind.

    It uses a write-ahead log without a sync for each commit: committed changes survive the end of the process, but not
    necessarily that of the machine.
    """

    def __init__(self, path: Path, *, files: Path) -> None:
        self._files = files
        create(path)
        self._connection = sqlite3.connect(path)
        try:
            self._open(path)
        except sqlite3.Error as error:
            self._connection.close()
            raise ValueError(f"{path} is not a sandbox's data: {error}") from None
        except ValueError:
            self._connection.close()
            raise
        self.generation = int(self._meta("starts") or 0) + 1
        self._set_meta("starts", str(self.generation))
        self.commit()

    def close(self) -> None:
        self._connection.close()

    def commit(self) -> None:
        try:
            self._connection.commit()
        except sqlite3.Error as error:
            raise OSError(f"the sandbox's data cannot be written: {error}") from None

    def load(self) -> SavedAccount:
        """Return the account as of the last commit; the first start makes its `secret`."""
        secret = self._meta("secret") or secrets.token_hex(_SECRET_BYTES)
        self._set_meta("secret", secret)
        clock = self._meta("clock")
        return SavedAccount(
            secret=bytes.fromhex(secret),
            clock=Reading(**orjson.loads(clock)) if clock else None,
            imports=self._imports(),
            schemas=[orjson.loads(body) for (body,) in self._all("SELECT body FROM schemas ORDER BY n")],
            preloaded=dict(self._all("SELECT schema_id, digest FROM given")),
            figures=self._all("SELECT name, key, count FROM figures ORDER BY n"),
            admitted=self._all("SELECT log, at FROM admitted ORDER BY at"),
            registrations=[_registration(body) for (body,) in self._all("SELECT body FROM registrations ORDER BY n")],
            deliveries=[_delivery(body) for (body,) in self._all("SELECT body FROM deliveries ORDER BY n")],
        )

    def import_changed(self, found: Import) -> None:
        body = _text(self._body(found))
        if self._do("UPDATE imports SET body = ? WHERE id = ?", body, found.id):
            return
        definition = _text(dict(found.schema))
        digest = hashlib.sha256(definition.encode()).hexdigest()
        self._do("INSERT OR IGNORE INTO definitions VALUES (?, ?)", digest, definition)
        self._do("INSERT INTO imports (id, definition, body) VALUES (?, ?, ?)", found.id, digest, body)

    def import_finished(self, found: Import) -> None:
        assert found.finished is not None
        outcome = {
            "outcome": found.finished.outcome,
            "result": found.finished.result and _blob_body(found.finished.result),
        }
        self.import_changed(found)
        self._do("UPDATE imports SET outcome = ? WHERE id = ?", _text(outcome), found.id)

    def import_gone(self, import_id: str) -> None:
        self._do("DELETE FROM imports WHERE id = ?", import_id)
        self._do("DELETE FROM admitted WHERE log = ?", import_id)

    def schema_changed(self, schema: Mapping[str, Any], *, given: str | None = None) -> None:
        self._put("schemas", schema["id"], dict(schema))
        if given is not None:
            self._do("INSERT OR REPLACE INTO given VALUES (?, ?)", schema["id"], given)

    def schema_gone(self, schema_id: str) -> None:
        self._do("DELETE FROM schemas WHERE id = ?", schema_id)

    def counted(self, name: str, key: str) -> None:
        self._do(
            "INSERT INTO figures (name, key, count) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
            name,
            key,
        )

    def figure_forgotten(self, name: str, key: str) -> None:
        self._do("DELETE FROM figures WHERE name = ? AND key = ?", name, key)

    def admitted(self, log: str, at: float, *, window_s: float) -> None:
        self._do("DELETE FROM admitted WHERE log = ? AND at <= ?", log, at - window_s)
        self._do("INSERT INTO admitted VALUES (?, ?)", log, at)

    def registered(self, registration: Registration) -> None:
        self._put("registrations", registration.id, dataclasses.asdict(registration))

    def unregistered(self, registration_id: str) -> None:
        self._do("DELETE FROM registrations WHERE id = ?", registration_id)

    def delivery_changed(self, delivery: Delivery) -> None:
        self._put("deliveries", delivery.id, dataclasses.asdict(delivery))

    def delivery_gone(self, delivery_id: str) -> None:
        self._do("DELETE FROM deliveries WHERE id = ?", delivery_id)

    def clock_set(self, reading: Reading) -> None:
        self._set_meta("clock", _text(dataclasses.asdict(reading)))

    def forgotten(self) -> None:
        for table in ("imports", "definitions", "figures", "admitted", "deliveries"):
            self._do(f"DELETE FROM {table}")  # noqa: S608 - names of this module's own

    def _open(self, path: Path) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            script = resources.files("sandbox").joinpath("archive.sql").read_text("utf-8")
            self._connection.executescript(f"BEGIN; {script} PRAGMA user_version = {FORMAT}; COMMIT;")
        elif found != FORMAT:
            raise ValueError(f"{path} was written by another version of the sandbox (format {found})")
        self._do("DELETE FROM definitions WHERE digest NOT IN (SELECT definition FROM imports)")

    def _imports(self) -> list[Import]:
        definitions = {digest: orjson.loads(body) for digest, body in self._all("SELECT * FROM definitions")}
        rows = self._connection.execute("SELECT definition, body, outcome FROM imports ORDER BY n")
        return [self._import(definitions[digest], orjson.loads(body), outcome) for digest, body, outcome in rows]

    def _import(self, schema: dict[str, Any], body: dict[str, Any], outcome: str | None) -> Import:
        upload, review = body.pop("upload"), body.pop("review", None)
        return Import(
            **body,
            schema=schema,
            upload=upload and self._blob(upload),
            review=review and self._review(review),
            finished=None if outcome is None else self._finished(orjson.loads(outcome)),
        )

    def _body(self, found: Import) -> dict[str, Any]:
        names = (field.name for field in dataclasses.fields(found) if field.name not in _HELD_APART)
        body = {name: getattr(found, name) for name in names}
        review = found.review and _review_body(found.review)
        return body | {"upload": found.upload and _blob_body(found.upload), "review": review}

    def _finished(self, body: dict[str, Any]) -> Finished:
        result = body["result"]
        return Finished.of(Outcome(**body["outcome"]), result=result and self._blob(result))

    def _review(self, body: dict[str, Any]) -> Review:
        draft = body["draft"]
        return Review(
            decisions=self._files / body["decisions"], draft=draft and self._files / draft, trouble=body["trouble"]
        )

    def _blob(self, body: dict[str, Any]) -> Blob:
        return Blob(self._files / body["name"], body["size_bytes"], body["md5"], body["sha256"])

    def _put(self, table: str, key: str, body: Mapping[str, Any]) -> None:
        self._do(
            f"INSERT INTO {table} (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",  # noqa: S608 - names of this module's own
            key,
            _text(body),
        )

    def _meta(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row and str(row[0])

    def _set_meta(self, name: str, value: str) -> None:
        self._do("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)

    def _do(self, statement: str, *values: object) -> int:
        return self._connection.execute(statement, values).rowcount

    def _all(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()


def _blob_body(blob: Blob) -> dict[str, Any]:
    assert isinstance(blob.source, Path)
    return {"name": blob.source.name, "size_bytes": blob.size_bytes, "md5": blob.md5, "sha256": blob.sha256}


def _review_body(review: Review) -> dict[str, Any]:
    draft = review.draft and review.draft.name
    return {"decisions": review.decisions.name, "draft": draft, "trouble": review.trouble}


def _registration(body: str) -> Registration:
    given = orjson.loads(body)
    lists: dict[str, Any] = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return Registration(**(given | lists))


def _delivery(body: str) -> Delivery:
    return Delivery(**orjson.loads(body))


def _text(body: object) -> str:
    return orjson.dumps(body, default=dict).decode()

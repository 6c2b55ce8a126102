"""Simulated inputs: the items of a batch, the outcome of each at the vendor, and the source that lists them."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from runner.errors import ItemRejected
from runner.models import Item, ItemKind
from runner.protocols import Prepared, SourceEntry
from sandbox.engine.outcome import Outcome, failed
from sandbox.imports import Job

Fate = Literal["good", "review", "broken", "refused"]
"""How an input ends: its import succeeds, waits for a person, or fails; or it is rejected before any create."""

_CHUNK_BYTES = 64
TABLE_HEADER = ("Mark", "Fate", "Version")


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file or JSON document. The content says how its import ends, so equal contents have equal outcomes."""

    source: str
    kind: ItemKind
    fate: Fate
    content: bytes
    version: int = 1
    row: dict[str, Any]

    @classmethod
    def make(cls, source: str, kind: ItemKind, fate: Fate, *, like: str | None = None, version: int = 1) -> Input:
        """Make an input with unique content, or with the content of the input named `like`."""
        row = {"fate": fate, "mark": like or source} | ({"version": version} if version > 1 else {})
        content = orjson.dumps([row] if kind is ItemKind.JSON else row)
        return cls(source=source, kind=kind, fate=fate, content=content, version=version, row=row)

    def as_table(self) -> Input:
        """Return the file as a table of one row, and the invalid rows that an import of it drops."""
        rows = [TABLE_HEADER, (self.row["mark"], self.fate, str(self.row.get("version", "")))]
        rows += [(f"dropped {number}", "dropped", "") for number in range(rows_dropped([self.row]))]
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        return replace(self, content=text.getvalue().encode())

    @property
    def data(self) -> str:
        """Return the name of its data: the source, and the version of a file that has changed."""
        return self.source if self.version == 1 else f"{self.source}, version {self.version}"

    @property
    def result(self) -> bytes:
        """Return the result of its import if it is successful."""
        return orjson.dumps([self.row])


def simulated_engine(job: Job) -> Outcome:
    """Return the outcome that the data names."""
    source = job.source
    if isinstance(source, bytes) and not source.startswith((b"[", b"{")):
        return import_of_table(source)
    rows: Any = orjson.loads(source) if isinstance(source, bytes) else source
    rows = rows if isinstance(rows, list) else [rows]
    match rows[0]["fate"]:
        case "broken":
            return failed("PARSE", "The file could not be parsed.")
        case "review":
            return Outcome(status="NEEDS_REVIEW", rows=rows, errors=[{"type": "MATCH", "message": "No header row."}])
        case _:
            return Outcome(status="SUCCESSFUL", rows=rows, metadata=_metadata(rows))


def import_of_table(content: bytes) -> Outcome:
    """Return the outcome of a table; its first column is passed through if it is no field."""
    header, *lines = csv.reader(io.StringIO(content.decode(), newline=""))
    markers = [] if header[0] == TABLE_HEADER[0] else [line.pop(0) for line in lines]
    rows, errors, reviewed = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    for at, (mark, fate, version) in enumerate(lines):
        row = {"fate": fate, "mark": mark} | ({"version": int(version)} if version else {})
        error = {"type": "VALIDATION", "fieldKey": "mark", "message": "A value is required.", "rowIndex": at}
        if fate == "broken":
            return failed("PARSE", "The file could not be parsed.")
        if fate == "dropped":
            errors.append(error)
            continue
        reviewed += [error] if fate == "review" else []
        rows.append(row | ({"$unmapped": {"0": markers[at]}} if markers else {}))
    if reviewed:
        return Outcome(status="NEEDS_REVIEW", rows=rows, errors=reviewed)
    counts = {"totalRows": len(lines), "validRows": len(rows), "invalidRows": len(errors), "errors": errors}
    return Outcome(status="SUCCESSFUL", rows=rows, metadata=counts)


def rows_dropped(rows: Sequence[Any]) -> int:
    """Return how many invalid rows the vendor says that it has dropped from an import with this result."""
    return zlib.crc32(orjson.dumps(rows)) % 3


def _metadata(rows: Sequence[Any]) -> dict[str, Any]:
    dropped = rows_dropped(rows)
    error = {"type": "VALIDATION", "fieldKey": "mark", "message": "A value is required.", "value": "a cell"}
    return {
        "totalRows": len(rows) + dropped,
        "validRows": len(rows),
        "invalidRows": dropped,
        "errors": [{**error, "rowIndex": row} for row in range(dropped)],
    }


def _readable(_source: str) -> None:
    """Let everything be readable."""


class SimulatedBody:
    """The bytes of a file, and the input that they belong to; implements Body."""

    def __init__(self, given: Input, *, check: Callable[[str], None] = _readable) -> None:
        """`check` is called with the source before it is read; it raises an error if it cannot be."""
        self._check = check
        self.source = given.source
        self.data = given.data
        self.content = given.content

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    async def chunks(self) -> AsyncIterator[bytes]:
        self._check(self.source)
        for start in range(0, len(self.content), _CHUNK_BYTES):
            yield self.content[start : start + _CHUNK_BYTES]


class SimulatedSource:
    """Implements Source over a fixed list of inputs, of which filters leave out some.

    `check` is called with the source of each input that is about to be read, and raises an error if it cannot be.
    """

    uri = "sim://inbox"

    def __init__(
        self,
        inputs: Sequence[Input],
        *,
        chunk: int = 5,
        left_out: Collection[str] = (),
        check: Callable[[str], None] = _readable,
    ) -> None:
        self._inputs = {given.source: given for given in inputs}
        self._chunk = chunk
        self._left_out = left_out
        self._check = check

    async def entries(self) -> AsyncIterator[list[SourceEntry]]:
        listed = [self._entry(given) for given in self._inputs.values() if given.source not in self._left_out]
        for start in range(0, len(listed), self._chunk):
            await asyncio.sleep(0.01)
            yield listed[start : start + self._chunk]

    async def selection(self, sources: Sequence[str]) -> dict[str, bool]:
        return {source: source not in self._left_out for source in sources if source in self._inputs}

    async def prepare(self, item: Item) -> Prepared:
        await asyncio.sleep(0.002)
        given = self._inputs.get(item.source)
        if given is None:
            raise ItemRejected("not_found", "there is no such file")
        self._check(item.source)
        if given.fate == "refused":
            raise ItemRejected("empty", "the file is empty")
        is_file = given.kind is ItemKind.FILE
        return Prepared(
            uri=f"{self.uri}/{given.source}",
            size_bytes=len(given.content),
            version=str(given.version),
            fingerprint=hashlib.sha256(given.content).hexdigest(),
            body=SimulatedBody(given, check=self._check) if is_file else None,
            rows=None if is_file else given.content,
        )

    def _entry(self, given: Input) -> SourceEntry:
        return SourceEntry(
            source=given.source,
            uri=f"{self.uri}/{given.source}",
            size_bytes=len(given.content),
            version=str(given.version),
            modified_ns=None,
            kind=given.kind,
        )

"""A source with files in memory: the same kinds and rejections as on disk, in a fixed order and without threads."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from runner.errors import ItemRejected, SourceChanged
from runner.models import Item, ItemKind
from runner.protocols import Prepared, SourceEntry
from runner.sources.file_types import kind_and_rejection, kind_of
from runner.sources.json_rows import rows_of

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK_BYTES = 1 << 16


class MemoryBody:
    """Bytes that are compared with the source's current content before the last chunk is sent."""

    def __init__(self, source: MemorySource, name: str, content: bytes) -> None:
        self._source = source
        self._name = name
        self._content = content

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._content), CHUNK_BYTES):
            await asyncio.sleep(0)
            if at + CHUNK_BYTES >= len(self._content) and self._source.files.get(self._name) != self._content:
                raise SourceChanged
            yield self._content[at : at + CHUNK_BYTES]


class MemorySource:
    """`files` maps keys to contents and may be changed at any time, as a directory may."""

    def __init__(self, files: Mapping[str, bytes], *, name: str = "inbox", chunk_length: int = 1000) -> None:
        self.files = dict(files)
        self.prepared: list[str] = []
        self.left_out: set[str] = set()
        self._name = name
        self._chunk_length = chunk_length

    @property
    def uri(self) -> str:
        return f"memory://{self._name}"

    async def entries(self) -> AsyncIterator[list[SourceEntry]]:
        keys = sorted(self.files)
        for at in range(0, len(keys), self._chunk_length):
            await asyncio.sleep(0)
            yield [self._entry(key) for key in keys[at : at + self._chunk_length] if key in self.files]

    async def selection(self, sources: Sequence[str]) -> dict[str, bool]:
        return {source: source not in self.left_out for source in sources if source in self.files}

    async def prepare(self, item: Item) -> Prepared:
        await asyncio.sleep(0)
        self.prepared.append(item.source)
        if item.source not in self.files:
            raise ItemRejected("not_found", "there is no such file")
        content = self.files[item.source]
        kind, rejection = kind_and_rejection(item.source, len(content))
        if rejection:
            raise rejection
        is_json = kind is ItemKind.JSON
        return Prepared(
            uri=f"{self.uri}/{item.source}",
            size_bytes=len(content),
            version=_version(content),
            fingerprint=f"sha256:{hashlib.sha256(content).hexdigest()}",
            body=None if is_json else MemoryBody(self, item.source, content),
            rows=rows_of(item.source, content) if is_json else None,
        )

    def _entry(self, key: str) -> SourceEntry:
        content = self.files[key]
        return SourceEntry(
            source=key,
            uri=f"{self.uri}/{key}",
            size_bytes=len(content),
            version=_version(content),
            modified_ns=0,
            kind=kind_of(key),
            rejection=kind_and_rejection(key, len(content))[1],
        )


def _version(content: bytes) -> str:
    return f"{len(content)}-{hashlib.sha256(content).hexdigest()[:8]}"

"""An inbox and results in memory: objects with versions, listed in pages, and sinks that keep what is whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from runner.aws.s3 import S3Place
from runner.cloud.messages import ObjectCreated
from runner.errors import ConfigError, ItemRejected, SourceChanged
from runner.models import Item, ItemKind
from runner.protocols import Prepared, SourceEntry
from runner.sources import ObjectVersion, SourceSpec
from runner.sources.file_types import kind_of
from runner.sources.object_versions import unversioned_source
from tests.support.inputs import Input, SimulatedBody
from tests.support.process import EPOCH, Disk, MemorySink, Process, ProcessSink

if TYPE_CHECKING:
    from runner.protocols import Sink

INBOX = "s3://inbox"
POISON = "poison"
"""A file with this in its name breaks every function that reads it."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One version of an object; `given.source` is the mark of its content."""

    key: str
    given: Input
    version: ObjectVersion
    at: datetime = EPOCH

    def created(self, bucket: str) -> ObjectCreated:
        """Return the message about the object."""
        version = self.version
        return ObjectCreated(
            bucket=bucket,
            key=self.key,
            size_bytes=version.size_bytes,
            etag=version.etag,
            version_id=version.version_id,
            at=self.at,
        )


class Bucket:
    """The inbox. Each version of a key stays readable where `versioned`, else only the latest."""

    def __init__(self, *, versioned: bool) -> None:
        self.versioned = versioned
        self.objects: dict[str, list[Stored]] = {}

    def put(self, key: str, given: Input, *, at: datetime = EPOCH) -> Stored:
        content = given.content
        version = ObjectVersion(
            etag=hashlib.md5(content, usedforsecurity=False).hexdigest(),
            size_bytes=len(content),
            version_id=f"v{len(self.objects.get(key, ()))}" if self.versioned else None,
        )
        stored = Stored(key=key, given=given, version=version, at=at)
        self.objects.setdefault(key, []).append(stored)
        return stored

    def read(self, key: str, version: ObjectVersion) -> Stored:
        """Return the version of an object that was listed. Raises ItemRejected."""
        kept = self.objects.get(key)
        if kept is None:
            raise ItemRejected("not_found", "there is no such object")
        for stored in kept if version.version_id else kept[-1:]:
            if (stored.version.etag, stored.version.version_id) == (version.etag, version.version_id) or (
                version.version_id is None and stored.version.etag == version.etag
            ):
                return stored
        raise SourceChanged


class BucketSource:
    """Implements PagedSource over a prefix of the bucket."""

    def __init__(self, bucket: Bucket, spec: SourceSpec, *, page_length: int) -> None:
        self._bucket = bucket
        self._root = S3Place.parse(spec.path).folder
        self._page_length = page_length

    @property
    def uri(self) -> str:
        return self._root.uri.removesuffix("/")

    async def entries(self) -> AsyncIterator[list[SourceEntry]]:
        token: str | None = None
        while True:
            entries, token = await self.page(token)
            yield entries
            if token is None:
                return

    async def page(self, token: str | None) -> tuple[list[SourceEntry], str | None]:
        await asyncio.sleep(0.02)
        keys = sorted(key for key in self._bucket.objects if key.startswith(self._root.key) and key > (token or ""))
        page = keys[: self._page_length]
        found = [self.entry(key, self._listed(key)) for key in page]
        return [entry for entry in found if entry is not None], page[-1] if len(keys) > len(page) else None

    def _listed(self, key: str) -> ObjectVersion:
        latest = self._bucket.objects[key][-1].version
        return ObjectVersion(etag=latest.etag, size_bytes=latest.size_bytes)

    def entry(self, key: str, version: ObjectVersion) -> SourceEntry | None:
        source = key.removeprefix(self._root.key)
        return SourceEntry(
            source=source,
            uri=S3Place(self._root.bucket, key).uri,
            size_bytes=version.size_bytes,
            version=str(version),
            modified_ns=None,
            kind=kind_of(source),
        )

    async def prepare(self, item: Item) -> Prepared:
        await asyncio.sleep(0.01)
        key = self._root.key + unversioned_source(item.source, item.version)
        version = ObjectVersion.parse(item.version)
        assert version is not None
        if POISON in key:
            raise RuntimeError("the function cannot cope with this file")
        stored = self._bucket.read(key, version)
        if stored.given.fate == "refused":
            raise ItemRejected("empty", "the file is empty")
        is_file = item.kind is ItemKind.FILE
        return Prepared(
            uri=S3Place(self._root.bucket, key).uri,
            size_bytes=version.size_bytes,
            version=item.version,
            fingerprint=version.fingerprint,
            body=SimulatedBody(stored.given) if is_file else None,
            rows=None if is_file else stored.given.content,
        )


class Results:
    """The files of each batch in the bucket of results."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}

    def of(self, out: str) -> dict[str, bytes]:
        return self.files.setdefault(out, {})

    def manifest(self, out: str) -> list[dict[str, object]]:
        lines = self.of(out).get("manifest.jsonl", b"").splitlines()
        return [orjson.loads(line) for line in lines]


class ProcessPlaces:
    """The places as one function sees them; implements Places."""

    def __init__(
        self, bucket: Bucket, results: Results, process: Process, disk: Disk, *, page_length: int,
        on_try: Callable[[str], None] = lambda _source: None,
    ) -> None:  # fmt: skip
        self._bucket = bucket
        self._results = results
        self._process = process
        self._disk = disk
        self._page_length = page_length
        self._on_try = on_try

    def source(self, spec: SourceSpec) -> BucketSource:
        if spec.kind != "s3":
            raise ConfigError(f"the stack cannot read {spec.path}")
        return BucketSource(self._bucket, spec, page_length=self._page_length)

    async def inbox_page(self, root: str, token: str | None) -> tuple[list[ObjectCreated], str | None]:
        await asyncio.sleep(0.02)
        place = S3Place.parse(root)
        keys = sorted(key for key in self._bucket.objects if key.startswith(place.key) and key > (token or ""))
        page = keys[: self._page_length]
        latest = [self._bucket.objects[key][-1] for key in page]
        files = [stored.created(place.bucket) for stored in latest]
        return files, page[-1] if len(keys) > len(page) else None

    def sink(self, out: str) -> Sink:
        inner = MemorySink(self._results.of(out), self._process, self._disk)
        return ProcessSink(inner, self._process, self._disk, on_try=self._on_try)

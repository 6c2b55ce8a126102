"""FileList: the names of some of a batch's files, one per line, as `--files-from` reads them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from runner import identity
from runner.aws.s3 import S3Place
from runner.errors import ConfigError
from runner.manifest.document import Document
from runner.sources.object_versions import unversioned_source
from runner.sources.spec import SourceSpec

if TYPE_CHECKING:
    from runner.models import Batch, Item

_BREAKS = frozenset("\n\r\0")
"""Characters that no line of a list can hold; a NUL byte makes it a list between NUL bytes."""


class SourcePlace:
    """Where the files of a batch are: the directory or the prefix that their sources are relative to."""

    def __init__(self, batch: Batch) -> None:
        self._endpoint = identity.endpoint_of(batch.account)
        self._spec = _spec_of(batch)

    @property
    def text(self) -> str | None:
        """Return the directory or the prefix as a command line names it; None if the batch does not say."""
        spec = self._spec
        if spec is None:
            return None
        return os.path.dirname(spec.path) if spec.kind == "file" else spec.path  # noqa: PTH120 - bytes that are not text

    def name_of(self, item: Item) -> str:
        """Return the absolute path or the URL of an item's file; as the source names it if its place is not known."""
        root = self.text
        if root is None:
            return f"./{item.source}" if item.source.startswith("#") else item.source
        if root.startswith("s3://"):
            return str(self._object(S3Place.parse(root), item))
        return os.path.join(root, item.source)  # noqa: PTH118 - Path() is slow, and normalizes the path

    def _object(self, given: S3Place, item: Item) -> S3Place:
        """Return the object of an item: below the prefix, or the prefix itself if it names one object."""
        source = unversioned_source(item.source, item.version)
        below = given.below(source)
        is_folder = given == given.folder or source != given.key.rpartition("/")[2]
        if is_folder or item.file_key == identity.file_key(below.uri, endpoint=self._endpoint):
            return below
        return given


class FileList:
    """A list that is written while items are read; `count` names are in it, `left_out` cannot be in any list."""

    def __init__(self, name: str, place: SourcePlace) -> None:
        self.name = name
        self.count = 0
        self.left_out = 0
        self.document = Document()
        self._place = place

    async def add(self, item: Item) -> None:
        """Add the name of an item's file, unless it holds a line break or is not UTF-8."""
        line = _line(self._place.name_of(item))
        if line is None:
            self.left_out += 1
            return
        self.count += 1
        await self.document.add(line)


def _line(name: str) -> bytes | None:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return None
    return None if _BREAKS & set(name) else encoded + b"\n"


def _spec_of(batch: Batch) -> SourceSpec | None:
    try:
        return SourceSpec.from_json(orjson.loads(batch.config)["source"])
    except (ConfigError, KeyError, TypeError, ValueError):
        return None

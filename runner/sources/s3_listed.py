"""S3Listed: the objects that a list on this machine names, below an S3 prefix."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from runner.aws.s3 import S3Place
from runner.errors import ConfigError, ItemRejected, first_cause
from runner.globs import PathFilter
from runner.sources.listed import list_lines
from runner.sources.local import SortedNames, refused
from runner.sources.s3 import S3Source
from runner.sources.spec import file_uri, printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from runner.protocols import SourceEntry
    from runner.sources.spec import SourceSpec

_AT_ONCE = 32
"""Objects that are looked up at the same time; each takes one request (choice)."""


class S3Listed(S3Source):
    """Objects of a list. A named object is meant: hidden names are included, and so are results.

    A list has one `s3://` URL per line, its key taken literally, in the format of `ListedFiles`. Keys are relative to
    the prefix; they are sorted, and each comes once. A key without an object becomes an entry with the rejection
    `not_found`.
    """

    def __init__(self, spec: SourceSpec, *, only: str | None = None, **options: Any) -> None:
        """`only` is the one key, relative to the prefix, that is listed; `options` are those of `S3Source`."""
        super().__init__(replace(spec, path=str(S3Place.parse(spec.path).folder)), only=only, **options)
        self._list = spec.files_from or ""
        self._filter = PathFilter(include=spec.include, exclude=spec.exclude, hidden=True)

    @property
    def uri(self) -> str:
        """Return `list+file://`, the list's path, and the prefix."""
        return f"list+{file_uri(self._list)}?{super().uri}"

    async def entries(self) -> AsyncIterator[list[SourceEntry]]:
        """Yield the entries by key. Raises SourceNotFound, ConfigError, Unavailable."""
        if self._only is not None:
            yield (await self.page(None))[0]
            return
        self.too_young = 0
        keys = await asyncio.to_thread(self._keys)
        while group := list(islice(keys, _AT_ONCE)):
            if entries := await self._looked_up(group):
                yield entries

    async def _looked_up(self, keys: list[str]) -> list[SourceEntry]:
        try:
            async with asyncio.TaskGroup() as looking:
                found = [looking.create_task(self._look_up(key)) for key in keys]
        except ExceptionGroup as group:
            raise first_cause(group) from group
        return [entry for task in found if (entry := task.result()) is not None]

    async def _look_up(self, key: str) -> SourceEntry | None:
        root = await self._located()
        place = root.below(key)
        if not self._takes(place.key, key, 1):
            return None
        first = (await self._list_objects(place, limit=1)).get("Contents", ())
        if first and first[0]["Key"] == place.key:
            return self._listed(first[0])
        return refused(key, ItemRejected("not_found", "there is no such object"), uri=place.uri)

    def _keys(self) -> Iterator[str]:
        """Return the keys of the list, relative to the prefix. Raises ConfigError, SourceNotFound, FileUnavailable."""
        names = SortedNames()
        for line in list_lines(self._list):
            names.add(self._key(line).encode())
        return (name.decode() for name, _ in groupby(names))

    def _key(self, line: bytes) -> str:
        root = self._given
        try:
            place = S3Place.parse(line.decode())
        except (ConfigError, UnicodeDecodeError):
            place = None
        if place is None or not place.is_below(root):
            name = printable(line.decode("utf-8", "replace"))
            raise ConfigError(
                f"the list file {printable(self._list)} names {name}, which is no object below {root}",
                hint="write one s3:// URL per line, all below the prefix",
            )
        return place.key.removeprefix(root.key)

    def _takes(self, key: str, source: str, size_bytes: int) -> bool:  # noqa: ARG002 - a marker that is named is meant
        return self._filter.takes(source, source.rpartition("/")[2])

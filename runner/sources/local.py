"""LocalFiles: what sources on this machine share, and file names sorted in little memory."""

from __future__ import annotations

import asyncio
import heapq
import os
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import ParamSpec, TypeVar

from runner.concurrency import QUICK_BYTES, in_thread
from runner.errors import FileUnavailable, ItemRejected, SourceNotFound
from runner.globs import PathFilter
from runner.models import Item, ItemKind
from runner.protocols import Prepared, SourceEntry
from runner.retry import repeat_read
from runner.sources.earlier_results import EarlierResults
from runner.sources.file_body import FileBody
from runner.sources.file_open import (
    ReadFile,
    Stamp,
    from_os_error,
    is_of_the_moment,
    not_a_file,
    read_once,
    version_of,
)
from runner.sources.file_path import FilePath
from runner.sources.file_types import kind_and_rejection, kind_of, rejection_of
from runner.sources.json_rows import rows_of
from runner.sources.spec import SourceSpec, file_uri, printable, quoted

CHUNK_LENGTH = 1000
RUN_LENGTH = 32_768
"""Names sorted at a time: few enough that sorting does not block an event loop."""

_BLOCK_LENGTH = 512
LISTING_RETRIES = 20
LISTING_PAUSE_S = 0.25
"""How often in all one listing looks again at what cannot be read at the moment: 5 seconds (choice)."""

LINK_SAMPLE_COUNT = 5
"""Linked directories of a listing that are named to the user (choice)."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class LocalFiles(ABC):
    """What directories, lists, and single files share; implements `Source`.

    `too_young` counts the files that the last listing left for a later run, `linked_directories` the links to
    directories that it did not follow; `link_samples` names the first 5 of them. With `threaded=False` everything
    happens in the caller's thread.
    """

    def __init__(self, spec: SourceSpec, *, root: str, now: datetime, hidden: bool, threaded: bool) -> None:
        self.too_young = 0
        self.linked_directories = 0
        self.earlier_results = EarlierResults()
        self.link_samples: list[str] = []
        self._retries_left = LISTING_RETRIES
        self._put_off: list[tuple[str, FileUnavailable]] = []
        self._root = root
        self._root_uri = file_uri(root).rstrip("/")
        self._filter = PathFilter(include=spec.include, exclude=spec.exclude, hidden=hidden)
        self._threaded = threaded
        self._youngest_ns = int((now.timestamp() - spec.min_age_s) * 1e9) if spec.min_age_s > 0 else None
        self._parsing = asyncio.Lock()

    @property
    @abstractmethod
    def uri(self) -> str:
        """Return the identity of the whole source."""

    async def root_uri(self) -> str:
        """Return the identity of the directory that keys are relative to, without a `/` at its end."""
        return self._root_uri

    @abstractmethod
    def walk(self) -> Iterator[SourceEntry]:
        """Yield the entries, in the calling thread. Raises SourceNotFound, ConfigError."""

    @abstractmethod
    def may_follow(self, target: str) -> bool:
        """Return whether a link to this real path may be followed."""

    @abstractmethod
    def file_path(self, source: str) -> FilePath:
        """Return how the file of a key or of a real path is reached."""

    async def entries(self) -> AsyncIterator[list[SourceEntry]]:
        """Yield the entries in chunks of 1000, each listed in a worker thread.

        Raises SourceNotFound, ConfigError; and FileUnavailable, after all other entries, if some cannot be listed at
        the moment.
        """
        self.too_young = self.linked_directories = 0
        self.earlier_results = EarlierResults()
        self.link_samples = []
        self._retries_left, self._put_off = LISTING_RETRIES, []
        walk = self.walk()
        while chunk := await self._call(_take, walk):
            yield chunk
        if self._put_off:
            raise self._not_listed()

    @abstractmethod
    def selects(self, key: str) -> bool:
        """Return whether include, exclude, and the rules for names take a file."""

    async def selection(self, sources: Sequence[str]) -> dict[str, bool]:
        """Return {key: whether the filters take the file} for those files that exist."""
        return await self._call(self._selection, sources)

    def _selection(self, sources: Sequence[str]) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for source in sources:
            try:
                info = self._stat(os.path.join(os.fsencode(self._root), os.fsencode(source)))  # noqa: PTH118 - bytes
            except (ItemRejected, OSError, ValueError):
                continue
            found[source] = self.selects(source) and not self._is_too_young(info)
        return found

    def _is_too_young(self, info: os.stat_result) -> bool:
        return self._youngest_ns is not None and info.st_mtime_ns > self._youngest_ns

    async def prepare(self, item: Item) -> Prepared:
        """Read the item's file once, for its fingerprint, and for its rows if it is JSON.

        Raises ItemRejected; SourceNotFound if the whole directory no longer exists; and FileUnavailable if the file
        cannot be read at the moment, also after retries.
        """
        try:
            return await repeat_read(lambda: self._prepare(item))
        except ItemRejected as rejection:
            if rejection.code == "not_found" and not await self._call(os.path.isdir, self._root):
                raise SourceNotFound(f"{printable(self._root)} does not exist any more") from rejection
            raise

    async def _prepare(self, item: Item) -> Prepared:
        if kind_of(item.source) is ItemKind.JSON:
            async with self._parsing:  # parsing takes about ten times the memory of the file
                return await self._call(self._prepare_rows, item.source)
        prepare = partial(self._prepare_body, item.source)
        if not self._threaded:
            return prepare()
        return await in_thread(prepare, is_quick=item.size_bytes is not None and item.size_bytes <= QUICK_BYTES)

    def _prepare_body(self, source: str) -> Prepared:
        path, read = self._read_once(source, keep=False)
        body = FileBody(path, stamp=Stamp.of(read.info), sha256=read.sha256, threaded=self._threaded)
        return self._prepared(source, read, body=body)

    def _prepare_rows(self, source: str) -> Prepared:
        _, read = self._read_once(source, keep=True)
        return self._prepared(source, read, rows=rows_of(source, read.content))

    def _prepared(
        self, source: str, read: ReadFile, *, body: FileBody | None = None, rows: bytes | None = None
    ) -> Prepared:
        return Prepared(
            uri=self._uri_of(source),
            size_bytes=read.info.st_size,
            version=version_of(read.info),
            fingerprint=f"sha256:{read.sha256}",
            body=body,
            rows=rows,
        )

    def _read_once(self, source: str, *, keep: bool) -> tuple[FilePath, ReadFile]:
        """Read the file of a key, or the one that its link leads to; return also its path, which is never a link."""
        path, check = self.file_path(source), partial(rejection_of, source)
        try:
            return path, read_once(path, check=check, keep=keep)
        except ItemRejected as rejection:
            if rejection.code != "not_a_file":
                raise
        path = self._readable_path(source)
        return path, read_once(path, check=check, keep=keep)

    def _readable_path(self, source: str) -> FilePath:
        """Return the path to open, which is never a link. Raises ItemRejected."""
        path = self.file_path(source)
        try:
            if not stat.S_ISLNK(path.lstat().st_mode):
                return path
        except (OSError, ValueError) as error:
            raise _translation(error) from error
        target = os.path.realpath(str(path))
        if not self.may_follow(target):
            raise _link_outside()
        return self.file_path(target)

    def _uri_of(self, source: str) -> str:
        return file_uri(source) if source.startswith("/") else f"{self._root_uri}/{quoted(os.fsencode(source))}"

    def _entry(self, source: str, look: Callable[[], os.stat_result], *, uri: str) -> SourceEntry | None:
        """Return the entry of one file, which `look` returns the stat of; None if it is left for a later run."""
        try:
            info = self.patiently(look)
        except ItemRejected as rejection:
            return refused(source, rejection, uri=uri)
        except (OSError, ValueError) as error:
            return self.refused_or_put_off(source, _translation(error), uri=uri)
        size_bytes, mtime_ns = info.st_size, info.st_mtime_ns
        if self._is_too_young(info):
            self.too_young += 1
            return None
        kind, refusal = kind_and_rejection(source, size_bytes)
        return SourceEntry(
            source=source,
            uri=uri,
            size_bytes=size_bytes,
            version=version_of(info),
            modified_ns=mtime_ns,
            kind=kind,
            rejection=refusal,
        )

    def patiently(self, look: Callable[[], _T]) -> _T:
        """Call `look` until it succeeds, or the retries of this listing are used up. Raises what `look` raises."""
        while True:
            try:
                return look()
            except OSError as error:
                if not is_of_the_moment(error) or not self._retries_left:
                    raise
            self._retries_left -= 1
            if self._threaded:
                time.sleep(LISTING_PAUSE_S)

    def refused_or_put_off(self, source: str, error: ItemRejected | FileUnavailable, *, uri: str) -> SourceEntry | None:
        """Return the entry of a path that is refused; None, and leave it to a later listing, if that may pass."""
        if isinstance(error, ItemRejected):
            return refused(source, error, uri=uri)
        self._put_off.append((source, error))
        return None

    def _not_listed(self) -> FileUnavailable:
        count, (source, error) = len(self._put_off), self._put_off[0]
        named = printable(source) if count == 1 else f"{count:,} files or directories such as {printable(source)}"
        return FileUnavailable(f"{named}: {error}", hint=error.hint)

    def _stat(self, path: bytes) -> os.stat_result:
        """Return the stat of a regular file, or of the one that a link ends at. Raises ItemRejected, OSError."""
        return self._followed(path, os.lstat(path))

    def _followed(self, path: bytes, info: os.stat_result) -> os.stat_result:
        """Return `info` of a regular file, or the stat of the one that a link ends at. Raises ItemRejected, OSError."""
        if stat.S_ISREG(info.st_mode):
            return info
        if stat.S_ISLNK(info.st_mode):
            info = os.stat(path)  # noqa: PTH116 - paths are bytes here
        if not stat.S_ISREG(info.st_mode):
            raise not_a_file()
        if not self.may_follow(os.fsdecode(os.path.realpath(path))):
            raise _link_outside()
        return info

    async def _call(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._threaded:
            return await asyncio.to_thread(function, *args, **kwargs)
        return function(*args, **kwargs)


def links_passed_over(source: object) -> str | None:
    """Say which linked directories the last listing of a source did not follow; None if there are none."""
    if not isinstance(source, LocalFiles) or not source.linked_directories:
        return None
    count, names = source.linked_directories, ", ".join(printable(name) for name in source.link_samples)
    what = "1 linked directory was" if count == 1 else f"{count:,} linked directories were"
    return f"{what} not followed: {names}{', …' if count > len(source.link_samples) else ''}"


def _take(walk: Iterator[SourceEntry]) -> list[SourceEntry]:
    return list(islice(walk, CHUNK_LENGTH))


def refused(source: str, rejection: ItemRejected, *, uri: str) -> SourceEntry:
    """Return the entry of a path about which only the rejection is known."""
    return SourceEntry(
        source=source,
        uri=uri,
        size_bytes=None,
        version="",
        modified_ns=None,
        kind=kind_of(source),
        rejection=rejection,
    )


def _translation(error: OSError | ValueError) -> ItemRejected | FileUnavailable:
    if isinstance(error, OSError):
        return from_os_error(error)
    return ItemRejected("not_found", "there is no such file")


def _link_outside() -> ItemRejected:
    return ItemRejected("link_outside", "a link to a file outside the directory; it was not followed")


class SortedNames:
    """Byte strings without NUL, returned in sorted order; a name takes its length and one more byte of memory."""

    def __init__(self) -> None:
        self._runs: list[list[bytes]] = []
        self._open: list[bytes] = []

    def add(self, name: bytes) -> None:
        """Take one name."""
        self._open.append(name)
        if len(self._open) == RUN_LENGTH:
            self._close_run()

    def __iter__(self) -> Iterator[bytes]:
        self._close_run()
        if len(self._runs) == 1:
            return _unpacked(self._runs[0])
        return heapq.merge(*map(_unpacked, self._runs))

    def _close_run(self) -> None:
        names = sorted(self._open)
        blocks = range(0, len(names), _BLOCK_LENGTH)
        if names:
            self._runs.append([b"\0".join(names[at : at + _BLOCK_LENGTH]) for at in blocks])
        self._open = []


def _unpacked(blocks: list[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield from block.split(b"\0")

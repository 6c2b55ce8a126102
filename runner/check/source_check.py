"""The check of a whole source: files that a run would send go to the pool; the others are reported at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.check.predictions import FileCheck, Prediction
from runner.check.read_outcome import about_file, failure, rejection
from runner.check.worker import FileToCheck
from runner.errors import first_cause
from runner.models import FAILED_BEFORE, Item, ItemState
from runner.stages.earlier import Content, EarlierItems

if TYPE_CHECKING:
    from runner.check.pool import WorkerPool
    from runner.check.schemas import BoundRoute
    from runner.config.routes import Routes
    from runner.ledger.protocol import Ledger
    from runner.protocols import Source
    from runner.stages.discover import Discovery

FILES_AT_ONCE = 50
BYTES_AT_ONCE = 2_000_000
"""Small files are sent to a worker together, up to these limits; a larger file is sent alone."""

_AHEAD_PER_WORKER = 2


class SourceCheck:
    """Lists the source as a run does, and checks each file, in constant memory.

    `on_files` gets the checks of files in the order in which they finish, `on_listed` the number of files in each part
    of the list. `ledger` is only read, to find what was sent before; `again` and `retry_failed` as in `RunOptions`.
    """

    def __init__(
        self,
        *,
        source: Source,
        discovery: Discovery,
        routes: Routes,
        bound: Sequence[BoundRoute],
        pool: WorkerPool,
        ledger: Ledger | None,
        again: bool,
        on_files: Callable[[Sequence[FileCheck]], None],
        on_listed: Callable[[int], None],
        retry_failed: bool = False,
    ) -> None:
        self._source = source
        self._discovery = discovery
        self._routes = routes
        self._bound = bound
        self._route_indexes = {id(one.route): at for at, one in enumerate(bound)}
        self._pool = pool
        self._earlier = EarlierItems(ledger, endpoint=discovery.endpoint, again=again, retry_failed=retry_failed)
        self._on_files = on_files
        self._on_listed = on_listed
        self._slots = asyncio.Semaphore(pool.size * _AHEAD_PER_WORKER)

    async def run(self) -> None:
        """Check everything. Raises SourceNotFound, SchemaNotFound, and what `on_files` raises."""
        try:
            await self._run()
        except BaseExceptionGroup as group:
            raise first_cause(group) from None

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            async for entries in self._source.entries():
                items = await self._discovery.items(entries)
                uris = {entry.source: entry.uri for entry in entries}
                self._on_listed(len(items))
                self._on_files([self._check_of_listed(item) for item in items if item.state is not ItemState.QUEUED])
                for files in in_parts([self._file(item) for item in items if item.state is ItemState.QUEUED]):
                    await self._slots.acquire()
                    group.create_task(self._check(files, {file.source: uris[file.source] for file in files}))

    async def _check(self, files: Sequence[FileToCheck], uris: Mapping[str, str]) -> None:
        try:
            checks = await self._pool.check(files)
            self._on_files([await self._ruled(check, uris[check.source]) for check in checks])
        finally:
            self._slots.release()

    def _file(self, item: Item) -> FileToCheck:
        """Raises SchemaNotFound."""
        at = self._route_indexes[id(self._routes.for_source(item.source))]
        if (missing := self._bound[at].missing) is not None:
            raise missing
        return FileToCheck(item.source, item.size_bytes or 0, at)

    def _check_of_listed(self, item: Item) -> FileCheck:
        """Return the check of an item that listing alone settles: rejected, or unchanged."""
        route = self._routes.for_source(item.source)
        about = about_file(item.source, item.size_bytes or 0, route)
        if item.state is ItemState.REJECTED:
            return rejection(item.error_code or "", item.error_message or "", about=about)
        if item.state is ItemState.FAILED:
            return failure(item.error_code or "", item.error_message or "", about=about)
        return FileCheck(**about, prediction=Prediction.SKIP)

    async def _ruled(self, check: FileCheck, uri: str) -> FileCheck:
        """Mark as skipped or failed, as a run does, what an earlier batch sent with the same name and schema."""
        if check.tag is None:
            return check
        route = self._routes.for_source(check.source)
        content = Content(uri=uri, binding=route.binding if route else "", tag=check.tag)
        finding = (await self._earlier.of_content(content)).finding
        if finding is None or finding.is_sent:
            return check
        if finding.state is ItemState.FAILED:
            about = about_file(check.source, check.size_bytes, route)
            return failure(FAILED_BEFORE, finding.sentence, about={**about, "tag": check.tag})
        return _skipped(check)


def in_parts(files: Sequence[FileToCheck]) -> Iterator[list[FileToCheck]]:
    """Yield the files in lists, one for each message to a worker."""
    part: list[FileToCheck] = []
    size_bytes = 0
    for file in files:
        if part and (len(part) >= FILES_AT_ONCE or size_bytes + file.size_bytes > BYTES_AT_ONCE):
            yield part
            part, size_bytes = [], 0
        part.append(file)
        size_bytes += file.size_bytes
    if part:
        yield part


def _skipped(check: FileCheck) -> FileCheck:
    return replace(
        check, prediction=Prediction.SKIP, code=None, message=None, row_count=0, invalid_row_count=0,
        removed_row_count=0, problems=(),
    )  # fmt: skip

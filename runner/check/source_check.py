"""The check of a whole source: files that a run would send go to the pool; the others are reported at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.check.predictions import FileCheck, Prediction
from runner.check.read_outcome import about_file, rejection
from runner.check.worker import FileToCheck
from runner.errors import first_cause
from runner.models import Item, ItemState
from runner.stages.duplicates import duplicates

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
    of the list. `ledger` is only read, to find what was sent before; `again` as in `RunOptions`.
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
    ) -> None:
        self._source = source
        self._discovery = discovery
        self._routes = routes
        self._bound = bound
        self._route_indexes = {id(one.route): at for at, one in enumerate(bound)}
        self._pool = pool
        self._ledger = ledger
        self._again = again
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
                self._on_listed(len(items))
                self._on_files([self._check_of_listed(item) for item in items if item.state is not ItemState.QUEUED])
                for files in in_parts([self._file(item) for item in items if item.state is ItemState.QUEUED]):
                    await self._slots.acquire()
                    group.create_task(self._check(files))

    async def _check(self, files: Sequence[FileToCheck]) -> None:
        try:
            checks = await self._pool.check(files)
            self._on_files(await self._without_duplicates(checks))
        finally:
            self._slots.release()

    def _file(self, item: Item) -> FileToCheck:
        """Raises SchemaNotFound."""
        at = self._route_indexes[id(self._routes.for_source(item.source))]
        if (missing := self._bound[at].missing) is not None:
            raise missing
        return FileToCheck(item.source, item.size_bytes or 0, at)

    def _check_of_listed(self, item: Item) -> FileCheck:
        """Return the check of an item that listing alone settles: rejected, or unchanged since it was sent."""
        route = self._routes.for_source(item.source)
        about = about_file(item.source, item.size_bytes or 0, route)
        if item.state is ItemState.REJECTED:
            return rejection(item.error_code or "", item.error_message or "", about=about)
        return FileCheck(**about, prediction=Prediction.SKIP)

    async def _without_duplicates(self, checks: list[FileCheck]) -> list[FileCheck]:
        """Mark as skipped, as a run does, what the vendor has from an earlier batch with the same name and schema."""
        tags = [check.tag for check in checks if check.tag]
        found = await duplicates(self._ledger, tags, again=self._again)
        return [_skipped(check) if check.tag in found else check for check in checks]


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

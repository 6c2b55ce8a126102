"""ForeignImports: notices that another ledger imports the same files while a run is in progress.

An import of this ledger is bound to its item before it gets data. So one that has data, bears the tag of an item, and
belongs to no item, was made by a run with another ledger; if it is newer than this run, that run is in progress, too.
Nothing tells which files a pack has while it is imported, so each such pack of the same source counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from runner.dromo.rate_limited import WrappedApi
from runner.errors import ForeignImports, ImportNotFound, RequestInvalid, TagInUse, TransientError
from runner.formatting import counted
from runner.models import ImportStatus, RemoteImport, batch_of_members, tag_of
from runner.packing.body import PackName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from datetime import datetime

    from runner.dromo.clock import VendorTime
    from runner.ledger.protocol import Ledger
    from runner.models import CreateRequest, ImportPage, Item
    from runner.protocols import ImportsApi

NAMED_MOST = 5
"""Imports that the message names (choice)."""

_REMEMBERED_IMPORTS = 10_000
_URL_LIFE = timedelta(minutes=30)
"""After this time, an import that never got data could be FAILED: nothing documents it."""


class ForeignWatch(WrappedApi):
    """An API whose lists are searched for foreign imports; `on_found` is called with the error if there are any.

    `retrieve` is that of the API behind its limits, because a doubtful import is retrieved again with every list.
    The first walk of the list is not judged: it shows what was there before the run.
    """

    def __init__(
        self,
        api: ImportsApi,
        *,
        retrieve: Callable[[str], Awaitable[RemoteImport]],
        ledger: Ledger,
        batch_id: str,
        source: str,
        schemas: Collection[str | None],
        vendor_time: VendorTime,
        on_found: Callable[[ForeignImports], None],
    ) -> None:
        """`source` is as in `PackName`; `schemas` are those of the run's routes, None for an inline one."""
        super().__init__(api)
        self._source = source
        self._schemas = schemas
        self._retrieve = retrieve
        self._ledger = ledger
        self._batch_id = batch_id
        self._vendor_time = vendor_time
        self._on_found = on_found
        self._began = vendor_time.ticks()
        self._first_walk = True
        self._newest_before: datetime | None = None
        self._began_at_latest: datetime | None = None
        """When the run began by the clock that dates imports, or a moment later; None before the first create."""
        self._own: set[str] = set()
        """Some of the imports that the ledger knows, so that it is not asked for them again."""
        self._others: dict[str, RemoteImport] = {}

    def first_walk_done(self) -> None:
        """Judge the lists from now on."""
        self._first_walk = False

    async def refuse(self, tag: str, source: str) -> None:
        """Raise ForeignImports if a list has shown a foreign import of an item that is about to be sent.

        One that turns out to be older than the run, which only its first create shows for sure, is kept as an orphan:
        then raises TagInUse, so that the item looks for an orphan again.
        """
        remote = self._others.get(tag)
        if remote is None:
            return
        is_own = bool(await self._ledger.owners([remote.import_id]))
        if not is_own and self._has_new_data(remote):
            raise self._error([(source, remote)])
        if self._others.get(tag) is remote:
            del self._others[tag]
        if not is_own:
            await self._ledger.keep_orphans([remote])
            raise TagInUse(f"an import of {source} that a run before this one has made was not known yet")

    async def create(self, request: CreateRequest) -> RemoteImport:
        sent_s = self._vendor_time.ticks() - self._began
        remote = await super().create(request)
        if remote.created_at is not None:
            began_at = remote.created_at - timedelta(seconds=sent_s)
            self._began_at_latest = min(began_at, self._began_at_latest or began_at)
        return remote

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        page = await super().list_page(limit=limit, offset=offset)
        if self._first_walk:
            dates = [remote.created_at for remote in page.imports if remote.created_at is not None]
            self._newest_before = max(filter(None, [self._newest_before, *dates]), default=None)
        else:
            await self._judge(page.imports)
        return page

    async def _judge(self, imports: Iterable[RemoteImport]) -> None:
        found = {remote.import_id: remote for remote in imports if self._has_new_data(remote)}
        owned = await self._ledger.owners(found) if found else {}
        if len(self._own) > _REMEMBERED_IMPORTS:
            self._own.clear()
        self._own.update(owned)
        foreign = {tag_of(found[one].original_filename) or "": found[one] for one in found if one not in owned}
        self._others.update(foreign)
        packs = [(sentence, found[one]) for one in found if one not in owned and (sentence := self._pack(found[one]))]
        items = await self._ledger.by_tag(foreign) if foreign else {}
        ours = [
            (item.source, foreign[tag])
            for tag, same in items.items()
            for item in same
            if batch_of_members(item.batch_id) == self._batch_id and await self._is_confirmed(item, foreign[tag])
        ]
        ours += [(sentence, remote) for sentence, remote in packs if await self._is_there(remote)]
        if ours:
            self._on_found(self._error(sorted(ours, key=lambda one: one[0])))

    def _pack(self, remote: RemoteImport) -> str:
        """Return what to call an import if it is a pack of this run's source and of a schema of it, else "".

        The same path on another machine is the same source.
        """
        name = PackName.parse(remote.original_filename)
        may_have_schema = bool({None, remote.schema_id} & {*self._schemas}) or remote.schema_id is None
        if name is None or name.source != self._source or not may_have_schema:
            return ""
        return f"a pack of {counted(name.file_count, 'file')}"

    async def _is_there(self, remote: RemoteImport) -> bool:
        """Return whether a retrieve shows an import as the list does."""
        try:
            found = await self._retrieve(remote.import_id)
        except (TransientError, ImportNotFound, RequestInvalid):
            return False
        same_name = found.original_filename == remote.original_filename
        return same_name and found.status != ImportStatus.AWAITING_UPLOAD

    async def _is_confirmed(self, item: Item, remote: RemoteImport) -> bool:
        """Return whether retrieves show the import as the list does, and that of the item, if it has one.

        A list may name the wrong id, and so may the answer to a create: the vendor does not find such an import.
        """
        try:
            found = await self._retrieve(remote.import_id)
            if item.import_id is not None:
                await self._retrieve(item.import_id)
        except (TransientError, ImportNotFound, RequestInvalid):
            return False
        return tag_of(found.original_filename) == item.tag and found.status != ImportStatus.AWAITING_UPLOAD

    def _has_new_data(self, remote: RemoteImport) -> bool:
        """Return whether an import that is not known as one of ours has a tag and data, and is newer than the run."""
        made_at = remote.created_at
        if remote.import_id in self._own or made_at is None or tag_of(remote.original_filename) is None:
            return False
        if remote.status == ImportStatus.AWAITING_UPLOAD or made_at <= self._began_at():
            return False
        now = self._began_at() + timedelta(seconds=self._vendor_time.ticks() - self._began)
        return remote.status != ImportStatus.FAILED or now - made_at < _URL_LIFE

    def _began_at(self) -> datetime:
        """Return when the run began, by the clock that dates imports: it may differ from that of the answers."""
        if self._began_at_latest is not None:
            return self._began_at_latest
        began = self._vendor_time.at(self._began)
        return max(began, self._newest_before or began)

    def _error(self, found: list[tuple[str, RemoteImport]]) -> ForeignImports:
        named = ", ".join(f"{source} (import {remote.import_id})" for source, remote in found[:NAMED_MOST])
        more = f" and {counted(len(found) - NAMED_MOST, 'other')}" if len(found) > NAMED_MOST else ""
        return ForeignImports(
            f"a run with another ledger is importing the same files now: {named}{more}",
            hint=f"end the other run, then `bulkhead resume {self._batch_id}` adopts its imports of files that are "
            f"still queued here; `bulkhead reconcile {self._batch_id}` lists imports that no item of this ledger has",
        )

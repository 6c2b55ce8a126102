"""Orphans: imports with an item's tag that no item owns, because an answer or a ledger was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.dromo.listing import imports_since
from runner.models import ImportStatus, RemoteImport, tag_of
from runner.stages.shared_lists import SharedLists

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from runner.dromo.clock import VendorTime
    from runner.ledger.protocol import ImportIndex
    from runner.protocols import ImportsApi

_CHUNK = 500

FRESH_LEDGER_PAGES = 50
"""Pages of 1,000 imports that are searched for own imports if the ledger knows none yet."""


class Orphans:
    """Finds an item's own import by its tag, never by its plain name, which another creator may use too."""

    def __init__(self, api: ImportsApi, ledger: ImportIndex, *, endpoint: str, vendor_time: VendorTime) -> None:
        self._api = api
        self._ledger = ledger
        self._endpoint = endpoint
        self._vendor_time = vendor_time
        self._lists = SharedLists(api, _by_tag)

    async def reconcile(self) -> None:
        """Record the tagged imports without an owner that were made since the ledger last knew all imports.

        A new ledger knows none, and one restored from a backup lacks the latest. Either way, imports that it does not
        know are found before anything is created. Raises TransientError.
        """
        began = self._vendor_time.ticks()
        since = await self._ledger.reconciled_to(self._endpoint)
        chunk: list[RemoteImport] = []
        max_pages = FRESH_LEDGER_PAGES if since is None else None
        async for remote in imports_since(self._api, since, max_pages=max_pages, trusts_order=False):
            if tag_of(remote.original_filename) is not None:
                chunk.append(remote)
            if len(chunk) >= _CHUNK:
                await self._keep(chunk)
                chunk = []
        await self._keep(chunk)
        await self._ledger.set_reconciled(self._endpoint, self._vendor_time.at(began))

    async def match(self, tag: str, schema_id: str | None) -> RemoteImport | None:
        """Return the recorded import to adopt for an item with this tag, or None."""
        return await self._best(await self._ledger.orphans(tag), schema_id)

    async def find_by_tag(self, tag: str, schema_id: str | None, *, since: datetime | None) -> RemoteImport | None:
        """List the vendor's imports since `since`, or all; return the one to adopt, or None. Raises TransientError."""
        tagged = await self._lists.since(since)
        return await self._best(list(tagged.get(tag, {}).values()), schema_id)

    async def _keep(self, chunk: list[RemoteImport]) -> None:
        taken = await self._ledger.owners(remote.import_id for remote in chunk)
        await self._ledger.keep_orphans([remote for remote in chunk if remote.import_id not in taken])

    async def _best(self, found: list[RemoteImport], schema_id: str | None) -> RemoteImport | None:
        """Return an import without an owner: one that already has data if there is one, otherwise the oldest.

        A failed import is never adopted: its item was queued again on purpose.
        """
        taken = await self._ledger.owners(remote.import_id for remote in found) if found else {}
        fitting = [
            remote
            for remote in found
            if remote.import_id not in taken
            and remote.status != ImportStatus.FAILED
            and schema_id in (None, remote.schema_id)
        ]
        fitting.sort(key=lambda remote: (remote.status == ImportStatus.AWAITING_UPLOAD, str(remote.created_at)))
        return fitting[0] if fitting else None


async def _by_tag(imports: AsyncIterator[RemoteImport]) -> dict[str, dict[str, RemoteImport]]:
    """Return the tagged imports, by tag and id; of an import that comes twice, what the list said last."""
    found: dict[str, dict[str, RemoteImport]] = {}
    async for remote in imports:
        if tag := tag_of(remote.original_filename):
            found.setdefault(tag, {})[remote.import_id] = remote
    return found

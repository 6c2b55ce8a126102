"""Orphans: imports that bear an item's tag and belong to no item, since an answer was lost, or a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.listing import imports_since
from runner.models import ImportStatus, RemoteImport, tag_of

if TYPE_CHECKING:
    from datetime import datetime

    from runner.ledger import Ledger
    from runner.ports import ImportsApi

_LOOKUP_CHUNK = 500


class Orphans:
    """Finds an item's own import by its tag, never by its plain name: another creator's import may bear that."""

    def __init__(self, api: ImportsApi, ledger: Ledger) -> None:
        self._api = api
        self._ledger = ledger
        self._by_tag: dict[str, list[RemoteImport]] = {}

    def __len__(self) -> int:
        return len(self._by_tag)

    async def scan(self, since: datetime | None, *, max_pages: int | None = None) -> None:
        """Remember the tagged imports created since then that no item of the ledger owns. Raises TransientError."""
        chunk: dict[str, RemoteImport] = {}
        async for remote in imports_since(self._api, since, max_pages=max_pages):
            if tag_of(remote.original_filename) is not None:
                chunk[remote.import_id] = remote
            if len(chunk) >= _LOOKUP_CHUNK:
                await self._remember(chunk)
                chunk = {}
        await self._remember(chunk)

    async def take(self, tag: str, schema_id: str | None) -> RemoteImport | None:
        """Return the import to adopt for an item with this tag, or None; it is not offered again.

        One that has left AWAITING_UPLOAD holds the data already and goes first, then the oldest. A failed one is never
        adopted: the item was put back to work on purpose.
        """
        found = self._by_tag.pop(tag, [])
        taken = await self._ledger.owners([remote.import_id for remote in found])
        fitting = [
            remote
            for remote in found
            if remote.import_id not in taken
            and remote.status != ImportStatus.FAILED
            and schema_id in (None, remote.schema_id)
        ]
        fitting.sort(key=lambda remote: (remote.status == ImportStatus.AWAITING_UPLOAD, str(remote.created_at)))
        return fitting[0] if fitting else None

    async def look_for(self, tag: str, schema_id: str | None, *, since: datetime) -> RemoteImport | None:
        """List the vendor's imports since then, and take the one with this tag."""
        await self.scan(since)
        return await self.take(tag, schema_id)

    async def _remember(self, chunk: dict[str, RemoteImport]) -> None:
        taken = await self._ledger.owners(chunk)
        for remote in chunk.values():
            tag = tag_of(remote.original_filename)
            if tag is None or remote.import_id in taken:
                continue
            known = self._by_tag.setdefault(tag, [])
            known[:] = [other for other in known if other.import_id != remote.import_id] + [remote]

"""EarlierJson: whether the vendor has JSON imports that a ledger may have lost, which no tag would show."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from runner import identity
from runner.dromo.listing import imports_since
from runner.formatting import counted
from runner.models import ImportStatus, ItemKind, RemoteImport, tag_of
from runner.sources.file_types import FILE_SUFFIXES, suffix_of
from runner.stages.orphans import FRESH_LEDGER_PAGES

if TYPE_CHECKING:
    from runner.dromo.clock import VendorTime
    from runner.ledger.protocol import Ledger
    from runner.protocols import ImportsApi
    from runner.stages.json_imports import JsonImports

_LOOK_BACK = timedelta(days=30)


class EarlierJson:
    """Judges each schema once, before the first JSON create with it; the ledger keeps that a schema is free to use.

    With `json_is_new`, a person has said that no earlier import has the data of these JSON items.
    """

    def __init__(
        self,
        api: ImportsApi,
        ledger: Ledger,
        *,
        imports: JsonImports,
        endpoint: str,
        vendor_time: VendorTime,
        json_is_new: bool,
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._imports = imports
        self._endpoint = endpoint
        self._vendor_time = vendor_time
        self._json_is_new = json_is_new
        self._turn = asyncio.Lock()
        self._listed: list[RemoteImport] | None = None
        self._reasons: dict[str | None, str | None] = {}

    async def reason_to_wait(self, schema_id: str | None) -> str | None:
        """Return why JSON items of a schema wait for a person's word, None if they need not. Raises TransientError."""
        async with self._turn:
            if schema_id not in self._reasons:
                self._reasons[schema_id] = await self._judge(schema_id)
            return self._reasons[schema_id]

    async def _judge(self, schema_id: str | None) -> str | None:
        known_as = f"{self._endpoint} json {schema_id or ''}"
        if await self._ledger.reconciled_to(known_as) is not None:
            return None
        found = [] if self._json_is_new else await self._unexplained(schema_id)
        if found and not await self._has_sent_some(schema_id):
            return _sentence(found, schema_id)
        await self._ledger.set_reconciled(known_as, self._vendor_time.now())
        return None

    async def _unexplained(self, schema_id: str | None) -> list[RemoteImport]:
        """Return the imports of a schema that a JSON create may have made for a ledger that is lost.

        They have no owner, no tag, and no name that only one uploaded file has.
        """
        untagged = await self._untagged()
        names = Counter(map(_given_name, untagged))
        nameless = [
            remote
            for remote in untagged
            if self._imports.may_have_schema(remote, schema_id)
            if not _is_of_a_file(remote) or names[_given_name(remote)] > 1
        ]
        taken = await self._ledger.owners(remote.import_id for remote in nameless)
        return [remote for remote in nameless if remote.import_id not in taken]

    async def _untagged(self) -> list[RemoteImport]:
        """Return the recent untagged imports that have data."""
        if self._listed is None:
            since = self._vendor_time.now() - _LOOK_BACK
            walk = imports_since(self._api, since, max_pages=FRESH_LEDGER_PAGES, trusts_order=False)
            found = {remote.import_id: remote async for remote in walk if (remote.created_at or since) >= since}
            self._listed = [
                remote
                for remote in found.values()
                if tag_of(remote.original_filename) is None and remote.status != ImportStatus.AWAITING_UPLOAD
            ]
        return self._listed

    async def _has_sent_some(self, schema_id: str | None) -> bool:
        """Return whether the ledger has an earlier JSON create with the schema, as one of an older version may."""
        for batch in await self._ledger.batches():
            if identity.endpoint_of(batch.account) != self._endpoint:
                continue
            async for item in self._ledger.items(batch.batch_id):
                if item.kind is ItemKind.JSON and item.schema_id == schema_id and item.intent_at is not None:
                    return True
        return False


def _given_name(remote: RemoteImport) -> str:
    """Return an import's name without its own id, which only the vendor can have put there."""
    return (remote.original_filename or "").replace(remote.import_id, "#")


def _is_of_a_file(remote: RemoteImport) -> bool:
    """Return whether the name is one that an uploaded file has; the vendor may name an import of JSON in any way."""
    name = remote.original_filename or ""
    return remote.import_id not in name and suffix_of(name) in FILE_SUFFIXES


def _sentence(found: list[RemoteImport], schema_id: str | None) -> str:
    newest = max((remote.created_at for remote in found if remote.created_at is not None), default=None)
    dated = f", the newest of {newest:%Y-%m-%d %H:%M} UTC" if newest else ""
    of_schema = f"schema {schema_id}" if schema_id else "inline fields"
    return (
        f"JSON files of {of_schema} wait: the vendor has {counted(len(found), 'import')} that may be of JSON"
        f"{dated}, and this ledger has none of JSON, so it may not know that these files were sent; if they are new,"
        " run again with --json-is-new"
    )

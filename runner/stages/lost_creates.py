"""LostCreates: JSON creates whose response was lost.

Their imports have no filename and so no tag. Only complete lists, after a quiet period, show what became of them.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Unpack

from runner.dromo.listing import CLOCK_MARGIN, imports_since
from runner.models import Item, ItemChanges, ItemKind, ItemState, RemoteImport
from runner.stages.transitions import ItemOvertaken

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from runner.config.options import RunOptions
    from runner.dromo.clock import VendorTime
    from runner.ledger.protocol import Ledger
    from runner.protocols import ImportsApi
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)

_S = ItemState


class LostCreates:
    """Settles JSON items in state `creating`, together, once their quiet period is over."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        api: ImportsApi,
        transitions: Transitions,
        options: RunOptions,
        vendor_time: VendorTime,
        stop: StopSignal,
        saved_schemas: Collection[str],
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._transitions = transitions
        self._options = options
        self._vendor_time = vendor_time
        self._stop = stop
        self._saved_schemas = saved_schemas
        """Schemas of the run's routes. A create with inline fields cannot have made an import with one of them."""

    async def settle(self, items: Sequence[Item]) -> list[Item]:
        """Wait until the quiet period of every item is over, then decide each.

        An item becomes `processing` (exactly one import can be its own, and can belong to no other item), `queued` (no
        import can be its own), or `uncertain`. All stay `creating` if a stop comes first. Raises TransientError if the
        vendor cannot be listed.
        """
        quiet_at = max(self._quiet_at(item) for item in items)
        wait_s = (quiet_at - self._vendor_time.now()).total_seconds()
        if wait_s > 0 and await self._stop.sleep(wait_s):
            return list(items)
        candidates = await self._candidates(min(self._window(item)[0] for item in items))
        others = await self._other_lost_creates(items)
        return [await self._decide(item, candidates, contenders=[*others, *items]) for item in items]

    async def _other_lost_creates(self, items: Sequence[Item]) -> list[Item]:
        """Return the ledger's other items with lost creates: an import that one of them may have made is not adopted.

        All are read by `items`, because a page of a shared ledger may lack some.
        """
        own = {(item.batch_id, item.source) for item in items}
        found: list[Item] = []
        for batch in await self._ledger.batches():
            creating = self._ledger.items(batch.batch_id, states={_S.CREATING})
            found += [item async for item in creating if item.kind is ItemKind.JSON]
        return [item for item in found if (item.batch_id, item.source) not in own]

    async def _candidates(self, since: datetime) -> list[RemoteImport]:
        """Return imports without an owner or a filename, once two complete lists in a row agree on them."""
        previous: dict[str, RemoteImport] | None = None
        while True:
            found = {
                remote.import_id: remote
                async for remote in imports_since(self._api, since)
                if not remote.original_filename
            }
            if previous is not None and previous.keys() == found.keys():
                break
            previous = found
        taken = await self._ledger.owners(found)
        return [remote for remote in found.values() if remote.import_id not in taken]

    async def _decide(self, item: Item, candidates: Sequence[RemoteImport], *, contenders: Sequence[Item]) -> Item:
        own = [remote for remote in candidates if self._fits(item, remote)]
        if not own:
            return await self._advance(item, _S.QUEUED, reason="the lost create made no import")
        claims = [contender for contender in contenders if self._fits(contender, own[0])]
        if len(own) == 1 and len(claims) == 1:
            return await self._adopt(item, own[0])
        ids = ", ".join(sorted(remote.import_id for remote in own)[:10])
        return await self._advance(
            item,
            _S.UNCERTAIN,
            reason="lost create, several candidates",
            error_code="create_in_doubt",
            error_message=f"the answer to the create was lost; it may have made one of: {ids}",
        )

    async def _adopt(self, item: Item, remote: RemoteImport) -> Item:
        made_at = remote.created_at or item.intent_at
        await self._ledger.count_up(item.batch_id, creates=1)
        return await self._advance(
            item,
            _S.PROCESSING,
            reason="adopted: the only import the lost create can have made",
            import_id=remote.import_id,
            created_at=made_at,
            uploaded_at=made_at,
        )

    async def _advance(self, item: Item, state: ItemState, *, reason: str, **changes: Unpack[ItemChanges]) -> Item:
        """Move an item; if another process moved it first, return it as it is now."""
        try:
            return await self._transitions.advance(item, state, reason=reason, **changes)
        except ItemOvertaken as error:
            return error.current

    def _fits(self, item: Item, remote: RemoteImport) -> bool:
        first, last = self._window(item)
        if remote.created_at is not None and not first <= remote.created_at <= last:
            return False
        if item.schema_id is None:
            return remote.schema_id not in self._saved_schemas
        return remote.schema_id == item.schema_id

    def _window(self, item: Item) -> tuple[datetime, datetime]:
        """Return the instants between which the lost create can have taken effect, by the vendor's clock."""
        return (item.intent_at or self._vendor_time.now()) - CLOCK_MARGIN, self._quiet_at(item) + CLOCK_MARGIN

    def _quiet_at(self, item: Item) -> datetime:
        return (item.intent_at or self._vendor_time.now()) + timedelta(seconds=self._options.quiet_period_s)

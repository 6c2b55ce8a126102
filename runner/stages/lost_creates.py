"""LostCreates: JSON creates whose response was lost.

Their imports have no filename of ours and so no tag. Only complete lists, after a quiet period, show what became of
them, and only where an answered JSON create shows how such imports look there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Unpack

from runner.dromo.clock import CLOCKS_DIFFER_BY
from runner.dromo.listing import CLOCK_MARGIN
from runner.models import ImportStatus, Item, ItemChanges, ItemKind, ItemState, RemoteImport
from runner.stages.json_imports import ADOPTED, Seen
from runner.stages.transitions import ItemOvertaken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from runner.config.options import RunOptions
    from runner.dromo.clock import VendorTime
    from runner.ledger.protocol import Ledger
    from runner.stages.json_imports import JsonImports
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)

_S = ItemState

_DATES_DIFFER_BY = timedelta(minutes=10)
"""How far the dates of two imports, or a date and the vendor's time, may be off without excluding an import."""

_LOOK_BACK = timedelta(hours=2)
"""How long before the lost create an answered one may have been made to show how the list has them."""

_LONGEST_LAG = timedelta(hours=1)
"""How old the vendor's list may be at most, if nothing shows that it is newer."""

_LOOK_AGAIN_S = 300.0


@dataclass(frozen=True, slots=True)
class _LostCreate:
    """An item whose create was sent at `intent_at` by the vendor's time, and at `noted_at` by the ledger's clock.

    If the two differ, one clock was wrong then: the import may be dated near either.
    """

    item: Item
    intent_at: datetime
    noted_at: datetime

    @property
    def first_at(self) -> datetime:
        return min(self.intent_at, self.noted_at)

    @property
    def last_at(self) -> datetime:
        return max(self.intent_at, self.noted_at)


class LostCreates:
    """Settles JSON items in state `creating`, together, once their quiet period is over."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        imports: JsonImports,
        transitions: Transitions,
        options: RunOptions,
        vendor_time: VendorTime,
        stop: StopSignal,
    ) -> None:
        self._ledger = ledger
        self._imports = imports
        self._transitions = transitions
        self._options = options
        self._vendor_time = vendor_time
        self._stop = stop

    async def settle(self, items: Sequence[Item], *, waits: bool = True) -> list[Item]:
        """Wait until the quiet period of every item is over, then decide each.

        An item becomes `processing` if exactly one import can be its own, looks like it, and can belong to no other
        item. It becomes `queued` if no import can be its own, and an answered JSON create of the account proves that
        the list would show one; the list must be new enough for that. Otherwise it becomes `uncertain`. All stay
        `creating` if a stop comes first, or without `waits` if it is too early. Raises TransientError if the vendor
        cannot be listed.
        """
        lost = [await self._lost(item) for item in items]
        quiet_at = max(one.intent_at for one in lost) + self._quiet_period
        since = min(one.first_at for one in lost) - _LOOK_BACK
        lag = _LONGEST_LAG
        while True:
            asked_at = self._vendor_time.now()
            seen = await self._imports.seen_since(since)
            lag = min(lag, seen.age(asked_at) or lag)
            if asked_at >= quiet_at and (asked_at - quiet_at >= lag or self._needs_no_newer(lost, seen)):
                others = [await self._lost(item) for item in await self._other_lost_creates(items)]
                return [await self._decide(one, seen, contenders=[*others, *lost]) for one in lost]
            if not waits or await self._stop.sleep(self._pause_s(quiet_at, lag)):
                return list(items)

    def _needs_no_newer(self, lost: Sequence[_LostCreate], seen: Seen) -> bool:
        """Return whether no item can be repeated after this list, so that it does not matter how old the list is."""
        return not seen.shows_json_creates or all(self._candidates(one, seen) for one in lost)

    def _pause_s(self, quiet_at: datetime, lag: timedelta) -> float:
        """Return how long to wait for the next list: to the end of the quiet period, or until a list is new enough."""
        now = self._vendor_time.now()
        if now < quiet_at:
            return (quiet_at - now).total_seconds()
        return min(max((quiet_at + lag - now).total_seconds(), 0.0), _LOOK_AGAIN_S)

    async def give_up(self, item: Item) -> Item:
        """Leave an item to a person because the vendor's imports could not be listed to the end in time."""
        return await self._doubt(
            item,
            reason="lost create, and the imports could not be listed",
            message="the answer to the create was lost, and the vendor's imports could not be listed to the end;"
            " look for it in the dashboard before you redrive it",
        )

    async def _other_lost_creates(self, items: Sequence[Item]) -> list[Item]:
        """Return the ledger's other items with lost creates, uncertain ones too: nobody adopts what one may have made.

        All are read by `items`, because a page of a shared ledger may lack some.
        """
        own = {(item.batch_id, item.source) for item in items}
        found: list[Item] = []
        for batch in await self._ledger.batches():
            lost = self._ledger.items(batch.batch_id, states={_S.CREATING, _S.UNCERTAIN})
            found += [item async for item in lost if item.kind is ItemKind.JSON]
        return [item for item in found if (item.batch_id, item.source) not in own]

    async def _decide(self, lost: _LostCreate, seen: Seen, *, contenders: Sequence[_LostCreate]) -> Item:
        item, own = lost.item, self._candidates(lost, seen)
        if not own:
            return await self._absent(item, seen)
        claims = [contender for contender in contenders if self._may_be_of(contender, own[0], seen)]
        if len(own) == 1 and len(claims) == 1 and self._looks_like_its_own(lost, own[0], seen):
            return await self._adopt(item, own[0])
        ids = ", ".join(sorted(remote.import_id for remote in own)[:10])
        return await self._doubt(
            item,
            reason="lost create, no single candidate",
            message=f"the answer to the create was lost; it may have made one of: {ids}",
        )

    async def _absent(self, item: Item, seen: Seen) -> Item:
        if seen.shows_json_creates:
            return await self._advance(item, _S.QUEUED, reason="the lost create made no import")
        return await self._doubt(
            item,
            reason="lost create, and nothing shows how the vendor lists one",
            message="the answer to the create was lost; no import in the vendor's list looks like it, but no answered"
            " JSON create shows how one would look; look for it in the dashboard before you redrive it",
        )

    async def _doubt(self, item: Item, *, reason: str, message: str) -> Item:
        return await self._advance(
            item, _S.UNCERTAIN, reason=reason, error_code="create_in_doubt", error_message=message
        )

    async def _adopt(self, item: Item, remote: RemoteImport) -> Item:
        made_at = remote.created_at or item.intent_at
        await self._ledger.count_up(item.batch_id, creates=1)
        return await self._advance(
            item,
            _S.PROCESSING,
            reason=ADOPTED,
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

    async def _lost(self, item: Item) -> _LostCreate:
        """Return an item with the times of its latest create."""
        intent_at = item.intent_at or self._vendor_time.now()
        noted = [entry.at for entry in await self._transitions.history(item) if entry.state is _S.CREATING]
        noted_at = noted[-1] if noted else intent_at
        within = max(noted_at, intent_at - CLOCKS_DIFFER_BY)
        return _LostCreate(item, intent_at=intent_at, noted_at=min(within, intent_at + CLOCKS_DIFFER_BY))

    def _candidates(self, lost: _LostCreate, seen: Seen) -> list[RemoteImport]:
        return [remote for remote in seen.unowned if self._may_be_of(lost, remote, seen)]

    def _may_be_of(self, lost: _LostCreate, remote: RemoteImport, seen: Seen) -> bool:
        """Return whether nothing excludes that the lost create made the import."""
        item = lost.item
        if not self._imports.may_have_schema(remote, item.schema_id) or not seen.may_be_named(remote, item.binding):
            return False
        first_at = lost.first_at
        earliest = min(first_at, seen.latest_before(first_at) or first_at) - _DATES_DIFFER_BY
        latest = lost.last_at + self._quiet_period + _DATES_DIFFER_BY
        return remote.created_at is None or earliest <= remote.created_at <= latest

    def _looks_like_its_own(self, lost: _LostCreate, remote: RemoteImport, seen: Seen) -> bool:
        """Return whether name, status, and date of the import are those that a JSON create's import has."""
        if remote.status == ImportStatus.AWAITING_UPLOAD or not seen.is_named_as_expected(remote):
            return False
        earliest, latest = lost.intent_at - CLOCK_MARGIN, lost.intent_at + self._quiet_period + CLOCK_MARGIN
        return remote.created_at is None or earliest <= remote.created_at <= latest

    @property
    def _quiet_period(self) -> timedelta:
        return timedelta(seconds=self._options.quiet_period_s)

"""UnsentPacks: packs that this ledger has not sent, of which another ledger may have sent the files.

Such a pack is left over from a run that was stopped, or comes with an old copy of the ledger. It is bound to its import
if the other ledger has sent the same pack, and dissolved if its files were sent otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.errors import ImportIdTaken, StaleItem, TagInUse
from runner.events import Notice
from runner.formatting import counted
from runner.ledger.protocol import Move
from runner.models import Item, ItemChanges, ItemState, batch_of_members
from runner.stages.pack_recipe import PackRecipe
from runner.stages.upload_urls import LONGEST_LIFE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.config.routes import Routes
    from runner.dromo.clock import VendorTime
    from runner.events import EventHook
    from runner.ledger.protocol import PackLedger
    from runner.stages.lost_members import LostMembers
    from runner.stages.lost_packs import LostPack
    from runner.stages.orphans import Orphans
    from runner.stages.other_sources import OtherSources
    from runner.stages.pack_ends import PackEnds
    from runner.stages.transitions import Transitions

_S = ItemState
_SENT = "another ledger has sent files of the pack"
_UNKNOWN = "nobody can tell whether another ledger has sent files of the pack"
_ALONE: ItemChanges = {"pack": None, "pack_row": None, "pack_rows": None, "tag": None}


class UnsentPacks:
    """Sees to the unsent packs of one batch before any of them is sent."""

    def __init__(
        self,
        ledger: PackLedger,
        batch_id: str,
        *,
        members: LostMembers,
        others: OtherSources,
        ends: PackEnds,
        orphans: Orphans,
        routes: Routes,
        transitions: Transitions,
        vendor_time: VendorTime,
        again: bool,
        emit: EventHook,
    ) -> None:
        """Take the batch of the packs; with `again`, as in `RunOptions`, what was sent does not matter."""
        self._ledger = ledger
        self._batch_id = batch_id
        self._members = members
        self._others = others
        self._ends = ends
        self._orphans = orphans
        self._routes = routes
        self._transitions = transitions
        self._vendor_time = vendor_time
        self._again = again
        self._emit = emit

    async def settle(self, lost: Mapping[str, LostPack], others: Mapping[str, LostPack]) -> list[str]:
        """Bind or dissolve those packs whose files are at the vendor; `lost` and `others` are packs without an owner.

        Returns the files that are queued again, and found by their tags. Raises as `OtherSources.having`.
        """
        if self._again or await self._ledger.batch(self._batch_id) is None:
            return []
        unsent = [pack async for pack in self._ledger.items(self._batch_id, states={_S.QUEUED, _S.CREATING})]
        if not unsent:
            return []
        queued: list[str] = []
        sent = {tag: one for tag, one in lost.items() if one.has_data}
        came = [one for one in lost.values() if one.has_data or self._may_get_data(one)]
        members_of = {pack.source: await self._waiting(pack) for pack in unsent}
        own_tags = {one.tag for members in members_of.values() for one in members if one.tag}
        tags = await self._others.having([*came, *others.values()], own_tags)
        for pack in unsent:
            members = members_of[pack.source]
            if pack.source in sent:
                queued += await self._bind(pack, members, sent[pack.source])
            elif tags is None or await self._is_sent(pack, members, tags):
                await self._ends.release(pack, _UNKNOWN if tags is None else _SENT)
                queued += [member.source for member in members]
        return queued

    def _may_get_data(self, lost: LostPack) -> bool:
        """Return whether an upload by a run that was killed may be on its way to a pack that waits for it."""
        made_at = lost.remote.created_at
        return made_at is None or made_at > self._vendor_time.now() - LONGEST_LIFE

    async def _is_sent(self, pack: Item, members: Sequence[Item], tags: set[str]) -> bool:
        if any(member.tag in tags for member in members):
            return True
        route = PackRecipe.of(pack).member_route(self._routes)
        if route is None:
            return False
        return any([await self._orphans.match(one.tag or "", route.schema_id) is not None for one in members])

    async def _bind(self, pack: Item, members: Sequence[Item], lost: LostPack) -> list[str]:
        """Bind a pack to the import that another ledger has made; return its files that have changed, and leave it."""
        changed = [one for one in members if await self._members.has_changed(one)]
        remote = lost.remote
        recipe = PackRecipe.of(pack)
        route = recipe.route(self._routes)
        tags = tuple((one.tag, one.row_count) for one in recipe.layout(members).members)
        made_at = remote.created_at or self._vendor_time.now()
        leave = [_leave(one, f"it changed after pack {pack.source} was sent") for one in changed]
        try:
            if pack.state is _S.QUEUED:
                pack = await self._transitions.advance(
                    pack,
                    _S.CREATING,
                    reason="another ledger has sent it",
                    tag=pack.source,
                    attempts=1,
                    intent_at=made_at,
                    binding=route.binding if route is not None else "",
                )
            bind = Move(
                item=pack,
                state=_S.CREATED,
                reason=f"import {remote.import_id} of another ledger has its rows",
                changes={
                    "version": replace(recipe, members=tags, is_adopted=True).text,
                    "import_id": remote.import_id,
                    "status": remote.status,
                    "created_at": made_at,
                },
            )
            await self._transitions.advance_all([bind, *leave])
        except (StaleItem, TagInUse, ImportIdTaken):
            return []
        await self._ledger.count_up(batch_of_members(self._batch_id), creates=1)
        others = f"; changed since: {len(changed):,}" if changed else ""
        came = f"{counted(len(members) - len(changed), 'file')} came with a pack that another ledger has sent"
        self._emit(Notice(code="packing", message=f"{came}, and are not sent again{others}"))
        return [one.source for one in changed]

    async def _waiting(self, pack: Item) -> list[Item]:
        members = await self._ledger.members(batch_of_members(pack.batch_id), pack.source)
        return [member for member in members if member.state is _S.PACKED]


def _leave(member: Item, reason: str) -> Move:
    return Move(item=member, state=_S.QUEUED, reason=reason, changes=_ALONE)

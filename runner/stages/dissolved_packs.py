"""DissolvedPacks: packs whose imports were deleted in review, in case somebody has finished the review anyway.

A person may finish a review in the vendor's dashboard while the runner deletes its import. Members that were not sent
otherwise since are held then; of the others, the rows are at the vendor twice, which nothing can undo. If the vendor
refuses to delete the import, only a person can finish the review, and the members are held until then.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.errors import AuthRefused, ImportNotFound, RequestInvalid, StaleItem, TagInUse, TransientError
from runner.events import Notice
from runner.formatting import counted
from runner.ledger.protocol import Move
from runner.models import (
    PACK_REVIEW_FINISHED,
    PACK_REVIEW_OPEN,
    ImportStatus,
    Item,
    ItemChanges,
    ItemState,
    batch_of_packs,
)
from runner.stages.pack_ends import DISSOLVED
from runner.stages.pack_recipe import PackRecipe
from runner.stages.pack_results import of_pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.events import EventHook
    from runner.ledger.protocol import PackLedger
    from runner.models import RemoteImport
    from runner.packing.layout import PackLayout
    from runner.protocols import Clock, ImportsApi
    from runner.stages.transitions import Transitions

logger = logging.getLogger(__name__)

WATCHED_FOR = timedelta(days=30)
"""For how long the import of a dissolved pack is asked for (choice), as a dismissed review is."""

ASKED_MOST = 50
"""Dissolved packs of one batch that are asked for at once; they are rare, because packs are predicted to succeed."""

NAMED_MOST = 5
_MESSAGE = "a person finished the review of its pack, which was to be sent otherwise"
_S = ItemState


@dataclass(frozen=True, slots=True)
class Finished:
    """A dissolved pack whose import has succeeded, or one whose import could not be deleted.

    `waiting` are its members that were not sent since, each with the tag that it had in the pack; `sent` those that
    were, or have other content now. A member that a person has dismissed is in neither.
    """

    pack: Item
    waiting: list[tuple[str, Item]] = field(default_factory=list)
    sent: list[Item] = field(default_factory=list)
    unsent_packs: list[Item] = field(default_factory=list)
    """Packs of waiting members that were not sent either."""


class DissolvedPacks:
    """Asks the vendor for the imports of dissolved packs of one batch."""

    def __init__(
        self,
        batch_id: str,
        *,
        ledger: PackLedger,
        api: ImportsApi,
        transitions: Transitions,
        clock: Clock,
        emit: EventHook,
    ) -> None:
        self._batch_id = batch_id
        self._ledger = ledger
        self._api = api
        self._transitions = transitions
        self._clock = clock
        self._emit = emit

    async def settle(self) -> None:
        """Hold the members whose rows arrived with a dissolved pack, and name those that were sent again.

        Trouble with the vendor is a notice: a later run asks again. Raises LedgerError.
        """
        try:
            for pack in await self.watched():
                if (finished := await self.finished(pack)) is not None:
                    await self._end(finished)
        except (AuthRefused, RequestInvalid, TransientError) as error:
            message = f"whether reviews of packs were finished after they were deleted is not known: {error}"
            self._emit(Notice(code="packs_not_checked", message=message))

    async def watched(self) -> list[Item]:
        """Return the packs of the last 30 days whose imports were, or could not be, deleted in review, newest first."""
        since = self._clock.now() - WATCHED_FOR
        found = [
            pack
            async for pack in self._ledger.items(batch_of_packs(self._batch_id), states={_S.FAILED})
            if pack.error_code in (DISSOLVED, PACK_REVIEW_OPEN) and not pack.was_imported
            if pack.import_id and (pack.finished_at or since) >= since
            if PackRecipe.of(pack).members
        ]
        return sorted(found, key=lambda pack: pack.finished_at or since, reverse=True)[:ASKED_MOST]

    async def finished(self, pack: Item) -> Finished | None:
        """Return what became of a dissolved pack's members if its import has succeeded. Raises TransientError."""
        remote = await self._retrieved(pack)
        if remote is None or remote.status != ImportStatus.SUCCESSFUL:
            return None
        finished = Finished(pack)
        await self._add_members(finished, pack)
        return finished

    async def _add_members(self, finished: Finished, pack: Item) -> None:
        """Add the members of a pack, and those of the packs that were made instead of it."""
        is_unsent = pack.state is _S.QUEUED and pack.import_id is None
        if is_unsent:
            finished.unsent_packs.append(pack)
        layout = PackRecipe.of(pack).layout(())
        for member in await self._ledger.members(self._batch_id, pack.source):
            tag = _tag_in(layout, member)
            is_packed = member.state is _S.PACKED and (is_unsent or pack is finished.pack)
            is_held = member.error_code == PACK_REVIEW_OPEN
            if member.tag in (None, tag) and (member.state is _S.QUEUED or is_packed or is_held):
                finished.waiting.append((tag, member))
            elif not (member.is_dismissed and member.pack_import_id == finished.pack.import_id):
                finished.sent.append(member)
        for other in await self._packs_instead_of(pack):
            await self._add_members(finished, other)

    async def _retrieved(self, pack: Item) -> RemoteImport | None:
        try:
            return await self._api.retrieve(pack.bound_id)
        except ImportNotFound:
            return None

    async def _packs_instead_of(self, pack: Item) -> list[Item]:
        others = self._ledger.items(pack.batch_id, states=frozenset(ItemState))
        return [other async for other in others if PackRecipe.of(other).instead_of == pack.source]

    async def _end(self, finished: Finished) -> None:
        pack = finished.pack
        layout = PackRecipe.of(pack).layout(())
        end: ItemChanges = {
            "error_code": PACK_REVIEW_FINISHED,
            "error_message": _MESSAGE,
            "status": ImportStatus.SUCCESSFUL,
        }
        of_the_pack: ItemChanges = {**end, "error_code": pack.error_code} if _is_kept(pack) else end
        moves = [Move(item=pack, state=_S.FAILED, reason=PACK_REVIEW_FINISHED, changes=of_the_pack)]
        moves += [
            Move(item=other, state=_S.FAILED, reason=PACK_REVIEW_FINISHED, changes={"error_code": DISSOLVED})
            for other in finished.unsent_packs
        ]
        moves += [_hold(member, tag, pack, layout, end) for tag, member in finished.waiting]
        try:
            await self._transitions.advance_all(moves)
        except (StaleItem, TagInUse):
            logger.info("members of a dissolved pack have moved", extra={"pack": pack.source})
            return
        self._emit(Notice(code=PACK_REVIEW_FINISHED, message=_sentence(finished)))


def _is_kept(pack: Item) -> bool:
    """Return whether the vendor has refused to delete the import of a pack."""
    return pack.error_code == PACK_REVIEW_OPEN


def _hold(member: Item, tag: str, pack: Item, layout: PackLayout, end: ItemChanges) -> Move:
    """Return the move of a member whose rows are at the vendor, back to its place in the pack."""
    row, _ = layout.rows_of(tag)
    changes: ItemChanges = {**of_pack(pack), **end, "tag": tag, "pack": pack.source, "pack_row": row}
    return Move(item=member, state=_S.FAILED, reason=PACK_REVIEW_FINISHED, changes=changes)


def _tag_in(layout: PackLayout, member: Item) -> str:
    """Return the tag that a member had in its last pack: the ledger keeps its rows, and maybe another tag since."""
    assert member.pack_row is not None, "a member keeps its place in the pack"
    place = layout.member_at(member.pack_row - 1)
    assert place is not None, "its place is one of the pack's"
    return place[0]


def _sentence(finished: Finished) -> str:
    import_id, is_kept = finished.pack.import_id, _is_kept(finished.pack)
    when = ", which could not be deleted" if is_kept else " after it was deleted"
    parts = [f"somebody finished the review of import {import_id}{when}"]
    if finished.waiting:
        waiting = [member for _, member in finished.waiting]
        parts.append(f"{_named(waiting)}: not sent again; `bulkhead redrive` fetches the results")
    if finished.sent:
        parts.append(
            f"{_named(finished.sent)}: sent again since, or changed, so the vendor may have more rows than it should"
        )
    return "; ".join(parts)


def _named(items: Iterable[Item]) -> str:
    sources = sorted(item.source for item in items)
    more = f" and {len(sources) - NAMED_MOST} more" if len(sources) > NAMED_MOST else ""
    return f"{counted(len(sources), 'file')} ({', '.join(sources[:NAMED_MOST])}{more})"

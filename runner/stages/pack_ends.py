"""PackEnds: what becomes of the members of a pack that has ended without a result for each of them.

Members are queued again only if it is certain that their data was not imported with the pack.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, cast

from runner.errors import AuthRefused, ConnectionBarred, ImportNotFound, NotYet, RequestInvalid, TransientError
from runner.events import Notice
from runner.formatting import counted
from runner.ledger.protocol import Move
from runner.models import (
    IMPORT_MISSING,
    PACK_REVIEW_FINISHED,
    PACK_REVIEW_OPEN,
    ImportStatus,
    Item,
    ItemChanges,
    ItemState,
    batch_of_members,
    batch_of_packs,
)
from runner.packing.split import offenders
from runner.retry import repeat_read
from runner.stages.absence import PAUSE_S
from runner.stages.pack_making import FEWEST, NewMember
from runner.stages.pack_recipe import PackRecipe
from runner.stages.pack_results import of_pack
from runner.stages.pack_source import MEMBER_UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from runner.config.routes import Routes
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger, PackLedger
    from runner.models import HistoryEntry, RemoteImport
    from runner.protocols import ImportsApi
    from runner.stages.absence import Absence
    from runner.stages.pack_making import PackMaker
    from runner.stages.transitions import Transitions

logger = logging.getLogger(__name__)

DISSOLVING = "dissolving"
"""Error code of a pack in review: its import is being deleted, so that its members can be sent otherwise."""

DISSOLVED = "dissolved"
"""Error code of a pack whose import was deleted before it brought any data."""

SMALLEST_HALVED = 9
"""Members of a pack that failed are sent alone if they are fewer (choice)."""

_NOT_IMPORTED = frozenset({"create_refused", "upload_refused", "import_failed", DISSOLVED})
"""Error codes of failed packs whose data the vendor has not imported and never will."""

_NO_TROUBLE: ItemChanges = {"error_code": None, "error_message": None, "finished_at": None}
IN_TABLE = (
    "only a ledger in a file can fetch its result again; copy the batch to one with `bulkhead ledger copy`, and "
    "redrive it there"
)
"""What to do with a file whose pack is in a DynamoDB ledger."""

_S = ItemState
_ALONE: ItemChanges = {"pack": None, "pack_row": None, "pack_rows": None, "tag": None}

_SHOWN_AFTER_DELETE = 3
"""So many times, an import that the vendor says it has deleted may still be shown as waiting for its review."""

_REFUSED_PAUSE_S = 60.0
"""Until an import that the vendor refused to delete is deleted again; a second refusal is final (choice)."""

_REFUSED = "the vendor refuses to delete its import"
"""Reason in the history of a pack in review: the vendor has shown its import, and has not deleted it."""

_SHOWN_WITHIN = timedelta(days=1)
"""An import that the vendor refused to delete, and that was in review so lately, is gone because somebody deleted it.

After a longer time, the review may have been finished, and the import removed because of its age (choice).
"""


_NAMED_MOST = 5

REPACKED_MOST = 3
"""So many times in a row, the others are sent in a new pack (choice): errors may name only the first file of many."""


@dataclass(frozen=True, slots=True)
class PackEnd:
    """What came of a pack: new packs of its members, and whether packing is to stop for its route."""

    new_packs: tuple[Item, ...] = ()
    stops_packing: bool = False


class PackEnds:
    """Ends packs. Everything is recorded with the pack's last move, or is repeated after a crash."""

    def __init__(
        self,
        *,
        ledger: PackLedger,
        api: ImportsApi,
        routes: Routes,
        maker: PackMaker,
        transitions: Transitions,
        absence: Absence,
        is_off: Callable[[Item], bool],
        emit: EventHook,
    ) -> None:
        """`is_off` tells whether files of a pack's route are not packed any more: no new packs are made of them."""
        self._ledger = ledger
        self._api = api
        self._routes = routes
        self._maker = maker
        self._transitions = transitions
        self._absence = absence
        self._is_off = is_off
        self._emit = emit
        self._deletes: Counter[str] = Counter()

    async def release(self, pack: Item, reason: str, *, without: Collection[str] = ()) -> None:
        """Queue the members of a pack that was not sent, and end the pack; it is `queued`, so it has no import.

        If only the sources `without` are to leave it, the other members are put into a new pack.
        """
        members = await self._waiting(pack)
        others = [member for member in members if member.source not in without] if without else []
        if len(others) >= FEWEST:
            await self._repack(pack, [others])
            members = await self._waiting(pack)
        end = Move(item=pack, state=_S.FAILED, reason=reason, changes={"error_code": DISSOLVED})
        keep_place = _is_watched(pack)
        await self._transitions.advance_all([end, *(_leave(one, reason, keep_place=keep_place) for one in members)])

    async def settle(self, pack: Item) -> PackEnd:
        """Move the members of a pack that is `failed`, `rejected`, or `skipped` to what follows from that."""
        members = await self._waiting(pack)
        if not members:
            return PackEnd()
        if pack.state is not _S.FAILED:
            return await self._not_sent(pack, members)
        recipe = PackRecipe.of(pack)
        if pack.error_code not in _NOT_IMPORTED:
            await self._transitions.advance_all([_fail(member, pack) for member in members])
            self.say_stopped(pack, pack.error_message)
            return PackEnd(stops_packing=True)
        halves = () if pack.error_code != "import_failed" or recipe.is_canary else await self._halve(pack, members)
        await self._queue(await self._waiting(pack), f"the pack failed: {pack.error_message}", pack)
        is_refused = pack.error_code in {"create_refused", "upload_refused"}
        if is_refused or recipe.is_canary:
            self.say_stopped(pack, pack.error_message)
        return PackEnd(halves, stops_packing=is_refused or recipe.is_canary)

    async def _not_sent(self, pack: Item, members: Sequence[Item]) -> PackEnd:
        """Queue the members of a pack that was not sent; those that can be read travel on in a new pack."""
        if pack.error_code != MEMBER_UNREADABLE:
            self._say(
                f"a pack of {counted(len(members), 'file')} is not sent, so they travel alone: {pack.error_message}"
            )
            await self._queue(members, f"the pack was not sent: {pack.error_message}", pack)
            return PackEnd()
        unreadable = [member for member in members if _is_named(member, pack)]
        others = [member for member in members if not _is_named(member, pack)]
        new_packs = await self._repack(pack, [others]) if len(others) >= FEWEST else ()
        names = ", ".join(member.source for member in unreadable[:_NAMED_MOST])
        more = f" and {len(unreadable) - _NAMED_MOST} more" if len(unreadable) > _NAMED_MOST else ""
        self._say(
            f"{counted(len(unreadable), 'file')} of a pack of {len(members):,} cannot be read now ({names}{more}); the "
            "others are sent without"
        )
        await self._queue(await self._waiting(pack), "a file of its pack cannot be read at the moment", pack)
        return PackEnd(new_packs)

    async def end_review(self, pack: Item) -> tuple[Item, PackEnd]:
        """Delete the import of a pack that needs a review, then send its members otherwise: nobody reviews packs.

        Returns the pack as it is then: `failed`, or `succeeded` if a person has finished the review. If the vendor
        refuses twice to delete the import, now or in an earlier run, the pack is `failed` with PACK_REVIEW_OPEN. If a
        person deletes it after the first refusal, and it is missed soon, that is as if the vendor had done so.
        Raises NotYet while it is not certain that the import is gone, TransientError, and AuthRefused if the key may
        not even read the import.
        """
        was_refused = any(step.reason == _REFUSED for step in await self._review_of(pack))
        try:
            remote = await self._retrieved(pack)
        except ImportNotFound:
            return await self._gone(pack)
        if (ended := await self._ended(pack, remote)) is not None:
            return ended, PackEnd()
        named = offenders(remote.import_errors, PackRecipe.of(pack).layout(await self._waiting(pack)))
        tags = sorted(named.tags) if named.are_all else []
        pack = await self._transitions.advance(
            pack, _S.NEEDS_REVIEW, reason=DISSOLVING, error_code=DISSOLVING, error_message=",".join(tags)[:1500]
        )
        try:
            await self._api.delete(pack.bound_id)
        except ImportNotFound:
            return await self._gone(pack)
        except TransientError as error:
            raise NotYet(f"the import of a pack that needs a review is not deleted yet: {error}", wait_s=10.0) from None
        except (AuthRefused, RequestInvalid) as error:
            return await self._refused(pack, error, is_final=was_refused), PackEnd()
        return await self._deleted(pack)

    async def _refused(self, pack: Item, error: AuthRefused | RequestInvalid, *, is_final: bool) -> Item:
        """Note that the vendor refuses to delete an import which it shows; return the pack `failed` if that is final.

        Raises NotYet if it is not, and ConnectionBarred, which is no answer of the vendor's.
        """
        if isinstance(error, ConnectionBarred):
            raise error
        why = "the license key may not delete imports" if isinstance(error, AuthRefused) else str(error)
        if not is_final:
            await self._transitions.advance(pack, _S.NEEDS_REVIEW, reason=_REFUSED)
            raise NotYet(f"the vendor refuses to delete import {pack.import_id}: {why}", wait_s=_REFUSED_PAUSE_S)
        return await self._transitions.advance(
            pack,
            _S.FAILED,
            reason=_REFUSED,
            error_code=PACK_REVIEW_OPEN,
            error_message=f"import {pack.import_id} needs a review, and cannot be deleted: {why}; finish the review in "
            "the vendor's dashboard, then `bulkhead redrive` fetches the result, or delete the import there",
        )

    async def _review_of(self, pack: Item) -> list[HistoryEntry]:
        """Return what has happened in the review that a pack is in, newest first."""
        history = await self._transitions.history(pack)
        return list(takewhile(lambda step: step.state is _S.NEEDS_REVIEW, reversed(history)))

    async def _was_deleted(self, pack: Item) -> bool:
        """Return whether the import of a pack in review, which is gone, was deleted, by this ledger or by a person.

        After a refusal, only the time tells: it must be missed soon after a retrieve last showed it in review. That its
        list showed it since proves nothing, because a list may be old.
        """
        review = await self._review_of(pack)
        if all(step.reason != _REFUSED for step in review):
            return pack.error_code == DISSOLVING
        missing = list(takewhile(lambda step: step.reason == IMPORT_MISSING, review))
        shown = next(step for step in review[len(missing) :] if step.reason in (DISSOLVING, _REFUSED))
        return missing[-1].at - shown.at <= _SHOWN_WITHIN

    async def _retrieved(self, pack: Item) -> RemoteImport:
        return await repeat_read(lambda: self._api.retrieve(pack.bound_id))

    async def _ended(self, pack: Item, remote: RemoteImport) -> Item | None:
        """Return a pack that somebody has taken out of its review, moved; None if it still needs a review."""
        if remote.status == ImportStatus.SUCCESSFUL:
            return await self._move(pack, _S.SUCCEEDED, "a person finished the review", remote)
        if remote.status == ImportStatus.FAILED:
            return await self._move(pack, _S.FAILED, "status FAILED", remote, error_code="import_failed")
        if remote.status != ImportStatus.NEEDS_REVIEW:
            raise NotYet(f"the import of the pack is {remote.status} again", wait_s=PAUSE_S)
        return None

    async def _deleted(self, pack: Item) -> tuple[Item, PackEnd]:
        """Dissolve a pack whose import the vendor says it has deleted, unless a person was faster."""
        try:
            remote = await self._retrieved(pack)
        except ImportNotFound:
            return await self._dissolve(pack)
        if (ended := await self._ended(pack, remote)) is not None:
            return ended, PackEnd()
        self._deletes[pack.source] += 1
        if self._deletes[pack.source] < _SHOWN_AFTER_DELETE:
            raise NotYet("the vendor still shows the import of a pack that it has deleted", wait_s=PAUSE_S)
        return await self._dissolve(pack)

    async def _gone(self, pack: Item) -> tuple[Item, PackEnd]:
        finding = await self._absence.of_import(pack)
        if not finding.is_proved:
            raise NotYet(finding.sentence, wait_s=PAUSE_S)
        if await self._was_deleted(finding.item):
            return await self._dissolve(finding.item)
        moved = await self._transitions.advance(
            finding.item,
            _S.FAILED,
            reason=IMPORT_MISSING,
            error_code=IMPORT_MISSING,
            error_message="the vendor no longer has the import",
        )
        return moved, PackEnd()

    async def _move(
        self, pack: Item, state: ItemState, reason: str, remote: RemoteImport, *, error_code: str | None = None
    ) -> Item:
        return await self._transitions.advance(
            pack, state, reason=reason, status=remote.status, error_code=error_code, error_message=None
        )

    async def _dissolve(self, pack: Item) -> tuple[Item, PackEnd]:
        """Send the members otherwise whose pack's import is deleted: those that its errors name alone."""
        members, recipe = await self._waiting(pack), PackRecipe.of(pack)
        named = {member.tag for member in members if _is_named(member, pack)}
        ended = await self._transitions.advance(
            pack, _S.FAILED, reason=DISSOLVED, error_code=DISSOLVED, error_message="its import needed a review"
        )
        self._say(f"a pack of {counted(len(members), 'file')} needed a review: its files are sent otherwise")
        if recipe.is_canary:
            self.say_stopped(ended, "the import of its first pack needed a review")
        others = [member for member in members if member.tag not in named]
        new_packs: tuple[Item, ...] = ()
        may_repack = named and len(others) >= FEWEST and not recipe.is_canary
        if may_repack and await self._reviews_before(pack) < REPACKED_MOST:
            new_packs = await self._repack(ended, [others])
        await self._queue(await self._waiting(pack), "its pack needed a review", ended)
        return ended, PackEnd(new_packs, stops_packing=recipe.is_canary)

    async def _reviews_before(self, pack: Item) -> int:
        """Return how many packs with members of this one have needed a review before."""
        count, before = 0, PackRecipe.of(pack).instead_of
        while before and (other := await self._ledger.item(pack.batch_id, before)) is not None:
            count += other.error_code == DISSOLVED
            before = PackRecipe.of(other).instead_of
        return count

    async def _halve(self, pack: Item, members: Sequence[Item]) -> tuple[Item, ...]:
        if len(members) < SMALLEST_HALVED or self._is_off(pack):
            return ()
        middle = len(members) // 2
        halves = await self._repack(pack, [members[:middle], members[middle:]])
        if len(halves) > 1:
            self._say(f"a pack of {counted(len(members), 'file')} failed, and is sent again as two")
        return halves

    async def _repack(self, pack: Item, groups: Sequence[Sequence[Item]]) -> tuple[Item, ...]:
        """Put members of an ended pack into new packs, each group that can be; the others are still packed in it.

        If packing is off now, no group can be.
        """
        if self._is_off(pack):
            return ()
        recipe = replace(PackRecipe.of(pack), instead_of=pack.source if _is_watched(pack) else "")
        route = recipe.member_route(self._routes)
        if route is None:
            return ()
        made = []
        for group in groups:
            new = [NewMember(member, member.tag or "", member.pack_rows or 0) for member in group]
            made.append(await self._maker.make(new, recipe, route))
        return tuple(one for one in made if one is not None)

    async def _queue(self, members: Sequence[Item], reason: str, pack: Item) -> None:
        if members:
            moves = [_leave(member, reason, keep_place=_is_watched(pack)) for member in members]
            await self._transitions.advance_all(moves)

    async def _waiting(self, pack: Item) -> list[Item]:
        members = await self._ledger.members(batch_of_members(pack.batch_id), pack.source)
        return [member for member in members if member.state is _S.PACKED]

    def say_stopped(self, pack: Item, why: str | None) -> None:
        """Say that no more files of a pack's route are packed."""
        route = PackRecipe.of(pack).member_route(self._routes)
        self._say(f"packing of {f'route {route.name}' if route is not None else 'a route'} stops: {why}")

    def _say(self, message: str) -> None:
        self._emit(Notice(code="packing", message=message))


def is_sent_otherwise(pack: Item) -> bool:
    """Return whether a pack has ended so that its members are sent in other imports, or have been."""
    if pack.state is _S.FAILED:
        return pack.error_code in _NOT_IMPORTED or pack.error_code == PACK_REVIEW_FINISHED
    return pack.state in (_S.REJECTED, _S.SKIPPED)


def _is_watched(pack: Item) -> bool:
    """Return whether somebody may have finished the review of a pack that has ended, or of one before it."""
    return bool(PackRecipe.of(pack).instead_of) or (pack.error_code == DISSOLVED and pack.import_id is not None)


def _is_named(member: Item, pack: Item) -> bool:
    """Return whether a member's tag is among those in the message of its pack."""
    return (member.tag or "?") in (pack.error_message or "")


def _leave(member: Item, reason: str, *, keep_place: bool = False) -> Move:
    """Return the move of a member whose data was not imported with its pack; its file is sent in its own import.

    `keep_place`: the ledger keeps which rows of the pack it had, in case they arrive anyway.
    """
    changes: ItemChanges = {"tag": None} if keep_place else _ALONE
    return Move(item=member, state=_S.QUEUED, reason=reason, changes=changes)


def _fail(member: Item, pack: Item) -> Move:
    """Return the move of a member of whose data nobody knows what became, or which has no usable result."""
    changes: ItemChanges = {
        "error_code": pack.error_code,
        "error_message": f"its pack: {pack.error_message}",
        **of_pack(pack),
    }
    return Move(item=member, state=_S.FAILED, reason=pack.error_code or "its pack failed", changes=changes)


async def pack_again(
    members: Sequence[Item],
    state: ItemState,
    *,
    ledger: Ledger,
    transitions: Transitions,
    reason: str,
    emit: EventHook,
) -> int:
    """Move the pack of these members to `state`, and them to `packed`; return how many.

    They are all of one pack, which is `failed` or `collected`. Other members stay as they are, and so do all, with a
    notice, if the ledger is a table, to which they were copied. Raises StaleItem.
    """
    first = members[0]
    if not hasattr(ledger, "advance_all"):
        others = f" and {counted(len(members) - 1, 'other file')}" if len(members) > 1 else ""
        emit(Notice(code="pack_in_table", message=f"{first.source}{others} came with a pack: {IN_TABLE}"))
        return 0
    packs = cast("PackLedger", ledger)
    pack = await packs.item(batch_of_packs(first.batch_id), first.pack or "")
    if pack is None:
        return 0
    moves = [Move(item=member, state=ItemState.PACKED, reason=reason, changes=_NO_TROUBLE) for member in members]
    if pack.state is not state:
        moves.append(Move(item=pack, state=state, reason=reason, changes=_NO_TROUBLE))
    await transitions.advance_all(moves)
    return len(members)

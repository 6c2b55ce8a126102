"""LostMembers: which files of a batch are today as they were sent with a pack whose ledger is lost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runner import identity
from runner.concurrency import handle_all
from runner.errors import FileUnavailable, ItemRejected
from runner.models import FILTERED_OUT, Item, ItemKind, ItemState
from runner.sources.recoded_body import in_utf8
from runner.stages.earlier import Content

if TYPE_CHECKING:
    from runner.config.routes import Route, Routes
    from runner.ledger.protocol import PackLedger
    from runner.models import ItemChanges
    from runner.protocols import Clock, InputReader, Prepared
    from runner.stages.earlier import EarlierItems
    from runner.stages.orphans import Orphans
    from runner.stages.pack_lists import ListedMember, PackList

_READ_AT_ONCE = 8
_S = ItemState

_OTHER_CONTENT = frozenset({"not_found", "empty", "too_large", "not_a_file"})
"""Codes of files that cannot be read because they are not what was sent; another reason says nothing about that."""


class MemberUnclear(Exception):
    """Nobody can tell whether a file is as it was sent, or it is and has no part in the run; the message says why."""


@dataclass(frozen=True, slots=True)
class LostMember:
    """A queued item whose content was sent with a pack, under this tag, and what else is recorded of it."""

    item: Item
    tag: str
    changes: ItemChanges


class LostMembers:
    """Reads the files of a pack's list as they are now."""

    def __init__(
        self,
        *,
        ledger: PackLedger,
        files: InputReader,
        routes: Routes,
        earlier: EarlierItems,
        orphans: Orphans,
        batch_id: str,
        endpoint: str,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._routes = routes
        self._earlier = earlier
        self._orphans = orphans
        self._batch_id = batch_id
        self._endpoint = endpoint
        self._clock = clock

    async def of(self, listed: PackList) -> list[LostMember]:
        """Return those members of a list that are as they were sent. Raises MemberUnclear, LedgerError."""
        items = await self._ledger.look_up(self._batch_id, [one.source for one in listed.members])
        look = partial(self._member, listed=listed, items=items)
        found = await handle_all(look, listed.members, at_once=_READ_AT_ONCE)
        return [one for one in found if one is not None]

    async def _member(self, one: ListedMember, *, listed: PackList, items: dict[str, Item]) -> LostMember | None:
        """Return the item of a listed file; None if its content is another, or is accounted for elsewhere."""
        item = items.get(one.source)
        in_run = item is not None and item.state is _S.QUEUED
        if item is not None and not in_run and not _may_be_sent_later(item):
            return None
        known = item or Item(batch_id=self._batch_id, source=one.source)
        route = self._routes.for_version(known.source, known.version)
        if route is None or route.binding != listed.recipe.binding or known.kind is not ItemKind.FILE:
            return None
        prepared = await self._prepared(known, route)
        if prepared is None:
            return None
        ruling = await self._earlier.of_content(
            Content.of(prepared, route.binding, endpoint=self._endpoint), own=item if in_run else None
        )
        if ruling.tag != one.tag or ruling.finding is not None:
            return None
        if await self._orphans.match(ruling.tag, route.schema_id) is not None:
            return None
        if not in_run:
            raise MemberUnclear(f"{one.source} is as it was sent with it, and this run leaves it out")
        return LostMember(known, one.tag, self._changes(prepared, route))

    async def _prepared(self, item: Item, route: Route) -> Prepared | None:
        """Return a file as it is now; None if it is not what was sent. Raises MemberUnclear."""
        try:
            return await in_utf8(await self._files.prepare(item), route.encoding)
        except ItemRejected as rejection:
            if rejection.code in _OTHER_CONTENT:
                return None
            raise MemberUnclear(f"{item.source} was sent with it, and cannot be read now: {rejection}") from rejection
        except FileUnavailable as error:
            raise MemberUnclear(f"{item.source} was sent with it, and cannot be read now: {error}") from error

    def _changes(self, prepared: Prepared, route: Route) -> ItemChanges:
        return {
            "fingerprint": prepared.fingerprint,
            "size_bytes": prepared.size_bytes,
            "version": prepared.version,
            "version_key": identity.version_key(prepared.uri, prepared.version, route.binding, endpoint=self._endpoint),
            "file_key": identity.file_key(prepared.uri, endpoint=self._endpoint),
            "intent_at": self._clock.now(),
        }


def _may_be_sent_later(item: Item) -> bool:
    """Return whether an item that is not queued may be sent by a later run, and not by this one."""
    if item.state is _S.REJECTED:
        return item.error_code not in _OTHER_CONTENT
    return item.state is _S.SKIPPED and item.error_code == FILTERED_OUT

"""LostMembers: which files of a batch are today as they were sent with a pack whose ledger is lost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runner import identity
from runner.concurrency import handle_all, in_groups
from runner.config.run_spec import RunSpec
from runner.errors import FileUnavailable, ItemRejected
from runner.models import FAILED_BEFORE, FILTERED_OUT, ImportStatus, Item, ItemKind, ItemState
from runner.packing.member import MEMBER_BYTES_MAX, Member, read_member
from runner.packing.rules import PackRules
from runner.sources.recoded_body import in_utf8
from runner.stages.earlier import Content
from runner.stages.pack_source import whole

if TYPE_CHECKING:
    from collections.abc import Container

    from runner.config.routes import Route, Routes
    from runner.ledger.protocol import PackLedger
    from runner.models import ItemChanges
    from runner.protocols import Clock, InputReader, Prepared
    from runner.stages.earlier import EarlierItems
    from runner.stages.orphans import Orphans
    from runner.stages.pack_lists import ListedMember, PackList
    from runner.stages.packing_setup import RulesOfRoutes

_READ_AT_ONCE = 8
_S = ItemState

_OTHER_CONTENT = frozenset({"not_found", "empty", "too_large", "not_a_file"})
"""Codes of files that cannot be read because they are not what was sent; another reason says nothing about that."""

_NEVER_PACKED = frozenset({"no_route", "unsupported_type", "invalid_json"})


class MemberUnclear(Exception):
    """Nobody can tell whether a file is as it was sent, or it is and has no part in the run; the message says why."""


@dataclass(frozen=True, slots=True)
class LostMember:
    """An item of no import whose content was sent with a pack, under this tag, and what else is recorded of it.

    `row_count` is how many rows it has if that was counted, and a pack can have it now.
    """

    item: Item
    tag: str
    changes: ItemChanges
    row_count: int | None = None


class LostMembers:
    """Reads the files of a pack's list as they are now."""

    def __init__(
        self,
        *,
        ledger: PackLedger,
        files: InputReader,
        routes: Routes,
        rules: RulesOfRoutes,
        earlier: EarlierItems,
        orphans: Orphans,
        batch_id: str,
        endpoint: str,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._routes = routes
        self._rules = rules
        self._earlier = earlier
        self._orphans = orphans
        self._batch_id = batch_id
        self._endpoint = endpoint
        self._clock = clock

    async def of(self, listed: PackList, *, has_data: bool) -> list[LostMember]:
        """Return those members of a list that are as they were sent. Raises MemberUnclear, LedgerError.

        If the pack has its data, a file whose own import waits for its upload is one of them, too.
        """
        items = await self._ledger.look_up(self._batch_id, [one.source for one in listed.members])
        look = partial(self._member, listed=listed, items=items, has_data=has_data)
        found = await handle_all(look, listed.members, at_once=_READ_AT_ONCE)
        return [one for one in found if one is not None]

    async def with_tags(self, tags: Container[str], *, unread: dict[str, str]) -> dict[str, LostMember]:
        """Return the files whose content has one of these tags, by tag. Raises LedgerError.

        They are queued, or not sent because their own import failed before: a pack may have brought them in since.
        Files that are too large for a pack are not read. `unread` takes the sources of those that cannot be read now,
        each with a sentence. As in `of`, a file whose own import waits for its upload counts.
        """
        found: dict[str, LostMember] = {}
        look = partial(self._tagged, tags=tags, unread=unread)
        items = self._ledger.items(self._batch_id, states={_S.QUEUED, _S.FAILED})
        may_join = (item async for item in items if _may_join(item))
        async for some in in_groups(may_join, at_once=_READ_AT_ONCE):
            for member in await handle_all(look, some, at_once=_READ_AT_ONCE):
                found |= {member.tag: member} if member is not None else {}
        return found

    async def has_changed(self, item: Item) -> bool:
        """Return whether a file is another now than when it was packed, or is gone; not if it cannot be read."""
        try:
            prepared = await self._prepared(item)
        except MemberUnclear:
            return False
        return prepared is None or prepared.fingerprint != item.fingerprint

    async def leaves_out_some(self) -> bool:
        """Return whether there may be files that a later run sends, and this one does not."""
        batch = await self._ledger.batch(self._batch_id)
        if batch is None or not batch.listed:
            return True
        source = RunSpec.from_json(batch.config).source
        if source.include or source.exclude or source.min_age_s:
            return True
        left = self._ledger.items(self._batch_id, states={_S.REJECTED, _S.SKIPPED})
        return any([_may_be_sent_later(item) and item.error_code not in _NEVER_PACKED async for item in left])

    async def _tagged(self, item: Item, *, tags: Container[str], unread: dict[str, str]) -> LostMember | None:
        route = self._routes.for_version(item.source, item.version)
        if route is None or not can_be_member(item):
            return None
        try:
            tagged = await self._tag_now(item, route, own=item, has_data=True)
        except MemberUnclear as unclear:
            unread[item.source] = str(unclear)
            return None
        if tagged is None or tagged[0] not in tags:
            return None
        tag, prepared = tagged
        return LostMember(item, tag, self._changes(prepared, route), row_count=await self._row_count(prepared, route))

    async def _row_count(self, prepared: Prepared, route: Route) -> int | None:
        rules = await self._rules.of(route)
        if not isinstance(rules, PackRules):
            return None
        try:
            body = (await in_utf8(prepared, route.encoding)).body
            read = read_member(await whole(body), rules) if body is not None else None
        except (ItemRejected, FileUnavailable):
            return None
        return read.row_count if isinstance(read, Member) else None

    async def _tag_now(
        self, item: Item, route: Route, *, own: Item | None, has_data: bool
    ) -> tuple[str, Prepared] | None:
        """Return a file's tag with what it is now; None if it is not what was sent, or is accounted for elsewhere.

        Content that the vendor refused when it was sent alone is not: a pack may have brought it in since.
        """
        prepared = await self._prepared(item)
        if prepared is None:
            return None
        ruling = await self._earlier.of_content(Content.of(prepared, route.binding, endpoint=self._endpoint), own=own)
        is_elsewhere = ruling.finding is not None and not ruling.finding.was_refused
        if is_elsewhere or await self._has_import(ruling.tag, route, that_has_data=has_data):
            return None
        return ruling.tag, prepared

    async def _has_import(self, tag: str, route: Route, *, that_has_data: bool) -> bool:
        """Return whether the vendor has an import of a file alone to adopt."""
        own = await self._orphans.match(tag, route.schema_id)
        return own is not None and not (that_has_data and own.status == ImportStatus.AWAITING_UPLOAD)

    async def _member(
        self, one: ListedMember, *, listed: PackList, items: dict[str, Item], has_data: bool
    ) -> LostMember | None:
        """Return the item of a listed file; None if its content is another, or is accounted for elsewhere."""
        item = items.get(one.source)
        in_run = item is not None and _may_join(item)
        if item is not None and not in_run and not _may_be_sent_later(item):
            return None
        known = item or Item(batch_id=self._batch_id, source=one.source)
        route = self._routes.for_version(known.source, known.version)
        if route is None or route.binding != listed.recipe.binding or known.kind is not ItemKind.FILE:
            return None
        tagged = await self._tag_now(known, route, own=item if in_run else None, has_data=has_data)
        if tagged is None or tagged[0] != one.tag:
            return None
        if not in_run:
            raise MemberUnclear(f"{one.source} is as it was sent with it, and this run leaves it out")
        return LostMember(known, one.tag, self._changes(tagged[1], route))

    async def _prepared(self, item: Item) -> Prepared | None:
        """Return a file as it is now; None if it is not what was sent. Raises MemberUnclear."""
        try:
            return await self._files.prepare(item)
        except ItemRejected as rejection:
            if rejection.code in _OTHER_CONTENT:
                return None
            raise _unclear(item, rejection) from rejection
        except FileUnavailable as error:
            raise _unclear(item, error) from error

    def _changes(self, prepared: Prepared, route: Route) -> ItemChanges:
        return {
            "fingerprint": prepared.fingerprint,
            "size_bytes": prepared.size_bytes,
            "version": prepared.version,
            "version_key": identity.version_key(prepared.uri, prepared.version, route.binding, endpoint=self._endpoint),
            "file_key": identity.file_key(prepared.uri, endpoint=self._endpoint),
            "intent_at": self._clock.now(),
        }


def _unclear(item: Item, error: ItemRejected | FileUnavailable) -> MemberUnclear:
    return MemberUnclear(f"{item.source} may be as it was sent with it, and cannot be read now: {error}")


def _may_be_sent_later(item: Item) -> bool:
    """Return whether an item that is not queued may be sent by a later run, and not by this one."""
    if item.state is _S.REJECTED:
        return item.error_code not in _OTHER_CONTENT
    return (item.state, item.error_code) == (_S.SKIPPED, FILTERED_OUT)


def can_be_member(item: Item) -> bool:
    """Return whether a file may be in a pack, as far as its kind and size tell."""
    return item.kind is ItemKind.FILE and (item.size_bytes or 0) <= MEMBER_BYTES_MAX


def _may_join(item: Item) -> bool:
    """Return whether an item has no import, and can get its rows from that of a pack."""
    return item.state is _S.QUEUED or (item.state, item.error_code) == (_S.FAILED, FAILED_BEFORE)

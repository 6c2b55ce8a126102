"""PackSource: what a submitter sends for a pack: the rows of its members, as their files are now."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runner.concurrency import handle_all
from runner.config.routes import NO_ROUTE
from runner.errors import ItemRejected, Unavailable
from runner.models import batch_of_members
from runner.packing.body import PackBody, fit_together
from runner.packing.member import Member, read_member
from runner.packing.refusals import Refusal
from runner.protocols import Prepared
from runner.sources.recoded_body import in_utf8
from runner.stages.pack_recipe import PackRecipe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from runner.config.routes import Route, Routes
    from runner.ledger.protocol import PackLedger
    from runner.models import Item
    from runner.packing.rules import PackRules
    from runner.protocols import Body, Source
    from runner.stages.lost_packs import LostPacks
    from runner.stages.pack_lists import PackLists

    RulesOf = Callable[[Route], Awaitable[PackRules | Refusal | None]]

MEMBER_CHANGED = "member_changed"
"""Error code of a pack that was not sent, because the file of a member is not what it was."""

MEMBER_UNREADABLE = "member_unreadable"
"""Error code of a pack that was not sent, because some of its files cannot be read now; its message has their tags."""

_READ_AT_ONCE = 8
"""If so many files in a row cannot be read, the trouble is with their source, and the pack waits (choice)."""

_MESSAGE_MOST = 1500

_SCHEMA_CHANGED = "the schema of its files has changed"


class PackSource:
    """An InputReader of packs."""

    def __init__(
        self,
        ledger: PackLedger,
        files: Source,
        routes: Routes,
        rules_of: RulesOf,
        *,
        lists: PackLists,
        lost: LostPacks,
    ) -> None:
        """`rules_of` returns the rules of a route as its schema is now, None if packs of it are made for others."""
        self._ledger = ledger
        self._files = files
        self._routes = routes
        self._rules_of = rules_of
        self._lists = lists
        self._lost = lost

    async def prepare(self, item: Item) -> Prepared:
        """Build the body of a pack in memory, and write its list, so that nothing is sent without one.

        Raises ItemRejected if a member changed, or if a few cannot be read now; as `Source.prepare`, with the name of a
        file, if more cannot, or if a lost ledger may have sent the pack; and as `Sink.write`.
        """
        recipe = PackRecipe.of(item)
        route = recipe.member_route(self._routes)
        if route is None:
            raise NO_ROUTE
        rules = await self._rules_of(route)
        if rules is None or isinstance(rules, Refusal):
            raise ItemRejected(MEMBER_CHANGED, _SCHEMA_CHANGED if rules is None else rules.sentence)
        members = await self._ledger.members(batch_of_members(item.batch_id), item.source)
        if recipe.members and [member.tag for member in members] != [tag for tag, _ in recipe.members]:
            raise ItemRejected(MEMBER_CHANGED, "files of the pack have changed since it was made")
        read = await self._read_all(item, members, route, rules)
        if not fit_together([member for _, member in read]):
            raise ItemRejected(MEMBER_CHANGED, _SCHEMA_CHANGED)
        body = PackBody(read)
        if (body.marker, rules.keeps_unmapped, rules.behavior) != (
            recipe.column,
            recipe.keeps_unmapped,
            recipe.behavior,
        ):
            raise ItemRejected(MEMBER_CHANGED, _SCHEMA_CHANGED)
        fingerprint = f"sha256:{hashlib.sha256(body.content).hexdigest()}"
        await self._lists.keep(item, members, fingerprint=fingerprint)
        return Prepared(
            uri=f"{self._files.uri}#pack-{item.source}",
            size_bytes=body.size_bytes,
            version=item.version,
            fingerprint=fingerprint,
            body=body,
        )

    async def _read_all(
        self, pack: Item, members: Sequence[Item], route: Route, rules: PackRules
    ) -> list[tuple[str, Member]]:
        read: list[tuple[str, Member]] = []
        unreadable: dict[str, Unavailable] = {}

        async def read_one(member: Item) -> Member | None:
            try:
                return await self._read(member, route, rules)
            except Unavailable as error:
                unreadable[member.tag or ""] = error.with_message(f"{member.source}: {error}")
                return None

        for start in range(0, len(members), _READ_AT_ONCE):
            group = members[start : start + _READ_AT_ONCE]
            results = await handle_all(read_one, group)
            read += [(member.tag or "", one) for member, one in zip(group, results, strict=True) if one is not None]
            if unreadable and (not read or results.count(None) == _READ_AT_ONCE):
                raise next(iter(unreadable.values()))
        if unreadable:
            if await self._was_sent(pack):
                raise next(iter(unreadable.values()))
            raise ItemRejected(MEMBER_UNREADABLE, ",".join(unreadable)[:_MESSAGE_MOST])
        return read

    async def _was_sent(self, pack: Item) -> bool:
        """Return whether a ledger that is lost has sent a pack that has no import in this one."""
        lost = (await self._lost.found()).get(pack.source) if pack.import_id is None else None
        return lost is not None and lost.has_data

    async def _read(self, item: Item, route: Route, rules: PackRules) -> Member:
        try:
            prepared = await in_utf8(await self._files.prepare(item), route.encoding)
            content = await whole(prepared.body) if prepared.body and prepared.fingerprint == item.fingerprint else None
        except ItemRejected as error:
            raise error.with_message(f"{item.source}: {error}") from error
        if content is None:
            raise ItemRejected(MEMBER_CHANGED, f"{item.source} changed after it was packed")
        member = read_member(content, rules)
        if isinstance(member, Refusal) or member.row_count != item.pack_rows:
            raise ItemRejected(MEMBER_CHANGED, f"{item.source} is read in another way than when it was packed")
        return member


async def whole(body: Body) -> bytes:
    """Return all bytes of a small body. Raises as `Body.chunks`."""
    return b"".join([chunk async for chunk in body.chunks()])

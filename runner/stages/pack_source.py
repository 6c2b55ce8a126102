"""PackSource: what a submitter sends for a pack: the rows of its members, as their files are now."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runner.config.routes import NO_ROUTE
from runner.errors import ItemRejected
from runner.models import batch_of_members
from runner.packing.body import PackBody
from runner.packing.member import Member, read_member
from runner.packing.refusals import Refusal
from runner.protocols import Prepared
from runner.sources.recoded_body import in_utf8
from runner.stages.pack_recipe import PackRecipe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.config.routes import Route, Routes
    from runner.ledger.protocol import PackLedger
    from runner.models import Item
    from runner.packing.rules import PackRules
    from runner.protocols import Body, Source
    from runner.stages.pack_lists import PackLists

    RulesOf = Callable[[Route], Awaitable[PackRules | Refusal]]

MEMBER_CHANGED = "member_changed"
"""Error code of a pack that was not sent, because the file of a member is not what it was."""


class PackSource:
    """An InputReader of packs."""

    def __init__(
        self, ledger: PackLedger, files: Source, routes: Routes, rules_of: RulesOf, *, lists: PackLists
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._routes = routes
        self._rules_of = rules_of
        self._lists = lists

    async def prepare(self, item: Item) -> Prepared:
        """Build the body of a pack in memory, and write its list, so that nothing is sent without one.

        Raises ItemRejected if a member changed, as `Source.prepare`, and as `Sink.write`.
        """
        recipe = PackRecipe.of(item)
        route = recipe.member_route(self._routes)
        if route is None:
            raise NO_ROUTE
        rules = await self._rules_of(route)
        if isinstance(rules, Refusal):
            raise ItemRejected(MEMBER_CHANGED, rules.sentence)
        members = await self._ledger.members(batch_of_members(item.batch_id), item.source)
        if recipe.members and [member.tag for member in members] != [tag for tag, _ in recipe.members]:
            raise ItemRejected(MEMBER_CHANGED, "files of the pack have changed since it was made")
        body = PackBody([(member.tag or "", await self._read(member, route, rules)) for member in members])
        if (body.marker, rules.keeps_unmapped, rules.behavior) != (
            recipe.column,
            recipe.keeps_unmapped,
            recipe.behavior,
        ):
            raise ItemRejected(MEMBER_CHANGED, "the schema of its files has changed")
        fingerprint = f"sha256:{hashlib.sha256(body.content).hexdigest()}"
        await self._lists.keep(item, members, fingerprint=fingerprint)
        return Prepared(
            uri=f"{self._files.uri}#pack-{item.source}",
            size_bytes=body.size_bytes,
            version=item.version,
            fingerprint=fingerprint,
            body=body,
        )

    async def _read(self, item: Item, route: Route, rules: PackRules) -> Member:
        prepared = await in_utf8(await self._files.prepare(item), route.encoding)
        if prepared.fingerprint != item.fingerprint or prepared.body is None:
            raise ItemRejected(MEMBER_CHANGED, f"{item.source} changed after it was packed")
        member = read_member(await whole(prepared.body), rules)
        if isinstance(member, Refusal) or member.row_count != item.pack_rows:
            raise ItemRejected(MEMBER_CHANGED, f"{item.source} is read in another way than when it was packed")
        return member


async def whole(body: Body) -> bytes:
    """Return all bytes of a small body. Raises as `Body.chunks`."""
    return b"".join([chunk async for chunk in body.chunks()])

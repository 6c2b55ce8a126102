"""FoundLists: the lists of packs that are lost with the ledger, made from the results of their imports.

A result names the members by their markers. A list is made only if it is proved: the pack's tag is made of the tags of
all its members, every row is accounted for, and each file that is as it was sent has as many rows as were sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runner.errors import ImportNotFound, ResultTooLarge, Stopped
from runner.models import ImportStatus, Item, ItemKind
from runner.packing.body import pack_tag
from runner.packing.found_rows import FoundRows, layout_of_rows
from runner.packing.rules import PackRules
from runner.packing.split import rows_left_out
from runner.retry import repeat_read
from runner.stages.collect import Unusable
from runner.stages.pack_lists import ListedMember, PackList
from runner.stages.pack_recipe import PackRecipe

if TYPE_CHECKING:
    from runner.config.routes import Route, Routes
    from runner.models import RemoteImport
    from runner.packing.layout import PackLayout
    from runner.protocols import ImportsApi
    from runner.stages.collect import ResultFetch
    from runner.stages.lost_members import LostMember, LostMembers
    from runner.stages.lost_packs import LostPack
    from runner.stages.packing_setup import RulesOfRoutes

_NOT_ACCOUNTED = "its result does not account for all rows that were sent"

_LEFT_OUT = "this run leaves out some files, which may be in it: run once with all files, and without filters"

NOT_FOUND = "nobody knows which files were in it, and the vendor does not find it now"

_AT_WORK = frozenset({ImportStatus.PENDING, ImportStatus.RUNNING})

_ATTEMPTS_OF_OTHERS = 2
"""How often the result of a pack of another source is fetched at most: most of them have no file of a run (choice)."""


@dataclass(frozen=True, slots=True)
class MemberTags:
    """The tags of a pack's members, or `why` they cannot be told; `is_at_work`: the vendor is still importing it."""

    tags: tuple[str, ...] = ()
    why: str = ""
    is_at_work: bool = False


@dataclass(frozen=True, slots=True)
class FoundList:
    """The list of a lost pack, and which of today's files are its members."""

    listed: PackList
    members: list[LostMember]


@dataclass(frozen=True, slots=True)
class _Proof:
    """How a pack was made, and its members; proved but for the numbers of rows of today's files."""

    recipe: PackRecipe
    layout: PackLayout


class FoundLists:
    """Makes the lists of lost packs whose imports have succeeded."""

    def __init__(
        self,
        *,
        api: ImportsApi,
        fetch: ResultFetch,
        members: LostMembers,
        routes: Routes,
        rules: RulesOfRoutes,
        endpoint: str,
    ) -> None:
        self._api = api
        self._fetch = fetch
        self._members = members
        self._routes = routes
        self._rules = rules
        self._endpoint = endpoint

    async def of(self, lost: Iterable[LostPack]) -> dict[str, FoundList | str | None]:
        """Return the list of each pack by its tag; None if no file of today is in it, or a sentence if nobody knows.

        Raises TransientError, AuthRefused, LedgerError, and Stopped.
        """
        looked = {one.name.tag: await self._prove(one) for one in lost}
        proofs = {tag: proof for tag, proof in looked.items() if isinstance(proof, _Proof)}
        found: dict[str, FoundList | str | None] = {tag: why for tag, why in looked.items() if isinstance(why, str)}
        tags = {member.tag for proof in proofs.values() for member in proof.layout.members}
        unread: dict[str, str] = {}
        members = await self._members.with_tags(tags, unread=unread) if tags else {}
        left_out = _LEFT_OUT if await self._members.leaves_out_some() else ""
        if unread:
            left_out = unread[min(unread)]
        for tag, proof in proofs.items():
            found[tag] = self._list(tag, proof, members, left_out=left_out)
        return found

    async def tags_in(self, lost: LostPack) -> MemberTags:
        """Return the tags of the members that the result of a pack names, or why they cannot be told.

        A pack that failed brought in nothing, so it has none.
        Raises TransientError, AuthRefused, RequestInvalid, and Stopped.
        """
        remote = await self._retrieved(lost)
        if isinstance(remote, str):
            return MemberTags(why=remote)
        if remote.status == ImportStatus.FAILED:
            return MemberTags()
        read = await self._rows(lost, remote, attempts=None if lost.is_of_source else _ATTEMPTS_OF_OTHERS)
        if isinstance(read, str):
            return MemberTags(why=read, is_at_work=remote.status in _AT_WORK)
        return MemberTags(tuple(sorted(read[0].numbers)))

    async def require_answers(self) -> None:
        """Return if the vendor shows its list of imports. Raises TransientError, AuthRefused, RequestInvalid if not."""
        await repeat_read(lambda: self._api.list_page(limit=1, offset=0))

    async def whole(self, lost: LostPack, members: Mapping[str, LostMember]) -> FoundList | str | None:
        """Return the list of a pack if these, by their tags, are all of its members; else a sentence.

        Raises as `of`.
        """
        proof = await self._prove(lost)
        return proof if isinstance(proof, str) else self._list(lost.name.tag, proof, members, left_out=_LEFT_OUT)

    async def _prove(self, lost: LostPack) -> _Proof | str:
        """Return what the result of a pack's import proves, or a sentence if it proves nothing."""
        read = await self._read(lost)
        return read if isinstance(read, str) else await self._proof(lost.name.tag, *read)

    async def _read(self, lost: LostPack) -> tuple[FoundRows, RemoteImport] | str:
        """Return the rows of a pack's result, or a sentence if it has none that tell anything."""
        remote = await self._retrieved(lost)
        return remote if isinstance(remote, str) else await self._rows(lost, remote)

    async def _retrieved(self, lost: LostPack) -> RemoteImport | str:
        import_id = lost.remote.import_id
        try:
            return await repeat_read(lambda: self._api.retrieve(import_id))
        except ImportNotFound:
            return NOT_FOUND

    async def _rows(
        self, lost: LostPack, remote: RemoteImport, *, attempts: int | None = None
    ) -> tuple[FoundRows, RemoteImport] | str:
        if remote.status != ImportStatus.SUCCESSFUL:
            return (
                f"only its result tells which files were in it; it is {remote.status} now: run again once it has ended"
            )
        pack = Item(batch_id="", source=lost.name.tag, kind=ItemKind.PACK, import_id=remote.import_id)
        try:
            rows = await self._fetch.fetch(pack, _read, files=lost.name.file_count, attempts=attempts)
        except (Unusable, ResultTooLarge) as error:
            return f"its result does not tell which files were in it: {error}"
        if rows is None:
            raise Stopped("the result of a lost pack was not read before the stop")
        return rows, remote

    async def _proof(self, tag: str, rows: FoundRows, remote: RemoteImport) -> _Proof | str:
        route = self._route(tag, sorted(rows.numbers))
        if route is None:
            return "its result does not name all files that were in it, or their schema is another now"
        rules, column = await self._rules.of(route), rows.column
        if not isinstance(rules, PackRules) or column is None:
            return "the schema of its files does not allow packs now"
        named = rows_left_out(remote.result_metadata, rules.behavior)
        layout = layout_of_rows(rows.numbers, named) if named is not None else None
        if layout is None:
            return _NOT_ACCOUNTED
        recipe = PackRecipe(
            binding=route.binding, column=column, keeps_unmapped=rules.keeps_unmapped, behavior=rules.behavior
        )
        return _Proof(recipe, layout)

    def _list(
        self, tag: str, proof: _Proof, members: Mapping[str, LostMember], *, left_out: str
    ) -> FoundList | str | None:
        """Return the list of a pack; `left_out`: what to say if not all of its files are found."""
        mine = [members[one.tag] for one in proof.layout.members if one.tag in members]
        if left_out and len(mine) < len(proof.layout.members):
            return left_out
        if any(proof.layout.row_counts[one.tag] != one.row_count for one in mine):
            return _NOT_ACCOUNTED
        sources = {one.tag: one.item.source for one in mine}
        listed = tuple(ListedMember(one.tag, one.row_count, sources.get(one.tag, "")) for one in proof.layout.members)
        made = PackList(tag=tag, endpoint=self._endpoint, recipe=proof.recipe, fingerprint=None, members=listed)
        return FoundList(made, mine) if mine else None

    def _route(self, tag: str, tags: list[str]) -> Route | None:
        """Return the route by whose binding the pack's tag is made of these tags: they are all of its members."""
        of_tags = partial(pack_tag, tags, endpoint=self._endpoint)
        return next((one for one in self._routes.routes if of_tags(binding=one.binding) == tag), None)


async def _read(chunks: AsyncIterator[bytes]) -> FoundRows:
    rows = FoundRows()
    async for chunk in chunks:
        rows.feed(chunk)
        await asyncio.sleep(0)
    rows.finish()
    return rows

"""Lost packs: packs of this source at the vendor that the ledger does not know, because a ledger was lost.

Such a pack is adopted: those of its files that are today as they were sent become its members, and get their own rows
from its result. Rows of files that have changed or are gone since are counted, and given to nobody.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.errors import ForeignImports, ImportIdTaken, ImportNotFound, StaleItem, Stopped, TagInUse
from runner.events import Notice
from runner.formatting import counted
from runner.ledger.protocol import Move
from runner.models import (
    PACK_NAME_START,
    ImportStatus,
    Item,
    ItemChanges,
    ItemKind,
    ItemState,
    RemoteImport,
    batch_of_members,
)
from runner.packing.body import PackName
from runner.retry import repeat_read
from runner.stages.found_lists import FoundList
from runner.stages.lost_members import MemberUnclear
from runner.stages.upload_urls import LONGEST_LIFE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from runner.config.options import RunOptions
    from runner.config.routes import Routes
    from runner.dromo.clock import VendorTime
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger, PackLedger
    from runner.protocols import ImportsApi
    from runner.stages.found_lists import FoundLists
    from runner.stages.lost_members import LostMember, LostMembers
    from runner.stages.orphans import Orphans
    from runner.stages.other_sources import OtherSources
    from runner.stages.pack_lists import PackList, PackLists
    from runner.stages.pack_making import PackMaker
    from runner.stages.transitions import Transitions
    from runner.stop import StopSignal

_WAITING = ImportStatus.AWAITING_UPLOAD

_NOT_REFUSED: ItemChanges = {
    "error_code": None,
    "error_message": None,
    "finished_at": None,
    "earlier_batch_id": None,
    "earlier_import_id": None,
    "earlier_state": None,
}
"""Fields of a file that names an earlier refusal no more, because its rows came with a pack."""


@dataclass(frozen=True, slots=True)
class LostPack:
    """A pack by its name, and its import as the list of imports showed it; `is_of_source`: of the run's source."""

    name: PackName
    remote: RemoteImport
    is_of_source: bool

    @property
    def has_data(self) -> bool:
        return self.remote.status != _WAITING

    def refusal_of_table(self) -> ForeignImports:
        """Return what to say if a run with a shared ledger, which cannot have packs at work, has files of it."""
        return ForeignImports(
            f"import {self.remote.import_id} is a pack that is not in this ledger, and has, or may have, files of this "
            "run: only a ledger in a file can take it up",
            hint="copy the ledger that has it into the table with `bulkhead ledger copy`; if it is lost, run once with "
            "--ledger FILE, then copy that; or, if rows may be there twice, run again with --ignore-pack "
            f"{self.name.tag}",
        )

    def refusal(self, why: str = "nobody knows which files were in it") -> ForeignImports:
        """Return what to say if its files cannot be told."""
        source = "this source" if self.is_of_source else "another source"
        return ForeignImports(
            f"import {self.remote.import_id} is a pack of {counted(self.name.file_count, 'file')} of {source} that "
            f"is not in this ledger: {why}",
            hint="name the ledger that has it with --ledger; or look at the import in the dashboard, and if its rows "
            f"may be there twice, run again with --ignore-pack {self.name.tag}",
        )


class LostPacks:
    """Finds lost packs. `source` is as in `PackName`; packs with a tag in `ignored` are passed over.

    Packs of other sources count only if their saved schema is one of `schemas`; None stands for all.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        batch_id: str,
        source: str,
        ignored: Collection[str],
        schemas: Collection[str | None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._batch_id = batch_id
        self._source = source
        self._ignored = ignored
        self._schemas = schemas

    async def found(self) -> dict[str, LostPack]:
        """Return, by its tag, each pack of this source without an owner that has data, or may get it.

        A pack that the ledger knows has imports without data that are not its own if answers to creates were lost.
        """
        lost = [one for one in await self._without_owner() if one.is_of_source]
        known = await self._ledger.look_up(self._batch_id, [one.name.tag for one in lost])
        known_tags = {*known, *await self._ledger.by_tag([one.name.tag for one in lost])}
        lost.sort(key=lambda one: (one.has_data, str(one.remote.created_at)))
        return {one.name.tag: one for one in lost if one.has_data or one.name.tag not in known_tags}

    async def of_other_sources(self) -> dict[str, LostPack]:
        """Return, by its tag, each pack of another source without an owner that has data: files can be in both."""
        lost = [one for one in await self._without_owner() if not one.is_of_source and one.has_data]
        return {one.name.tag: one for one in lost if self._schemas is None or one.remote.schema_id in self._schemas}

    async def unmatched(self) -> list[str]:
        """Return those tags of packs to be passed over that no pack without an owner has."""
        if not self._ignored:
            return []
        return sorted(set(self._ignored) - {name.tag for name, _ in await self._named()})

    async def _without_owner(self) -> list[LostPack]:
        return [
            LostPack(name, one, is_of_source=name.source == self._source)
            for name, one in await self._named()
            if name.tag not in self._ignored and one.status != ImportStatus.FAILED
        ]

    async def _named(self) -> list[tuple[PackName, RemoteImport]]:
        imports = await self._ledger.orphans_named(PACK_NAME_START)
        owned = await self._ledger.owners(one.import_id for one in imports)
        named = [(PackName.parse(one.original_filename), one) for one in imports if one.import_id not in owned]
        return [(name, one) for name, one in named if name is not None]


@dataclass(frozen=True, slots=True)
class Adoption:
    """The adopted packs, and by its tag, what to say of each pack whose files cannot be told."""

    packs: list[Item] = field(default_factory=list)
    unknown: dict[str, ForeignImports] = field(default_factory=dict)

    files: Counter[str] = field(default_factory=Counter)
    """How many files of these packs are `mine`: as they were sent; and how many are `others` now, or gone."""

    @property
    def sentence(self) -> str:
        """Return what to say of the adopted packs."""
        mine, packs, others = self.files["mine"], len(self.packs), self.files["others"]
        changed = f"; changed or gone since: {others:,}" if others else ""
        sentence = f"{counted(mine, 'file')} came with {counted(packs, 'pack')} of a lost ledger"
        return f"{sentence}, and are not sent again{changed}"


class PackAdopter:
    """Adopts the lost packs of one batch, each with its members in one transaction."""

    def __init__(
        self,
        *,
        ledger: PackLedger,
        api: ImportsApi,
        lists: PackLists,
        members: LostMembers,
        found: FoundLists,
        others: OtherSources,
        maker: PackMaker,
        transitions: Transitions,
        orphans: Orphans,
        routes: Routes,
        options: RunOptions,
        vendor_time: VendorTime,
        stop: StopSignal,
        emit: EventHook,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._lists = lists
        self._members = members
        self._found = found
        self._others = others
        self._maker = maker
        self._transitions = transitions
        self._orphans = orphans
        self._routes = routes
        self._options = options
        self._vendor_time = vendor_time
        self._stop = stop
        self._emit = emit

    async def adopt(self, lost: Mapping[str, LostPack], others: Mapping[str, LostPack]) -> Adoption:
        """Adopt those packs whose files can be told; `others` are of other sources.

        An import that waits for its upload is given up if the pack cannot be built again as it was, once no upload to
        it can be on its way. With `--again`, everything is sent again, and nothing is adopted. Raises TransientError,
        AuthRefused, LedgerError, and as `Sink.read`; Stopped if a stop comes before everything is known.
        """
        if self._options.again:
            return Adoption(unknown={tag: one.refusal() for tag, one in lost.items() if one.has_data})
        adoption = Adoption()
        current = await self._as_now(lost.values())
        await self._adopt_arrived([one for one in current if one.has_data], adoption)
        await self._rule(await self._others.with_files_of_the_run(others.values()), others, adoption)
        await self._adopt_waiting([one for one in current if not one.has_data], adoption)
        if adoption.packs:
            self._emit(Notice(code="packing", message=adoption.sentence))
        return adoption

    async def _adopt_arrived(self, arrived: Sequence[LostPack], adoption: Adoption) -> None:
        """Adopt packs that have their data."""
        unlisted: list[LostPack] = []
        for one in arrived:
            try:
                listed = await self._lists.read(one.name.tag)
                members = await self._members.of(listed, has_data=True) if listed is not None else []
            except MemberUnclear as unclear:
                adoption.unknown[one.name.tag] = one.refusal(str(unclear))
                continue
            if listed is None:
                unlisted.append(one)
            elif members:
                await self._add(adoption, one, listed, members)
        if unlisted:
            await self._rule(await self._found.of(unlisted), {one.name.tag: one for one in unlisted}, adoption)

    async def _adopt_waiting(self, waiting: Sequence[LostPack], adoption: Adoption) -> None:
        """Adopt packs that can be built again as they were, after those whose data arrives while the run waits.

        None gets a file that may be in a pack with data whose files cannot be told.
        """
        are_apart = await self._are_apart([*adoption.unknown, *(one.name.tag for one in waiting)])
        later = [one for one in waiting if not are_apart or not await self._build_again(one, adoption)]
        if not later:
            return
        await self._wait_for_uploads(later)
        current = await self._as_now(later)
        await self._adopt_arrived([one for one in current if one.has_data], adoption)
        for one in current:
            if not one.has_data and await self._are_apart([*adoption.unknown, one.name.tag]):
                await self._build_again(one, adoption)

    async def _are_apart(self, packs: Iterable[str]) -> bool:
        """Return whether no file can be in two of these packs, so that none takes a file that came with another."""
        lists = [await self._lists.read(tag) for tag in packs]
        tags = Counter(one.tag for listed in lists if listed is not None for one in listed.members)
        return None not in lists and all(count == 1 for count in tags.values())

    async def _build_again(self, waiting: LostPack, adoption: Adoption) -> bool:
        """Adopt a pack without data if all of its files are as they were; return False if its upload may be on the way.

        Nothing is on the way to today's files if none of them is as it was.
        """
        try:
            listed = await self._lists.read(waiting.name.tag)
            members = await self._members.of(listed, has_data=False) if listed is not None else []
        except MemberUnclear:
            return False
        if listed is None:
            return False
        if [one.item.state for one in members] != [ItemState.QUEUED] * len(listed.members):
            return not members
        await self._add(adoption, waiting, listed, members)
        return True

    async def _rule(
        self, found: Mapping[str, FoundList | str | None], packs: Mapping[str, LostPack], adoption: Adoption
    ) -> None:
        for tag, ruling in found.items():
            match ruling:
                case FoundList(listed, members):
                    await self._add(adoption, packs[tag], listed, members)
                case str(why):
                    adoption.unknown[tag] = packs[tag].refusal(why)

    async def _wait_for_uploads(self, later: Sequence[LostPack]) -> None:
        """Wait until an upload of a run that was killed is visible. Raises Stopped if a stop comes first."""
        longest = LONGEST_LIFE + timedelta(seconds=self._options.settle_s)
        now = self._vendor_time.now()
        if all(one.remote.created_at is not None and one.remote.created_at < now - longest for one in later):
            return
        seconds = f"{self._options.settle_s:.0f} s"
        message = f"{counted(len(later), 'pack')} of a lost ledger may still be on the way: the run waits {seconds}"
        self._emit(Notice(code="packing", message=message))
        if await self._stop.sleep(self._options.settle_s):
            raise Stopped("the run stops before it is known whether packs of a lost ledger have arrived")

    async def _add(self, adoption: Adoption, lost: LostPack, listed: PackList, members: Sequence[LostMember]) -> None:
        pack = await self._adopt(lost, listed, members)
        if pack is None:
            adoption.unknown[lost.name.tag] = lost.refusal()
            return
        adoption.packs.append(pack)
        adoption.files.update(mine=len(members), others=len(listed.members) - len(members))

    async def _as_now(self, lost: Iterable[LostPack]) -> list[LostPack]:
        """Return packs with their imports as they are now, without those that are gone, or failed without data."""
        current: list[LostPack] = []
        for one in lost:
            remote = one.remote if one.has_data else await self._now(one)
            if remote is not None and (one.has_data or remote.status != ImportStatus.FAILED):
                current.append(replace(one, remote=remote))
        return current

    async def _now(self, lost: LostPack) -> RemoteImport | None:
        """Return a pack's import as it is now; None if the vendor finds it neither by its id nor in its list."""
        import_id = lost.remote.import_id
        try:
            return await repeat_read(lambda: self._api.retrieve(import_id))
        except ImportNotFound:
            since, schema_id = lost.remote.created_at, lost.remote.schema_id
            found = await self._orphans.find_by_tag(lost.name.tag, schema_id, since=since)
        return found if found is not None and found.import_id == import_id else None

    async def _adopt(self, lost: LostPack, listed: PackList, members: Sequence[LostMember]) -> Item | None:
        """Record the pack, bound to its import, with its members; None if the ledger has sent it, or one of them moved.

        A pack that the ledger has given up before it was sent is taken up again.
        """
        pack = self._pack(lost, listed)
        known = await self._ledger.item(pack.batch_id, pack.source)
        if known is not None and not (known.state is ItemState.FAILED and known.import_id is None and lost.has_data):
            return None
        await self._maker.start()
        reason = f"import {lost.remote.import_id} of a lost ledger has its rows, as a part of pack {pack.source}"
        moves = [_join(one, listed, reason=reason) for one in members]
        again = [_take_up(known, pack, reason=reason)] if known is not None else []
        try:
            moved = await self._transitions.advance_all([*again, *moves], add=[] if again else [pack])
        except (StaleItem, TagInUse, ImportIdTaken):
            return None
        await self._ledger.count_up(batch_of_members(pack.batch_id), creates=1)
        return moved[0] if again else pack

    def _pack(self, lost: LostPack, listed: PackList) -> Item:
        remote = lost.remote
        tags = tuple((one.tag, one.row_count) for one in listed.members)
        recipe = replace(listed.recipe, members=tags, is_adopted=True)
        route = recipe.route(self._routes)
        made_at = remote.created_at or self._vendor_time.now()
        return Item(
            batch_id=self._maker.batch_id,
            source=listed.tag,
            kind=ItemKind.PACK,
            state=ItemState.CREATED,
            version=recipe.text,
            binding=route.binding if route is not None else "",
            schema_id=remote.schema_id,
            fingerprint=listed.fingerprint,
            tag=listed.tag,
            original_filename=remote.original_filename,
            status=remote.status,
            attempts=1,
            import_id=remote.import_id,
            intent_at=made_at,
            created_at=made_at,
        )


def _take_up(known: Item, pack: Item, *, reason: str) -> Move:
    """Return the move of a pack that was given up, and whose data another ledger has sent."""
    changes: ItemChanges = {
        "version": pack.version,
        "binding": pack.binding,
        "fingerprint": pack.fingerprint,
        "tag": pack.tag,
        "status": pack.status,
        "attempts": pack.attempts,
        "import_id": pack.import_id,
        "intent_at": pack.intent_at,
        "created_at": pack.created_at,
        "error_code": None,
        "error_message": None,
        "finished_at": None,
    }
    return Move(item=known, state=ItemState.PROCESSING, reason=reason, changes=changes)


def _join(member: LostMember, listed: PackList, *, reason: str) -> Move:
    first, last = listed.layout.rows_of(member.tag)
    return Move(
        item=member.item,
        state=ItemState.PACKED,
        reason=reason,
        changes={
            **member.changes,
            "tag": member.tag,
            "binding": listed.recipe.binding,
            "pack": listed.tag,
            "pack_row": first,
            "pack_rows": last - first + 1,
            **_NOT_REFUSED,
        },
    )

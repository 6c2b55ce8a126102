"""OtherSources: which files of a run came with packs of other sources, whose ledger is lost.

A file can be in several sources: in a directory, in one above or below it, and in a list of files. It has the same tag
in all of them, so the tags of a pack's members tell whether it has files of this run, whatever its own source is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING

from runner import identity
from runner.concurrency import handle_all
from runner.errors import RequestInvalid, Stopped, Unavailable, UrlExpired
from runner.events import Notice
from runner.formatting import counted
from runner.models import ItemState
from runner.sources.spec import file_uri, quoted
from runner.stages.found_lists import NOT_FOUND, FoundList, MemberTags
from runner.stages.known_packs import each_of, start_of
from runner.stages.lost_members import can_be_member

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runner.dromo.clock import VendorTime
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.models import Batch, Item
    from runner.stages.found_lists import FoundLists
    from runner.stages.known_packs import KnownPacks
    from runner.stages.lost_members import LostMember, LostMembers
    from runner.stages.lost_packs import LostPack
    from runner.stages.pack_lists import PackList, PackLists
    from runner.stop import StopSignal

_QUEUED = ItemState.QUEUED
_NAMED_MOST = 3
WAIT_S = 300.0
"""How long a run waits, once, for packs of unknown files that are at work: most imports take less (choice)."""

_PAUSE_S = 15.0
_LONGEST_WORK = timedelta(hours=1)
"""An import that is at work for longer is not waited for: it may never end (choice)."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What is known of a pack now: its list, if there is one, and the tags of its members, or why not."""

    listed: PackList | None = None
    members: MemberTags = field(default_factory=MemberTags)

    @property
    def tags(self) -> tuple[str, ...]:
        return self.members.tags

    @property
    def why(self) -> str:
        return self.members.why


class _Wanted(Container[str]):
    """Some tags, and all that begin like a tag of a known pack."""

    def __init__(self, tags: set[str], starts: set[str]) -> None:
        self._tags = tags
        self._starts = starts

    def __bool__(self) -> bool:
        return bool(self._tags or self._starts)

    def __contains__(self, tag: object) -> bool:
        return tag in self._tags or (isinstance(tag, str) and start_of(tag) in self._starts)


class OtherSources:
    """Looks for the queued files of a batch in packs of other sources."""

    def __init__(
        self,
        ledger: Ledger,
        batch: Batch,
        *,
        lists: PackLists,
        known: KnownPacks,
        found: FoundLists,
        members: LostMembers,
        vendor_time: VendorTime,
        stop: StopSignal,
        emit: EventHook,
    ) -> None:
        self._ledger = ledger
        self._batch = batch
        self._lists = lists
        self._known = known
        self._found = found
        self._members = members
        self._vendor_time = vendor_time
        self._stop = stop
        self._emit = emit
        self._waits_until: float | None = None
        self._untold: dict[str, _Look] = {}
        """By its tag, each pack whose members cannot be told in this run: it is not looked at again."""
        self._broken: dict[str, LostPack] = {}
        self._packs: list[LostPack] = []
        self._unread: dict[str, str] = {}

    def could_read(self, item: Item) -> bool:
        """Return whether an item could be read when the run looked for it in packs of other sources."""
        return item.source not in self._unread

    async def refuse(self, tag: str, source: str) -> None:
        """Raise ForeignImports if a file that could not be read before, and can be now, came with a pack.

        Takes its tag now and its source. Raises also as `with_files_of_the_run`.
        """
        if source not in self._unread:
            return
        looks = await self._look_again(self._packs, await self._known.starts(), [tag])
        for one in self._packs:
            look = looks.get(one.name.tag, _Look())
            is_unclear = look.why != "" and (one.is_of_source or look.why != NOT_FOUND)
            if is_unclear or tag in look.tags:
                why = look.why or f"{source} came with it, and could not be read before: run again once it can be read"
                raise one.refusal(why)

    async def with_files_of_the_run(self, packs: Collection[LostPack]) -> dict[str, FoundList | str | None]:
        """Return, by its tag, each pack that has queued files: its list if all of its files are, else a sentence.

        A pack whose files cannot be told counts, too, if its source is a directory that one of the files is below. If
        it is not, only a list of files could have one of them: the run waits for its end for a while, and then names
        the pack in a notice. Files that cannot be read now are looked up again before they are sent (`refuse`).
        Raises TransientError, AuthRefused, LedgerError, Stopped, and what the sink raises.
        """
        if not packs or not await self._has_candidates():
            return {}
        looks, known = await self._look_at_new(packs)
        tags = {tag for look in looks.values() for tag in look.tags}
        wanted = _Wanted(tags, {start for starts in known.values() for start in each_of(starts)})
        self._packs, self._unread = list(packs), {}
        members = await self._members.with_tags(wanted, unread=self._unread) if wanted else {}
        looks |= await self._look_again(packs, known, members)
        found: dict[str, FoundList | str | None] = {}
        for one in packs:
            look = looks.get(one.name.tag, _Look())
            mine = {each: members[each] for each in look.tags if each in members}
            if any(each.item.state is _QUEUED for each in mine.values()):
                found[one.name.tag] = await self._ruling(one, look.listed, mine)
        unclear = _unclear(packs, looks)
        return found | (await self._near(unclear) if unclear else {})

    async def having(self, packs: Collection[LostPack], tags: Collection[str]) -> set[str] | None:
        """Return those tags that members of packs have; None if some cannot be told, and may be of files of the run.

        Raises as `with_files_of_the_run`.
        """
        looks, known = await self._look_at_new(packs)
        looks |= await self._look_again(packs, known, tags)
        unclear = _unclear(packs, looks)
        near = await self._sources() if unclear else set()
        if any(self._may_be_near(one, why, near) for one, why in unclear):
            return None
        return {tag for look in looks.values() for tag in look.tags}.intersection(tags)

    async def _look_at_new(self, packs: Collection[LostPack]) -> tuple[dict[str, _Look], dict[str, str]]:
        """Look at the packs that no run of this source has seen, and remember those whose members can be told.

        Returns also the starts of the members' tags of the others, as `KnownPacks.starts`. Raises Stopped.
        """
        starts = await self._known.starts()
        known = {one.name.tag: starts[one.name.tag] for one in packs if one.name.tag in starts}
        looks = await self._look([one for one in packs if one.name.tag not in known])
        looks |= await self._look_at_ended(packs, looks)
        await self._known.add({tag: look.tags for tag, look in looks.items() if not look.why})
        return looks, known

    async def _look_at_ended(self, packs: Collection[LostPack], looks: Mapping[str, _Look]) -> dict[str, _Look]:
        """Wait for packs that are at work, and may be of a list with files of the run; look at those that have ended.

        A pack of a directory that a file is below is not waited for: the run ends because of it. Raises Stopped.
        """
        clock = asyncio.get_running_loop().time
        at_work = [one for one in packs if looks.get(one.name.tag, _Look()).members.is_at_work and self._is_new(one)]
        near = await self._sources() if at_work else set()
        waits = [one for one in at_work if not self._may_be_near(one, looks[one.name.tag].why, near)]
        if not near or not waits:
            return {}
        if self._waits_until is None:
            self._waits_until = clock() + WAIT_S
            message = f"{counted(len(waits), 'pack')} of other sources may have files of this run: the run waits for"
            self._emit(Notice(code="packing", message=f"{message} the end of their imports, {WAIT_S:.0f} s at most"))
        found: dict[str, _Look] = {}
        while waits and clock() < self._waits_until:
            if await self._stop.sleep(_PAUSE_S):
                raise Stopped("the run stops before it is known which files packs of other sources have")
            found |= {one.name.tag: _Look(members=await self._told(one)) for one in waits}
            waits = [one for one in waits if found[one.name.tag].members.is_at_work]
        self._keep_untold(packs, found)
        return found

    def _is_new(self, pack: LostPack) -> bool:
        made_at = pack.remote.created_at
        return made_at is None or made_at > self._vendor_time.now() - _LONGEST_WORK

    async def _look_again(
        self, packs: Collection[LostPack], known: Mapping[str, str], tags: Collection[str]
    ) -> dict[str, _Look]:
        """Look at those known packs that may have a member with one of these tags."""
        if not tags:
            return {}
        starts = {start_of(tag) for tag in tags}
        return await self._look([one for one in packs if not starts.isdisjoint(each_of(known.get(one.name.tag, "")))])

    async def _look(self, packs: Collection[LostPack]) -> dict[str, _Look]:
        looks = {one.name.tag: self._untold[one.name.tag] for one in packs if one.name.tag in self._untold}
        packs = [one for one in packs if one.name.tag not in looks]
        lists = await handle_all(self._lists.read, [one.name.tag for one in packs])
        new = {
            one.name.tag: _Look(listed, await self._member_tags(one, listed))
            for one, listed in zip(packs, lists, strict=True)
        }
        self._keep_untold(packs, new)
        return looks | new

    def _keep_untold(self, packs: Iterable[LostPack], looks: Mapping[str, _Look]) -> None:
        for one in packs:
            look = looks.get(one.name.tag, _Look())
            if look.why and not look.members.is_at_work and not one.is_of_source:
                self._untold[one.name.tag] = look

    async def _member_tags(self, pack: LostPack, listed: PackList | None) -> MemberTags:
        if listed is not None:
            return MemberTags(tuple(one.tag for one in listed.members))
        known = await self._lists.found(pack.name.tag)
        return await self._told(pack) if known is None else MemberTags(tuple(known))

    async def _told(self, pack: LostPack) -> MemberTags:
        """Return the tags that the result of a pack names, or why they cannot be told.

        If the vendor answers, but not for one import of another source, that import is broken, and holds up no run.
        Raises Unavailable if it does not answer for several.
        """
        try:
            told = await self._found.tags_in(pack)
        except (RequestInvalid, Unavailable, UrlExpired) as error:
            if pack.is_of_source:
                raise
            await self._found.require_answers()
            if not isinstance(error, RequestInvalid):
                self._note_broken(pack, error)
            return MemberTags(why=f"the vendor does not show its result: {error}")
        self._broken.pop(pack.name.tag, None)
        if not told.why:
            await self._lists.keep_found(pack.name.tag, told.tags)
        return told

    def _note_broken(self, pack: LostPack, error: Unavailable | UrlExpired) -> None:
        self._broken[pack.name.tag] = pack
        if len(self._broken) > 1:
            for tag in self._broken:
                self._untold.pop(tag, None)
            tags = " ".join(f"--ignore-pack {tag}" for tag in list(self._broken)[:_NAMED_MOST])
            imports = [one.remote.import_id for one in self._broken.values()]
            named = f"{', '.join(imports[:_NAMED_MOST])}{_more(len(imports))}"
            raise Unavailable(
                f"the vendor does not show the results of {counted(len(imports), 'pack')} of other sources"
                f" (import {named}): {error}",
                hint=f"if it shows other results, and their rows may be there twice, run again with {tags}",
            )

    async def _ruling(
        self, pack: LostPack, listed: PackList | None, mine: Mapping[str, LostMember]
    ) -> FoundList | str | None:
        if len(mine) < pack.name.file_count:
            named = sorted(one.item.source for one in mine.values())[:_NAMED_MOST]
            return (
                f"{counted(len(mine), 'file')} of this run came with it ({', '.join(named)}{_more(len(mine))}), and its"
                " other files are not in this run as they were sent: run once with the source that it was sent from"
            )
        if listed is None:
            return await self._found.whole(pack, mine)
        return FoundList(listed, [mine[one.tag] for one in listed.members])

    async def _near(self, unclear: Iterable[tuple[LostPack, str]]) -> dict[str, str]:
        """Return those packs whose source is a directory that one of the files is below; tell of the others."""
        near = await self._sources()
        found: dict[str, str] = {}
        passed: list[str] = []
        for pack, why in unclear:
            if self._may_be_near(pack, why, near):
                found[pack.name.tag] = why
            elif why != NOT_FOUND:
                passed.append(pack.remote.import_id)
        if passed:
            packs = f"{counted(len(passed), 'pack')} of other sources, whose files nothing tells now"
            named = f"{', '.join(passed[:_NAMED_MOST])}{_more(len(passed))}"
            self._emit(Notice(code="packing", message=f"{packs}, passed over: import {named}"))
        return found

    @staticmethod
    def _may_be_near(pack: LostPack, why: str, near: Collection[str]) -> bool:
        """Return whether a pack may have files of the run; one that a run with another source deleted has none."""
        return pack.is_of_source or (pack.name.source in near and why != NOT_FOUND)

    async def _has_candidates(self) -> bool:
        """Return whether there is a queued file that may be in a pack."""
        queued = self._ledger.items(self._batch.batch_id, states={_QUEUED})
        async for item in queued:
            if can_be_member(item):
                return True
        return False

    async def _sources(self) -> set[str]:
        """Return `identity.short` of each directory that a file is below which may be in a pack, and is not sent."""
        root = self._batch.source_uri.rpartition("?")[2].rstrip("/")
        folders = set[str]()
        async for item in self._ledger.items(self._batch.batch_id, states={_QUEUED, ItemState.PACKED}):
            if not can_be_member(item):
                continue
            folder = item.source.rpartition("/")[0]
            is_absolute = folder.startswith("/")
            folders.add(file_uri(folder) if is_absolute else f"{root}/{quoted(os.fsencode(folder))}".rstrip("/"))
        return {identity.short(uri) for uri in chain.from_iterable(map(_and_above, folders))}


def _unclear(packs: Iterable[LostPack], looks: Mapping[str, _Look]) -> list[tuple[LostPack, str]]:
    """Return the packs whose files cannot be told, each with why."""
    whys = {tag: look.why for tag, look in looks.items()}
    return [(one, why) for one in packs if (why := whys.get(one.name.tag))]


def _and_above(uri: str) -> Iterable[str]:
    """Yield a directory and all that it is in, each with and without a slash at its end."""
    start, mark, path = uri.partition("://")
    names = path.split("/")
    for count in range(len(names), 0, -1):
        above = start + mark + "/".join(names[:count])
        yield from (above, f"{above}/")


def _more(count: int) -> str:
    return f", and {count - _NAMED_MOST:,} more" if count > _NAMED_MOST else ""

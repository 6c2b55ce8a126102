"""OtherSources: which files of a run came with packs of other sources, whose ledger is lost.

A file can be in several sources: in a directory, in one above or below it, and in a list of files. It has the same tag
in all of them, so the tags of a pack's members tell whether it has files of this run, whatever its own source is.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING

from runner import identity
from runner.concurrency import handle_all
from runner.events import Notice
from runner.formatting import counted
from runner.models import ItemState
from runner.sources.spec import file_uri, quoted
from runner.stages.found_lists import NOT_FOUND, FoundList

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.models import Batch
    from runner.stages.found_lists import FoundLists
    from runner.stages.lost_members import LostMember, LostMembers
    from runner.stages.lost_packs import LostPack
    from runner.stages.pack_lists import PackList, PackLists

_QUEUED = ItemState.QUEUED
_NAMED_MOST = 3


class OtherSources:
    """Looks for the queued files of a batch in packs of other sources."""

    def __init__(
        self,
        ledger: Ledger,
        batch: Batch,
        *,
        lists: PackLists,
        found: FoundLists,
        members: LostMembers,
        emit: EventHook,
    ) -> None:
        self._ledger = ledger
        self._batch = batch
        self._lists = lists
        self._found = found
        self._members = members
        self._emit = emit

    async def with_files_of_the_run(self, packs: Collection[LostPack]) -> dict[str, FoundList | str | None]:
        """Return, by its tag, each pack that has queued files: its list if all of its files are, else a sentence.

        A pack whose files cannot be told counts, too, if its source is a directory that one of the files is below. If
        it is not, only a list of files could have one of them, and the pack is named in a notice.
        Raises TransientError, AuthRefused, LedgerError, Stopped, and what the sink raises.
        """
        if not packs or not (await self._ledger.counts(self._batch.batch_id)).get(_QUEUED):
            return {}
        lists = await self._read_lists(packs)
        looked = {one.name.tag: await self._tags(one, lists[one.name.tag]) for one in packs}
        tags = {tag: found for tag, found in looked.items() if not isinstance(found, str)}
        members = await self._members.with_tags({*chain.from_iterable(tags.values())}, passes_unclear=True)
        found: dict[str, FoundList | str | None] = {}
        for one in packs:
            tag = one.name.tag
            mine = {each: members[each] for each in tags.get(tag, ()) if each in members}
            if mine:
                found[tag] = await self._ruling(one, lists[tag], mine)
        unclear = [(one, why) for one in packs if isinstance(why := looked[one.name.tag], str)]
        return found | (await self._near(unclear) if unclear else {})

    async def tags_of(self, packs: Collection[LostPack]) -> set[str] | None:
        """Return the tags of the members of packs; None if some cannot be told, and may be of files of the run.

        Raises as `with_files_of_the_run`.
        """
        found, lists = set[str](), await self._read_lists(packs)
        for one in packs:
            tags = await self._tags(one, lists[one.name.tag])
            if not isinstance(tags, str):
                found.update(tags)
            elif self._may_be_near(one, tags, await self._sources()):
                return None
        return found

    async def _read_lists(self, packs: Collection[LostPack]) -> dict[str, PackList | None]:
        tags = [one.name.tag for one in packs]
        return dict(zip(tags, await handle_all(self._lists.read, tags), strict=True))

    async def _tags(self, pack: LostPack, listed: PackList | None) -> list[str] | str:
        """Return the tags of a pack's members, or why they cannot be told."""
        if listed is not None:
            return [one.tag for one in listed.members]
        tag = pack.name.tag
        if (known := await self._lists.found(tag)) is not None:
            return known
        tags = await self._found.tags_in(pack)
        if not isinstance(tags, str):
            await self._lists.keep_found(tag, tags)
        return tags

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
            else:
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

    async def _sources(self) -> set[str]:
        """Return `identity.short` of each directory that a file is below which is not sent yet."""
        root = self._batch.source_uri.rpartition("?")[2].rstrip("/")
        folders = set[str]()
        async for item in self._ledger.items(self._batch.batch_id, states={_QUEUED, ItemState.PACKED}):
            folder = item.source.rpartition("/")[0]
            is_absolute = folder.startswith("/")
            folders.add(file_uri(folder) if is_absolute else f"{root}/{quoted(os.fsencode(folder))}".rstrip("/"))
        return {identity.short(uri) for uri in chain.from_iterable(map(_and_above, folders))}


def _and_above(uri: str) -> Iterable[str]:
    """Yield a directory and all that it is in, each with and without a slash at its end."""
    start, mark, path = uri.partition("://")
    names = path.split("/")
    for count in range(len(names), 0, -1):
        above = start + mark + "/".join(names[:count])
        yield from (above, f"{above}/")


def _more(count: int) -> str:
    return f", and {count - _NAMED_MOST:,} more" if count > _NAMED_MOST else ""

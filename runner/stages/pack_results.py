"""PackCollector: the result of a pack, split, saved for each member, and recorded for all of them at once."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runner.concurrency import handle_all
from runner.dromo.row_metadata import rows_of
from runner.errors import PackUnaccounted, ResultTooLarge
from runner.ledger.protocol import Move
from runner.masking import FORMS
from runner.models import RESULT_TOO_LARGE, Item, ItemState, batch_of_members
from runner.packing.split import PackResult, PackSplitter
from runner.stages.collect import Unusable, changes_of
from runner.stages.pack_recipe import PackRecipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runner.ledger.protocol import PackLedger
    from runner.models import ItemChanges
    from runner.packing.layout import PackLayout
    from runner.packing.split import MemberResult
    from runner.protocols import ImportsApi, SavedResult, Sink
    from runner.stages.collect import ResultFetch
    from runner.stages.pack_comparison import CanaryComparison, Comparison
    from runner.stages.result_places import ResultPlaces
    from runner.stages.row_accounts import RowAccounts
    from runner.stages.transitions import Transitions

_SAVED_AT_ONCE = 16
_S = ItemState


@dataclass(frozen=True, slots=True)
class _Saved:
    """A member with its part of the result, at its place."""

    member: Item
    result: MemberResult
    saved: SavedResult


class PackCollector:
    """Collects packs whose imports have succeeded."""

    def __init__(
        self,
        *,
        ledger: PackLedger,
        api: ImportsApi,
        fetch: ResultFetch,
        sink: Sink,
        comparison: CanaryComparison,
        transitions: Transitions,
        row_accounts: RowAccounts,
        places: ResultPlaces | None,
        result_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._fetch = fetch
        self._sink = sink
        self._comparison = comparison
        self._transitions = transitions
        self._row_accounts = row_accounts
        self._places = places
        self._result_bytes = result_bytes

    async def collect(self, pack: Item) -> Item:
        """Return a pack `collected` with all its members, `failed`, or unchanged if a stop comes first.

        A canary that differs from what is predicted, or cannot be compared with it, is collected with the error code
        that says so. Members of a pack that failed are still `packed`. Raises as `Collector.collect`, and StaleItem.
        """
        members = await self._ledger.members(batch_of_members(pack.batch_id), pack.source)
        try:
            layout = PackRecipe.of(pack).layout(members)
            split = partial(self._split, pack, layout, members)
            result = await self._fetch.fetch(pack, split, files=len(layout.members))
        except ResultTooLarge as error:
            return await self._fetch.fail(pack, RESULT_TOO_LARGE, f"{error}; {error.hint}")
        except Unusable as unusable:
            return await self._fetch.end_without(pack, unusable)
        if result is None:
            return pack
        waiting = {member.tag: member for member in members if member.state is _S.PACKED}
        pairs = [(waiting[each.tag], each) for each in result.members if each.tag in waiting]
        fitting = [(member, own) for member, own in pairs if own.size_bytes <= self._result_bytes]
        too_large = [self._too_large(pack, member) for member, own in pairs if own.size_bytes > self._result_bytes]
        saved = await handle_all(partial(self._save, pack), fitting, at_once=_SAVED_AT_ONCE)
        ends = [*(self._end_of(pack, each) for each in saved), *too_large]
        return await self._record(pack, ends, await self._comparison.of(pack, members, result))

    async def _split(
        self, pack: Item, layout: PackLayout, members: Sequence[Item], chunks: AsyncIterator[bytes]
    ) -> PackResult:
        """Raises ResultInvalid, and PackUnaccounted, which names the file."""
        try:
            return await self._split_by_tags(pack, layout, chunks)
        except PackUnaccounted as error:
            raise error.with_message(_with_file(str(error), members)) from error

    async def _split_by_tags(self, pack: Item, layout: PackLayout, chunks: AsyncIterator[bytes]) -> PackResult:
        recipe = PackRecipe.of(pack)
        splitter = PackSplitter(
            layout,
            column=recipe.column,
            keeps_unmapped=recipe.keeps_unmapped,
            behavior=recipe.behavior,
        )
        async for chunk in chunks:
            splitter.feed(chunk)
            await asyncio.sleep(0)
        remote = await self._api.retrieve(pack.bound_id)
        return splitter.finish(remote.result_metadata)

    async def _save(self, pack: Item, pair: tuple[Item, MemberResult]) -> _Saved:
        member, result = pair
        place = self._places.of(member, import_id=pack.bound_id) if self._places is not None else None
        saved = await self._sink.save_result(member.source, _once(result.content), place)
        return _Saved(member if place is None else place.item, result, saved)

    async def _record(self, pack: Item, ends: Sequence[Move], found: Comparison) -> Item:
        """Move the pack and its members in one transaction; they end together, or none does."""
        end = Move(
            item=pack,
            state=_S.COLLECTED,
            reason="results saved",
            changes={"error_code": found.code, "error_message": found.sentence},
        )
        collected, *_ = await self._transitions.advance_all([end, *ends])
        return collected

    def _end_of(self, pack: Item, each: _Saved) -> Move:
        account = self._row_accounts.of(
            each.member, rows_of(each.result.metadata, FORMS), row_count=each.saved.row_count
        )
        changes = changes_of(each.saved, account)
        changes |= of_pack(pack)
        reason = f"result saved from pack {pack.source}{account.phrase}"
        return Move(item=each.member, state=_S.COLLECTED, reason=reason, changes=changes)

    def _too_large(self, pack: Item, member: Item) -> Move:
        """Return the move of a member whose part of the result is larger than the result of a file may be."""
        error = ResultTooLarge.than(self._result_bytes)
        changes: ItemChanges = {"error_code": RESULT_TOO_LARGE, "error_message": f"{error}; {error.hint}"}
        changes |= of_pack(pack)
        return Move(item=member, state=_S.FAILED, reason=RESULT_TOO_LARGE, changes=changes)


def _with_file(message: str, members: Sequence[Item]) -> str:
    """Return a message about a row or a member with the name of the file in the place of its tag, as people know it."""
    found = next((member for member in members if member.tag and member.tag in message), None)
    if found is None or found.tag is None:
        return message
    text = re.sub(rf"{re.escape(found.tag)}\.(\d+)", lambda row: f"{row[1]} of {found.source}", message, count=1)
    return text if text != message else message.replace(found.tag, found.source, 1)


def of_pack(pack: Item) -> ItemChanges:
    """Return what the import of a pack says about each of its members."""
    return {
        "status": pack.status,
        "attempts": pack.attempts,
        "created_at": pack.created_at,
        "uploaded_at": pack.uploaded_at,
        "pack_import_id": pack.import_id,
    }


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content

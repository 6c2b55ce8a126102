"""Planted bugs of packing: each spoils one rule by which a file in a pack is as safe as a file alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.errors import Unavailable
from runner.local import packing
from runner.models import PACK_REVIEW_OPEN, ItemState
from runner.packing import split
from runner.stages import dissolved_packs, found_lists, pack_ends, pack_making, pack_source
from runner.stages.lost_members import LostMember, LostMembers, MemberUnclear
from runner.stages.lost_packs import LostPacks, PackAdopter
from runner.stages.pack_lists import PackLists
from runner.stages.pack_recipe import PackRecipe
from runner.stages.packs import Packs
from tests.simulation.plan import Life, Plan, within
from tests.support.process import ProcessLedger
from tests.support.seeds import Mutant
from tests.support.worlds import World

if TYPE_CHECKING:
    import pytest

    from runner.ledger.protocol import Move
    from runner.models import Item


def reviews(plan: Plan) -> Plan:
    """Let each file without a result get into a pack, and crash somewhere while reviews are dissolved."""
    lives = (Life(kill_at=60 + 7 * plan.seed), Life(kill_at=40 + 5 * plan.seed))
    return replace(plan, mispredicted=1.0, lives=lives, rates={"upload": 0.3}, full=(), outages=(), deletions=())


def lost_ledgers(plan: Plan) -> Plan:
    """Lose the ledger between two runs, of which the first is killed somewhere."""
    plan = within(plan, frozenset({World.LOST_LEDGER}))
    return replace(plan, lives=(Life(kill_at=80 + 3 * plan.seed, rest_s=400.0, loses_ledger=True),))


def changed_inboxes(plan: Plan) -> Plan:
    """Lose the ledger, but not the results, and change some files after the first run."""
    return _after_a_loss(plan, World.LOST_AND_CHANGED)


def changed_and_damaged(plan: Plan) -> Plan:
    """Do the same at a vendor that damages results."""
    return _after_a_loss(plan, World.LOST_AND_CHANGED, World.DAMAGED_PACK)


def _after_a_loss(plan: Plan, *worlds: World) -> Plan:
    plan = within(replace(plan, lives=(Life(),)), frozenset(worlds))
    lives = tuple(replace(life, loses_out=False) for life in plan.lives)
    return replace(plan, lives=lives, full=(), outages=(), rates={})


def lost_outs(plan: Plan) -> Plan:
    """Lose ledger and results after the first run, at a vendor that damages results, and change some files."""
    plan = changed_and_damaged(plan)
    return replace(plan, lives=tuple(replace(life, loses_out=True) for life in plan.lives))


def crashes(plan: Plan) -> Plan:
    """Kill two runs somewhere, the first one soon."""
    lives = (Life(kill_at=20 + plan.seed), Life(kill_at=60 + 3 * plan.seed))
    return replace(plan, lives=lives, full=(), outages=(), deletions=())


def damaged_results(plan: Plan) -> Plan:
    """Damage the results of packs."""
    return within(plan, frozenset({World.DAMAGED_PACK}))


def finished_packs(plan: Plan) -> Plan:
    """Let people finish reviews of packs that are being deleted, and let a run after that see it."""
    plan = within(plan, frozenset({World.FINISHED_PACK}))
    return replace(plan, mispredicted=1.0, lives=(Life(kill_at=600 + plan.seed, rest_s=4000.0),), deletions=())


def kept_reviews(plan: Plan) -> Plan:
    """Refuse to delete packs in review, and let a run after that see it."""
    plan = within(plan, frozenset({World.KEPT_REVIEW}))
    return replace(plan, mispredicted=1.0, lives=(Life(rest_s=4000.0),), deletions=(), outages=(), full=())


def other_options(plan: Plan) -> Plan:
    """Run with other options each time."""
    return within(plan, frozenset({World.OTHER_OPTIONS}))


def unreadable(plan: Plan) -> Plan:
    """Let some files not be readable."""
    return within(plan, frozenset({World.UNREADABLE}))


def unreadable_and_lost(plan: Plan) -> Plan:
    """Let some files not be readable, also while a lost ledger is made up for."""
    return within(plan, frozenset({World.UNREADABLE, World.LOST_LEDGER}))


def older_rows_for_a_changed_file(patch: pytest.MonkeyPatch) -> None:
    member = LostMembers._member

    async def whatever_it_is(self: Any, one: Any, *, items: Any, **given: Any) -> Any:
        found, item = await member(self, one, items=items, **given), items.get(one.source)
        is_changed = found is None and item is not None and item.state is ItemState.QUEUED
        return LostMember(item, one.tag, {}) if is_changed else found

    patch.setattr(LostMembers, "_member", whatever_it_is)


def members_packed_again(patch: pytest.MonkeyPatch) -> None:
    async def leave(*_: Any, **__: Any) -> bool:
        return True

    patch.setattr(PackAdopter, "_adopt_arrived", leave)
    patch.setattr(PackAdopter, "_build_again", leave)


def unlisted(patch: pytest.MonkeyPatch) -> None:
    async def forget(*_: Any, **__: Any) -> None:
        return None

    patch.setattr(PackLists, "keep", forget)


def results_without_a_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(found_lists.FoundLists, "_route", lambda self, _tag, _tags: self._routes.routes[-1])


def changed_rows_uncounted(patch: pytest.MonkeyPatch) -> None:
    pack = PackAdopter._pack

    def of_members_alone(self: Any, lost: Any, listed: Any) -> Item:
        made = pack(self, lost, listed)
        return replace(made, version=replace(PackRecipe.of(made), members=()).text)

    patch.setattr(PackAdopter, "_pack", of_members_alone)


def queued_before_the_delete(patch: pytest.MonkeyPatch) -> None:
    release = pack_ends.PackEnds._dissolve
    review = pack_ends.PackEnds.end_review

    async def at_once(self: Any, pack: Item) -> Any:
        if pack.error_code != pack_ends.DISSOLVING:
            pack = await self._transitions.advance(
                pack, pack.state, reason=pack_ends.DISSOLVING, error_code=pack_ends.DISSOLVING
            )
            return await release(self, pack)
        return await review(self, pack)

    patch.setattr(pack_ends.PackEnds, "end_review", at_once)


def lost_packs_passed_over(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> dict[str, Any]:
        return {}

    patch.setattr(LostPacks, "found", nothing)
    patch.setattr(pack_making.PackMaker, "tag_of", _without_members)


def _without_members(self: Any, tags: Any, binding: str) -> str:
    """Return a tag that another run would not find again."""
    return pack_making.pack_tag([*tags, str(id(self))], binding=binding, endpoint="endpoint")


def recorded_one_by_one(patch: pytest.MonkeyPatch) -> None:
    async def one_by_one(self: Any, moves: list[Move], *, add: list[Item] = ()) -> list[Item]:  # type: ignore[assignment]
        for item in add:
            await self.add([item])
        return [
            await self.advance(
                move.item, move.state, reason=move.reason, share_tag=move.share_tag, **dict(move.changes)
            )
            for move in moves
        ]

    patch.setattr(ProcessLedger, "advance_all", one_by_one)


def split_without_accounting(patch: pytest.MonkeyPatch) -> None:
    def all_is_well(self: Any, member: Any, errors: Any) -> split.MemberResult:
        rows = self._rows[member.tag]
        ordered = tuple(rows[number] for number in sorted(rows))
        return split.MemberResult(tag=member.tag, rows=ordered, metadata=errors.metadata_of(member))

    patch.setattr(split.PackSplitter, "_member", all_is_well)


def released_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    settle = pack_ends.PackEnds.settle

    async def release(self: Any, pack: Item) -> Any:
        if pack.state is ItemState.FAILED and pack.error_code not in pack_ends._NOT_IMPORTED:
            await self._queue(await self._waiting(pack), "its pack failed", pack)
        return await settle(self, pack)

    patch.setattr(pack_ends.PackEnds, "settle", release)


def reviews_of_packs_waited_for(patch: pytest.MonkeyPatch) -> None:
    async def wait(self: Any, pack: Item) -> Any:
        return pack, pack_ends.PackEnd()

    patch.setattr(pack_ends.PackEnds, "end_review", wait)


def finished_packs_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Any) -> list[Item]:
        return []

    patch.setattr(dissolved_packs.DissolvedPacks, "watched", nothing)


def finished_pack_left_in_review(patch: pytest.MonkeyPatch) -> None:
    async def unseen(self: Any, finished: Any) -> None:
        return None

    patch.setattr(dissolved_packs.DissolvedPacks, "_end", unseen)


def deleted_without_a_look(patch: pytest.MonkeyPatch) -> None:
    async def dissolve(self: Any, pack: Item) -> Any:
        return await self._dissolve(pack)

    patch.setattr(pack_ends.PackEnds, "_deleted", dissolve)


def refused_delete_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    async def dissolve(self: Any, pack: Item, *_: Any, **__: Any) -> Any:
        await self._dissolve(pack)
        return await self._ledger.item(pack.batch_id, pack.source)

    patch.setattr(pack_ends.PackEnds, "_refused", dissolve)


def kept_reviews_not_watched(patch: pytest.MonkeyPatch) -> None:
    watched = dissolved_packs.DissolvedPacks.watched

    async def without_kept(self: Any) -> list[Item]:
        return [pack for pack in await watched(self) if pack.error_code != PACK_REVIEW_OPEN]

    patch.setattr(dissolved_packs.DissolvedPacks, "watched", without_kept)


def unsent_packs_sent_as_recorded(patch: pytest.MonkeyPatch) -> None:
    async def leave(_: Any) -> None:
        """Send every pack that is recorded."""

    patch.setattr(packing.Packing, "_release_unsent", leave)


def switch_of_packing_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Packs, "is_off", lambda *_: False)


def unreadable_files_taken_for_changed(patch: pytest.MonkeyPatch) -> None:
    prepared = LostMembers._prepared

    async def none_if_unclear(self: Any, item: Item) -> Any:
        try:
            return await prepared(self, item)
        except MemberUnclear:
            return None

    patch.setattr(LostMembers, "_prepared", none_if_unclear)


def unreadable_files_left_out(patch: pytest.MonkeyPatch) -> None:
    read_all = pack_source.PackSource._read_all

    async def without_them(self: Any, pack: Item, members: Any, route: Any, rules: Any) -> Any:
        read: list[Any] = []
        for member in members:
            try:
                read += await read_all(self, pack, [member], route, rules)
            except Unavailable:
                continue
        return read

    patch.setattr(pack_source.PackSource, "_read_all", without_them)


PACK_MUTANTS = (
    Mutant("a member is queued before its pack is deleted", queued_before_the_delete, reviews),
    Mutant("packs of a lost ledger are passed over", lost_packs_passed_over, lost_ledgers),
    Mutant("a pack and its members are recorded one by one", recorded_one_by_one, crashes, first_seed=127),
    Mutant("a pack is split without accounting", split_without_accounting, damaged_results),
    Mutant("members of a pack of unknown fate are sent again", released_after_a_crash, damaged_results),
    Mutant("a person is to review packs", reviews_of_packs_waited_for, reviews),
    Mutant("nobody looks whether a deleted pack arrived", finished_packs_not_looked_for, finished_packs),
    Mutant("a deleted pack that arrived is not told of", finished_pack_left_in_review, finished_packs),
    Mutant("members are queued although the review was finished", deleted_without_a_look, finished_packs),
    Mutant("a changed file gets the rows of its older version", older_rows_for_a_changed_file, changed_inboxes),
    Mutant("members of a lost pack are packed again", members_packed_again, changed_inboxes),
    Mutant("no list of a pack is written", unlisted, changed_and_damaged),
    Mutant("rows of changed files are not counted", changed_rows_uncounted, changed_inboxes),
    Mutant("a pack whose delete is refused is dissolved", refused_delete_taken_for_done, kept_reviews),
    Mutant("nobody looks whether a kept review was finished", kept_reviews_not_watched, kept_reviews, first_seed=16),
    Mutant("filters do not hold for recorded packs", unsent_packs_sent_as_recorded, other_options, first_seed=4),
    Mutant("packs are sent although packing is off", switch_of_packing_ignored, other_options, first_seed=25),
    Mutant("a file that cannot be read is taken for another", unreadable_files_taken_for_changed, unreadable_and_lost),
    Mutant("a pack is sent without its unreadable files", unreadable_files_left_out, unreadable, first_seed=4),
    Mutant("a damaged result tells the files of a pack", results_without_a_proof, lost_outs, first_seed=166),
)

"""PackMaker: puts items into a new pack, and records both together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from runner import identity
from runner.errors import StaleItem, TagInUse
from runner.ledger.protocol import Move
from runner.models import Batch, BatchState, Item, ItemChanges, ItemKind, ItemState, batch_of_packs
from runner.packing.body import PackName, pack_tag
from runner.packing.rules import PackRules
from runner.stages.pack_recipe import PackRecipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.config.routes import Route, Routes
    from runner.ledger.protocol import PackLedger
    from runner.packing.planner import PlannedPack
    from runner.protocols import Clock
    from runner.stages.pack_planning import PackPlan
    from runner.stages.packing_setup import RulesOfRoutes
    from runner.stages.transitions import Transitions


FEWEST = 2
"""Members of a pack, at least."""


@dataclass(frozen=True, slots=True)
class NewMember:
    """An item that joins a pack: its tag, how many rows it has, and what else changes with it."""

    item: Item
    tag: str
    row_count: int
    changes: ItemChanges = field(default_factory=ItemChanges)


class PackMaker:
    """Makes the packs of one batch; `endpoint` is as in `identity.endpoint`, `again` as in `RunOptions`."""

    def __init__(
        self, ledger: PackLedger, transitions: Transitions, batch: Batch, *, endpoint: str, again: bool, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._transitions = transitions
        self._batch = batch
        self._endpoint = endpoint
        self._again = again
        self._clock = clock

    @property
    def batch_id(self) -> str:
        """Return the id of the batch whose items are the packs."""
        return batch_of_packs(self._batch.batch_id)

    def tags_of(self, plan: PackPlan) -> set[str]:
        """Return the tags of planned packs."""
        return {self.tag_of(planned.tags, planned.binding) for planned in plan.packs}

    def tag_of(self, tags: Iterable[str], binding: str) -> str:
        """Return the tag of a pack of these members, in their order."""
        return pack_tag(tags, binding=binding, endpoint=self._endpoint)

    async def make_planned(
        self, planned: PlannedPack, plan: PackPlan, routes: Routes, rules: RulesOfRoutes
    ) -> Item | None:
        """Return a planned pack of its files that are still queued, None as `make`, or if fewer than two are left."""
        route = next((one for one in routes.routes if one.binding == planned.binding), None)
        rules_of_route = await rules.of(route) if route is not None else None
        if route is None or not isinstance(rules_of_route, PackRules):
            return None
        found = await self._ledger.look_up(self._batch.batch_id, plan.sources_of(planned))
        members = []
        for tag in planned.tags:
            file = plan.files[tag]
            item = found.get(file.source)
            if item is not None and item.state is ItemState.QUEUED:
                changes: ItemChanges = {
                    "fingerprint": file.fingerprint, "binding": planned.binding, "intent_at": self._clock.now()
                }  # fmt: skip
                members.append(NewMember(item, tag, file.row_count, changes))
        if len(members) < FEWEST:
            return None
        recipe = PackRecipe(
            binding=planned.binding,
            column=plan.files[planned.tags[0]].column,
            keeps_unmapped=rules_of_route.keeps_unmapped,
            behavior=rules_of_route.behavior,
            is_canary=planned.is_canary,
        )
        return await self.make(members, recipe, route)

    async def make(self, members: Sequence[NewMember], recipe: PackRecipe, route: Route) -> Item | None:
        """Return a new pack of these members, in their order.

        Returns None, with nothing changed, if a member has moved, if its content is sent as another item, or if the
        ledger has had the same pack before.
        """
        pack = self._pack(members, recipe, route)
        if await self._ledger.item(self.batch_id, pack.source) is not None:
            return None
        await self.start()
        starts = accumulate((member.row_count for member in members[:-1]), initial=1)
        moves = [_join(member, pack, row, share_tag=self._again) for member, row in zip(members, starts, strict=True)]
        try:
            await self._transitions.advance_all(moves, add=[pack])
        except (StaleItem, TagInUse):
            return None
        return pack

    def _pack(self, members: Sequence[NewMember], recipe: PackRecipe, route: Route) -> Item:
        tag = self.tag_of((member.tag for member in members), recipe.binding)
        name = PackName(len(members), tag, identity.short(self._batch.source_uri))
        listed = tuple((member.tag, member.row_count) for member in members)
        recipe = replace(recipe, members=listed, is_adopted=False)
        return Item(
            batch_id=self.batch_id,
            source=tag,
            kind=ItemKind.PACK,
            version=recipe.text,
            schema_id=route.schema_id,
            original_filename=str(name),
        )

    async def start(self) -> None:
        """Record the batch of the packs with the first one."""
        if await self._ledger.batch(self.batch_id) is None:
            batch = self._batch
            await self._ledger.start_batch(
                Batch(
                    batch_id=self.batch_id,
                    source_uri=batch.source_uri,
                    account=batch.account,
                    out=batch.out,
                    config="{}",
                    state=BatchState.COMPLETE,
                    listed=True,
                    started_at=batch.started_at,
                )
            )


def _join(member: NewMember, pack: Item, row: int, *, share_tag: bool) -> Move:
    changes: ItemChanges = {
        **member.changes,
        "tag": member.tag,
        "pack": pack.source,
        "pack_row": row,
        "pack_rows": member.row_count,
    }
    reason = f"packed into {pack.source}"
    return Move(item=member.item, state=ItemState.PACKED, reason=reason, share_tag=share_tag, changes=changes)

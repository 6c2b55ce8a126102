"""Packs: the stages of packs of one batch, each made when it is first used, as `Stages` are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from runner import identity
from runner.models import batch_of_packs
from runner.stages.dissolved_packs import DissolvedPacks
from runner.stages.earlier import EarlierItems
from runner.stages.found_lists import FoundLists
from runner.stages.known_packs import KnownPacks
from runner.stages.lost_members import LostMembers
from runner.stages.lost_packs import LostPacks, PackAdopter
from runner.stages.other_sources import OtherSources
from runner.stages.pack_comparison import CanaryComparison
from runner.stages.pack_ends import PackEnds
from runner.stages.pack_lists import PackLists
from runner.stages.pack_making import PackMaker
from runner.stages.pack_planning import PackPlanner
from runner.stages.pack_recipe import PackRecipe
from runner.stages.pack_results import PackCollector
from runner.stages.pack_source import PackSource
from runner.stages.packing_setup import PackingSetup, RulesOfRoutes
from runner.stages.submit import Submitter
from runner.stages.unsent_packs import UnsentPacks

if TYPE_CHECKING:
    from runner.config.routes import Route, Routes
    from runner.ledger.protocol import PackLedger
    from runner.models import Batch, Item
    from runner.packing.planner import PlannedPack
    from runner.protocols import Source
    from runner.stages.context import RunContext
    from runner.stages.factory import Stages
    from runner.stages.pack_planning import PackPlan


class Packs:
    """Shares the uploader, the transitions, and the orphans with the stages of the batch's items."""

    def __init__(self, context: RunContext, stages: Stages, batch: Batch) -> None:
        self._context = context
        self._stages = stages
        self._batch = batch
        self.ledger = cast("PackLedger", context.ledger)
        self._setup = context.packing or PackingSetup()
        self._rules = RulesOfRoutes(context.api.schema)

    @property
    def batch_id(self) -> str:
        """Return the id of the batch whose items are the packs."""
        return batch_of_packs(self._batch.batch_id)

    @property
    def stuck_after_s(self) -> float:
        """Return for how long a run waits for something that is in trouble."""
        return self._context.options.stuck_after_s

    @property
    def can_plan(self) -> bool:
        """Return whether new packs are made."""
        return self._setup.predict is not None and self._context.options.filename_tag

    @property
    def files(self) -> Source:
        """Return the source of the members."""
        return self._context.source

    def is_off(self, pack: Item) -> bool:
        """Return whether a person has said that files of a pack's route are not packed."""
        route = PackRecipe.of(pack).member_route(self._context.routes)
        return route is not None and self._setup.is_off(route)

    @cached_property
    def maker(self) -> PackMaker:
        context, transitions = self._context, self._stages.transitions
        return PackMaker(
            self.ledger,
            transitions,
            self._batch,
            endpoint=context.endpoint,
            again=context.options.again,
            clock=context.clock,
        )

    @cached_property
    def planner(self) -> PackPlanner:
        context = self._context
        return PackPlanner(
            files=context.source,
            routes=context.routes,
            rules=self._rules,
            setup=self._setup,
            earlier=self._earlier,
            orphans=self._stages.orphans,
            gate=context.gate,
            endpoint=context.endpoint,
        )

    async def make(self, planned: PlannedPack, plan: PackPlan) -> Item | None:
        """Make a planned pack, as `PackMaker.make_planned`."""
        return await self.maker.make_planned(planned, plan, self._context.routes, self._rules)

    def with_canary(self, planned: PlannedPack, plan: PackPlan) -> list[PlannedPack]:
        """Return the packs to make of a planned one, as `PackPlan.with_canary`."""
        return plan.with_canary(planned, self._setup.limits)

    @cached_property
    def lost(self) -> LostPacks:
        saved = {route.schema_id for route in self._context.routes.routes}
        return LostPacks(
            self.ledger,
            batch_id=self.batch_id,
            source=identity.short(self._batch.source_uri),
            ignored=self._setup.ignored,
            schemas=None if None in saved else saved,
        )

    @cached_property
    def adopter(self) -> PackAdopter:
        context, stages = self._context, self._stages
        return PackAdopter(
            ledger=self.ledger,
            api=context.api,
            lists=self._lists,
            members=self._lost_members,
            found=self._found,
            others=self.others,
            maker=self.maker,
            transitions=stages.transitions,
            orphans=stages.orphans,
            routes=context.routes,
            options=context.options,
            vendor_time=context.vendor_time,
            stop=context.stop,
            emit=context.emit,
        )

    @cached_property
    def unsent(self) -> UnsentPacks:
        context, stages = self._context, self._stages
        return UnsentPacks(
            self.ledger,
            self.batch_id,
            members=self._lost_members,
            others=self.others,
            ends=self.ends,
            orphans=stages.orphans,
            routes=context.routes,
            transitions=stages.transitions,
            vendor_time=context.vendor_time,
            again=context.options.again,
            emit=context.emit,
        )

    @cached_property
    def others(self) -> OtherSources:
        return OtherSources(
            self.ledger,
            self._batch,
            lists=self._lists,
            known=KnownPacks(
                self._context.sink,
                source=identity.short(self._batch.source_uri),
                endpoint=self._context.endpoint,
            ),
            found=self._found,
            members=self._lost_members,
            vendor_time=self._context.vendor_time,
            stop=self._context.stop,
            emit=self._context.emit,
        )

    @cached_property
    def _found(self) -> FoundLists:
        context = self._context
        return FoundLists(
            api=context.api,
            fetch=self._stages.result_fetch,
            members=self._lost_members,
            routes=context.routes,
            rules=self._rules,
            endpoint=context.endpoint,
        )

    @cached_property
    def _lost_members(self) -> LostMembers:
        context = self._context
        return LostMembers(
            ledger=self.ledger,
            files=context.source,
            routes=context.routes,
            rules=self._rules,
            earlier=self._earlier,
            orphans=self._stages.orphans,
            batch_id=self._batch.batch_id,
            endpoint=context.endpoint,
            clock=context.clock,
        )

    @cached_property
    def _earlier(self) -> EarlierItems:
        context, options = self._context, self._context.options
        return EarlierItems(
            context.ledger,
            endpoint=context.endpoint,
            again=options.again,
            retry_failed=options.retry_failed,
            out=context.out,
        )

    @cached_property
    def _lists(self) -> PackLists:
        return PackLists(self._context.sink, endpoint=self._context.endpoint)

    @cached_property
    def submitter(self) -> Submitter:
        """Submits packs as files."""
        context = self._context
        source = PackSource(
            self.ledger, context.source, context.routes, self._rules.still, lists=self._lists, lost=self.lost
        )
        return self._stages.submitter_of(source, PackRoutes(context.routes))

    @cached_property
    def collector(self) -> PackCollector:
        context, stages = self._context, self._stages
        return PackCollector(
            ledger=self.ledger,
            api=context.api,
            fetch=stages.result_fetch,
            sink=context.sink,
            comparison=CanaryComparison(
                files=context.source, routes=context.routes, setup=self._setup, emit=context.emit
            ),
            transitions=stages.transitions,
            row_accounts=stages.row_accounts,
            places=stages.places,
            result_bytes=context.options.result_bytes,
        )

    @cached_property
    def ends(self) -> PackEnds:
        context, stages = self._context, self._stages
        return PackEnds(
            ledger=self.ledger,
            api=context.api,
            routes=context.routes,
            maker=self.maker,
            transitions=stages.transitions,
            absence=stages.absence,
            is_off=self.is_off,
            emit=context.emit,
        )

    @cached_property
    def dissolved(self) -> DissolvedPacks:
        context = self._context
        return DissolvedPacks(
            self._batch.batch_id,
            ledger=self.ledger,
            api=context.api,
            transitions=self._stages.transitions,
            clock=context.clock,
            emit=context.emit,
        )


class PackRoutes:
    """The routes of packs: those of their members, with the column of the marker."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def for_version(self, _source: str, version: str) -> Route | None:
        """Return the route of a pack, whose recipe is its version."""
        return PackRecipe.parse(version).route(self._routes)

"""Stages: what is done with items of one batch. Each stage is made when it is first used."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from runner.stages.absence import Absence
from runner.stages.collect import Collector, ResultFetch
from runner.stages.earlier_json import EarlierJson
from runner.stages.json_imports import JsonImports
from runner.stages.lost_creates import LostCreates
from runner.stages.orphans import Orphans
from runner.stages.result_places import ResultPlaces
from runner.stages.row_accounts import RowAccounts
from runner.stages.submit import HeldSchemas, Submitter
from runner.stages.upload import Uploader

if TYPE_CHECKING:
    from runner.config.routes import RoutesOfItems
    from runner.protocols import InputReader
    from runner.stages.context import Gate, RunContext
    from runner.stages.transitions import Transitions


class Stages:
    """The stages of one run, or of one function, over one batch. They share `transitions` and `held_schemas`.

    The source is opened with the submitter and the sink with the collector, which may raise ConfigError.
    """

    def __init__(self, context: RunContext, transitions: Transitions) -> None:
        self._context = context
        self.transitions = transitions
        self.held_schemas = HeldSchemas()

    @cached_property
    def orphans(self) -> Orphans:
        context = self._context
        return Orphans(context.api, context.ledger, endpoint=context.endpoint, vendor_time=context.vendor_time)

    @cached_property
    def absence(self) -> Absence:
        return Absence(api=self._context.api, transitions=self.transitions)

    @cached_property
    def uploader(self) -> Uploader:
        context = self._context
        return Uploader(
            api=context.api,
            storage=context.storage,
            transitions=self.transitions,
            absence=self.absence,
            options=context.options,
            vendor_time=context.vendor_time,
            rng=context.rng,
            stop=context.stop,
            emit=context.emit,
        )

    @cached_property
    def submitter(self) -> Submitter:
        return self.submitter_of(self._context.source, self._context.routes, gate=self._context.gate)

    def submitter_of(self, source: InputReader, routes: RoutesOfItems, *, gate: Gate | None = None) -> Submitter:
        """Return a submitter of other inputs, such as packs."""
        context = self._context
        return Submitter(
            ledger=context.ledger,
            api=context.api,
            source=source,
            gate=gate,
            routes=routes,
            endpoint=context.endpoint,
            pacer=context.pacer,
            options=context.options,
            vendor_time=context.vendor_time,
            rng=context.rng,
            stop=context.stop,
            emit=context.emit,
            transitions=self.transitions,
            orphans=self.orphans,
            earlier_json=self._earlier_json(),
            uploader=self.uploader,
            held_schemas=self.held_schemas,
            before_create=self._before_create,
            out=context.out,
        )

    def _earlier_json(self) -> EarlierJson:
        context = self._context
        return EarlierJson(
            context.api,
            context.ledger,
            imports=self._json_imports(),
            endpoint=context.endpoint,
            vendor_time=context.vendor_time,
            json_is_new=context.options.json_is_new,
        )

    def _json_imports(self) -> JsonImports:
        context = self._context
        saved_schemas = {route.schema_id for route in context.routes.routes if route.schema_id}
        return JsonImports(context.api, context.ledger, saved_schemas=saved_schemas)

    async def _before_create(self, tag: str, source: str) -> None:
        if self._context.check_files is not None:
            self._context.check_files()
        await self._context.before_create(tag, source)

    @cached_property
    def collector(self) -> Collector:
        context = self._context
        return Collector(
            fetch=self.result_fetch,
            sink=context.sink,
            transitions=self.transitions,
            row_accounts=self.row_accounts,
            places=self.places,
        )

    @cached_property
    def result_fetch(self) -> ResultFetch:
        context = self._context
        return ResultFetch(
            api=context.api,
            storage=context.storage,
            transitions=self.transitions,
            absence=self.absence,
            options=context.options,
            rng=context.rng,
            stop=context.stop,
        )

    @cached_property
    def row_accounts(self) -> RowAccounts:
        context = self._context
        return RowAccounts(context.api, context.routes, rng=context.rng, stop=context.stop)

    @cached_property
    def places(self) -> ResultPlaces | None:
        """Where results go if others are below the same folder; None if all of it is the batch's own."""
        context = self._context
        if not context.shares_out:
            return None
        return ResultPlaces(context.ledger, transitions=self.transitions, emit=context.emit)

    @cached_property
    def lost_creates(self) -> LostCreates:
        context = self._context
        return LostCreates(
            ledger=context.ledger,
            imports=self._json_imports(),
            transitions=self.transitions,
            options=context.options,
            vendor_time=context.vendor_time,
            stop=context.stop,
        )

"""Stages: what is done with items of one batch, each made when it is asked for first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from runner.stages.collect import Collector
from runner.stages.lost_creates import LostCreates
from runner.stages.orphans import Orphans
from runner.stages.submit import HeldSchemas, Submitter
from runner.stages.upload import Uploader

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.stages.context import RunContext
    from runner.stages.transitions import Transitions


class Stages:
    """The stages that need no more than a batch's context, and share the same transitions."""

    def __init__(self, open_context: Callable[[], RunContext], transitions: Transitions) -> None:
        """`open_context` is called when the first stage is asked for."""
        self._open_context = open_context
        self.transitions = transitions

    @cached_property
    def orphans(self) -> Orphans:
        context = self._context
        return Orphans(context.api, context.ledger, endpoint=context.endpoint, vendor_time=context.vendor_time)

    @cached_property
    def uploader(self) -> Uploader:
        return Uploader(self._context, self.transitions)

    @cached_property
    def submitter(self) -> Submitter:
        return Submitter(
            self._context,
            self.transitions,
            orphans=self.orphans,
            uploader=self.uploader,
            held_schemas=self.held_schemas,
        )

    @cached_property
    def held_schemas(self) -> HeldSchemas:
        return HeldSchemas()

    @cached_property
    def collector(self) -> Collector:
        return Collector(self._context, self.transitions)

    @cached_property
    def lost_creates(self) -> LostCreates:
        context = self._context
        return LostCreates(
            ledger=context.ledger,
            api=context.api,
            transitions=self.transitions,
            options=context.options,
            vendor_time=context.vendor_time,
            stop=context.stop,
            saved_schemas={route.schema_id for route in context.routes.routes if route.schema_id},
        )

    @cached_property
    def _context(self) -> RunContext:
        return self._open_context()

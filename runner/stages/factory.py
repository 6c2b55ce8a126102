"""Stages: what is done with items of one batch, each made when it is asked for first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from runner.stages.collect import Collector
from runner.stages.lost_creates import LostCreates
from runner.stages.orphans import Orphans
from runner.stages.submit import Submitter
from runner.stages.upload import Uploader

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.stages.context import RunContext
    from runner.stages.transitions import Transitions


class Stages:
    """The stages that need no more than a batch's surroundings, and share the same moves."""

    def __init__(self, surroundings: Callable[[], RunContext], moves: Transitions) -> None:
        """`surroundings` are asked for with the first stage that is."""
        self._surroundings = surroundings
        self.moves = moves

    @cached_property
    def orphans(self) -> Orphans:
        around = self._around
        return Orphans(around.api, around.ledger, endpoint=around.endpoint, vendor_time=around.vendor_time)

    @cached_property
    def uploader(self) -> Uploader:
        return Uploader(self._around, self.moves)

    @cached_property
    def submitter(self) -> Submitter:
        return Submitter(self._around, self.moves, orphans=self.orphans, uploader=self.uploader)

    @cached_property
    def collector(self) -> Collector:
        return Collector(self._around, self.moves)

    @cached_property
    def doubts(self) -> LostCreates:
        around = self._around
        return LostCreates(
            ledger=around.ledger,
            api=around.api,
            moves=self.moves,
            options=around.options,
            vendor_time=around.vendor_time,
            stop=around.stop,
            saved_schemas={route.schema_id for route in around.routes.routes if route.schema_id},
        )

    @cached_property
    def _around(self) -> RunContext:
        return self._surroundings()

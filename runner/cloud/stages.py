"""The stages over one batch, made anew for each message: they know nothing of what came before."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from runner.collect import Collector
from runner.doubts import Doubts
from runner.orphans import Orphans
from runner.submit import Submitter
from runner.track import Tracker
from runner.upload import Uploader

if TYPE_CHECKING:
    from runner.cloud.deployment import Deployment
    from runner.cloud.patience import Patience
    from runner.models import Batch, Item
    from runner.surroundings import Surroundings


class Stages:
    """Opens each stage when it is asked for; the tracker alone needs nothing of where the batch's files lie."""

    def __init__(self, deployment: Deployment, batch: Batch, patience: Patience) -> None:
        self._deployment = deployment
        self._batch = batch
        self._patience = patience
        self.moves = deployment.moves()
        self.moved: Item | None = None

    @cached_property
    def _around(self) -> Surroundings:
        return self._deployment.surroundings(self._batch, self._patience)

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
    def tracker(self) -> Tracker:
        """Return a tracker for one look at one import; `moved` is then the item, if it came to another state."""
        return Tracker(api=self._deployment.api, moves=self.moves, on_move=self._note)

    @cached_property
    def doubts(self) -> Doubts:
        around = self._around
        return Doubts(
            ledger=around.ledger,
            api=around.api,
            moves=self.moves,
            options=around.options,
            vendor_time=around.vendor_time,
            stop=around.stop,
            saved_schemas={route.schema_id for route in around.routes.routes if route.schema_id},
        )

    async def _note(self, item: Item) -> None:
        self.moved = item

"""The stages as a function has them, made anew for each message: they know nothing of what came before."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from runner.stages.factory import Stages
from runner.stages.track import Tracker

if TYPE_CHECKING:
    from runner.cloud.deployment import Deployment
    from runner.cloud.patience import Patience
    from runner.models import Batch, Item


class CloudStages(Stages):
    """The stages over a batch of a deployment; the tracker alone needs nothing of where the batch's files lie."""

    def __init__(self, deployment: Deployment, batch: Batch, patience: Patience) -> None:
        super().__init__(lambda: deployment.surroundings(batch, patience), deployment.moves())
        self._api = deployment.api
        self.moved: Item | None = None

    @cached_property
    def tracker(self) -> Tracker:
        """Return a tracker for one look at one import; `moved` is then the item, if it came to another state."""
        return Tracker(api=self._api, moves=self.moves, on_move=self._note)

    async def _note(self, item: Item) -> None:
        self.moved = item

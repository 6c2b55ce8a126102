"""Turns of JSON creates: one of a schema at a time, and none while another is in doubt."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from runner.dromo.listing import CLOCK_MARGIN
from runner.models import Item, ItemKind, ItemState

if TYPE_CHECKING:
    from runner.cloud.deployment import Deployment

TURN_S = 180.0
"""Longer than a function waits for a permit and for the answer: a turn that was not given back ends by itself."""

_TURNS = "json-turns"
_SOON_S = 5.0
_IN_DOUBT_S = 60.0
_PAGE = 200


class JsonTurn:
    """The turn of one item."""

    def __init__(self, deployment: Deployment, item: Item) -> None:
        self._deployment = deployment
        self._item = item
        self._holder = deployment.holder()
        self._name = item.schema_id or "inline"

    async def take(self) -> float | None:
        """Take the turn; else return after how many seconds to come back."""
        leases = self._deployment.leases
        left_s = await leases.take(_TURNS, self._name, holder=self._holder, for_s=TURN_S)
        if left_s is not None:
            return min(left_s, _SOON_S)
        if await self._is_in_doubt():
            await leases.release(_TURNS, self._name, holder=self._holder)
            return _IN_DOUBT_S
        return None

    async def over(self, item: Item) -> None:
        """Give the turn back, but where the create is in doubt: by the time it ends, every index shows that."""
        if item.state is not ItemState.CREATING:
            await self._deployment.leases.release(_TURNS, self._name, holder=self._holder)

    async def _is_in_doubt(self) -> bool:
        ledger = self._deployment.ledger
        for batch in await ledger.incomplete_batches():
            creating = await ledger.page(batch.batch_id, ItemState.CREATING, after=None, limit=_PAGE)
            if any(self._is_rival(one) for one in creating):
                return True
        return False

    def _is_rival(self, item: Item) -> bool:
        """Tell whether the import that a create in doubt may have made could be taken for this item's.

        What was made within its quiet period is long past else: its batch may be a runner's that nobody resumes.
        """
        if item.kind is not ItemKind.JSON or item.schema_id != self._item.schema_id:
            return False
        quiet_period = timedelta(seconds=self._deployment.settings.quiet_period_s)
        now = self._deployment.vendor_time.now()
        return item.intent_at is None or now - item.intent_at <= quiet_period + 2 * CLOCK_MARGIN

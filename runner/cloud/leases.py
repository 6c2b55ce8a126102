"""Leased: one function at a time works on something; what depends on it is money and time, never safety."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from runner.cloud.protocols import MOST_DELAY_S, Done, Requeued
from runner.dromo.listing import CLOCK_MARGIN
from runner.models import Item, ItemKind, ItemState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.cloud.context import Deployment
    from runner.cloud.deadline import Deadline
    from runner.cloud.messages import Message
    from runner.cloud.protocols import Outcome, Queue


CLAIM_S = 20.0
"""So long the right to send a message anew is held before it is sent: a message that failed comes back later."""

_SKEW_S = 2.0
"""By so much the clocks of two functions may differ: a message must not find itself still on its way."""


@asynccontextmanager
async def leased(deployment: Deployment, batch_id: str, name: str, deadline: Deadline) -> AsyncIterator[float | None]:
    """Hold a lease for as long as the function can live, and give it back.

    Yields None, or how many seconds the lease of somebody else still lasts: then it is theirs.
    """
    holder = deployment.holder()
    left_s = await deployment.leases.take(batch_id, name, holder=holder, for_s=deadline.lease_s())
    try:
        yield left_s
    finally:
        if left_s is None:
            await deployment.leases.release(batch_id, name, holder=holder)


async def later(
    deployment: Deployment, queue: Queue, message: Message, seconds: float, *, batch_id: str, name: str
) -> Outcome:
    """Send a message anew, to come in `seconds` and a little more, unless one for the same is on its way already.

    Messages come twice now and then: if each of them brought the next, there would soon be no end of them.
    """
    delay_s = min(MOST_DELAY_S, math.ceil(seconds) + deployment.rng.randint(1, 4))
    on_its_way_s = max(delay_s - _SKEW_S, delay_s / 2)
    claim = partial(deployment.leases.take, batch_id, next_of(name), holder=deployment.holder())
    if await claim(for_s=min(on_its_way_s, CLAIM_S)) is not None:
        return Done()
    await deployment.queues.send(queue, [message], delay_s=delay_s)
    if on_its_way_s > CLAIM_S:
        await claim(for_s=on_its_way_s)
    return Requeued(delay_s)


def next_of(name: str) -> str:
    """Return the name under which a message for something is leased while it is on its way; no file is named so."""
    return f"\0next {name}"


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

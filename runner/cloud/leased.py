"""Leased: one function at a time works on something; what depends on it is money and time, never safety."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from runner.cloud.ports import MOST_DELAY_S, Done, Later

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.cloud.deployment import Deployment
    from runner.cloud.messages import Message
    from runner.cloud.patience import Patience
    from runner.cloud.ports import Outcome, Queue


CLAIM_S = 20.0
"""So long the right to send a message anew is held before it is sent: a message that failed comes back later."""

_SKEW_S = 2.0
"""By so much the clocks of two functions may differ: a message must not find itself still on its way."""


@asynccontextmanager
async def leased(deployment: Deployment, batch_id: str, name: str, patience: Patience) -> AsyncIterator[float | None]:
    """Hold a lease for as long as the function can live, and give it back.

    Yields None, or how many seconds the lease of somebody else still lasts: then it is theirs.
    """
    holder = deployment.holder()
    left_s = await deployment.leases.take(batch_id, name, holder=holder, for_s=patience.lease_s())
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
    return Later(delay_s)


def next_of(name: str) -> str:
    """Return the name under which a message for something is leased while it is on its way; no file is named so."""
    return f"\0next {name}"

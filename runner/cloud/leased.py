"""Leased: one function at a time works on something; what depends on it is money and time, never safety."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.cloud.deployment import Deployment
    from runner.cloud.patience import Patience

WAITING = "waiting"
"""Who holds the lease of an item for which a message is on its way that must not come earlier."""

WORTH_A_LEASE_S = 30.0


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


async def leave_waiting(deployment: Deployment, batch_id: str, name: str, *, for_s: float) -> None:
    """Let other messages of an item be of no use until its own comes: else each would bring the next, for ever."""
    if for_s >= WORTH_A_LEASE_S:
        await deployment.leases.take(batch_id, name, holder=WAITING, for_s=for_s - 1.0)


async def is_waited_for(deployment: Deployment, batch_id: str, name: str) -> bool:
    """Tell whether a message of the item is on its way, so that this one can be dropped."""
    lease = await deployment.leases.seen(batch_id, name)
    return lease is not None and lease.holder == WAITING

"""Leased: one function at a time works on something; what depends on it is money and time, never safety."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runner.cloud.deployment import Deployment
    from runner.cloud.patience import Patience


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

"""Driving: the right of one run at a time to drive a batch of a shared ledger, kept up for as long as the run lasts."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.errors import BatchTaken, LedgerUnavailable
from runner.ledger.leases import WHOLE_BATCH
from runner.models import iso
from runner.stop import StopReason

if TYPE_CHECKING:
    from runner.ledger.leases import Lease, Leases
    from runner.protocols import Clock
    from runner.stop import StopSignal

logger = logging.getLogger(__name__)

LEASE_S = 60.0
"""How long a run whose machine has died keeps others from its batch."""

_RENEW_EVERY_S = 15.0


@asynccontextmanager
async def driving(leases: Leases, batch_id: str, *, clock: Clock, stop: StopSignal) -> AsyncIterator[None]:
    """Drive a batch alone until the end of the context; a run that finds it in other hands stops in order.

    Raises BatchTaken where another run drives it. What a killed run of this machine has left is taken over at once.
    """
    holder = f"pid {os.getpid()} on {socket.gethostname()}, since {iso(clock.now())}"
    await _take(leases, batch_id, holder, clock)
    renewal = asyncio.ensure_future(_keep(leases, batch_id, holder, stop))
    try:
        yield
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError, LedgerUnavailable):
            await asyncio.gather(renewal, return_exceptions=True)
            await leases.release(batch_id, WHOLE_BATCH, holder=holder)


async def is_driven(leases: Leases, batch_id: str) -> bool:
    """Tell whether a run drives the batch, as far as can be told from here."""
    lease = await leases.seen(batch_id, WHOLE_BATCH)
    return lease is not None and not _is_left_behind(lease)


async def _take(leases: Leases, batch_id: str, holder: str, clock: Clock) -> None:
    if await leases.take(batch_id, WHOLE_BATCH, holder=holder, for_s=LEASE_S) is None:
        return
    other = await leases.seen(batch_id, WHOLE_BATCH)
    if other is not None and _is_left_behind(other):
        await leases.release(batch_id, WHOLE_BATCH, holder=other.holder)
    left_s = await leases.take(batch_id, WHOLE_BATCH, holder=holder, for_s=LEASE_S)
    if left_s is None:
        return
    until = iso(clock.now() + timedelta(seconds=left_s))
    who = other.holder if other else "that has just begun"
    raise BatchTaken(
        f"another run ({who}) drives batch {batch_id}; it has said so until {until}",
        hint="wait until it ends; `bulkhead status` shows how far it is. If it was killed, try again after that time",
    )


async def _keep(leases: Leases, batch_id: str, holder: str, stop: StopSignal) -> None:
    while True:
        await asyncio.sleep(_RENEW_EVERY_S)
        try:
            left_s = await leases.take(batch_id, WHOLE_BATCH, holder=holder, for_s=LEASE_S)
        except LedgerUnavailable:
            logger.warning("the batch's lease could not be renewed", extra={"batch": batch_id})
            continue
        if left_s is not None:
            stop.request(StopReason.TROUBLE, f"another run has taken over batch {batch_id}")
            return


def _is_left_behind(lease: Lease) -> bool:
    """Tell whether the holder was a process of this machine that is gone."""
    words = lease.holder.split(",")[0].split(" on ")
    if len(words) != 2 or words[1] != socket.gethostname() or not words[0].startswith("pid "):
        return False
    try:
        os.kill(int(words[0].removeprefix("pid ")), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OSError):
        return False
    return False

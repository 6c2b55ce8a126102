"""Batch lease: the right of one run at a time to work on a batch of a shared ledger, renewed for as long as it runs."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import BatchTaken, LedgerUnavailable
from runner.formatting import lasting
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
_MAX_TAKEOVERS = 5
"""A renewal that a process sent before it was killed can arrive after its lease was released."""

_HOLDER = re.compile(
    r"(?P<who>pid (?P<pid>\d+) on (?P<host>[^,]+)(?:, since [^,]*)?)(?:, process (?P<start>\d+)@(?P<place>\S+))?"
)
_STATE, _START = 0, 19
"""Places in /proc/PID/stat, counted from the end of the command's name (proc_pid_stat(5))."""


@asynccontextmanager
async def hold_batch_lease(leases: Leases, batch_id: str, *, clock: Clock, stop: StopSignal) -> AsyncIterator[None]:
    """Keep other runs from the batch until the end of the context; a run that loses its lease stops gracefully.

    Takes over the lease of a process of this host that is gone. Raises BatchTaken where another run holds the lease.
    """
    holder = this_process(clock.now())
    await _take(leases, batch_id, holder, clock)
    renewal = asyncio.ensure_future(_renew(leases, batch_id, holder, stop))
    try:
        yield
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError, LedgerUnavailable):
            await asyncio.gather(renewal, return_exceptions=True)
            await leases.release(batch_id, WHOLE_BATCH, holder=holder)


async def is_running(leases: Leases, batch_id: str) -> bool:
    """Return whether a run holds the batch's lease; a process of this host that is gone does not count."""
    lease = await leases.seen(batch_id, WHOLE_BATCH)
    return lease is not None and not _is_gone(lease)


def this_process(now: datetime) -> str:
    """Return the holder text of a run of this process: `pid 12 on HOST, since INSTANT, process START@BOOT/NAMESPACE`.

    START is the process's start in clock ticks since boot, BOOT the beginning of the boot id, NAMESPACE the number of
    the namespace of process ids. Systems without /proc, and version 0.1.0, write no `process`.
    """
    who = f"pid {os.getpid()} on {socket.gethostname()}, since {iso(now)}"
    place, stat = _place(), _stat_of(os.getpid())
    return f"{who}, process {stat[_START]}@{place}" if place and stat else who


async def _take(leases: Leases, batch_id: str, holder: str, clock: Clock) -> None:
    left_s, other = 0.0, None
    for _ in range(_MAX_TAKEOVERS):
        taken_for_s = await leases.take(batch_id, WHOLE_BATCH, holder=holder, for_s=LEASE_S)
        if taken_for_s is None:
            return
        left_s, other = taken_for_s, await leases.seen(batch_id, WHOLE_BATCH)
        if other is not None and not _is_gone(other):
            break
        if other is not None:
            await leases.release(batch_id, WHOLE_BATCH, holder=other.holder)
    ends_at = (clock.now() + timedelta(seconds=left_s)).astimezone()
    raise BatchTaken(
        f"another run ({_shown(other)}) is working on batch {batch_id}; its lease ends at {ends_at:%H:%M:%S}"
        f" (in {lasting(left_s)}) unless the run renews it",
        hint="`bulkhead status` shows its progress. `bulkhead resume --wait` waits for the run, or for the end of its"
        " lease if it was killed",
        left_s=left_s,
    )


async def _renew(leases: Leases, batch_id: str, holder: str, stop: StopSignal) -> None:
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


def _shown(lease: Lease | None) -> str:
    if lease is None:
        return "that has just started"
    found = _HOLDER.fullmatch(lease.holder)
    return found["who"] if found else lease.holder


def _is_gone(lease: Lease) -> bool:
    """Return whether the holder was a process of this host that is gone; False if that cannot be known."""
    found = _HOLDER.fullmatch(lease.holder)
    if found is None or found["host"] != socket.gethostname():
        return False
    if found["place"] is not None and found["place"] != _place():
        return False  # another machine, boot, or container with the same host name
    pid = int(found["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OverflowError:
        return False
    except PermissionError:
        pass
    stat = _stat_of(pid)
    if stat is None:
        return False
    return stat[_STATE] in {"Z", "X"} or found["start"] not in {None, stat[_START]}


def _place() -> str | None:
    """Return what a process id of this host is valid in, its boot and its namespace; None on systems without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None
    return f"{boot[:8]}/{namespace}"


def _stat_of(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the command's name; None where they cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields if len(fields) > _START else None

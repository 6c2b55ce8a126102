"""Sweep: once an hour, compare the inbox with the ledger, and register the files of which no event came.

It lists the whole inbox, one page per message, and looks up only the files that are new since the last sweep.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.handlers.configure import config_in_force
from runner.cloud.leases import send_once
from runner.cloud.lifecycle import rolling_id
from runner.cloud.messages import SweepPage
from runner.cloud.protocols import Done, Outcome, Queue
from runner.sources import ObjectVersion, versioned_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from runner.cloud.context import Deployment
    from runner.cloud.messages import ObjectCreated
    from runner.cloud.protocols import TimeLeft
    from runner.models import Batch
    from runner.protocols import SourceEntry

logger = logging.getLogger(__name__)

SWEEP_EVERY = timedelta(hours=1)
LATE_OBJECTS = timedelta(minutes=15)
"""How long after its own time an object may appear, and how long before the first sweep events may have been lost."""

LONGEST_MULTIPART_UPLOAD = timedelta(days=8)
"""An object that was uploaded in parts has the time when its upload began; S3 deletes the parts after a week."""

LONGEST_WAIT_BEFORE = timedelta(days=14)
"""How old a file can be that was only a message when version 0.1.0 was updated."""

_SWEEP = "sweep"
_LEASE_S = 3600.0


def swept(deployment: Deployment) -> str:
    """Return the name under which the ledger keeps how far the inbox was swept."""
    return f"inbox {deployment.inbox}"


async def start_sweep(deployment: Deployment, batches: Sequence[Batch]) -> None:
    """Enqueue the first page of a sweep if it is time for one. Raises LedgerError, TransientError.

    The first sweep begins with files that arrived a moment before, because a new bucket loses its first events. If
    `batches` has old ones, the stack was updated from a version without sweeps, and older files may have no item.
    """
    now = deployment.clock.now()
    swept_to = await deployment.ledger.reconciled_to(swept(deployment))
    if swept_to is None:
        is_updated = any(now - batch.started_at >= SWEEP_EVERY for batch in batches)
        swept_to = now - (LONGEST_WAIT_BEFORE if is_updated else LATE_OBJECTS)
        await deployment.ledger.set_reconciled(swept(deployment), swept_to)
    is_due = now - swept_to >= SWEEP_EVERY
    if is_due and await deployment.leases.seen(_SWEEP, _SWEEP) is None:
        await deployment.queues.send(Queue.LIST, [SweepPage(at=now)])


async def sweep_page(
    deployment: Deployment,
    message: SweepPage,
    *,
    time_left: TimeLeft,  # noqa: ARG001 - a page takes seconds
    receives: int = 1,  # noqa: ARG001 - the next sweep finds what this one misses
) -> Outcome:
    """Register the files of one page of the inbox that the ledger lacks, and enqueue the next page.

    Raises SourceNotFound, ConfigError, LedgerError, TransientError.
    """
    swept_to = await deployment.ledger.reconciled_to(swept(deployment))
    holder = message.at.isoformat()
    if swept_to is None or swept_to >= message.at:
        return Done()
    if await deployment.leases.take(_SWEEP, _SWEEP, holder=holder, for_s=_LEASE_S) is not None:
        return Done()
    listed, following = await deployment.places.inbox_page(deployment.landing.root, message.token)
    new = [file for file in listed if deployment.landing.takes(file.key) and _is_new(file, swept_to, message.at)]
    missing = await _missing(deployment, new)
    if missing:
        logger.warning("files without an event found in the inbox", extra={"files": len(missing)})
        deployment.metrics.add_metric("FilesWithoutEvent", len(missing))
        await deployment.queues.send(Queue.REGISTER, missing)
    if following is not None:
        page = SweepPage(at=message.at, token=following)
        await send_once(deployment, Queue.LIST, page, batch_id=_SWEEP, name=f"{holder} {following}")
        return Done()
    await deployment.ledger.set_reconciled(swept(deployment), message.at)
    await deployment.leases.release(_SWEEP, _SWEEP, holder=holder)
    return Done()


def _is_new(file: ObjectCreated, swept_to: datetime, at: datetime) -> bool:
    """Return whether a file may have appeared since the last sweep.

    Those that were uploaded in parts, as their etag shows, are looked up again for days, in the first sweep of a day.
    """
    is_first_of_day = swept_to.date() != at.date()
    if "-" in file.etag and is_first_of_day:
        return file.at >= min(swept_to, at - LONGEST_MULTIPART_UPLOAD)
    return file.at >= swept_to - LATE_OBJECTS


async def _missing(deployment: Deployment, files: Sequence[ObjectCreated]) -> list[ObjectCreated]:
    """Return the files that are in no rolling batch of their day or, for files of midnight, of the next one."""
    if not files:
        return []
    spec = (await config_in_force(deployment)).run_spec(deployment, deployment.inbox)
    source = deployment.places.source(spec.source)
    entries: list[tuple[ObjectCreated, SourceEntry]] = []
    for file in files:
        version = ObjectVersion(etag=file.etag, size_bytes=file.size_bytes, version_id=file.version_id)
        if (entry := source.entry(file.key, version)) is not None:
            entries.append((file, entry))
    for place in range(4):
        entries = await _not_at(deployment, entries, place)
    return [file for file, _ in entries]


async def _not_at(
    deployment: Deployment, entries: Sequence[tuple[ObjectCreated, SourceEntry]], place: int
) -> list[tuple[ObjectCreated, SourceEntry]]:
    """Return the entries that are not at one of the places where `register` may have put them."""
    wanted: dict[str, list[str]] = {}
    for file, entry in entries:
        batch_id, name = list(_places(deployment, file, entry))[place]
        wanted.setdefault(batch_id, []).append(name)
    found = {batch_id: await deployment.ledger.look_up(batch_id, names) for batch_id, names in wanted.items()}
    left: list[tuple[ObjectCreated, SourceEntry]] = []
    for file, entry in entries:
        batch_id, name = list(_places(deployment, file, entry))[place]
        item = found[batch_id].get(name)
        if item is None or item.version != entry.version:
            left.append((file, entry))
    return left


def _places(deployment: Deployment, file: ObjectCreated, entry: SourceEntry) -> Iterator[tuple[str, str]]:
    """Yield batch id and source of each place: its own day and the next, under its plain name and that of a version."""
    for day in (file.at, file.at + timedelta(days=1)):
        for name in (entry.source, versioned_source(entry.source, entry.version)):
            yield rolling_id(entry.source, day, below=deployment.landing.prefix), name

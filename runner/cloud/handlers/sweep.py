"""Sweep: once an hour, compare the inbox with the ledger, and register the files of which no event came.

It lists the whole inbox, one page per message, and looks up only the files that are new since the last sweep, and those
that are as new as the oldest file that an earlier sweep found missing: its message may have been lost, too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.handlers.configure import config_in_force
from runner.cloud.leases import send_once
from runner.cloud.lifecycle import is_rolling, rolling_id
from runner.cloud.messages import SweepPage
from runner.cloud.protocols import Done, Outcome, Queue
from runner.sources import ObjectVersion, versioned_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from runner.cloud.context import Deployment
    from runner.cloud.messages import ObjectCreated
    from runner.cloud.protocols import TimeLeft
    from runner.ledger.protocol import CloudLedger
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

LOOKED_FOR = timedelta(days=14)
"""How long sweeps look for a file that they found missing: as long as a dead-letter queue keeps its message."""

LOOKED_FOR_HOURLY = timedelta(days=1)
"""How old a missing file is at most in the eyes of most sweeps; the first one of a day looks for all of them."""

FEW_MESSAGES = 1000
"""With more messages in the queue, those of missing files are probably among them, and are not sent once more."""

_ANY_INBOX = "sweep of any inbox"
_SWEEP = "sweep"
_LEASE_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How far an inbox was swept: the last sweep began `at`, and files from before `to` are in the ledger."""

    to: datetime
    at: datetime


async def swept(ledger: CloudLedger, root: str) -> Swept | None:
    """Return how far the files below an `s3://` url were swept; None if never, or if another inbox was swept since.

    Raises LedgerError, TransientError.
    """
    to, last = await ledger.reconciled_to(_to(root)), await ledger.reconciled_to(_ANY_INBOX)
    if to is None:
        return None
    at = await ledger.reconciled_to(_at(root)) or to
    return Swept(to=to, at=at) if last is None or at >= last else None


async def record_sweep(ledger: CloudLedger, root: str, now: Swept) -> None:
    """Record how far the files below an `s3://` url were swept. Raises LedgerError, TransientError."""
    await ledger.set_reconciled(_to(root), now.to)
    await ledger.set_reconciled(_at(root), now.at)
    await ledger.set_reconciled(_ANY_INBOX, now.at)


def _to(root: str) -> str:
    return f"inbox {root.removesuffix('/')}"


def _at(root: str) -> str:
    return f"sweep of {_to(root)}"


async def start_sweep(deployment: Deployment, batches: Sequence[Batch]) -> None:
    """Enqueue the first page of a sweep if it is time for one. Raises LedgerError, TransientError.

    The first sweep of an inbox begins with files that arrived a moment before, because a new bucket loses its first
    events. What `batches` tell of an update from a version without sweeps, see `_is_updated`.
    """
    now, root = deployment.clock.now(), deployment.landing.root
    found = await swept(deployment.ledger, root)
    if found is None:
        last = await deployment.ledger.reconciled_to(_ANY_INBOX)
        is_updated = last is None and _is_updated(deployment, batches, now)
        begin = now - (LONGEST_WAIT_BEFORE if is_updated else LATE_OBJECTS)
        found = Swept(to=begin, at=max(begin, last or begin))
        await record_sweep(deployment.ledger, root, found)
    is_due = now - found.at >= SWEEP_EVERY
    if is_due and await deployment.leases.seen(_SWEEP, _SWEEP) is None:
        await deployment.queues.send(Queue.LIST, [SweepPage(at=now)])


def _is_updated(deployment: Deployment, batches: Sequence[Batch], now: datetime) -> bool:
    """Return whether version 0.1.0 took files of this inbox: it had no sweeps, and older files may have no item.

    Its batches of files that arrived name the bucket as their source.
    """
    return any(
        is_rolling(batch.batch_id) and now - batch.started_at >= SWEEP_EVERY and _is_of(batch, deployment.inbox)
        for batch in batches
    )


def _is_of(batch: Batch, inbox: str) -> bool:
    return batch.source_uri.removesuffix("/") == inbox.removesuffix("/")


async def sweep_page(
    deployment: Deployment,
    message: SweepPage,
    *,
    time_left: TimeLeft,  # noqa: ARG001 - a page takes seconds
    receives: int = 1,  # noqa: ARG001 - the next sweep finds what this one misses
) -> Outcome:
    """Register the files of one page of the inbox that the ledger lacks, and enqueue the next page.

    The next sweep looks for them again. Raises SourceNotFound, ConfigError, LedgerError, TransientError.
    """
    root = deployment.landing.root
    found = await swept(deployment.ledger, root)
    holder = message.at.isoformat()
    if found is None or found.at >= message.at:
        return Done()
    if await deployment.leases.take(_SWEEP, _SWEEP, holder=holder, for_s=_LEASE_S) is not None:
        return Done()
    listed, following = await deployment.places.inbox_page(root, message.token)
    new = [file for file in listed if deployment.landing.takes(file.key) and _is_new(file, found, message.at)]
    missing = await _missing(deployment, new)
    await _register(deployment, missing, found, message.at)
    oldest = min((file.at for file in missing), default=message.at)
    if message.oldest is not None:
        oldest = min(oldest, message.oldest)
    if following is not None:
        page = SweepPage(at=message.at, token=following, oldest=oldest)
        await send_once(deployment, Queue.LIST, page, batch_id=_SWEEP, name=f"{holder} {following}")
        return Done()
    if _looks_from(found, message.at) > found.to:
        oldest = min(oldest, found.to)
    over = Swept(to=max(oldest, message.at - LOOKED_FOR), at=message.at)
    await record_sweep(deployment.ledger, root, over)
    await deployment.leases.release(_SWEEP, _SWEEP, holder=holder)
    return Done()


def _is_first_of_day(found: Swept, at: datetime) -> bool:
    return found.at.date() != at.date()


def _looks_from(found: Swept, at: datetime) -> datetime:
    """Return how old a file can be at which the sweep that began `at` looks."""
    return found.to if _is_first_of_day(found, at) else max(found.to, at - LOOKED_FOR_HOURLY)


def _is_in_parts(file: ObjectCreated) -> bool:
    return "-" in file.etag


def _is_new(file: ObjectCreated, found: Swept, at: datetime) -> bool:
    """Return whether a file may have appeared since the last sweep, or may be one that was missing then.

    Those that were uploaded in parts, as their etag shows, are looked up again for days, in the first sweep of a day.
    """
    since = _looks_from(found, at) - LATE_OBJECTS
    if _is_in_parts(file) and _is_first_of_day(found, at):
        since = min(since, at - LONGEST_MULTIPART_UPLOAD)
    return file.at >= since


async def _register(deployment: Deployment, missing: Sequence[ObjectCreated], found: Swept, at: datetime) -> None:
    """Enqueue the files for register; those that the last sweep enqueued only if the queue has few messages."""
    if not missing:
        return
    all_known = Swept(to=found.at, at=found.at)
    first = [file for file in missing if _is_new(file, all_known, at)]
    again = [file for file in missing if not _is_new(file, all_known, at)]
    if first:
        logger.warning("files without an event found in the inbox", extra={"files": len(first)})
        deployment.metrics.add_metric("FilesWithoutEvent", len(first))
        await deployment.queues.send(Queue.REGISTER, first)
    if not again:
        return
    deployment.metrics.add_metric("FilesNotRegistered", len(again))
    logger.warning("files of an earlier sweep are still not in the ledger", extra={"files": len(again)})
    lost = [file.key for file in again if file.at < at - LOOKED_FOR]
    if lost:
        logger.error("files that no later sweep looks for", extra={"files": len(lost), "item": lost[0]})
    if await deployment.queues.is_empty(Queue.REGISTER, apart_from=FEW_MESSAGES):
        await deployment.queues.send(Queue.REGISTER, again)


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

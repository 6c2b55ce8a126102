"""Register: a file that arrives becomes one item of the rolling batch of its day and folder, and is enqueued."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.cloud.batch_routes import with_routes
from runner.cloud.handlers.configure import config_in_force
from runner.cloud.lifecycle import enqueue_finish_if_idle, reopen, rolling_id, start_batch
from runner.cloud.messages import ItemRef
from runner.cloud.protocols import Done, Outcome, Queue
from runner.errors import LedgerError
from runner.models import TERMINAL_STATES, UNSENT_STATES, ItemState
from runner.sources import ObjectVersion, versioned_source

if TYPE_CHECKING:
    from datetime import datetime

    from runner.cloud.context import Deployment
    from runner.cloud.messages import ObjectCreated
    from runner.cloud.protocols import TimeLeft
    from runner.config.run_spec import RunSpec
    from runner.models import Batch, Item
    from runner.protocols import SourceEntry

logger = logging.getLogger(__name__)

_MOST_NAMES = 50
"""How many items a key can have in the batch of a day for one of its versions."""

_CLOCK_SKEW = timedelta(seconds=5)
"""By how much the clocks of S3 and of a function may differ."""


async def register(
    deployment: Deployment,
    message: ObjectCreated,
    *,
    time_left: TimeLeft,  # noqa: ARG001 - a file takes less than a second
    receives: int = 1,  # noqa: ARG001 - what is not in the ledger cannot record dead letters there
) -> Outcome:
    """Add a file to the ledger, from which reconcile enqueues it again if its message is lost.

    Raises LedgerError, TransientError, and ConfigError, which make the message come back.
    """
    ref = await ingest(deployment, message)
    if ref is not None:
        await deployment.queues.send(Queue.SUBMIT, [ref])
    return Done()


async def ingest(deployment: Deployment, created: ObjectCreated) -> ItemRef | None:
    """Add a file to the ledger, once for any number of messages about it, and return what to submit.

    None if it waits for a load, if the configuration excludes it, or if its item has ended. A second version of a key
    on the same day becomes an item of its own. Raises LedgerError, TransientError.
    """
    if not deployment.landing.takes(created.key):
        logger.info("file waits for a load")
        return None
    spec = (await config_in_force(deployment)).run_spec(deployment, deployment.inbox)
    version = ObjectVersion(etag=created.etag, size_bytes=created.size_bytes, version_id=created.version_id)
    entry = deployment.places.source(spec.source).entry(created.key, version)
    if entry is None:
        logger.info("file excluded by the configuration")
        return None
    batch = await _rolling_batch(
        deployment, spec, rolling_id(entry.source, created.at, below=deployment.landing.prefix)
    )
    item = await _added(deployment, batch, entry, at=created.at)
    if item.state in TERMINAL_STATES:
        await enqueue_finish_if_idle(deployment, batch.batch_id)
        return None
    await reopen(deployment, batch.batch_id)
    return ItemRef(batch_id=batch.batch_id, source=item.source)


async def _rolling_batch(deployment: Deployment, spec: RunSpec, batch_id: str) -> Batch:
    """Return the batch with the current routes, starting it if it is missing."""
    batch = await deployment.ledger.batch(batch_id) or await start_batch(deployment, spec, batch_id)
    return await with_routes(deployment, batch, spec)


async def _added(deployment: Deployment, batch: Batch, entry: SourceEntry, *, at: datetime) -> Item:
    """Add the file under its own name, or under a name with its version if another version has the plain name.

    A version that was sent before, and arrived once more after another version was sent, gets one more mark.
    """
    discovery = deployment.discovery(batch)
    source = entry.source
    for _ in range(_MOST_NAMES):
        (item,) = await discovery.items([replace(entry, source=source)])
        if await deployment.ledger.add([item]):
            return item
        known = await deployment.ledger.item(batch.batch_id, source)
        if (
            known is not None
            and known.version == entry.version
            and not await _has_returned(deployment, item, known, at)
        ):
            return known
        source = versioned_source(source, entry.version)
    raise LedgerError(f"batch {batch.batch_id} has no free name for a file that arrived")


async def _has_returned(deployment: Deployment, item: Item, known: Item, at: datetime) -> bool:
    """Return whether an event is about the return of a version, not a repeated event about `known`.

    `item` is what discovery makes of the event: it is queued only if another version was sent since `known`.
    """
    if item.state is not ItemState.QUEUED or not known.blocks_content or known.state in UNSENT_STATES:
        return False
    listed, *_ = await deployment.ledger.history(known.batch_id, known.source)
    return listed.at + _CLOCK_SKEW < at

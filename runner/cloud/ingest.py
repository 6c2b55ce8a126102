"""Ingest: a file that arrives in the inbox becomes one item of the rolling batch of its day and folder."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.cloud.handlers.configure import config_in_force
from runner.cloud.lifecycle import enqueue_finish_if_idle, reopen, rolling_id, start_batch
from runner.cloud.messages import ItemRef
from runner.errors import LedgerError
from runner.models import TERMINAL_STATES
from runner.sources import ObjectVersion, versioned_source

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.messages import ObjectCreated
    from runner.config.run_spec import RunSpec
    from runner.models import Batch, Item
    from runner.protocols import SourceEntry

logger = logging.getLogger(__name__)


async def ingest(deployment: Deployment, created: ObjectCreated) -> ItemRef | None:
    """Add a file to the ledger, once for any number of messages about it; None if the configuration excludes it.

    A second version of a key on the same day becomes an item of its own. Raises LedgerError, TransientError.
    """
    spec = (await config_in_force(deployment)).run_spec(deployment, deployment.inbox)
    version = ObjectVersion(etag=created.etag, size_bytes=created.size_bytes, version_id=created.version_id)
    entry = deployment.places.source(spec.source).entry(created.key, version)
    if entry is None:
        logger.info("file excluded by the configuration")
        return None
    batch = await _rolling_batch(deployment, spec, rolling_id(entry.source, created.at))
    item = await _added(deployment, batch, entry)
    if item.state in TERMINAL_STATES:
        await enqueue_finish_if_idle(deployment, batch.batch_id)
    else:
        await reopen(deployment, batch.batch_id)
    return ItemRef(batch_id=batch.batch_id, source=item.source)


async def _rolling_batch(deployment: Deployment, spec: RunSpec, batch_id: str) -> Batch:
    """Return the batch with the current routes, starting it if it is missing."""
    batch = await deployment.ledger.batch(batch_id) or await start_batch(deployment, spec, batch_id)
    return await _with_routes(deployment, batch, spec)


async def with_current_routes(deployment: Deployment, batch: Batch) -> Batch:
    """Return a rolling batch with the current routes: a file may be redriven because the routes were fixed.

    Raises ConfigError, LedgerError, TransientError.
    """
    config = await config_in_force(deployment)
    return await _with_routes(deployment, batch, config.run_spec(deployment, deployment.inbox))


async def _with_routes(deployment: Deployment, batch: Batch, spec: RunSpec) -> Batch:
    config = spec.to_json()
    if batch.config == config:
        return batch
    return await deployment.ledger.update_batch(batch.batch_id, config=config)


async def _added(deployment: Deployment, batch: Batch, entry: SourceEntry) -> Item:
    """Add the file under its own name, or under a name with its version if another version has the plain name."""
    discovery = deployment.discovery(batch)
    for source in (entry.source, versioned_source(entry.source, entry.version)):
        (item,) = await discovery.items([replace(entry, source=source)])
        if await deployment.ledger.add([item]):
            return item
        known = await deployment.ledger.item(batch.batch_id, source)
        if known is not None and known.version == entry.version:
            return known
    raise LedgerError(f"batch {batch.batch_id} has no free name for a file that arrived")

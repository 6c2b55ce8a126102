"""Landing: a file that landed becomes an item of the rolling batch of its day and folder, once."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.cloud.batch_ids import rolling_id
from runner.cloud.handlers.configure import in_force
from runner.cloud.lifecycle import open_again, ring_if_at_rest, start_batch
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


async def register(deployment: Deployment, landed: ObjectCreated) -> ItemRef | None:
    """Bring a file into the ledger, whatever number of messages tell of it; None where it is not to be imported.

    A second version of a key on one day is an item of its own. Raises LedgerError, TransientError.
    """
    spec = (await in_force(deployment)).run_spec(deployment, deployment.inbox)
    version = ObjectVersion(etag=landed.etag, size_bytes=landed.size_bytes, version_id=landed.version_id)
    entry = deployment.places.source(spec.source).entry(landed.key, version)
    if entry is None:
        logger.info("a file that landed is left out")
        return None
    batch = await _rolling_batch(deployment, spec, rolling_id(entry.source, landed.at))
    item = await _added(deployment, batch, entry)
    if item.state in TERMINAL_STATES:
        await ring_if_at_rest(deployment, batch.batch_id)
    else:
        await open_again(deployment, batch.batch_id)
    return ItemRef(batch_id=batch.batch_id, source=item.source)


async def _rolling_batch(deployment: Deployment, spec: RunSpec, batch_id: str) -> Batch:
    """Return the batch, made where it is missing, with the routes that are in force now."""
    batch = await deployment.ledger.batch(batch_id) or await start_batch(deployment, spec, batch_id)
    return await _routed(deployment, batch, spec)


async def as_configured(deployment: Deployment, batch: Batch) -> Batch:
    """Return a rolling batch with the routes that are in force now: a file may be redriven since they were put right.

    Raises ConfigError, LedgerError, TransientError.
    """
    return await _routed(deployment, batch, (await in_force(deployment)).run_spec(deployment, deployment.inbox))


async def _routed(deployment: Deployment, batch: Batch, spec: RunSpec) -> Batch:
    config = spec.to_json()
    if batch.config == config:
        return batch
    return await deployment.ledger.update_batch(batch.batch_id, config=config)


async def _added(deployment: Deployment, batch: Batch, entry: SourceEntry) -> Item:
    """Add the file under its own name, or under that of its version where another version bears it."""
    discovery = deployment.discovery(batch)
    for source in (entry.source, versioned_source(entry.source, entry.version)):
        (item,) = await discovery.items([replace(entry, source=source)])
        if await deployment.ledger.add([item]):
            return item
        known = await deployment.ledger.item(batch.batch_id, source)
        if known is not None and known.version == entry.version:
            return known
    raise LedgerError(f"batch {batch.batch_id} has no place for a file that landed")

"""Ingest: a file that arrives in the inbox becomes one item of the rolling batch of its day and folder."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from runner.cloud.context import is_driven_by_stack, spec_of
from runner.cloud.handlers.configure import config_in_force
from runner.cloud.lifecycle import enqueue_finish_if_idle, reopen, rolling_id, start_batch
from runner.cloud.messages import ItemRef
from runner.config.routes import Routes
from runner.errors import LedgerError
from runner.models import REDRIVABLE_STATES, TERMINAL_STATES, UNSENT_STATES, ItemState
from runner.sources import ObjectVersion, versioned_source

if TYPE_CHECKING:
    from datetime import datetime

    from runner.cloud.context import Deployment
    from runner.cloud.messages import ObjectCreated
    from runner.config.routes import Route
    from runner.config.run_spec import RunSpec
    from runner.models import Batch, Item
    from runner.protocols import SourceEntry

logger = logging.getLogger(__name__)

_MOST_NAMES = 50
"""How many items a key can have in the batch of a day for one of its versions."""

_MOST_SPEC_BYTES = 350_000
"""The longest spec of a batch that fits into a row of DynamoDB, with room for the key."""

_CLOCK_SKEW = timedelta(seconds=5)
"""By how much the clocks of S3 and of a function may differ."""


async def ingest(deployment: Deployment, created: ObjectCreated) -> ItemRef | None:
    """Add a file to the ledger, once for any number of messages about it, and return what to submit.

    None if the configuration excludes it, or if its item has ended. A second version of a key on the same day becomes
    an item of its own. Raises LedgerError, TransientError.
    """
    spec = (await config_in_force(deployment)).run_spec(deployment, deployment.inbox)
    version = ObjectVersion(etag=created.etag, size_bytes=created.size_bytes, version_id=created.version_id)
    entry = deployment.places.source(spec.source).entry(created.key, version)
    if entry is None:
        logger.info("file excluded by the configuration")
        return None
    batch = await _rolling_batch(deployment, spec, rolling_id(entry.source, created.at))
    item = await _added(deployment, batch, entry, at=created.at)
    if item.state in TERMINAL_STATES:
        await enqueue_finish_if_idle(deployment, batch.batch_id)
        return None
    await reopen(deployment, batch.batch_id)
    return ItemRef(batch_id=batch.batch_id, source=item.source)


async def _rolling_batch(deployment: Deployment, spec: RunSpec, batch_id: str) -> Batch:
    """Return the batch with the current routes, starting it if it is missing."""
    batch = await deployment.ledger.batch(batch_id) or await start_batch(deployment, spec, batch_id)
    return await _with_routes(deployment, batch, spec)


async def with_routes_of(deployment: Deployment, batch: Batch, item: Item) -> Batch:
    """Return a rolling batch with the route that its item was bound to when it arrived, whatever has changed since.

    An item that was redriven gets the current routes, because they may have been fixed for it. One whose route is not
    known any more gets none. The ledger keeps the batch with the current routes. Raises ConfigError, LedgerError,
    TransientError.
    """
    config = await config_in_force(deployment)
    batch = await _with_routes(deployment, batch, config.run_spec(deployment, deployment.inbox))
    spec = spec_of(batch)
    current = spec.routes.for_version(item.source, item.version)
    is_as_bound = not item.binding or (current is not None and current.binding == item.binding)
    if is_as_bound or await _was_redriven(deployment, item):
        return batch
    known = (*spec.routes.routes, *spec.earlier_routes.routes)
    bound = [replace(route, match="**") for route in known if route.binding == item.binding][:1]
    if not bound:
        logger.warning("the item's route is not known any more", extra={"item": item.source})
    return replace(batch, config=replace(spec, routes=Routes(bound)).to_json())


async def _was_redriven(deployment: Deployment, item: Item) -> bool:
    """Return whether a person has queued the item again after it had ended, and nothing was sent since."""
    history = await deployment.ledger.history(item.batch_id, item.source)
    before = next((entry.state for entry in reversed(history) if entry.state is not ItemState.QUEUED), None)
    return item.state is ItemState.QUEUED and before in REDRIVABLE_STATES


async def with_word_about_json(deployment: Deployment, batch: Batch) -> Batch:
    """Return a batch with what the current configuration says about JSON; the ledger keeps the batch as it is.

    Raises ConfigError, LedgerError, TransientError.
    """
    config = await config_in_force(deployment)
    if not config.settings.json_is_new:
        return batch
    return replace(batch, config=replace(spec_of(batch), json_is_new=True).to_json())


async def _with_routes(deployment: Deployment, batch: Batch, spec: RunSpec) -> Batch:
    """Return the batch with the routes of `spec` for new items; it keeps those that its items may be bound to."""
    if is_driven_by_stack(batch):
        spec = replace(spec, earlier_routes=Routes(_earlier_routes(spec_of(batch), spec)))
    config = spec.to_json()
    if batch.config == config:
        return batch
    return await deployment.ledger.update_batch(batch.batch_id, config=config)


def _earlier_routes(before: RunSpec, now: RunSpec) -> list[Route]:
    """Return the routes that only `before` has, the newest first, as many as the ledger has room for."""
    current = {route.binding for route in now.routes.routes}
    former = {route.binding: route for route in (*before.routes.routes, *before.earlier_routes.routes)}
    room = _MOST_SPEC_BYTES - len(now.to_json())
    kept: list[Route] = []
    for route in (route for binding, route in former.items() if binding not in current):
        room -= len(orjson.dumps(route.to_json()))
        if room < 0:
            break
        kept.append(route)
    return kept


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

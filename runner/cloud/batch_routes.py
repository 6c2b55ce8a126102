"""The routes of a batch that the stack drives: a rolling batch knows those that its items were bound to earlier."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from runner.cloud.context import is_driven_by_stack, spec_of
from runner.cloud.handlers.configure import config_in_force
from runner.config.routes import Routes
from runner.models import REDRIVABLE_STATES, ItemState

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.config.routes import Route
    from runner.config.run_spec import RunSpec
    from runner.models import Batch, Item

logger = logging.getLogger(__name__)

_MOST_SPEC_BYTES = 350_000
"""The longest spec of a batch that fits into a row of DynamoDB, with room for the key."""


async def with_routes_of(deployment: Deployment, batch: Batch, item: Item) -> Batch:
    """Return a rolling batch with the route that its item was bound to when it arrived, whatever has changed since.

    An item that was redriven gets the current routes, because they may have been fixed for it. One whose route is not
    known any more gets none. The ledger keeps the batch with the current routes. Raises ConfigError, LedgerError,
    TransientError.
    """
    config = await config_in_force(deployment)
    batch = await with_routes(deployment, batch, config.run_spec(deployment, deployment.inbox))
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


async def with_routes(deployment: Deployment, batch: Batch, spec: RunSpec) -> Batch:
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

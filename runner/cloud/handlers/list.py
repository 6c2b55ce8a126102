"""Listing: a load starts, and its source is listed a page a message, each page bringing the next."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runner.cloud.batch_ids import load_id
from runner.cloud.context import is_driven_here, spec_of
from runner.cloud.handlers.configure import in_force
from runner.cloud.lifecycle import ring_if_at_rest, start_batch
from runner.cloud.messages import ItemRef, ListPage, StartLoad
from runner.cloud.protocols import MOST_RECEIVES, Done, Outcome, Queue
from runner.errors import ConfigError, SourceNotFound
from runner.local.outcome import exit_code_of
from runner.models import BatchState, ItemState

if TYPE_CHECKING:
    from runner.cloud.context import Deployment
    from runner.cloud.protocols import TimeLeft
    from runner.models import Batch

logger = logging.getLogger(__name__)


async def list_page(
    deployment: Deployment,
    message: StartLoad | ListPage,
    *,
    time_left: TimeLeft,  # noqa: ARG001 - a page is a matter of seconds
    receives: int = 1,
) -> Outcome:
    """List one page into the ledger, ring submit for its items, and then the list queue for the next page.

    A page that comes again adds nothing, but rings again: whoever listed it may have died before. Raises
    SourceNotFound, ConfigError, TransientError; with the last time that the message comes the load is paused.
    """
    page = await _first_page(deployment, message) if isinstance(message, StartLoad) else message
    batch = await deployment.ledger.batch(page.batch_id)
    if batch is None or batch.listed or not is_driven_here(batch):
        return Done()
    try:
        await _list(deployment, batch, page)
    except (SourceNotFound, ConfigError) as error:
        if receives >= MOST_RECEIVES:
            await _pause(deployment, batch, error)
        raise
    return Done()


async def _first_page(deployment: Deployment, load: StartLoad) -> ListPage:
    at = load.at or deployment.clock.now().replace(second=0, microsecond=0)
    batch_id = load_id(load.uri, load.name, at)
    if await deployment.ledger.batch(batch_id) is None:
        await start_batch(deployment, (await in_force(deployment)).run_spec(deployment, load.uri), batch_id)
    return ListPage(batch_id=batch_id)


async def _list(deployment: Deployment, batch: Batch, page: ListPage) -> None:
    source = deployment.places.source(spec_of(batch).source)
    entries, following = await source.page(page.token)
    items = await deployment.discovery(batch).items(entries)
    new = await deployment.ledger.add(items)
    logger.info("page listed", extra={"batch": batch.batch_id, "items": len(items), "new": new})
    queued = [ItemRef(batch_id=batch.batch_id, source=item.source) for item in items if item.state is ItemState.QUEUED]
    await deployment.queues.send(Queue.SUBMIT, queued)
    if following is not None:
        await deployment.queues.send(Queue.LIST, [ListPage(batch_id=batch.batch_id, token=following)])
        return
    await deployment.ledger.update_batch(batch.batch_id, listed=True)
    await ring_if_at_rest(deployment, batch.batch_id)


async def _pause(deployment: Deployment, batch: Batch, error: SourceNotFound | ConfigError) -> None:
    """Note on the batch that its source cannot be listed."""
    await deployment.ledger.update_batch(
        batch.batch_id,
        state=BatchState.PAUSED,
        exit_code=int(exit_code_of(error)),
        finished_at=deployment.clock.now(),
    )

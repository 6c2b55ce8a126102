"""List: start a load, and list its source, or the inbox for a sweep, one page per message."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runner.cloud.context import is_driven_by_stack, spec_of
from runner.cloud.handlers.configure import config_in_force
from runner.cloud.handlers.sweep import sweep_page
from runner.cloud.leases import send_once
from runner.cloud.lifecycle import enqueue_finish_if_idle, load_id, start_batch, submit_queue
from runner.cloud.messages import ItemRef, ListPage, StartLoad, SweepPage
from runner.cloud.protocols import MAX_RECEIVES, Done, Outcome, Queue
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
    message: StartLoad | ListPage | SweepPage,
    *,
    time_left: TimeLeft,
    receives: int = 1,
) -> Outcome:
    """Add one page to the ledger, enqueue its items for submit, and enqueue the next page.

    A repeated page adds nothing but enqueues its items again, because the first function may have died in between; the
    next page is enqueued once. Raises
    SourceNotFound, ConfigError, TransientError; on the last delivery, counted by `receives`, the first two pause the
    load.
    """
    if isinstance(message, SweepPage):
        return await sweep_page(deployment, message, time_left=time_left, receives=receives)
    page = await _first_page(deployment, message) if isinstance(message, StartLoad) else message
    batch = await deployment.ledger.batch(page.batch_id)
    if batch is None or batch.listed or not is_driven_by_stack(batch):
        return Done()
    try:
        await _list(deployment, batch, page)
    except (SourceNotFound, ConfigError) as error:
        if receives >= MAX_RECEIVES:
            await _pause(deployment, batch, error)
        raise
    return Done()


async def _first_page(deployment: Deployment, load: StartLoad) -> ListPage:
    at = load.at or deployment.clock.now().replace(second=0, microsecond=0)
    batch_id = load_id(load.uri, load.name, at)
    if await deployment.ledger.batch(batch_id) is None:
        await start_batch(deployment, (await config_in_force(deployment)).run_spec(deployment, load.uri), batch_id)
    return ListPage(batch_id=batch_id)


async def _list(deployment: Deployment, batch: Batch, page: ListPage) -> None:
    source = deployment.places.source(spec_of(batch).source)
    entries, following = await source.page(page.token)
    items = await deployment.discovery(batch).items(entries)
    new = await deployment.ledger.add(items)
    logger.info("page listed", extra={"batch": batch.batch_id, "items": len(items), "new": new})
    queued = [ItemRef(batch_id=batch.batch_id, source=item.source) for item in items if item.state is ItemState.QUEUED]
    await deployment.queues.send(submit_queue(batch.batch_id), queued)
    if following is not None:
        next_page = ListPage(batch_id=batch.batch_id, token=following, lap=page.lap)
        name = f"page {page.lap} {following}"
        await send_once(deployment, Queue.LIST, next_page, batch_id=batch.batch_id, name=name)
        return
    await deployment.ledger.update_batch(batch.batch_id, listed=True)
    await enqueue_finish_if_idle(deployment, batch.batch_id)


async def _pause(deployment: Deployment, batch: Batch, error: SourceNotFound | ConfigError) -> None:
    """Pause the batch with the exit code of the error: its source cannot be listed."""
    await deployment.ledger.update_batch(
        batch.batch_id,
        state=BatchState.PAUSED,
        exit_code=int(exit_code_of(error)),
        reason=str(error),
        finished_at=deployment.clock.now(),
    )

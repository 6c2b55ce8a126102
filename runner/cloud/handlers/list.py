"""List: start a load, and list its source one page per message; each page enqueues the next."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runner.cloud.context import is_driven_by_stack, spec_of
from runner.cloud.handlers.configure import config_in_force
from runner.cloud.lifecycle import enqueue_finish_if_idle, load_id, start_batch
from runner.cloud.messages import ItemRef, ListPage, StartLoad
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
    message: StartLoad | ListPage,
    *,
    time_left: TimeLeft,  # noqa: ARG001 - a page takes seconds
    receives: int = 1,
) -> Outcome:
    """Add one page to the ledger, enqueue its items for submit, and enqueue the next page.

    A repeated page adds nothing but enqueues again, because the first function may have died in between. Raises
    SourceNotFound, ConfigError, TransientError; on the last delivery, counted by `receives`, the first two pause the
    load.
    """
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
    await deployment.queues.send(Queue.SUBMIT, queued)
    if following is not None:
        await deployment.queues.send(Queue.LIST, [ListPage(batch_id=batch.batch_id, token=following)])
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

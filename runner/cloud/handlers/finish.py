"""Finish: write the manifest of an idle batch, and publish its end."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.cloud.context import is_driven_by_stack
from runner.cloud.deadline import Deadline
from runner.cloud.leases import hold_lease, requeue
from runner.cloud.lifecycle import ENDS, is_idle, reopen
from runner.cloud.protocols import Done, Outcome, Queue
from runner.ledger.leases import WHOLE_BATCH
from runner.local.dismiss import dismissed_count
from runner.local.open_reviews import earlier_reviews
from runner.local.outcome import batch_result
from runner.manifest import MANIFEST_JSONL, Report, summary, write_manifest
from runner.models import Batch, BatchState
from runner.reviews import NO_EARLIER_REVIEWS, EarlierReviews
from runner.stages.earlier import held_back
from runner.stop import StopSignal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.cloud.context import Deployment
    from runner.cloud.messages import BatchRef
    from runner.cloud.protocols import TimeLeft
    from runner.manifest import RowSummary
    from runner.models import ItemState

logger = logging.getLogger(__name__)

_MANIFEST_CLAIM = "\0manifest"
_RETRY_S = 15.0


async def finish(
    deployment: Deployment,
    message: BatchRef,
    *,
    time_left: TimeLeft,
    receives: int = 1,  # noqa: ARG001 - a batch does not record dead letters
) -> Outcome:
    """Write an idle batch's manifest if it is stale, and publish each end of the batch once.

    A batch ends when it is settled, and again when its last review is done. A rolling batch that is idle before its
    day is over gets a manifest, at most once in `manifest_every_s`, and no end. Raises LedgerError, TransientError, and
    what the sink raises.
    """
    batch = await deployment.ledger.batch(message.batch_id)
    if batch is None or not is_driven_by_stack(batch):
        return Done()
    deadline = Deadline(time_left, longest_wait_s=deployment.longest_wait_s)
    async with hold_lease(deployment, batch.batch_id, WHOLE_BATCH, deadline) as left_s:
        if left_s is not None:
            return await _retry(deployment, message)
        again_in_s = await _finished(deployment, batch.batch_id)
    return Done() if again_in_s is None else await _retry(deployment, message, again_in_s)


async def _retry(deployment: Deployment, message: BatchRef, seconds: float = _RETRY_S) -> Outcome:
    return await requeue(deployment, Queue.FINISH, message, seconds, batch_id=message.batch_id, name=WHOLE_BATCH)


async def _finished(deployment: Deployment, batch_id: str) -> float | None:
    """Finish the batch in its current state, and return None, or in how many seconds to finish it again.

    That is soon if items moved meanwhile, and later if its manifest is stale and was written a short time ago. A
    complete batch with open items was left by a function that died: no pass of reconcile would read it, so it is
    reopened.
    """
    ledger = deployment.ledger
    moves, manifest_moves = await ledger.moves_of(batch_id)
    batch, counts = await ledger.batch(batch_id), await ledger.counts(batch_id)
    if batch is None:
        return None
    if not is_idle(batch, counts):
        if batch.state is BatchState.COMPLETE:
            await reopen(deployment, batch_id)
        return None
    judged, earlier = await _judged(deployment, batch, counts)
    if moves == manifest_moves and judged == batch:
        return None
    if not judged.listed and (left_s := await _manifest_claimed_for_s(deployment, batch_id)) is not None:
        return left_s
    rows = await _write_manifest(deployment, judged, earlier)
    if judged.state in ENDS and judged.state is not batch.state:
        await _publish_end(deployment, judged, counts, moves=moves, rows=rows, earlier=earlier)
    if judged != batch:
        await ledger.update_batch(
            batch_id,
            state=judged.state,
            exit_code=judged.exit_code,
            reason=judged.reason,
            finished_at=judged.finished_at,
        )
    await ledger.record_manifest(batch_id, moves=moves)
    return _RETRY_S if await _moved_since(deployment, judged, since=moves) else None


async def _manifest_claimed_for_s(deployment: Deployment, batch_id: str) -> float | None:
    """Return None, and claim the manifest of an open batch, or for how many seconds it is claimed by the last one."""
    every_s = deployment.manifest_every_s
    if not every_s:
        return None
    return await deployment.leases.take(batch_id, _MANIFEST_CLAIM, holder=deployment.holder(), for_s=every_s)


async def _write_manifest(deployment: Deployment, batch: Batch, earlier: EarlierReviews) -> RowSummary:
    now = deployment.clock.now()
    report = Report(batch, now=now, quota=deployment.settings.create_quota, earlier=earlier)
    sink = deployment.places.sink(batch.out)
    written = await write_manifest(
        deployment.ledger, batch, sink, exit_code=batch.exit_code, now=now, earlier=earlier, report=report
    )
    for notice in report.notices():
        logger.warning(notice.message, extra={"batch": batch.batch_id, "code": notice.code})
    return written.rows


async def _judged(
    deployment: Deployment, batch: Batch, counts: Mapping[ItemState, int]
) -> tuple[Batch, EarlierReviews]:
    """Return the batch with its new state, exit code, reason, and end, and the earlier reviews that count for them."""
    if not batch.listed:
        running = replace(batch, state=BatchState.RUNNING, exit_code=None, reason=None, finished_at=None)
        return running, NO_EARLIER_REVIEWS
    skipped = await held_back(deployment.ledger, batch.batch_id)
    judged = batch_result(
        counts,
        stop=StopSignal(),
        held_schemas=(),
        listed=True,
        held_back=skipped,
        earlier_reviews=await earlier_reviews(deployment.ledger, skipped.reviewed),
        dismissed_count=await dismissed_count(deployment.ledger, batch.batch_id),
        rows=await deployment.ledger.row_totals(batch.batch_id),
        fail_on_lost_rows=deployment.settings.fail_on_lost_rows,
    )
    finished_at = batch.finished_at if judged.state is batch.state else deployment.clock.now()
    ended = replace(
        batch,
        state=judged.state,
        exit_code=int(judged.exit_code),
        reason=judged.reason,
        finished_at=finished_at,
    )
    return ended, judged.earlier_reviews


async def _publish_end(
    deployment: Deployment,
    batch: Batch,
    counts: Mapping[ItemState, int],
    *,
    moves: int,
    rows: RowSummary,
    earlier: EarlierReviews,
) -> None:
    fields = summary(batch, counts, batch.exit_code, now=deployment.clock.now(), rows=rows, earlier=earlier)
    more = {"manifest": f"{batch.out}/{MANIFEST_JSONL}", "end": f"{batch.batch_id}-{moves}"}
    await deployment.notifier.batch_ended({**fields, **more}, state=batch.state)
    logger.info("batch ended", extra={"batch": batch.batch_id, "state": batch.state})


async def _moved_since(deployment: Deployment, batch: Batch, *, since: int) -> bool:
    """Return whether items moved while the manifest was written; if the batch has not ended after all, reopen it."""
    moves, _ = await deployment.ledger.moves_of(batch.batch_id)
    if moves == since:
        return False
    counts = await deployment.ledger.counts(batch.batch_id)
    if batch.state in ENDS and not is_idle(batch, counts):
        await reopen(deployment, batch.batch_id)
        return False
    return True

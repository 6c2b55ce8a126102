"""Finish a run: record how it ended, write the manifest, and report the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import SinkFailed, StorageFull, Unavailable
from runner.events import BatchFinished, Notice
from runner.local.out_owner import OutOwner, confirm
from runner.local.outcome import BatchOutcome, BatchResult, without_manifest
from runner.manifest import Report, RowSummary, write_manifest
from runner.models import Batch, ItemState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.stages.context import RunContext


async def finish(batch: Batch, context: RunContext, result: BatchResult, owner: OutOwner) -> BatchOutcome:
    """Record how the run ended, and write the manifest."""
    ledger, clock = context.ledger, context.clock
    counts = await ledger.counts(batch.batch_id)
    batch = await ledger.update_batch(
        batch.batch_id,
        state=result.state,
        exit_code=int(result.exit_code),
        reason=result.reason,
        finished_at=clock.now(),
    )
    rows = RowSummary(await ledger.row_totals(batch.batch_id))
    report = Report(batch, now=clock.now(), quota=context.pacer.quota)
    try:
        rows = await write_manifest(
            ledger,
            batch,
            context.sink,
            exit_code=int(result.exit_code),
            now=clock.now(),
            deferred=result.deferred,
            report=report,
        )
        for notice in report.notices():
            context.emit(notice)
        is_accepted = batch.account == context.account
        if is_accepted and counts.get(ItemState.COLLECTED):
            await confirm(context.sink, batch.out, owner)
    except (SinkFailed, StorageFull, Unavailable) as error:
        context.emit(Notice(code="manifest_not_written", message=f"the manifest is not up to date: {error}"))
        result = without_manifest(result, batch, error)
        batch = await ledger.update_batch(batch.batch_id, exit_code=int(result.exit_code))
    context.emit(
        BatchFinished(
            batch_id=batch.batch_id,
            state=result.state,
            by_state=counts_by_name(counts),
            exit_code=int(result.exit_code),
            reason=result.reason,
            deferred_count=result.deferred.count,
            deferred=result.deferred.first,
            rows=rows.totals.document(),
        )
    )
    return BatchOutcome(
        batch=batch,
        by_state=counts,
        exit_code=result.exit_code,
        reason=result.reason,
        out=batch.out,
        held_back=result.held_back,
        deferred=result.deferred,
        rows=rows,
    )


def counts_by_name(counts: Mapping[ItemState, int]) -> dict[str, int]:
    """Return the counts of the states that items are in, by the name of the state."""
    return {str(state): count for state, count in counts.items() if count}

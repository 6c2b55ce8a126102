"""Finish a run: record how it ended, write the manifest, and report the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner import identity
from runner.errors import SinkFailed, StorageFull, Unavailable
from runner.events import BatchFinished, ManifestWritten, Notice
from runner.local.deferrals import still_deferred
from runner.local.dismiss import dismissed_count
from runner.local.open_reviews import earlier_reviews, reviews_of_source
from runner.local.out_owner import OutOwner, confirm
from runner.local.outcome import BatchOutcome, BatchResult, batch_result, without_manifest
from runner.local.pipeline import RunResult, Scope
from runner.manifest import REPORT_HTML, Report, RowSummary, write_manifest, write_report
from runner.models import Batch, ItemState
from runner.stages.earlier import held_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.config.units import Rate
    from runner.events import EventHook
    from runner.ledger.protocol import Ledger
    from runner.protocols import Clock, Sink
    from runner.reviews import EarlierReviews
    from runner.stages.context import RunContext
    from runner.stages.earlier import HeldBack
    from runner.stop import StopSignal


async def judge(
    batch: Batch,
    ledger: Ledger,
    *,
    stop: StopSignal,
    ended: RunResult | None = None,
    scope: Scope = Scope.RUN,
    fail_if_empty: bool = False,
    fail_on_lost_rows: bool = False,
) -> BatchResult:
    """Return the result of a batch as it is in the ledger; `ended` is what its last run found, if there was one.

    Raises LedgerError.
    """
    batch_id = batch.batch_id
    skipped = await held_back(ledger, batch_id)
    return batch_result(
        await ledger.counts(batch_id),
        stop=stop,
        held_schemas=ended.held_schemas if ended else (),
        outage=ended.outage if ended else None,
        unlisted=ended.unlisted if ended else "",
        listed=(await ledger.batch(batch_id) or batch).listed,
        fail_if_empty=fail_if_empty,
        tracking=scope is not Scope.RUN,
        held_back=skipped,
        earlier_reviews=await reviews_before(batch, ledger, skipped, of_source=scope is Scope.RUN),
        dismissed_count=await dismissed_count(ledger, batch_id),
        deferred=await still_deferred(ledger, batch_id, ended.reasons if ended else {}),
        rows=await ledger.row_totals(batch_id),
        fail_on_lost_rows=fail_on_lost_rows,
    )


async def reviews_before(
    batch: Batch, ledger: Ledger, skipped: HeldBack | None = None, *, of_source: bool = True
) -> EarlierReviews:
    """Return the open reviews of earlier batches that items were `skipped` for, and all `of_source`, if asked for.

    Raises LedgerError.
    """
    wanted = (skipped or await held_back(ledger, batch.batch_id)).reviewed
    if not of_source:
        return await earlier_reviews(ledger, wanted)
    endpoint = identity.endpoint_of(batch.account)
    others = await reviews_of_source(ledger, batch.source_uri, endpoint=endpoint, before=batch, wanted=wanted)
    return await earlier_reviews(ledger, wanted, others=others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Where the end of a run is recorded: `owner` and `account` say whose results the folder has, if that is known."""

    ledger: Ledger
    sink: Sink
    clock: Clock
    emit: EventHook
    quota: Rate
    account: str = ""
    owner: OutOwner | None = None

    @classmethod
    def of(cls, context: RunContext, owner: OutOwner) -> Records:
        return cls(
            ledger=context.ledger,
            sink=context.sink,
            clock=context.clock,
            emit=context.emit,
            quota=context.pacer.quota,
            account=context.account,
            owner=owner,
        )


async def finish(batch: Batch, result: BatchResult, records: Records) -> BatchOutcome:
    """Record how a run ended, write the manifest, and tell the listener of the run."""
    outcome = await record(batch, result, records)
    records.emit(
        BatchFinished(
            batch_id=batch.batch_id,
            state=outcome.state,
            by_state=counts_by_name(outcome.by_state),
            exit_code=int(outcome.exit_code),
            reason=outcome.reason,
            deferred_count=result.deferred.count,
            deferred=result.deferred.first,
            rows=outcome.rows.totals.document(),
        )
    )
    return outcome


async def record(batch: Batch, result: BatchResult, records: Records) -> BatchOutcome:
    """Record how a batch stands, and write the manifest; a manifest that cannot be written is a notice."""
    ledger, now = records.ledger, records.clock.now()
    batch = await ledger.update_batch(
        batch.batch_id, state=result.state, exit_code=int(result.exit_code), reason=result.reason, finished_at=now
    )
    counts = await ledger.counts(batch.batch_id)
    rows = RowSummary(await ledger.row_totals(batch.batch_id))
    report = Report(batch, now=now, quota=records.quota, earlier=result.earlier_reviews)
    try:
        rows, summary = await write_manifest(
            ledger,
            batch,
            records.sink,
            exit_code=int(result.exit_code),
            now=now,
            deferred=result.deferred,
            earlier=result.earlier_reviews,
            report=report,
        )
        records.emit(ManifestWritten(batch_id=batch.batch_id, out=batch.out, summary=summary))
        for notice in report.notices():
            records.emit(notice)
        if records.owner is not None and batch.account == records.account and counts.get(ItemState.COLLECTED):
            await confirm(records.sink, batch.out, records.owner)
    except (SinkFailed, StorageFull, Unavailable) as error:
        records.emit(Notice(code="manifest_not_written", message=f"the manifest is not up to date: {error}"))
        result = without_manifest(result, batch, error)
        batch = await ledger.update_batch(batch.batch_id, exit_code=int(result.exit_code))
    return BatchOutcome(
        batch=batch,
        by_state=counts,
        exit_code=result.exit_code,
        reason=result.reason,
        out=batch.out,
        held_back=result.held_back,
        earlier_reviews=result.earlier_reviews,
        dismissed_count=result.dismissed_count,
        deferred=result.deferred,
        outage=result.outage,
        rows=rows,
    )


async def write_report_again(batch: Batch, records: Records) -> str:
    """Write the report of a batch and its lists as they are now; return the place of the page. Raises as the sink."""
    earlier = await reviews_before(batch, records.ledger)
    report = Report(batch, now=records.clock.now(), quota=records.quota, earlier=earlier)
    await write_report(records.ledger, batch, records.sink, report)
    for notice in report.notices():
        records.emit(notice)
    return f"{batch.out}/{REPORT_HTML}"


def counts_by_name(counts: Mapping[ItemState, int]) -> dict[str, int]:
    """Return the counts of the states that items are in, by the name of the state."""
    return {str(state): count for state, count in counts.items() if count}

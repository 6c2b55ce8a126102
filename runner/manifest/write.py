"""Writing a batch's manifest: streamed from the ledger to a sink, then the summary of states, counters, and the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from runner.errors import first_cause
from runner.manifest.csv import HEADER, csv_row
from runner.manifest.document import Document
from runner.manifest.jsonl import json_line, line, shown_name
from runner.manifest.row_summary import RowSummary, RowTally
from runner.models import COUNTERS, NONE_DEFERRED, ItemState, batch_of_packs, iso
from runner.reviews import NO_EARLIER_REVIEWS, EarlierReviews

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from runner.ledger.protocol import ItemStore
    from runner.manifest.report import Report
    from runner.models import Batch, Deferrals, Item
    from runner.protocols import Sink
    from runner.reviews import OpenReview

MANIFEST_JSONL = "manifest.jsonl"
MANIFEST_CSV = "manifest.csv"
SUMMARY_JSON = "summary.json"

_INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


class Written(NamedTuple):
    """What a manifest says in total: the account of the items' rows, and the fields of `summary.json`."""

    rows: RowSummary
    summary: dict[str, Any]


def summary_text(fields: Mapping[str, Any]) -> bytes:
    """Return the content of `summary.json`."""
    return orjson.dumps(fields, option=_INDENTED)


async def write_manifest(
    ledger: ItemStore,
    batch: Batch,
    sink: Sink,
    *,
    exit_code: int | None,
    now: datetime,
    deferred: Deferrals = NONE_DEFERRED,
    earlier: EarlierReviews = NO_EARLIER_REVIEWS,
    report: Report | None = None,
) -> Written:
    """Write `manifest.jsonl`, `manifest.csv` and `summary.json`, each atomically, with flat memory.

    `batch` is the batch as the ledger has it now. All three come from one pass over the items, so they always agree;
    the summary is written after the others. A `report` is made in the same pass, and its page is written last; what
    keeps it from being written is in `report.trouble`. Raises the errors of ledger and sink: LedgerError, StorageFull,
    ConfigError.
    """
    lines, table = Document(), Document(HEADER)
    try:
        async with asyncio.TaskGroup() as writing:
            writing.create_task(sink.write(MANIFEST_JSONL, lines.chunks()))
            writing.create_task(sink.write(MANIFEST_CSV, table.chunks()))
            if report is not None:
                report.begin(writing, sink)
            by_state, rows = await _render(ledger.items(batch.batch_id), batch, lines=lines, table=table, report=report)
    except ExceptionGroup as group:
        raise first_cause(group) from group
    packs = await ledger.counts(batch_of_packs(batch.batch_id))
    totals = summary(batch, by_state, exit_code, now=now, deferred=deferred, rows=rows, earlier=earlier, packs=packs)
    await sink.write(SUMMARY_JSON, _single(summary_text(totals)))
    if report is not None:
        await report.write_page(sink, rows)
    return Written(rows, totals)


async def write_report(ledger: ItemStore, batch: Batch, sink: Sink, report: Report) -> None:
    """Write the report of a batch without its manifest. Raises the errors of ledger and sink."""
    rows = RowTally()
    try:
        async with asyncio.TaskGroup() as writing:
            report.begin(writing, sink)
            async for item in ledger.items(batch.batch_id):
                rows.take(item)
                await report.take(item)
            await report.end()
    except ExceptionGroup as group:
        raise first_cause(group) from group
    await report.write_page(sink, rows.summary())
    for trouble in report.trouble:
        raise trouble


async def _render(
    items: AsyncIterator[Item], batch: Batch, *, lines: Document, table: Document, report: Report | None
) -> tuple[Counter[ItemState], RowSummary]:
    by_state: Counter[ItemState] = Counter()
    rows = RowTally()
    async for item in items:
        by_state[item.state] += 1
        rows.take(item)
        fields = line(item, batch)
        await lines.add(json_line(fields))
        await table.add(csv_row(fields.values()))
        if report is not None:
            await report.take(item)
    await lines.end()
    await table.end()
    if report is not None:
        await report.end()
    return by_state, rows.summary()


def summary(
    batch: Batch,
    by_state: Mapping[ItemState, int],
    exit_code: int | None,
    *,
    now: datetime,
    deferred: Deferrals = NONE_DEFERRED,
    rows: RowSummary | None = None,
    earlier: EarlierReviews = NO_EARLIER_REVIEWS,
    packs: Mapping[ItemState, int] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the fields of `summary.json` in order; `items` is the sum over all states, `packs` counts packs by state.

    Reviews of earlier batches are without their URLs, because notifications carry these fields. `duration_s` runs from
    the start to the end of the batch, or to `now` if it has not ended.
    """
    counts = {state.value: by_state.get(state, 0) for state in ItemState}
    elapsed = (batch.finished_at or now) - batch.started_at
    return {
        "batch_id": batch.batch_id,
        "source": shown_name(batch.source_uri),
        "state": batch.state.value,
        "items": sum(counts.values()),
        "by_state": counts,
        **{counter: batch.counters.get(counter, 0) for counter in COUNTERS},
        "started_at": iso(batch.started_at),
        "finished_at": iso(batch.finished_at),
        "duration_s": max(0.0, round(elapsed.total_seconds(), 3)),
        "exit_code": None if exit_code is None else int(exit_code),
        "reason": batch.reason,
        "deferred_count": deferred.count,
        "deferred": [{"source": shown_name(one.source), "reason": one.reason} for one in deferred.first],
        **(rows or RowSummary()).document(),
        "earlier_review_count": earlier.count,
        "earlier_reviews": [_review(one) for one in earlier.first],
        "packs": {state.value: count for state, count in packs.items()} if packs else None,
    }


def _review(review: OpenReview) -> dict[str, Any]:
    return {
        "batch_id": review.batch_id,
        "source": shown_name(review.source),
        "import_id": review.import_id,
        "schema_id": review.schema_id,
        "opened_at": iso(review.opened_at),
    }


async def _single(content: bytes) -> AsyncIterator[bytes]:
    yield content

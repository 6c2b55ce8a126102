"""Writing a batch's manifest: streamed from the ledger to a sink, then the summary of states, counters, and the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from runner.errors import first_cause
from runner.manifest.csv import HEADER, csv_row
from runner.manifest.jsonl import CHUNK_BYTES, json_line, line, shown_name
from runner.manifest.row_summary import RowSummary, RowTally
from runner.models import COUNTERS, NONE_DEFERRED, ItemState, iso
from runner.sinks.result_array import Chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from runner.ledger.protocol import ItemStore
    from runner.models import Batch, Deferrals, Item
    from runner.protocols import Sink

MANIFEST_JSONL = "manifest.jsonl"
MANIFEST_CSV = "manifest.csv"
SUMMARY_JSON = "summary.json"

_INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


async def write_manifest(
    ledger: ItemStore,
    batch: Batch,
    sink: Sink,
    *,
    exit_code: int | None,
    now: datetime,
    deferred: Deferrals = NONE_DEFERRED,
) -> RowSummary:
    """Write `manifest.jsonl`, `manifest.csv` and `summary.json`, each atomically, with flat memory.

    `batch` is the batch as the ledger has it now. All three come from one pass over the items, so they always agree;
    the summary is written last. Returns the account of the items' rows. Raises the errors of ledger and sink:
    LedgerError, StorageFull, ConfigError.
    """
    lines, table = _Document(), _Document(HEADER)
    try:
        async with asyncio.TaskGroup() as writing:
            writing.create_task(sink.write(MANIFEST_JSONL, lines.chunks()))
            writing.create_task(sink.write(MANIFEST_CSV, table.chunks()))
            by_state, rows = await _render(ledger.items(batch.batch_id), batch, lines=lines, table=table)
    except ExceptionGroup as group:
        raise first_cause(group) from group
    totals = summary(batch, by_state, exit_code, now=now, deferred=deferred, rows=rows)
    await sink.write(SUMMARY_JSON, _single(orjson.dumps(totals, option=_INDENTED)))
    return rows


async def _render(
    items: AsyncIterator[Item], batch: Batch, *, lines: _Document, table: _Document
) -> tuple[Counter[ItemState], RowSummary]:
    by_state: Counter[ItemState] = Counter()
    rows = RowTally()
    async for item in items:
        by_state[item.state] += 1
        rows.take(item)
        fields = line(item, batch)
        await lines.add(json_line(fields))
        await table.add(csv_row(fields.values()))
    await lines.end()
    await table.end()
    return by_state, rows.summary()


def summary(
    batch: Batch,
    by_state: Mapping[ItemState, int],
    exit_code: int | None,
    *,
    now: datetime,
    deferred: Deferrals = NONE_DEFERRED,
    rows: RowSummary | None = None,
) -> dict[str, Any]:
    """Return the fields of `summary.json` in order; `items` is the sum over all states.

    `duration_s` runs from the start to the end of the batch, or to `now` if it has not ended.
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
    }


class _Document:
    """Chunks of about 64 KiB on their way to a sink, a few at a time."""

    def __init__(self, *first: bytes) -> None:
        self._gathered = Chunks(CHUNK_BYTES, *first)
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=2)

    async def add(self, rendered: bytes) -> None:
        if chunk := self._gathered.add(rendered):
            await self._queue.put(chunk)

    async def end(self) -> None:
        await self._queue.put(self._gathered.rest())
        await self._queue.put(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._queue.get()) is not None:
            yield chunk


async def _single(content: bytes) -> AsyncIterator[bytes]:
    yield content

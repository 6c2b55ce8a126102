"""Writing a batch's manifest: streamed from the ledger to a sink, the summary last."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import orjson

from runner.errors import first_cause
from runner.manifest.csv import HEADER, csv_row
from runner.manifest.jsonl import CHUNK_BYTES, json_line, line
from runner.manifest.summary import summary
from runner.sinks.chunks import Chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from runner.ledger.protocol import Ledger
    from runner.models import Batch, Item, ItemState
    from runner.protocols import Sink

MANIFEST_JSONL = "manifest.jsonl"
MANIFEST_CSV = "manifest.csv"
SUMMARY_JSON = "summary.json"

_INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


async def write_manifest(ledger: Ledger, batch: Batch, sink: Sink, *, exit_code: int | None, now: datetime) -> None:
    """Write `manifest.jsonl`, `manifest.csv` and `summary.json`, each atomically, with flat memory.

    `batch` is the batch as the ledger has it now. All three come of one pass over the items, so they always agree; the
    summary is written last. Raises what ledger and sink raise: LedgerError, StorageFull, ConfigError.
    """
    lines, table = _Document(), _Document(HEADER)
    try:
        async with asyncio.TaskGroup() as writing:
            writing.create_task(sink.write(MANIFEST_JSONL, lines.chunks()))
            writing.create_task(sink.write(MANIFEST_CSV, table.chunks()))
            by_state = await _render(ledger.items(batch.batch_id), batch, lines=lines, table=table)
    except ExceptionGroup as group:
        raise first_cause(group) from group
    totals = orjson.dumps(summary(batch, by_state, exit_code, now=now), option=_INDENTED)
    await sink.write(SUMMARY_JSON, _single(totals))


async def _render(
    items: AsyncIterator[Item], batch: Batch, *, lines: _Document, table: _Document
) -> Counter[ItemState]:
    by_state: Counter[ItemState] = Counter()
    async for item in items:
        by_state[item.state] += 1
        fields = line(item, batch)
        await lines.add(json_line(fields))
        await table.add(csv_row(fields.values()))
    await lines.end()
    await table.end()
    return by_state


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

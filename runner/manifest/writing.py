"""Writing a batch's manifest: streamed from the ledger to a sink, the summary last."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson

from runner.manifest.cells import csv
from runner.manifest.lines import jsonl
from runner.manifest.totals import summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from runner.ledger import Ledger
    from runner.models import Batch, Item, ItemState
    from runner.ports import Sink

MANIFEST_JSONL = "manifest.jsonl"
MANIFEST_CSV = "manifest.csv"
SUMMARY_JSON = "summary.json"


async def write_manifest(ledger: Ledger, batch: Batch, sink: Sink, *, exit_code: int | None, now: datetime) -> None:
    """Write `manifest.jsonl`, `manifest.csv` and `summary.json`, each atomically, with flat memory.

    `batch` is the batch as the ledger has it now. The summary comes last and counts the items of `manifest.jsonl`, so
    the two always agree. Raises what ledger and sink raise: LedgerError, StorageFull, ConfigError.
    """
    by_state: Counter[ItemState] = Counter()
    await sink.write(MANIFEST_JSONL, jsonl(_tallied(ledger.items(batch.batch_id), by_state), batch))
    await sink.write(MANIFEST_CSV, csv(ledger.items(batch.batch_id), batch))
    await sink.write(SUMMARY_JSON, _document(summary(batch, by_state, exit_code, now=now)))


async def _tallied(items: AsyncIterator[Item], by_state: Counter[ItemState]) -> AsyncIterator[Item]:
    async for item in items:
        by_state[item.state] += 1
        yield item


async def _document(content: dict[str, object]) -> AsyncIterator[bytes]:
    yield orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

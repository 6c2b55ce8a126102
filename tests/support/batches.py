"""Batches as the stack leaves them in a ledger, and queues that only record messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runner.cloud.messages import Message
from runner.cloud.protocols import Queue
from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.events import ignore
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import CloudLedger
from runner.models import Batch, BatchState, Item, ItemState
from runner.sources import SourceSpec
from runner.stages.transitions import Transitions

BEGAN = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
REVIEW_URL = "https://vendor.example.com/review/{source}"


class RememberingQueues:
    """Records the messages that were sent, by queue."""

    def __init__(self) -> None:
        self.sent: dict[Queue, list[Message]] = defaultdict(list)

    async def send(self, queue: Queue, messages: Sequence[Message], *, delay_s: int = 0) -> None:
        self.sent[queue] += messages

    async def is_empty(self, queue: Queue, *, apart_from: int = 0) -> bool:
        return len(self.sent[queue]) <= apart_from


class StackBench:
    """A ledger in memory and queues that only record messages; its own clock, which stands still."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger(now=self.now)
        self.queues = RememberingQueues()
        self.transitions = Transitions(self.ledger, clock=self, emit=ignore, by_state={})

    def now(self) -> datetime:
        return BEGAN

    def ticks(self) -> float:
        return 0.0

    async def item(self, source: str, batch_id: str = "b1") -> Item:
        item = await self.ledger.item(batch_id, source)
        assert item is not None
        return item


def batch_of(batch_id: str, *, driver: str = "stack", after_s: float = 0, **changes: Any) -> Batch:
    """Return a batch that began `after_s` seconds after BEGAN."""
    source = SourceSpec(kind="s3", path="s3://inbox/nightly")
    spec = RunSpec(source=source, routes=Routes.single(schema_id="customers"), driver=driver)  # type: ignore[arg-type]
    batch = Batch(
        batch_id=batch_id,
        source_uri="s3://inbox/nightly/",
        account="0a1b2c3d-00112233445566ff",
        out=f"s3://results/batches/{batch_id}",
        config=spec.to_json(),
        started_at=BEGAN + timedelta(seconds=after_s),
    )
    return replace(batch, **changes)


async def leave(ledger: CloudLedger, batch: Batch, states: dict[str, ItemState], **fields: Any) -> None:
    """Record a batch with items in these states, by their source."""
    state, finished_at = batch.state, batch.finished_at
    await ledger.start_batch(replace(batch, state=BatchState.RUNNING, finished_at=None))
    items = [item_in(batch.batch_id, source, item_state, **fields) for source, item_state in states.items()]
    await ledger.add(items)
    if state is not BatchState.RUNNING:
        await ledger.update_batch(batch.batch_id, state=state, finished_at=finished_at)


def item_in(batch_id: str, source: str, state: ItemState, **fields: Any) -> Item:
    at_vendor = state not in (ItemState.QUEUED, ItemState.REJECTED, ItemState.SKIPPED)
    known = {
        "import_id": f"import-of-{batch_id}-{source}" if at_vendor else None,
        "review_url": REVIEW_URL.format(source=source) if state is ItemState.NEEDS_REVIEW else None,
        **fields,
    }
    return Item(batch_id=batch_id, source=source, state=state, **known)

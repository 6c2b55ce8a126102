"""Functions in a simulated world: many at once, each of which can be killed at any event; and the queues between."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.cloud.messages import Message, encode
from runner.cloud.protocols import MAX_RECEIVES, Queue, retry_after_s
from runner.ledger.leases import Lease, MemoryLeases
from tests.support.ledger_indexes import indexes_for
from tests.support.process import Disk, Process, ProcessLedger
from tests.support.seeds import Broken
from tests.support.template import indexes_of, template

if TYPE_CHECKING:
    from runner.ledger.memory import MemoryLedger
    from runner.models import Batch, BatchState, Item, ItemState
    from tests.support.vloop import VirtualLoop


_LONG_QUEUE = 200
_DRAWS = 20

RETENTION_S = 4 * 86_400.0
"""How long a queue keeps a message (`MessageRetentionPeriod` in template.yaml)."""

LONGEST_CHAIN = 16
"""After so many functions, each invoked by a message of the one before, Lambda stops a chain as a loop."""


def is_stopped_as_a_loop(hops: int) -> bool:
    """Return whether Lambda drops a message, which it does unless the template allows loops."""
    return hops >= LONGEST_CHAIN and template().function_globals.get("RecursiveLoop") != "Allow"


class CloudProcessLedger(ProcessLedger):
    """The shared ledger as one function sees it; implements CloudLedger.

    Raises Broken if DynamoDB would refuse a query of an index to the role of `function`; None may query all.
    """

    _inner: MemoryLedger

    def __init__(
        self,
        inner: MemoryLedger,
        process: Process,
        disk: Disk,
        *,
        on_advance: Callable[[Item, ItemState, dict[str, Any]], None],
        function: str | None = None,
    ) -> None:
        super().__init__(inner, process, disk, on_advance=on_advance)
        self._function = function

    def _require(self, method: str, *states: ItemState) -> None:
        refused = indexes_for(method, states) - indexes_of(self._function) if self._function else None
        if refused:
            raise Broken(
                f"the role of {self._function} does not allow it to query {', '.join(refused)}, as {method} does"
            )

    async def items(self, batch_id: str, *, states: Collection[ItemState] | None = None) -> AsyncIterator[Item]:
        self._require("items", *states or ())
        async for item in super().items(batch_id, states=states):
            yield item

    async def page(self, batch_id: str, state: ItemState, *, after: tuple[int, str] | None, limit: int) -> list[Item]:
        self._require("page", state)
        return await super().page(batch_id, state, after=after, limit=limit)

    async def by_version(self, version_keys: Iterable[str]) -> dict[str, list[Item]]:
        wanted = list(version_keys)
        if wanted:
            self._require("by_version")
        return await super().by_version(wanted)

    async def incomplete_batches(self) -> list[Batch]:
        self._require("incomplete_batches")
        return await self._read(self._inner.incomplete_batches())

    async def recent_batches(self, count: int) -> list[Batch]:
        return await self._read(self._inner.recent_batches(count))

    async def moves_of(self, batch_id: str) -> tuple[int, int]:
        return await self._read(self._inner.moves_of(batch_id))

    async def record_manifest(self, batch_id: str, *, moves: int) -> bool:
        return await self._write(
            "manifested", f"{batch_id} {moves}", lambda: self._inner.record_manifest(batch_id, moves=moves)
        )

    async def has_open(self, batch_id: str) -> bool:
        return await self._read(self._inner.has_open(batch_id))

    async def flush_counts(self) -> None:
        await self._inner.flush_counts()

    async def good_config(self) -> str | None:
        return await self._read(self._inner.good_config())

    async def keep_config(self, text: str) -> None:
        await self._write("keep_config", "", lambda: self._inner.keep_config(text))

    async def config_is_from_inbox(self) -> bool:
        return await self._read(self._inner.config_is_from_inbox())


class ProcessLeases:
    """The leases as one function sees them; implements Leases."""

    def __init__(self, inner: MemoryLeases, process: Process) -> None:
        self._inner = inner
        self._process = process

    async def take(self, batch_id: str, source: str, *, holder: str, for_s: float) -> float | None:
        await self._process.event("lease.take", f"{batch_id} {source}")
        left_s = await self._inner.take(batch_id, source, holder=holder, for_s=for_s)
        await self._process.event("lease.taken", f"{batch_id} {source} {left_s}")
        return left_s

    async def release(self, batch_id: str, source: str, *, holder: str) -> None:
        await self._process.event("lease.release", f"{batch_id} {source}")
        await self._inner.release(batch_id, source, holder=holder)

    async def seen(self, batch_id: str, source: str) -> Lease | None:
        return await self._inner.seen(batch_id, source)


@dataclass(slots=True, eq=False)
class Envelope:
    """A message in a queue: invisible until `visible_at`, gone after `ends_at`, received so often.

    `hops` counts the functions that led to it, each by a message to the next.
    """

    text: str
    visible_at: float
    ends_at: float
    receives: int = 0
    hops: int = 0


@dataclass(kw_only=True)
class Post:
    """All queues: they deliver at least once, in no order, and give up after five times, or after four days."""

    rng: random.Random
    doubled: float = 0.0
    late_s: float = 0.0
    waiting: dict[Queue, list[Envelope]] = field(default_factory=lambda: {queue: [] for queue in Queue})
    dead: dict[Queue, list[Envelope]] = field(default_factory=lambda: {queue: [] for queue in Queue})
    sent: Counter[Queue] = field(default_factory=Counter)
    expired: int = 0
    news: dict[Queue, asyncio.Event] = field(default_factory=lambda: {queue: asyncio.Event() for queue in Queue})

    def put(self, queue: Queue, message: Message, *, now: float, delay_s: float = 0.0, hops: int = 0) -> None:
        self.sent[queue] += 1
        for _ in range(2 if self.rng.random() < self.doubled else 1):
            late_s = self.rng.uniform(0, self.late_s)
            self.waiting[queue].append(Envelope(encode(message), now + delay_s + late_s, now + RETENTION_S, hops=hops))
        self.news[queue].set()

    async def next(self, queue: Queue, loop: VirtualLoop, *, hidden_s: float) -> Envelope:
        """Wait for a visible message and take it; it is invisible from then on for a while."""
        while (taken := self.take(queue, now=loop.time(), hidden_s=hidden_s)) is None:
            self.news[queue].clear()
            due_at = min((one.visible_at for one in self.waiting[queue]), default=float("inf"))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.001, min(due_at - loop.time(), 600.0))):
                    await self.news[queue].wait()
        return taken

    def take(self, queue: Queue, *, now: float, hidden_s: float) -> Envelope | None:
        """Take any message that is visible."""
        taken = self._any_of_many(queue, now=now)
        if taken is None:
            self.forget_old(queue, now=now)
            ready = [envelope for envelope in self.waiting[queue] if envelope.visible_at <= now]
            if not ready:
                return None
            taken = self.rng.choice(ready)
        taken.receives += 1
        taken.visible_at = now + hidden_s
        return taken

    def _any_of_many(self, queue: Queue, *, now: float) -> Envelope | None:
        """Draw a message from a long queue without looking at all of them; None if the draws meet none that is due."""
        waiting = self.waiting[queue]
        for _ in range(_DRAWS if len(waiting) > _LONG_QUEUE else 0):
            drawn = self.rng.choice(waiting)
            if drawn.visible_at <= now < drawn.ends_at:
                return drawn
        return None

    def forget_old(self, queue: Queue, *, now: float) -> None:
        """Delete what has waited for too long, without a word to anybody, as SQS does."""
        kept = [envelope for envelope in self.waiting[queue] if envelope.ends_at > now]
        self.expired += len(self.waiting[queue]) - len(kept)
        self.waiting[queue] = kept

    def acknowledge(self, queue: Queue, envelope: Envelope) -> None:
        if envelope in self.waiting[queue]:
            self.waiting[queue].remove(envelope)

    def failed(self, queue: Queue, envelope: Envelope, *, now: float) -> None:
        """Let the message come back, or give it up."""
        if envelope.receives >= MAX_RECEIVES:
            self.acknowledge(queue, envelope)
            self.dead[queue].append(envelope)
        else:
            envelope.visible_at = now + retry_after_s(envelope.receives)
            self.news[queue].set()


class ProcessQueues:
    """The queues as one function sees them; implements Queues."""

    def __init__(self, post: Post, process: Process, loop: VirtualLoop, *, hops: int) -> None:
        self._post = post
        self._process = process
        self._loop = loop
        self._hops = hops

    async def send(self, queue: Queue, messages: Sequence[Message], *, delay_s: int = 0) -> None:
        assert 0 <= delay_s <= 900
        for message in messages:
            await self._process.event("queue.send", f"{queue} {encode(message)} {delay_s}")
            self._post.put(queue, message, now=self._loop.time(), delay_s=delay_s, hops=self._hops + 1)
            await self._process.event("queue.sent", str(queue))

    async def is_empty(self, queue: Queue, *, apart_from: int = 0) -> bool:
        self._post.forget_old(queue, now=self._loop.time())
        return len(self._post.waiting[queue]) <= apart_from


@dataclass(kw_only=True)
class Heard:
    """The published ends, (batch id, state, end), and notices, (sentence, changes), in order, and the metrics."""

    ends: list[tuple[str, str, str]] = field(default_factory=list)
    notices: list[tuple[str, list[str]]] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)


class ProcessNotifier:
    """Implements Notifier and Metrics for one function."""

    def __init__(self, heard: Heard, process: Process) -> None:
        self._heard = heard
        self._process = process

    async def batch_ended(self, summary: Mapping[str, Any], *, state: BatchState) -> None:
        await self._process.event("announce", f"{summary['batch_id']} {state}")
        self._heard.ends.append((str(summary["batch_id"]), str(state), str(summary["end"])))
        await self._process.event("announced", f"{summary['batch_id']} {state}")

    async def config_changed(self, sentence: str, changes: Sequence[str], *, place: str) -> None:
        await self._process.event("announce", place)
        self._heard.notices.append((sentence, list(changes)))
        await self._process.event("announced", place)

    def add_metric(self, name: str, value: float, unit: str = "Count") -> None:
        assert unit in ("Count", "Seconds", "Milliseconds")
        if not self._process.dead:
            self._heard.figures[name] += int(value)

"""A bench for one function at a time: the simulated world without faults; messages wait until a test takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from runner.cloud.breaker import Breaker, GuardedApi
from runner.cloud.handlers.collect import collect
from runner.cloud.handlers.finish import finish
from runner.cloud.handlers.list import list_page
from runner.cloud.handlers.register import register
from runner.cloud.handlers.submit import submit
from runner.cloud.handlers.upload import upload
from runner.cloud.messages import Message, ObjectCreated, decode
from runner.cloud.protocols import Outcome, Queue
from runner.cloud.reconcile import reconcile
from runner.dromo.rate_limited import RateLimitedApi
from runner.models import Batch, Item, ItemKind, ItemState
from tests.cloudcore.scenario import CONFIG, FUNCTIONS, Simulation
from tests.support.inputs import Fate, Input
from tests.support.process import Process

if TYPE_CHECKING:
    from runner.cloud.context import Deployment

_ENTRIES: dict[Queue, Callable[..., Awaitable[Outcome]]] = {
    Queue.REGISTER: register,
    Queue.SUBMIT: submit,
    Queue.LOAD: submit,
    Queue.UPLOAD: upload,
    Queue.LIST: list_page,
    Queue.COLLECT: collect,
    Queue.FINISH: finish,
}


def _left_s(loop: asyncio.AbstractEventLoop, ends_at: float) -> float:
    return ends_at - loop.time()


class Bench:
    """One deployment with all its parts in reach."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.loop = simulation.loop
        self.process = Process(simulation.trace, self.loop)
        self.deployment: Deployment = simulation.deployment(self.process, judged=False)
        self.ledger = simulation.ledger
        self.leases = simulation.leases
        self.slots = simulation.slots
        self.bucket = simulation.bucket
        self.results = simulation.results
        self.post = simulation.post
        self.heard = simulation.heard
        self.vendor = simulation.vendor

    async def configured(self, text: str = CONFIG) -> Bench:
        await self.ledger.keep_config(text)
        return self

    def with_api(self, api: Any) -> None:
        """Let the deployment talk to another API."""
        deployment = self.deployment
        breaker = Breaker(api, deployment.leases, clock=deployment.clock, rng=deployment.rng)
        self.deployment = replace(deployment, api=RateLimitedApi(GuardedApi(api, breaker)), breaker=breaker)

    def drop(self, key: str, *, fate: Fate = "good", mark: str | None = None) -> ObjectCreated:
        """Put a file into the inbox and return the message that reports it."""
        kind = ItemKind.JSON if key.endswith(".json") else ItemKind.FILE
        stored = self.bucket.put(key, Input.make(mark or key, kind, fate), at=self.deployment.clock.now())
        return stored.created("inbox")

    async def do(self, queue: Queue, message: Message, *, receives: int = 1, left_s: float = 900.0) -> Outcome:
        """Let the queue's function take one message, with so many seconds to live."""
        ends_at = self.loop.time() + left_s
        return await _ENTRIES[queue](
            self.deployment, message, time_left=lambda: ends_at - self.loop.time(), receives=receives
        )

    async def reconcile(self, *, left_s: float = 300.0) -> None:
        ends_at = self.loop.time() + left_s
        await reconcile(self.deployment, time_left=lambda: ends_at - self.loop.time())

    def take(self, queue: Queue) -> list[Message]:
        """Empty a queue and return what was in it."""
        taken = [decode(envelope.text) for envelope in self.post.waiting[queue]]
        self.post.waiting[queue].clear()
        return taken

    def delays(self, queue: Queue) -> list[float]:
        """Return in how many seconds each message of a queue comes."""
        return [envelope.visible_at - self.loop.time() for envelope in self.post.waiting[queue]]

    async def work_off(self) -> None:
        """Take every message, due or not, until there is none."""
        while queue := next((queue for queue in Queue if self.post.waiting[queue]), None):
            for message in self.take(queue):
                await self.do(queue, message)

    @asynccontextmanager
    async def serving(self, *queues: Queue) -> AsyncIterator[None]:
        """Let an execution for each of the queues named take ten messages at a time, until the block ends."""
        servers = [
            asyncio.ensure_future(self._serve(queue, deployment))
            for queue in queues
            for deployment in [self._simulation.deployment(self.process, judged=False, function=FUNCTIONS[queue])]
            for _ in range(10)
        ]
        try:
            yield
        finally:
            for server in servers:
                server.cancel()
            await asyncio.gather(*servers, return_exceptions=True)

    async def _serve(self, queue: Queue, deployment: Deployment) -> None:
        while True:
            envelope = await self.post.next(queue, self.loop, hidden_s=1800)
            ends_at = self.loop.time() + 900.0
            await _ENTRIES[queue](
                deployment, decode(envelope.text), time_left=partial(_left_s, self.loop, ends_at), receives=1
            )
            self.post.acknowledge(queue, envelope)

    async def batch(self) -> Batch:
        """Return the only batch."""
        (batch,) = await self.ledger.batches()
        return batch

    async def items(self) -> dict[str, Item]:
        """Return all items, by their source."""
        found: dict[str, Item] = {}
        for batch in await self.ledger.batches():
            for state in ItemState:
                for item in await self.ledger.page(batch.batch_id, state, after=None, limit=1000):
                    found[item.source] = item
        return found

    async def states(self) -> dict[str, str]:
        return {source: str(item.state) for source, item in (await self.items()).items()}

    @property
    def uploads(self) -> list[str]:
        """Return the marks of all data that the vendor was given."""
        return sorted(mark for marks in self.vendor.seen.data_of.values() for mark in marks)

"""Worker: takes messages from queues in a process that stays, and works on them as the functions do.

Several workers may run at once, also beside the functions: each message is hidden while one works on it, the ledger
refuses what another has done, and all share the table's create slots.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from runner.cloud.context import LONGEST_FUNCTION_S
from runner.cloud.protocols import Mailbox
from runner.errors import BulkheadError
from runner.masking import log_fields
from runner.stop import StopSignal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runner.cloud.deliveries import Deliveries, Delivery
    from runner.cloud.protocols import Queue

logger = logging.getLogger(__name__)

MOST_RECEIVED = 10
"""Messages in one answer of SQS."""

WAIT_S = 10
"""How long a request waits for messages; the client gives up after twice as long."""

HIDDEN_S = 180
"""How long a message stays hidden if this process dies; then another one gets it."""

HIDE_AGAIN_S = 60.0
"""How often a message that is worked on is hidden again."""

_GIVE_BACK_S = 3.0
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
"""Between requests for messages that fail."""


class Inbound(Mailbox, Protocol):
    """Queues that messages are received from. Every method may raise AwsRefused, TransientError."""

    async def receive(self, queue: Queue, *, at_most: int, wait_s: int, hidden_s: int) -> list[Delivery]:
        """Receive up to ten messages, and hide them; waits if there are none."""
        ...

    async def delete(self, delivery: Delivery) -> None:
        """Delete a message that needs no more work."""
        ...


class Worker:
    """Works on up to `at_once` messages of each queue until `ending` is requested, then finishes those in work.

    `now` ends the work in progress at once. What is not finished goes back to its queue in either case.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        queues: Inbound,
        names: Sequence[Queue],
        *,
        at_once: int,
        ending: StopSignal,
        now: StopSignal,
    ) -> None:
        self._deliveries = deliveries
        self._queues = queues
        self._names = names
        self._at_once = at_once
        self._ending = ending
        self._now = now
        self._has_received = False
        self.in_work = 0

    async def run(self) -> None:
        """Work until the end. Raises BulkheadError if the first request for messages is refused."""
        try:
            async with asyncio.TaskGroup() as group:
                for queue in self._names:
                    group.create_task(self._serve(queue))
        finally:
            await self._deliveries.flush_counts()

    async def _serve(self, queue: Queue) -> None:
        working: set[asyncio.Task[None]] = set()
        try:
            while not self._ending.requested:
                if len(working) >= self._at_once:
                    await self._ending.unless_requested(lambda: _first_of(working))
                    continue
                for delivery in await self._received(queue, at_most=self._at_once - len(working)):
                    task = asyncio.create_task(self._handle(delivery))
                    working.add(task)
                    task.add_done_callback(working.discard)
            await self._now.unless_requested(lambda: _all_of(working))
        finally:
            left = list(working)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _received(self, queue: Queue, *, at_most: int) -> list[Delivery]:
        """Receive messages, none if the end is requested meanwhile: a request that waits has none to lose.

        A request that fails is repeated, with growing pauses.
        """
        pause_s = _SHORTEST_PAUSE_S
        while True:
            try:
                found = await self._ending.unless_requested(
                    lambda: self._queues.receive(
                        queue, at_most=min(at_most, MOST_RECEIVED), wait_s=WAIT_S, hidden_s=HIDDEN_S
                    )
                )
            except BulkheadError as error:
                if not self._has_received:
                    raise
                logger.warning("no messages can be received", extra={"queue": str(queue), **log_fields(error)})
                if await self._ending.sleep(pause_s):
                    return []
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._has_received = True
                return found or []

    async def _handle(self, delivery: Delivery) -> None:
        """Work on a message, then delete it; one that fails was hidden until its next try."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + LONGEST_FUNCTION_S
        self.in_work += 1
        try:
            async with self._hidden(delivery):
                work = await self._deliveries.work(lambda: ends_at - loop.time())
                failed = await self._deliveries.failed(delivery, work)
        except asyncio.CancelledError:
            await self._give_back(delivery)
            raise
        finally:
            self.in_work -= 1
        if not failed:
            await self._delete(delivery)
        if not self.in_work:
            await self._deliveries.flush_counts()

    @asynccontextmanager
    async def _hidden(self, delivery: Delivery) -> AsyncIterator[None]:
        """Keep a message hidden while the block runs."""
        hiding = asyncio.create_task(self._hide_again(delivery))
        try:
            yield
        finally:
            hiding.cancel()

    async def _hide_again(self, delivery: Delivery) -> None:
        while True:
            await asyncio.sleep(HIDE_AGAIN_S)
            try:
                await self._queues.hide(delivery.queue, delivery.receipt, for_s=HIDDEN_S)
            except BulkheadError as error:
                logger.warning("a message may be delivered twice", extra=log_fields(error))

    async def _give_back(self, delivery: Delivery) -> None:
        """Let a message be delivered again at once; if that fails, it is when its time is over."""
        try:
            async with asyncio.timeout(_GIVE_BACK_S):
                await self._queues.hide(delivery.queue, delivery.receipt, for_s=0)
        except (BulkheadError, TimeoutError) as error:
            logger.warning("a message comes back later", extra=log_fields(error))

    async def _delete(self, delivery: Delivery) -> None:
        try:
            await self._queues.delete(delivery)
        except BulkheadError as error:
            logger.warning("a message will be delivered twice", extra=log_fields(error))


async def _first_of(tasks: set[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def _all_of(tasks: set[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)

"""Leases: one function at a time works on an item, an import, a batch, or the JSON creates of a schema.

They save money and time. Safety never depends on them: that is what the ledger's conditional writes are for.
"""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import bisect_left
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from runner.cloud.protocols import MAX_DELAY_S, Done, Requeued
from runner.dromo.listing import CLOCK_MARGIN
from runner.errors import BulkheadError, LedgerUnavailable
from runner.events import ItemMoved
from runner.models import Item, ItemKind, ItemState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from runner.cloud.context import Deployment
    from runner.cloud.deadline import Deadline
    from runner.cloud.messages import Message
    from runner.cloud.protocols import Outcome, Queue
    from runner.events import Event
    from runner.ledger.leases import Lease, Leases


logger = logging.getLogger(__name__)

LONG_S = 5.0
"""How long work lasts without a lease."""

NEW_S = 12.0
"""How long an entry in an item's history says that somebody works on it: LONG_S, and time to take the lease."""

_NOBODY = "nobody"
"""The holder of a lease that says that nobody works on an item, however new its history is."""

CLAIM_S = 20.0
"""How long a function first claims the right to requeue a message; if its send fails, the claim ends this soon."""

SENT_S = 3600.0
"""How long a message that was sent once is not sent for a second copy of its cause."""

_CLOCK_SKEW_S = 2.0
"""How far the clocks of two functions may differ: the claim must end before the requeued message arrives."""

TURN_S = 180.0
"""Longer than a function waits for a permit and an answer: a turn that was not released ends by itself."""

WORKER_SEEN_S = 180.0
"""How long a worker counts as working after its last sign of life, which it gives every minute."""

_LEFT, _LEFT_S = "\0left", 86_400.0
"""A lease whose holder is not a function, but what was left."""

_WORKERS, _ANY = "workers", "any"
_TURNS = "json-turns"
_SOON_S = 5.0
_UNKNOWN_OUTCOME_S = 60.0
_PAGE = 200


@asynccontextmanager
async def hold_lease(
    deployment: Deployment, batch_id: str, name: str, deadline: Deadline
) -> AsyncIterator[float | None]:
    """Hold a lease for as long as the function can live, and release it at the end.

    Yields None if the lease is held, else for how many seconds another holder still has it.
    """
    holder = deployment.holder()
    left_s = await deployment.leases.take(batch_id, name, holder=holder, for_s=deadline.lease_s())
    try:
        yield left_s
    finally:
        if left_s is None:
            await deployment.leases.release(batch_id, name, holder=holder)


@dataclass(slots=True, eq=False)
class Hold:
    """What a function has of an item: `left_s` is None, or says for how long another function still has it.

    `deployment` notes when the item is claimed, `is_over` that nothing is left to do for this function.
    """

    deployment: Deployment
    left_s: float | None = None
    is_over: bool = False
    claimed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def hold_item(
    deployment: Deployment, item: Item, name: str, deadline: Deadline, *, claim: ItemState, is_claimed: bool
) -> AsyncIterator[Hold]:
    """Hold an item that the move to `claim` claims: only one function makes it. `name` is that of the lease.

    The lease is taken once the work has lasted LONG_S since the claim, which saves two writes for most items; until
    then, the new entry in the item's history says that somebody works on it. What `is_claimed` already is taken over
    with the lease, if nobody works on it. Work that ends before it is over says so, so that it can be taken over.
    """
    holder = deployment.holder()
    hold = Hold(deployment)
    if is_claimed:
        hold.left_s = await _taken_over(deployment, item, name, deadline, holder=holder)
        if hold.left_s is not None:
            yield hold
            return
        hold.claimed.set()
        taking = None
    else:
        hold.deployment = _noting(deployment, claim, hold.claimed)
        taking = asyncio.ensure_future(_take_if_long(deployment, item, name, deadline, hold=hold, holder=holder))
    try:
        yield hold
    finally:
        if taking is not None:
            taking.cancel()
            await asyncio.wait({taking})
        if taking is None or not taking.cancelled():
            await deployment.leases.release(item.batch_id, name, holder=holder)
        if hold.claimed.is_set() and not hold.is_over:
            await deployment.leases.take(item.batch_id, name, holder=_NOBODY, for_s=NEW_S)


def _noting(deployment: Deployment, claim: ItemState, claimed: asyncio.Event) -> Deployment:
    def listen(event: Event) -> None:
        if isinstance(event, ItemMoved) and event.new is claim and not event.is_of_another:
            claimed.set()
        deployment.listen(event)

    return replace(deployment, listen=listen)


async def _taken_over(
    deployment: Deployment, item: Item, name: str, deadline: Deadline, *, holder: str
) -> float | None:
    """Take the lease of a claimed item, or return for how many seconds another function may still work on it."""
    lease = await deployment.leases.seen(item.batch_id, name)
    if lease is not None and lease.holder != _NOBODY:
        return lease.left_s
    history = await deployment.ledger.history(item.batch_id, item.source)
    age_s = (deployment.clock.now() - history[-1].at).total_seconds()
    is_given_up = lease is not None and age_s >= NEW_S - lease.left_s
    if age_s < NEW_S and not is_given_up:
        return NEW_S - age_s
    return await _take(deployment, item, name, deadline, holder=holder)


async def _take(deployment: Deployment, item: Item, name: str, deadline: Deadline, *, holder: str) -> float | None:
    await deployment.leases.release(item.batch_id, name, holder=_NOBODY)
    return await deployment.leases.take(item.batch_id, name, holder=holder, for_s=deadline.lease_s())


async def _take_if_long(
    deployment: Deployment, item: Item, name: str, deadline: Deadline, *, hold: Hold, holder: str
) -> None:
    await hold.claimed.wait()
    await asyncio.sleep(LONG_S)
    try:
        await _take(deployment, item, name, deadline, holder=holder)
    except BulkheadError as error:
        logger.warning("work goes on without its lease", extra={"error": type(error).__name__})


async def requeue(
    deployment: Deployment, queue: Queue, message: Message, seconds: float, *, batch_id: str, name: str
) -> Outcome:
    """Send the message again, to arrive in `seconds` plus 1 to 4, unless one for the same `name` is already pending.

    SQS delivers some messages twice: if each delivery sent another message, they would multiply without end.
    """
    delay_s = min(MAX_DELAY_S, math.ceil(seconds) + deployment.rng.randint(1, 4))
    pending_s = max(delay_s - _CLOCK_SKEW_S, delay_s / 2)
    claim = partial(deployment.leases.take, batch_id, pending_name(name), holder=deployment.holder())
    if await claim(for_s=min(pending_s, CLAIM_S)) is not None:
        return Done()
    await deployment.queues.send(queue, [message], delay_s=delay_s)
    if pending_s > CLAIM_S:
        await claim(for_s=pending_s)
    return Requeued(delay_s)


async def send_once(deployment: Deployment, queue: Queue, message: Message, *, batch_id: str, name: str) -> None:
    """Send a message that others follow, unless another function has just sent it for a second copy of its cause.

    A function that dies before it has sent the message leaves a claim that soon ends.
    """
    claim = partial(deployment.leases.take, batch_id, f"\0sent {name}", holder=deployment.holder())
    if await claim(for_s=CLAIM_S) is None:
        await deployment.queues.send(queue, [message])
        await claim(for_s=SENT_S)


async def note_worker(leases: Leases) -> None:
    """Record a worker's sign of life. Raises LedgerUnavailable."""
    await leases.take(_WORKERS, _ANY, holder=_ANY, for_s=WORKER_SEEN_S)


async def worker_is_there(leases: Leases) -> bool:
    """Return whether a worker has given a sign of life within WORKER_SEEN_S. Raises LedgerUnavailable."""
    return await leases.seen(_WORKERS, _ANY) is not None


def pending_name(name: str) -> str:
    """Return the lease name for a requeued message that has not arrived yet; no file can have this name."""
    return f"\0next {name}"


class JsonTurn:
    """The turn of one JSON item: a schema has one JSON create at a time, so that its import can be told apart."""

    def __init__(self, deployment: Deployment, item: Item) -> None:
        self._deployment = deployment
        self._item = item
        self._holder = deployment.holder()
        self._name = item.schema_id or "inline"

    async def take(self) -> float | None:
        """Take the turn and return None, or return in how many seconds to try again."""
        leases = self._deployment.leases
        left_s = await leases.take(_TURNS, self._name, holder=self._holder, for_s=TURN_S)
        if left_s is not None:
            return min(left_s, _SOON_S)
        if await self._has_rival():
            await leases.release(_TURNS, self._name, holder=self._holder)
            return _UNKNOWN_OUTCOME_S
        return None

    async def over(self, item: Item) -> None:
        """Release the turn. If the create's outcome is unknown, it ends by itself: by then every index shows that."""
        if item.state is not ItemState.CREATING:
            await self._deployment.leases.release(_TURNS, self._name, holder=self._holder)

    async def _has_rival(self) -> bool:
        ledger = self._deployment.ledger
        for batch in await ledger.incomplete_batches():
            creating = await ledger.page(batch.batch_id, ItemState.CREATING, after=None, limit=_PAGE)
            if any(self._is_rival(one) for one in creating):
                return True
        return False

    def _is_rival(self, item: Item) -> bool:
        """Return whether an import that this unrecorded create may have made could be mistaken for our item's.

        After its quiet period such an import is too old to be mistaken; its batch may belong to a runner that nobody
        resumes.
        """
        if item.kind is not ItemKind.JSON or item.schema_id != self._item.schema_id:
            return False
        quiet_period = timedelta(seconds=self._deployment.settings.quiet_period_s)
        now = self._deployment.vendor_time.now()
        return item.intent_at is None or now - item.intent_at <= quiet_period + 2 * CLOCK_MARGIN


async def leave(leases: Leases, what: str, name: str) -> None:
    """Note that `name` is the first thing that was left to the next function that does this.

    The note only saves time: if the table does not answer, there is none.
    """
    with _unless_unavailable(what):
        if left := await leases.seen(what, _LEFT):
            await leases.release(what, _LEFT, holder=left.holder)
        await leases.take(what, _LEFT, holder=name, for_s=_LEFT_S)


async def in_turn(leases: Leases, what: str, names: Sequence[str]) -> list[str]:
    """Return the names, those first that the last function left, or that come after them.

    Names of things that come and go must be sorted.
    """
    left: Lease | None = None
    with _unless_unavailable(what):
        left = await leases.seen(what, _LEFT)
    if left is None:
        return list(names)
    first = names.index(left.holder) if left.holder in names else bisect_left(names, left.holder)
    return [*names[first:], *names[:first]]


@contextmanager
def _unless_unavailable(what: str) -> Iterator[None]:
    try:
        yield
    except LedgerUnavailable:
        logger.warning("it is not known what was left", extra={"what": what})

"""CreatePacer: spaces creates so that they never exceed the vendor's sliding window.

The vendor refuses a create if it accepted `count` others in the last `per_s` seconds. A slot is therefore busy until
its create was *answered*, plus `per_s`, plus a guard: the vendor counts the create before it answers, so two uses of
one slot are more than a window apart, whatever the latency. The slot of a process that died becomes free by time.

Between the vendor's counts of two creates in one slot are also the way back of the first and the way out of the second.
On one machine, most of the shortest round trip is therefore taken off the guard.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.dromo.round_trips import RoundTrips
from runner.quota.slots import Slot, SlotStore

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from runner.config.units import Rate
    from runner.protocols import Clock

logger = logging.getLogger(__name__)

CAUTIOUS_GUARD_S = 0.25
"""Guard after a refusal, for slots that the processes of one machine share."""

LOCAL_GUARD_S = 0.05
"""Guard for them without a refusal, before the time that every create needs for its way is taken off."""

SHARE_OF_ROUND_TRIP = 0.9
"""How much of the shortest round trip passes, at least, outside the vendor between the uses of a slot (choice)."""

LATE_ARRIVAL_S = 30.0
"""How long a create may still take to reach the vendor after its sender gave up."""

GRANT_LIFE_S = 2.0
DEFAULT_HOLD_S = 3.0
HOLD_MARGIN_S = 1.0
LONGEST_HOLD_S = 900.0
"""The vendor may ask for more, but a refused create costs nothing, and a hold stops all users of the key."""

_LONGEST_WAIT_S = 5.0


class Permit:
    """The right to send one create now; call the method that matches how the create ended."""

    def __init__(self, pacer: CreatePacer, number: int, slot: Slot, granted_at: float) -> None:
        self._pacer = pacer
        self._number = number
        self._slot = slot
        self._granted_at = granted_at

    @property
    def is_fresh(self) -> bool:
        """False if the permit is too old to use, for example because the process was suspended."""
        return self._pacer.ticks() - self._granted_at < GRANT_LIFE_S

    async def answered(self) -> None:
        """Record that the vendor answered: it counted the create before now."""
        await self._busy_for(self._pacer.window_s)

    async def outcome_unknown(self) -> None:
        """Record that no answer came: the create may still be on its way."""
        await self._busy_for(LATE_ARRIVAL_S + self._pacer.window_s)

    async def unused(self) -> None:
        """Record that nothing reached the vendor: the slot is free again."""
        await self._busy_for(0.0)

    async def throttled(self, retry_after_s: float | None) -> float:
        """Record that the vendor refused the create and did not count it; returns the seconds that all users wait."""
        await self._busy_for(0.0)
        return await self._pacer.hold(retry_after_s)

    async def _busy_for(self, seconds: float) -> None:
        until = min(self._slot.until, self._pacer.ticks() + seconds)
        await self._pacer.settle(self._number, self._slot, until)


class CreatePacer:
    """Grants permits; shares its slots with everyone who uses the same store and `quota_key`.

    Every method may raise what the store raises.
    """

    def __init__(
        self,
        store: SlotStore,
        *,
        quota_key: str,
        quota: Rate,
        clock: Clock,
        rng: random.Random,
        guard_s: float | None = None,
        round_trips: RoundTrips | None = None,
        request_timeout_s: float = 30.0,
    ) -> None:
        """`quota_key` is `identity.account`; all users of the store must read the same time from `clock`.

        A slot stays busy `guard_s` seconds longer than the quota requires. None is for the users of one machine: the
        guard is short, and shorter by the way that creates need at least, until the vendor refuses one.
        """
        self._store = store
        self._quota_key = quota_key
        self.quota = quota
        self._clock = clock
        self._rng = rng
        self._guard_s = guard_s
        self._round_trips = round_trips or RoundTrips()
        self._was_refused = False
        longest_guard_s = CAUTIOUS_GUARD_S if guard_s is None else guard_s
        self._lease_s = request_timeout_s + LATE_ARRIVAL_S + quota.per_s + longest_guard_s
        self._turn = asyncio.Lock()
        self._in_line = 0
        """How many have the turn or wait for it."""
        self._changed = asyncio.Event()

    def ticks(self) -> float:
        return self._clock.ticks()

    @property
    def window_s(self) -> float:
        """Return for how long a slot stays busy after its create was answered, in seconds."""
        return max(self.quota.per_s + self._guard(), 0.0)

    def _guard(self) -> float:
        if self._guard_s is not None:
            return self._guard_s
        if self._was_refused:
            return CAUTIOUS_GUARD_S
        return LOCAL_GUARD_S - SHARE_OF_ROUND_TRIP * self._round_trips.shortest_s

    def leaving(self, slots: int) -> CreatePacer:
        """Return a pacer that uses all but `slots` of the slots, and at least one."""
        fewer = copy(self)
        fewer.quota = replace(self.quota, count=max(1, self.quota.count - slots))
        fewer._turn = asyncio.Lock()  # noqa: SLF001 - who leaves slots must not wait before who takes all
        fewer._in_line = 0  # noqa: SLF001
        return fewer

    async def permit(self) -> Permit:
        """Wait for a free slot and take it; waiting callers are served in order."""
        async with self._next_turn():
            while True:
                self._changed.clear()
                permit, wait_s = await self._try()
                if permit is not None:
                    return permit
                await self._wait(wait_s)

    async def permit_now(self) -> Permit | None:
        """Take a free slot, if there is one and nobody waits for it.

        A lock that is not held may still have somebody in line, whose turn can last until a slot is free.
        """
        if self._in_line:
            return None
        async with self._next_turn():
            return (await self._try())[0]

    @asynccontextmanager
    async def _next_turn(self) -> AsyncIterator[None]:
        self._in_line += 1
        try:
            async with self._turn:
                yield
        finally:
            self._in_line -= 1

    async def free_slots(self) -> int:
        """Return how many creates can be sent immediately."""
        return await self._store.free(self._quota_key, count=self.quota.count, now=self._clock.ticks())

    async def due_in_s(self) -> float:
        """Return the seconds until a create can be sent, if no other user is faster."""
        turn = await self._store.first(self._quota_key, count=self.quota.count)
        return max(0.0, turn.due_at - self._clock.ticks())

    async def hold(self, retry_after_s: float | None) -> float:
        """Stop all users from creating for as long as the vendor asked; returns the seconds."""
        self._was_refused = True
        asked_s = DEFAULT_HOLD_S if retry_after_s is None else min(retry_after_s, LONGEST_HOLD_S)
        wait_s = asked_s + HOLD_MARGIN_S + self._rng.random()
        await self._store.hold(self._quota_key, until=self._clock.ticks() + wait_s)
        logger.warning("create throttled", extra={"wait_s": round(wait_s, 1)})
        return wait_s

    async def settle(self, number: int, slot: Slot, until: float) -> None:
        """Shorten the lease of a slot that this process still has."""
        await self._store.swap(self._quota_key, number, seen=slot, new=Slot(until, slot.token))
        self._changed.set()

    async def _try(self) -> tuple[Permit | None, float]:
        turn = await self._store.first(self._quota_key, count=self.quota.count)
        now = self._clock.ticks()
        if turn.due_at > now:
            return None, turn.due_at - now
        taken = Slot(now + self._lease_s, f"{self._rng.getrandbits(64):016x}")
        if await self._store.swap(self._quota_key, turn.number, seen=turn.slot, new=taken):
            return Permit(self, turn.number, taken, now), 0.0
        return None, 0.0

    async def _wait(self, wait_s: float) -> None:
        """Wait until the slot is due, a create of this process was answered, or it is time to read the store again."""
        try:
            async with asyncio.timeout(min(wait_s, _LONGEST_WAIT_S)):
                await self._changed.wait()
        except TimeoutError:
            pass

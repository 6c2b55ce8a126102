"""CreatePacer: spaces creates so that they never exceed the vendor's sliding window.

The vendor refuses a create if it accepted `count` others in the last `per_s` seconds. A slot is therefore busy until
its create was *answered*, plus `per_s`, plus a guard: the vendor counts the create before it answers, so two uses of
one slot are more than a window apart, whatever the latency. The slot of a process that died becomes free by time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runner.quota.slots import Slot, SlotStore

if TYPE_CHECKING:
    import random

    from runner.config.units import Rate
    from runner.protocols import Clock

logger = logging.getLogger(__name__)

LOCAL_GUARD_S = 0.25
"""Guard for slots that the processes of one machine share."""

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
        guard_s: float = LOCAL_GUARD_S,
        request_timeout_s: float = 30.0,
    ) -> None:
        """`quota_key` is `identity.account`; all users of the store must read the same time from `clock`.

        A slot stays busy `guard_s` seconds longer than the quota requires.
        """
        self._store = store
        self._quota_key = quota_key
        self.quota = quota
        self._clock = clock
        self._rng = rng
        self._lease_s = request_timeout_s + LATE_ARRIVAL_S + quota.per_s + guard_s
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self.window_s = quota.per_s + guard_s

    def ticks(self) -> float:
        return self._clock.ticks()

    async def permit(self) -> Permit:
        """Wait for a free slot and take it; waiting callers are served in order."""
        async with self._turn:
            while True:
                self._changed.clear()
                permit, wait_s = await self._try()
                if permit is not None:
                    return permit
                await self._wait(wait_s)

    async def free_slots(self) -> int:
        """Return how many creates can be sent immediately."""
        quota = await self._store.read(self._quota_key, count=self.quota.count)
        now = self._clock.ticks()
        return 0 if quota.not_before > now else sum(slot.until <= now for slot in quota.slots)

    async def due_in_s(self) -> float:
        """Return the seconds until a create can be sent, if no other user is faster."""
        quota = await self._store.read(self._quota_key, count=self.quota.count)
        due_at = max(quota.not_before, min(slot.until for slot in quota.slots))
        return max(0.0, due_at - self._clock.ticks())

    async def hold(self, retry_after_s: float | None) -> float:
        """Stop all users from creating for as long as the vendor asked; returns the seconds."""
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
        quota = await self._store.read(self._quota_key, count=self.quota.count)
        now = self._clock.ticks()
        number, slot = min(enumerate(quota.slots), key=lambda numbered: numbered[1].until)
        wait_s = max(quota.not_before, slot.until) - now
        if wait_s > 0:
            return None, wait_s
        taken = Slot(now + self._lease_s, f"{self._rng.getrandbits(64):016x}")
        if await self._store.swap(self._quota_key, number, seen=slot, new=taken):
            return Permit(self, number, taken, now), 0.0
        return None, 0.0

    async def _wait(self, wait_s: float) -> None:
        """Wait until the slot is due, a create of this process was answered, or it is time to read the store again."""
        try:
            async with asyncio.timeout(min(wait_s, _LONGEST_WAIT_S)):
                await self._changed.wait()
        except TimeoutError:
            pass

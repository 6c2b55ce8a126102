"""CreatePacer: spaces creates so that the vendor's sliding window never sees one too many.

The vendor refuses a create when `count` accepted ones lie in its last `per_s` seconds. A slot is therefore busy until
its create was *answered* plus `per_s` plus a guard: the vendor stamped the create before it answered, so two uses of
one slot lie more than a window apart, whatever the latency. A slot whose holder died frees itself by time.
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
"""Guard for slots that are shared by the processes of one machine."""

LATE_ARRIVAL_S = 30.0
"""How long after its sender gave up a create may still reach the vendor."""

GRANT_LIFE_S = 2.0
UNEXPLAINED_HOLD_S = 3.0
HOLD_MARGIN_S = 1.0
LONGEST_HOLD_S = 900.0
"""The vendor may ask for more: a refused create costs nothing, a hold without end would bind all who share the key."""

_LONGEST_NAP_S = 5.0


class Permit:
    """The right to send one create now; tell it how the create went."""

    def __init__(self, pacer: CreatePacer, number: int, slot: Slot, granted_at: float) -> None:
        self._pacer = pacer
        self._number = number
        self._slot = slot
        self._granted_at = granted_at

    @property
    def is_fresh(self) -> bool:
        """False once the grant is too old to be used, as after the process was frozen."""
        return self._pacer.ticks() - self._granted_at < GRANT_LIFE_S

    async def answered(self) -> None:
        """The vendor answered: it counted the create before now."""
        await self._busy_for(self._pacer.window_s)

    async def outcome_unknown(self) -> None:
        """No answer was seen: the create may still be on its way."""
        await self._busy_for(LATE_ARRIVAL_S + self._pacer.window_s)

    async def unused(self) -> None:
        """Nothing reached the vendor: the slot is free again."""
        await self._busy_for(0.0)

    async def throttled(self, retry_after_s: float | None) -> float:
        """The vendor refused the create, which it does not count; returns the seconds for which all will wait."""
        await self._busy_for(0.0)
        return await self._pacer.hold(retry_after_s)

    async def _busy_for(self, seconds: float) -> None:
        until = min(self._slot.until, self._pacer.ticks() + seconds)
        await self._pacer.settle(self._number, self._slot, until)


class CreatePacer:
    """Hands out permits; shares its slots with everyone who uses the same store and `quota_key`."""

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
        self._store = store
        self._quota_key = quota_key
        self._quota = quota
        self._clock = clock
        self._rng = rng
        self._lease_s = request_timeout_s + LATE_ARRIVAL_S + quota.per_s + guard_s
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self.window_s = quota.per_s + guard_s

    def ticks(self) -> float:
        return self._clock.ticks()

    async def permit(self) -> Permit:
        """Wait for a free slot and take it; those who wait are served in their order."""
        async with self._turn:
            while True:
                self._changed.clear()
                permit, wait_s = await self._try()
                if permit is not None:
                    return permit
                await self._nap(wait_s)

    async def free_slots(self) -> int:
        """Return how many creates could be sent at once."""
        quota = await self._store.read(self._quota_key, count=self._quota.count)
        now = self._clock.ticks()
        return 0 if quota.not_before > now else sum(slot.until <= now for slot in quota.slots)

    async def due_in_s(self) -> float:
        """Return how long it takes until a create can be sent, if nobody is faster."""
        quota = await self._store.read(self._quota_key, count=self._quota.count)
        due_at = max(quota.not_before, min(slot.until for slot in quota.slots))
        return max(0.0, due_at - self._clock.ticks())

    async def hold(self, retry_after_s: float | None) -> float:
        """Keep everyone from creating for as long as the vendor asked."""
        asked_s = UNEXPLAINED_HOLD_S if retry_after_s is None else min(retry_after_s, LONGEST_HOLD_S)
        wait_s = asked_s + HOLD_MARGIN_S + self._rng.random()
        await self._store.hold(self._quota_key, until=self._clock.ticks() + wait_s)
        logger.warning("create throttled", extra={"wait_s": round(wait_s, 1)})
        return wait_s

    async def settle(self, number: int, slot: Slot, until: float) -> None:
        """Shorten the lease of a slot that is still ours."""
        await self._store.swap(self._quota_key, number, seen=slot, new=Slot(until, slot.token))
        self._changed.set()

    async def _try(self) -> tuple[Permit | None, float]:
        quota = await self._store.read(self._quota_key, count=self._quota.count)
        now = self._clock.ticks()
        number, slot = min(enumerate(quota.slots), key=lambda numbered: numbered[1].until)
        wait_s = max(quota.not_before, slot.until) - now
        if wait_s > 0:
            return None, wait_s
        taken = Slot(now + self._lease_s, f"{self._rng.getrandbits(64):016x}")
        if await self._store.swap(self._quota_key, number, seen=slot, new=taken):
            return Permit(self, number, taken, now), 0.0
        return None, 0.0

    async def _nap(self, wait_s: float) -> None:
        """Sleep until the slot is due, an own create was answered, or it is time to see what others did."""
        try:
            async with asyncio.timeout(min(wait_s, _LONGEST_NAP_S)):
                await self._changed.wait()
        except TimeoutError:
            pass

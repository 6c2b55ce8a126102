"""The create slots of an account: their data, the protocol of their stores, and the store in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the quota's slots: busy until `until` (seconds on the shared clock), last taken with `token`."""

    until: float = 0.0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """The slot that is free first, as it is now, and the instant from which a create can take it."""

    number: int
    slot: Slot
    due_at: float


@dataclass(frozen=True, slots=True)
class Quota:
    """The slots of an account that were used, by number, and the instant before which nobody creates."""

    known: Mapping[int, Slot]
    not_before: float = 0.0

    def first(self, numbers: range) -> Turn:
        """Return which of some slots is free first."""
        number, slot = min(self._slots(numbers), key=lambda numbered: numbered[1].until)
        return Turn(number, slot, due_at=max(self.not_before, slot.until))

    def free(self, numbers: range, *, now: float) -> int:
        """Return how many of some slots can be taken `now`."""
        return 0 if self.not_before > now else sum(slot.until <= now for _, slot in self._slots(numbers))

    def _slots(self, numbers: range) -> list[tuple[int, Slot]]:
        return [(number, self.known.get(number, Slot())) for number in numbers]


class SlotStore(Protocol):
    """Where the users of a license key share its create slots; `quota_key` is a hash, never the key.

    Every method may raise LedgerError, StorageFull, or LedgerUnavailable.
    """

    async def first(self, quota_key: str, *, count: int) -> Turn:
        """Return which of `count` slots is free first; of those that are equally early, any.

        A store that machines share may choose among a part of the slots.
        """
        ...

    async def free(self, quota_key: str, *, count: int, now: float) -> int:
        """Return how many of `count` slots can be taken `now`; none during a hold.

        A store that machines share may estimate it.
        """
        ...

    async def swap(self, quota_key: str, number: int, *, seen: Slot, new: Slot) -> bool:
        """Set slot `number` to `new` if it is still `seen`; False if another user was faster."""
        ...

    async def hold(self, quota_key: str, *, until: float) -> None:
        """Let no user create before `until`; never shortens an earlier hold."""
        ...

    async def close(self) -> None: ...


class MemorySlots:
    """A SlotStore for one process, whose quota is small."""

    def __init__(self) -> None:
        self._slots: defaultdict[str, dict[int, Slot]] = defaultdict(dict)
        self._holds: dict[str, float] = {}

    async def first(self, quota_key: str, *, count: int) -> Turn:
        return self._quota(quota_key).first(range(count))

    async def free(self, quota_key: str, *, count: int, now: float) -> int:
        return self._quota(quota_key).free(range(count), now=now)

    async def swap(self, quota_key: str, number: int, *, seen: Slot, new: Slot) -> bool:
        if self._slots[quota_key].get(number, Slot()) != seen:
            return False
        self._slots[quota_key][number] = new
        return True

    async def hold(self, quota_key: str, *, until: float) -> None:
        self._holds[quota_key] = max(until, self._holds.get(quota_key, 0.0))

    async def close(self) -> None:
        """Release nothing: the slots outlive their users."""

    def _quota(self, quota_key: str) -> Quota:
        return Quota(known=self._slots[quota_key], not_before=self._holds.get(quota_key, 0.0))

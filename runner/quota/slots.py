"""The create slots of an account: their data, the protocol of their stores, and the store in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the quota's slots: busy until `until` (seconds on the shared clock), last taken with `token`."""

    until: float = 0.0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """The slots of one account, and the instant before which nobody creates."""

    slots: tuple[Slot, ...]
    not_before: float = 0.0


class SlotStore(Protocol):
    """Where the users of a license key share its create slots; `quota_key` is a hash, never the key.

    Every method may raise LedgerError, StorageFull, or LedgerUnavailable.
    """

    async def read(self, quota_key: str, *, count: int) -> Quota:
        """Return exactly `count` slots; unknown ones are free."""
        ...

    async def swap(self, quota_key: str, number: int, *, seen: Slot, new: Slot) -> bool:
        """Set slot `number` to `new` if it is still `seen`; False if another user was faster."""
        ...

    async def hold(self, quota_key: str, *, until: float) -> None:
        """Let no user create before `until`; never shortens an earlier hold."""
        ...

    async def close(self) -> None: ...


class MemorySlots:
    """A SlotStore for one process."""

    def __init__(self) -> None:
        self._slots: dict[tuple[str, int], Slot] = {}
        self._holds: dict[str, float] = {}

    async def read(self, quota_key: str, *, count: int) -> Quota:
        slots = tuple(self._slots.get((quota_key, number), Slot()) for number in range(count))
        return Quota(slots=slots, not_before=self._holds.get(quota_key, 0.0))

    async def swap(self, quota_key: str, number: int, *, seen: Slot, new: Slot) -> bool:
        if self._slots.get((quota_key, number), Slot()) != seen:
            return False
        self._slots[quota_key, number] = new
        return True

    async def hold(self, quota_key: str, *, until: float) -> None:
        self._holds[quota_key] = max(until, self._holds.get(quota_key, 0.0))

    async def close(self) -> None:
        """Release nothing: the slots outlive their users."""

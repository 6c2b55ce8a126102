"""The real clocks; nothing else in the core reads the time of day."""

from __future__ import annotations

from datetime import UTC, datetime

from runner.ledger.slots import system_ticks


class SystemClock:
    """Wall time of the system, and the clock since boot that all processes of the machine share."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def ticks(self) -> float:
        return system_ticks()

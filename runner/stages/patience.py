"""Patience: since when items or imports have been in trouble, and when each is tried again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from runner.retry import backoff_s

FIRST_PAUSE_S = 10.0
_LONGEST_S = 120.0


@dataclass(slots=True)
class _Trouble:
    since: float
    tries: int
    again_at: float


class Patience:
    """Pauses that grow from try to try, until something has been in trouble for `limit_s` seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._troubles: dict[str, _Trouble] = {}

    def pause_s(self, key: str, *, shortest_s: float = FIRST_PAUSE_S) -> float | None:
        """Note a failed try, and return how long to wait until the next; None if the patience is over."""
        now = asyncio.get_running_loop().time()
        trouble = self._troubles.setdefault(key, _Trouble(since=now, tries=0, again_at=now))
        left_s = trouble.since + self._limit_s - now
        if left_s <= 0:
            return None
        pause_s = min(left_s, backoff_s(trouble.tries, base_s=shortest_s, cap_s=max(shortest_s, _LONGEST_S)))
        trouble.tries += 1
        trouble.again_at = now + pause_s
        return pause_s

    def excuse(self, key: str, seconds: float) -> None:
        """Leave out a time in which something was worked on, if it is in trouble."""
        if (trouble := self._troubles.get(key)) is not None:
            trouble.since += seconds

    def is_due(self, key: str) -> bool:
        """Return whether something may be tried now: it is not in trouble, or its pause is over."""
        trouble = self._troubles.get(key)
        return trouble is None or asyncio.get_running_loop().time() >= trouble.again_at

    def forget(self, key: str) -> None:
        """Note that something is in trouble no more."""
        self._troubles.pop(key, None)

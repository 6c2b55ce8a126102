"""How long to wait before repeating what failed for now: full jitter under a doubling cap, or as the vendor asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import stamina

from runner.errors import RateLimited, TransientError

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

BASE_S = 1.0
CAP_S = 60.0
READ_ATTEMPTS = 6


def delay_s(attempt: int, rng: random.Random, *, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Return the wait before attempt `attempt` + 1, counted from 1."""
    return rng.uniform(0, min(cap_s, base_s * 2**attempt))


def _worth_repeating(error: Exception) -> bool | float:
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        return min(error.retry_after_s, CAP_S)
    return isinstance(error, TransientError)


async def repeat_read(read: Callable[[], Awaitable[T]], *, attempts: int = READ_ATTEMPTS) -> T:
    """Await `read()` until it succeeds, at most `attempts` times; then its last TransientError is raised."""
    async for attempt in stamina.retry_context(
        on=_worth_repeating, attempts=attempts, timeout=None, wait_initial=0.5, wait_max=30.0, wait_jitter=1.0
    ):
        with attempt:
            return await read()
    raise AssertionError("unreachable: the last attempt raises")

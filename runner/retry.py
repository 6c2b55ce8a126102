"""Retries: how long to wait before a failed call is repeated, and reads that are repeated until they succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import stamina

from runner.errors import RateLimited, Stopped, TransientError

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

BASE_S = 1.0
CAP_S = 60.0
READ_ATTEMPTS = 6


def backoff_s(attempt: int, *, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Return a wait in seconds that doubles with each attempt: `base_s` after attempt 0, `cap_s` at most."""
    return min(cap_s, base_s * 2.0 ** min(attempt, 60))


def delay_s(attempt: int, rng: random.Random, *, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Return the wait in seconds before attempt `attempt` + 1, counted from 1: full jitter below `backoff_s`."""
    return rng.uniform(0, backoff_s(attempt, base_s=base_s, cap_s=cap_s))


def _worth_repeating(error: Exception) -> bool | float:
    """Return whether to repeat what raised an error, or after how many seconds: 0.0 stands for at once."""
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        return min(error.retry_after_s, CAP_S)
    return isinstance(error, TransientError) and not isinstance(error, Stopped)


async def repeat_read(read: Callable[[], Awaitable[T]], *, attempts: int = READ_ATTEMPTS) -> T:
    """Await `read()` until it succeeds, at most `attempts` times.

    Waits as long as a RateLimited asks for, at most 60 s; otherwise from 0.5 to 30 s. Raises the last TransientError,
    and any other error at once.
    """
    failures: list[Exception] = []
    try:
        return await read()  # outside of the loop, which costs more than many reads
    except Exception as error:
        if _worth_repeating(error) is False:
            raise
        failures.append(error)
    async for attempt in stamina.retry_context(
        on=_worth_repeating, attempts=attempts, timeout=None, wait_initial=0.5, wait_max=30.0, wait_jitter=1.0
    ):
        with attempt:
            if failures:
                raise failures.pop()
            return await read()
    raise AssertionError("unreachable: the last attempt raises")

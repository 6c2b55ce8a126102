"""Many things at the same time, but not all: handled in groups, so that their writes can share a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

AT_ONCE = 64
"""As many writes as the ledger file takes in one transaction."""

_T = TypeVar("_T")
_R = TypeVar("_R")


async def handle_all(
    handle: Callable[[_T], Awaitable[_R]], things: Sequence[_T], *, at_once: int = AT_ONCE
) -> list[_R]:
    """Return what `handle` returns for each, in order; at most `at_once` are handled at the same time.

    Raises the first error, once all that were handled with it have ended.
    """
    results: list[_R] = []
    for start in range(0, len(things), at_once):
        group = await asyncio.gather(*map(handle, things[start : start + at_once]), return_exceptions=True)
        for result in group:
            if isinstance(result, BaseException):
                raise result
            results.append(result)
    return results


async def in_groups(things: AsyncIterator[_T], *, at_once: int = AT_ONCE) -> AsyncIterator[list[_T]]:
    """Yield all things in lists of `at_once`; the last may be shorter."""
    group: list[_T] = []
    async for thing in things:
        group.append(thing)
        if len(group) == at_once:
            yield group
            group = []
    if group:
        yield group


async def read_ahead(pages: AsyncIterator[_T]) -> AsyncIterator[_T]:
    """Yield what `pages` yields; while the caller works on one, the next is read."""
    reading = asyncio.ensure_future(anext(pages, None))
    try:
        while (page := await reading) is not None:
            reading = asyncio.ensure_future(anext(pages, None))
            yield page
    finally:
        reading.cancel()
        await asyncio.wait([reading])

"""Many things at the same time, but not all: handled in groups, so that their writes can share a transaction.

Blocking work on files is done in threads, so that a slow disk does not hold up the event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

AT_ONCE = 64
"""As many writes as the ledger file takes in one transaction."""

QUICK_BYTES = 1 << 20
"""Work on so many bytes is quick, unless the disk is slow."""

_WAITING_MOST = 4

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


class _QuickThread:
    """One thread for quick work: several that take turns with the event loop cost more than the work itself.

    The process ends without waiting for it.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._waiting = 0
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="quick-files", daemon=True)

    def takes(self) -> bool:
        """Reserve a place in the queue; return False if too much is in it."""
        with self._changing:
            if self._thread.ident is None:
                self._thread.start()
            is_free = self._waiting < _WAITING_MOST
            self._waiting += is_free
        return is_free

    def run(self, work: Callable[[], _T]) -> Future[_T]:
        """Do the work in a place that was reserved."""
        future: Future[_T] = Future()
        self._queue.put((future, work))
        return future

    def _work(self) -> None:
        while True:
            future, work = self._queue.get()
            tell = _outcome(future, work) if future.set_running_or_notify_cancel() else None
            with self._changing:
                self._waiting -= 1
            if tell is not None:
                tell()
            del future, work, tell


def _outcome(future: Future[Any], work: Callable[[], Any]) -> Callable[[], None]:
    """Do the work; return what tells the caller of it."""
    try:
        return partial(future.set_result, work())
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        return partial(future.set_exception, error)


class _Quick:
    """The quick thread of this process: a fork has none of the threads of its parent."""

    def __init__(self) -> None:
        self.begin()
        os.register_at_fork(after_in_child=self.begin)

    def begin(self) -> None:
        self.thread = _QuickThread()


_QUICK = _Quick()


def in_thread(work: Callable[[], _T], *, is_quick: bool) -> asyncio.Future[_T]:
    """Do blocking work in a thread: in one of many, unless the work is quick and little waits for the same."""
    quick = _QUICK.thread
    if is_quick and quick.takes():
        return asyncio.wrap_future(quick.run(work))
    return asyncio.get_running_loop().run_in_executor(None, work)

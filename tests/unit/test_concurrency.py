"""Pages that are read ahead, and blocking work in threads.

The next page is read while one is used, and nothing is read once nobody wants more. Quick work waits for nothing slow.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest

from runner import concurrency
from runner.concurrency import in_thread, read_ahead

QUICK = "quick-files"


class Pages:
    """Three pages, or two and an error; `asked` has the pages that were asked for."""

    def __init__(self, *, fails: bool = False) -> None:
        self.asked: list[int] = []
        self._fails = fails

    async def __call__(self) -> AsyncIterator[int]:
        for number in range(3):
            self.asked.append(number)
            await asyncio.sleep(0)
            if self._fails and number == 2:
                raise OSError("the third page")
            yield number


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_next_page_is_read_while_one_is_used() -> None:
    pages, used = Pages(), []
    async for page in read_ahead(pages()):
        await turns()
        assert pages.asked == list(range(min(page + 2, 3)))
        used.append(page)
    assert used == [0, 1, 2]


async def test_the_error_of_a_page_is_raised_after_the_pages_before_it() -> None:
    reading = read_ahead(Pages(fails=True)())
    for number in range(2):
        assert await anext(reading) == number
        await turns()
    with pytest.raises(OSError, match="the third page"):
        await anext(reading)


async def test_who_stops_early_leaves_no_read_behind() -> None:
    pages = Pages()
    reading = read_ahead(pages())
    assert await anext(reading) == 0
    await reading.aclose()  # type: ignore[attr-defined]
    assert len(asyncio.all_tasks()) == 1, "only the test"
    await turns()
    assert pages.asked == [0]


async def test_quick_work_is_done_in_one_thread_and_other_work_elsewhere() -> None:
    names = [await in_thread(lambda: threading.current_thread().name, is_quick=True) for _ in range(3)]
    assert names == [QUICK] * 3
    assert await in_thread(lambda: threading.current_thread().name, is_quick=False) != QUICK


async def test_quick_work_does_not_wait_for_much_that_is_slow() -> None:
    released = threading.Event()
    stuck = [in_thread(released.wait, is_quick=True) for _ in range(4)]
    try:
        assert await asyncio.wait_for(in_thread(lambda: "done", is_quick=True), 30) == "done"
    finally:
        released.set()
    assert await asyncio.gather(*stuck) == [True] * 4
    assert await in_thread(lambda: threading.current_thread().name, is_quick=True) == QUICK


async def test_work_that_fails_in_a_thread_raises_and_leaves_its_place() -> None:
    def fail() -> None:
        raise OSError("no")

    for _ in range(10):
        with pytest.raises(OSError, match="no"):
            await in_thread(fail, is_quick=True)
    assert await in_thread(lambda: threading.current_thread().name, is_quick=True) == QUICK


async def test_a_thread_that_cannot_start_at_the_moment_starts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(concurrency._QUICK, "thread", concurrency._QuickThread())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot)
        for _ in range(10):
            with pytest.raises(RuntimeError, match="new thread"):
                in_thread(lambda: None, is_quick=True)
    assert await in_thread(lambda: threading.current_thread().name, is_quick=True) == QUICK


def test_a_process_ends_while_quick_work_is_stuck() -> None:
    code = """
import asyncio, threading
from runner.concurrency import in_thread

async def main():
    in_thread(threading.Event().wait, is_quick=True)

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


async def test_a_fork_has_a_thread_of_its_own_for_quick_work() -> None:
    await in_thread(lambda: None, is_quick=True)
    child = os.fork()
    if child == 0:
        try:
            done = asyncio.new_event_loop().run_until_complete
            os._exit(0 if done(asyncio.wait_for(_quick(), 30)) == "done" else 1)
        finally:
            os._exit(1)  # whatever happens: the tests that follow are those of the parent
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


async def _quick() -> str:
    return await in_thread(lambda: "done", is_quick=True)

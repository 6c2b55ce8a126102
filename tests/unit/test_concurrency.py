"""Pages that are read ahead: the next is read while one is used, and nothing is read once nobody wants more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from runner.concurrency import read_ahead


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

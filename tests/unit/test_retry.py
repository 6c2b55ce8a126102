"""Reads that are repeated: as often as they may be, and as soon as the vendor allows."""

from __future__ import annotations

import asyncio

import pytest

from runner.errors import ImportNotFound, RateLimited, Stopped, Unavailable
from runner.retry import READ_ATTEMPTS, repeat_read

pytestmark = pytest.mark.virtual_time


class Read:
    """A read that raises each of `errors` once, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return "read"


@pytest.mark.parametrize("after_s", [0.0, 7.0])
async def test_a_refused_read_is_repeated_after_the_wait_that_the_vendor_asks_for(after_s: float) -> None:
    read = Read(*[RateLimited("wait", retry_after_s=after_s)] * 2)
    assert await repeat_read(read) == "read"
    assert asyncio.get_running_loop().time() == pytest.approx(2 * after_s, abs=0.01)


async def test_a_read_that_keeps_failing_is_tried_as_often_as_it_may_be() -> None:
    last = Unavailable("the last")
    read = Read(*[Unavailable("down")] * (READ_ATTEMPTS - 1), last)
    with pytest.raises(Unavailable, match="the last"):
        await repeat_read(read)
    assert read.calls == READ_ATTEMPTS


async def test_a_read_that_may_be_tried_once_is() -> None:
    read = Read(Unavailable("down"))
    with pytest.raises(Unavailable):
        await repeat_read(read, attempts=1)
    assert read.calls == 1


@pytest.mark.parametrize("error", [ImportNotFound("i"), Stopped("stop")])
async def test_another_error_is_raised_at_once(error: Exception) -> None:
    read = Read(error)
    with pytest.raises(type(error)):
        await repeat_read(read)
    assert read.calls == 1

"""The API behind its limits: polls per import, lists, and the count of both."""

from __future__ import annotations

import asyncio

import pytest

from runner.dromo.rate_limited import RateLimitedApi
from runner.errors import Stopped
from runner.models import CreateRequest
from runner.retry import repeat_read
from runner.stop import StopReason, StopSignal
from tests.support.scripted import LoopClock, ScriptedVendor

pytestmark = pytest.mark.virtual_time


async def test_an_import_is_never_polled_more_than_its_quota_in_any_minute() -> None:
    vendor = ScriptedVendor(LoopClock())
    remote = vendor.add(CreateRequest(schema_id="s"))
    api, polled = RateLimitedApi(vendor, poll_count=12, poll_per_s=60), []
    for _ in range(60):
        await api.retrieve(remote.import_id)
        polled.append(asyncio.get_running_loop().time())
    assert max(sum(at <= other < at + 60 for other in polled) for at in polled) <= 12
    assert api.calls["retrieve_calls"] == 60


async def test_a_quota_of_one_poll_is_kept_too() -> None:
    vendor = ScriptedVendor(LoopClock())
    remote = vendor.add(CreateRequest(schema_id="s"))
    api, polled = RateLimitedApi(vendor, poll_count=1, poll_per_s=60), []
    for _ in range(5):
        await api.retrieve(remote.import_id)
        polled.append(asyncio.get_running_loop().time())
    assert max(sum(at <= other < at + 60 for other in polled) for at in polled) == 1


async def test_imports_do_not_wait_for_each_other() -> None:
    vendor = ScriptedVendor(LoopClock())
    remotes = [vendor.add(CreateRequest(schema_id="s")) for _ in range(100)]
    api = RateLimitedApi(vendor)
    await asyncio.gather(*(api.retrieve(remote.import_id) for remote in remotes))
    assert asyncio.get_running_loop().time() < 1


async def test_lists_are_counted_and_kept_to_their_rate() -> None:
    api = RateLimitedApi(ScriptedVendor(LoopClock()), lists_per_minute=12)
    for _ in range(36):
        await api.list_page(limit=1000, offset=0)
    assert api.calls["list_calls"] == 36
    assert asyncio.get_running_loop().time() >= 110


async def test_a_list_that_waits_for_its_turn_ends_with_a_stop_and_none_begins_after_it() -> None:
    stop = StopSignal()
    api = RateLimitedApi(ScriptedVendor(LoopClock()), lists_per_minute=1).until(stop)
    await api.list_page(limit=1000, offset=0)
    asyncio.get_running_loop().call_later(5, stop.request, StopReason.INTERRUPTED)
    with pytest.raises(Stopped):
        await api.list_page(limit=1000, offset=0)
    assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)
    with pytest.raises(Stopped):
        await repeat_read(lambda: api.list_page(limit=1000, offset=0))
    assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)
    assert api.calls["list_calls"] == 1


async def test_a_stop_ends_no_other_read() -> None:
    vendor, stop = ScriptedVendor(LoopClock()), StopSignal()
    remote = vendor.add(CreateRequest(schema_id="s"))
    stop.request(StopReason.INTERRUPTED)
    assert (await RateLimitedApi(vendor).until(stop).retrieve(remote.import_id)).import_id == remote.import_id

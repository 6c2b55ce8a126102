"""The API behind its limits: polls per import, lists, and the count of both."""

from __future__ import annotations

import asyncio

import pytest

from runner.dromo.rate_limited import RateLimitedApi
from runner.models import CreateRequest
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

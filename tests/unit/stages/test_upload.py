"""Uploading: an import whose url cannot be renewed is given up only if its data has not arrived meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from runner.errors import UrlExpired
from runner.models import ItemState, RemoteImport
from tests.support.bench import Bench

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}
LOOKS_BEFORE_THE_LAST = 5
"""As the run begins with the item, before its data may be sent again, and for a fresh url; some of it twice."""


@pytest.mark.parametrize("arrives_after_s", [1.0, 100.0])
async def test_data_that_arrives_while_an_import_is_about_to_be_given_up_is_not_sent_again(
    arrives_after_s: float,
) -> None:
    bench = Bench(FILES, url_life_s=600)
    bench.vendor.renews_urls = False
    import_id = await bench.leave_uploading("a.csv")
    await asyncio.sleep(600)
    asyncio.get_running_loop().call_later(arrives_after_s, lambda: bench.vendor.change(import_id, status="SUCCESSFUL"))
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (ItemState.COLLECTED, import_id)
    assert len(bench.vendor.created) == 1
    assert bench.vendor.received == {}


async def test_an_import_is_looked_at_once_more_right_before_it_is_given_up() -> None:
    bench = Bench(FILES, url_life_s=600)
    bench.vendor.renews_urls = False
    import_id = await bench.leave_uploading("a.csv")
    await asyncio.sleep(7200)
    bench.vendor.put_script.extend([UrlExpired("expired")] * 20)
    retrieve = bench.vendor.retrieve

    async def noticing(of: str) -> RemoteImport:
        remote = await retrieve(of)
        if bench.vendor.calls.count("retrieve") == LOOKS_BEFORE_THE_LAST:
            bench.vendor.change(of, status="SUCCESSFUL")
        return remote

    bench.vendor.retrieve = noticing  # type: ignore[method-assign]
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (ItemState.COLLECTED, import_id)
    assert len(bench.vendor.created) == 1

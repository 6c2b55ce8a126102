"""Uploading: an import whose url cannot be renewed is given up only if its data has not arrived meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from runner.errors import ConditionUnsupported, UrlExpired
from runner.models import ItemState, RemoteImport
from runner.protocols import Body
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


async def test_storage_that_refuses_the_condition_of_one_upload_lets_no_other_be_sent_before_it_has_settled() -> None:
    bench = Bench({"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"})
    await bench.leave_uploading("a.csv")
    slow = await bench.leave_uploading("b.csv")
    retrieve, put = bench.vendor.retrieve, bench.vendor.put
    unconditional_at: list[float] = []

    async def sluggish(of: str) -> RemoteImport:
        await asyncio.sleep(1.0 if of == slow else 0.0)
        return await retrieve(of)

    async def without_conditions(url: str, body: Body, *, only_if_absent: bool) -> bool:
        if only_if_absent:
            raise ConditionUnsupported("NotImplemented")
        unconditional_at.append(asyncio.get_running_loop().time())
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.retrieve = sluggish  # type: ignore[method-assign]
    bench.vendor.put = without_conditions  # type: ignore[method-assign]
    began_at = asyncio.get_running_loop().time()
    await bench.run()
    assert len(unconditional_at) == 2
    assert min(unconditional_at) >= began_at + bench.options.settle_s

"""A file that arrives is in the ledger at once, whatever the vendor and the quota do."""

from __future__ import annotations

import pytest

from runner.cloud.messages import ItemRef
from runner.cloud.protocols import Done, Queue
from runner.models import Item
from runner.quota.slots import Slot
from tests.cloudcore.bench import Bench

pytestmark = pytest.mark.virtual_time


async def items_after(bench: Bench, key: str, *, times: int = 1) -> dict[str, Item]:
    created = bench.drop(key)
    for _ in range(times):
        assert await bench.do(Queue.REGISTER, created) == Done()
    return await bench.items()


async def test_a_file_is_in_the_ledger_and_enqueued_although_no_create_is_possible_for_an_hour(bench: Bench) -> None:
    await bench.configured()
    for number in range(20):
        await bench.slots.swap("account", number, seen=Slot(), new=Slot(bench.loop.time() + 3600, "other"))
    before = bench.loop.time()
    (item,) = (await items_after(bench, "orders/a.csv")).values()
    assert bench.loop.time() - before < 5
    assert bench.take(Queue.SUBMIT) == [ItemRef(batch_id=item.batch_id, source="orders/a.csv")]
    assert bench.uploads == []


async def test_an_event_that_comes_three_times_makes_one_item(bench: Bench) -> None:
    await bench.configured()
    assert list(await items_after(bench, "orders/a.csv", times=3)) == ["orders/a.csv"]


async def test_a_file_that_has_ended_is_not_enqueued_again(bench: Bench) -> None:
    await bench.configured()
    created = bench.drop("orders/a.csv", fate="refused")
    await bench.do(Queue.REGISTER, created)
    await bench.work_off()
    await bench.do(Queue.REGISTER, created)
    assert bench.take(Queue.SUBMIT) == []
    assert await bench.states() == {"orders/a.csv": "rejected"}

"""Creating: which tries count as attempts, which import may be taken for a lost create's, and what a stop leaves."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from runner.config.options import RunOptions
from runner.errors import OutcomeUnknown, Unavailable
from runner.models import CreateRequest, ImportPage, Item, ItemState, RemoteImport
from runner.stop import StopReason
from tests.support.bench import Bench

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}


async def test_a_permit_that_grew_old_while_the_intent_was_written_is_not_used_and_costs_no_attempt() -> None:
    bench = Bench(FILES)
    advance, slow = bench.ledger.advance, [10.0]

    async def slow_once(item: Item, state: ItemState, **changes: object) -> Item:
        if state is ItemState.CREATING and slow:
            await asyncio.sleep(slow.pop())
        return await advance(item, state, **changes)  # type: ignore[arg-type]

    bench.ledger.advance = slow_once  # type: ignore[method-assign, assignment]
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.attempts) == (ItemState.COLLECTED, 1)
    assert bench.vendor.calls.count("create") == 1
    assert await bench.context().pacer.free_slots() == 19


@pytest.mark.parametrize(
    ("made_before", "creates"),
    [(timedelta(0), 1), (timedelta(minutes=2), 1), (timedelta(minutes=2, seconds=1), 2), (None, 2)],
)
async def test_again_an_import_is_taken_for_the_lost_create_only_if_it_can_have_been_made_by_it(
    made_before: timedelta | None, creates: int
) -> None:
    bench = Bench(FILES, options=RunOptions(again=True))
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    add = bench.vendor.add

    def dated(request: CreateRequest) -> RemoteImport:
        made = add(request)
        bench.vendor.change(made.import_id, created_at=None if made_before is None else made.created_at - made_before)  # type: ignore[operator]
        return bench.vendor.imports[made.import_id]

    bench.vendor.add = dated  # type: ignore[method-assign, assignment]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert len(bench.vendor.created) == creates


async def test_again_an_earlier_import_of_the_same_content_is_left_alone() -> None:
    bench = Bench(FILES, options=RunOptions(again=True))
    earlier = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=f"a.~{bench.tag('a.csv')}.csv"))
    await bench.run()
    assert (await bench.item("a.csv")).import_id != earlier.import_id


async def test_a_lost_create_is_repeated_if_the_list_cannot_be_read() -> None:
    bench = Bench(FILES)
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    list_page = bench.vendor.list_page

    async def unavailable_at_first(*, limit: int, offset: int) -> ImportPage:
        if len(bench.vendor.created) == 1:
            raise Unavailable("HTTP 503")
        return await list_page(limit=limit, offset=offset)

    bench.vendor.list_page = unavailable_at_first  # type: ignore[method-assign]
    await bench.run()
    assert bench.vendor.received == {"import-2": [FILES["a.csv"]]}


async def test_a_lost_create_that_took_minutes_is_found_behind_imports_that_were_made_meanwhile() -> None:
    bench = Bench(FILES)
    create, list_page = bench.vendor.create, bench.vendor.list_page

    async def lost_after_minutes(request: CreateRequest) -> RemoteImport:
        await create(request)
        await asyncio.sleep(10)
        bench.vendor.add(CreateRequest(schema_id="s1", original_filename="other.csv"))
        await asyncio.sleep(300)
        raise OutcomeUnknown("cut")

    async def one_a_page(*, limit: int, offset: int) -> ImportPage:
        return await list_page(limit=1, offset=offset)

    bench.vendor.create = lost_after_minutes  # type: ignore[method-assign]
    bench.vendor.list_page = one_a_page  # type: ignore[method-assign]
    await bench.run()
    assert (await bench.item("a.csv")).import_id == "import-1"
    assert bench.vendor.calls.count("create") == 1


async def test_a_stop_while_creates_wait_for_the_quota_leaves_their_items_queued() -> None:
    bench = Bench({f"{number:02}.csv": b"%d" % number for number in range(25)}, options=RunOptions(uploads=25))
    running = asyncio.ensure_future(bench.run())
    await asyncio.sleep(5)
    bench.stop.request(StopReason.INTERRUPTED)
    result = await running
    states = list((await bench.states()).values())
    assert (states.count("queued"), len(bench.vendor.created)) == (5, 20)
    assert result.deferred == 0


async def test_a_permit_that_comes_as_the_run_stops_is_given_back() -> None:
    bench = Bench(FILES)
    context = bench.context()
    permit = context.pacer.permit

    async def stop_then() -> object:
        granted = await permit()
        bench.stop.request(StopReason.INTERRUPTED)
        return granted

    context.pacer.permit = stop_then  # type: ignore[method-assign, assignment]
    bench.context = lambda: context  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "queued"}
    assert await context.pacer.free_slots() == 20

"""JSON creates whose answer was lost: adopted if one import can be theirs, repeated if none can, else uncertain."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from runner.config.options import RunOptions
from runner.errors import OutcomeUnknown
from runner.models import CreateRequest, ImportPage, ItemState, RemoteImport
from tests.support.bench import Bench
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time

ROWS = {"a.json": b'[{"x":1}]'}
TWO = {**ROWS, "b.json": b'[{"x":2}]'}
REQUEST = CreateRequest(schema_id="s1", initial_data=b"[]")


def _succeed_at_once(bench: Bench) -> None:
    add = bench.vendor.add
    bench.vendor.add = lambda request: add(request, status="SUCCESSFUL")  # type: ignore[method-assign, misc]


def _name(bench: Bench, name: str) -> None:
    """Let the vendor name the imports of JSON creates."""
    add = bench.vendor.add

    def named(request: CreateRequest, **options: str) -> RemoteImport:
        remote = add(request, **options)
        bench.vendor.change(remote.import_id, original_filename=name.format(number=len(bench.vendor.created)))
        return bench.vendor.imports[remote.import_id]

    bench.vendor.add = named  # type: ignore[method-assign, assignment]


async def test_the_only_import_that_can_be_its_own_is_adopted_after_the_quiet_period() -> None:
    bench = Bench(ROWS)
    _succeed_at_once(bench)
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    await bench.run()
    assert (await bench.item("a.json")).import_id == "import-1"
    assert len(bench.vendor.created) == 1
    assert bench.clock.ticks() >= bench.options.quiet_period_s


async def test_a_create_that_made_nothing_is_repeated_only_after_the_quiet_period() -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    bench.vendor.create_script += [None, OutcomeUnknown("502")]
    await bench.run()
    item = await bench.item("b.json")
    assert item.state is ItemState.COLLECTED
    assert item.created_at is not None
    assert (item.created_at - bench.clock.now()).total_seconds() < 0
    assert bench.clock.ticks() >= bench.options.quiet_period_s
    assert len(bench.vendor.created) == 2


async def test_a_create_is_not_repeated_while_no_answered_one_shows_that_the_list_has_them() -> None:
    bench = Bench(ROWS)
    bench.vendor.create_script.append(OutcomeUnknown("502"))
    await bench.run()
    item = await bench.item("a.json")
    assert (item.state, item.error_code) == (ItemState.UNCERTAIN, "create_in_doubt")
    assert "no answered JSON create" in str(item.error_message)
    assert not bench.vendor.created


async def test_an_answered_create_of_an_earlier_batch_shows_it_too() -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    await bench.leave("a.json", ItemState.CREATING)
    remote = bench.vendor.add(REQUEST)
    item = await bench.item("a.json")
    await bench.ledger.advance(item, ItemState.PROCESSING, reason="created", import_id=remote.import_id)
    await asyncio.sleep(3600)
    bench.vendor.create_script.append(OutcomeUnknown("502"))
    await bench.run()
    assert (await bench.item("b.json")).state is ItemState.COLLECTED


async def test_an_import_with_the_name_that_the_vendor_gives_is_adopted() -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    _name(bench, "initial_data.json")
    bench.vendor.create_script += [None, bench.vendor.lose(OutcomeUnknown("cut"))]
    await bench.run()
    assert (await bench.item("b.json")).import_id == "import-2"
    assert len(bench.vendor.created) == 2


@pytest.mark.parametrize("name", ["initial_data.json", "import-{number}.json", "upload of {number}"])
async def test_an_import_with_a_name_that_nothing_explains_leaves_it_uncertain(name: str) -> None:
    bench = Bench(ROWS)
    _name(bench, name)
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    await bench.run()
    assert (await bench.item("a.json")).state is ItemState.UNCERTAIN
    assert len(bench.vendor.created) == 1


async def test_a_file_that_somebody_else_imports_is_no_candidate_where_json_imports_have_no_name() -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    bench.vendor.create_script += [None, OutcomeUnknown("502")]
    bench.vendor.add(CreateRequest(schema_id="s1", original_filename="orders.csv"))
    await bench.run()
    assert (await bench.item("b.json")).state is ItemState.COLLECTED


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(timedelta(minutes=5), ItemState.UNCERTAIN), (timedelta(minutes=-5), ItemState.COLLECTED)],
)
async def test_an_import_dated_before_its_create_is_neither_adopted_nor_taken_for_absent(
    ahead: timedelta, state: ItemState
) -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    bench.date_ahead = ahead
    bench.vendor.create_script += [None, bench.vendor.lose(OutcomeUnknown("cut"))]
    await bench.run()
    assert (await bench.item("b.json")).state is state
    assert len(bench.vendor.created) == 2


async def test_two_candidates_leave_it_uncertain_and_named() -> None:
    bench = Bench(ROWS, options=RunOptions(json_is_new=True))
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    bench.vendor.add(REQUEST)
    await bench.run()
    item = await bench.item("a.json")
    assert (item.state, item.error_code) == (ItemState.UNCERTAIN, "create_in_doubt")
    assert "import-1" in str(item.error_message)
    assert "import-2" in str(item.error_message)
    assert len(bench.vendor.created) == 2


async def test_an_import_of_another_schema_is_no_candidate() -> None:
    bench = Bench(ROWS)
    _succeed_at_once(bench)
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    bench.vendor.add(CreateRequest(schema_id="other", initial_data=b"[]"))
    await bench.run()
    assert (await bench.item("a.json")).import_id == "import-2"


async def test_while_the_outcome_of_a_json_create_is_unknown_no_other_with_its_schema_is_sent() -> None:
    bench = Bench({f"{n}.json": b'[{"x":1}]' + b" " * n for n in range(5)})
    _succeed_at_once(bench)
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    assert len(bench.vendor.created) == 5
    made_at = sorted(remote.created_at for remote in bench.vendor.imports.values() if remote.created_at)
    assert (made_at[1] - made_at[0]).total_seconds() >= bench.options.quiet_period_s


async def test_a_crash_between_intent_and_answer_leaves_the_outcome_unknown_too() -> None:
    bench = Bench(ROWS)
    await bench.leave("a.json", ItemState.CREATING)
    bench.vendor.add(REQUEST, status="SUCCESSFUL")
    await bench.run()
    assert (await bench.item("a.json")).import_id == "import-1"
    assert len(bench.vendor.created) == 1


async def test_an_import_that_the_first_list_after_the_quiet_period_lacks_is_not_made_again() -> None:
    bench = Bench(ROWS)
    _succeed_at_once(bench)
    bench.vendor.create_script.append(bench.vendor.lose(OutcomeUnknown("cut")))
    list_page, late = bench.vendor.list_page, []

    async def lacking(*, limit: int, offset: int) -> ImportPage:
        page = await list_page(limit=limit, offset=offset)
        if bench.clock.ticks() < bench.options.quiet_period_s or late:
            return page
        late.append(page)
        return ImportPage(count=0, imports=(), has_next=False)

    bench.vendor.list_page = lacking  # type: ignore[method-assign]
    await bench.run()
    assert late
    assert (await bench.item("a.json")).import_id == "import-1"
    assert len(bench.vendor.created) == 1


async def test_a_create_is_not_repeated_while_the_list_has_an_entry_that_cannot_be_read() -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    bench.vendor.create_script += [None, bench.vendor.lose(OutcomeUnknown("cut"))]
    list_page = bench.vendor.list_page

    async def unreadable(*, limit: int, offset: int) -> ImportPage:
        page = await list_page(limit=limit, offset=offset)
        readable = tuple(one for one in page.imports if one.import_id != "import-2")
        return replace(page, imports=readable, left_out=1, is_whole=False)

    bench.vendor.list_page = unreadable  # type: ignore[method-assign]
    await bench.run()
    assert (await bench.item("b.json")).state is ItemState.UNCERTAIN
    assert len(bench.vendor.created) == 2


@pytest.mark.parametrize("lag_s", [60.0, 890.0, 1800.0])
async def test_a_create_is_not_repeated_before_the_list_is_new_enough_to_show_its_import(lag_s: float) -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    bench.vendor.create_script += [None, OutcomeUnknown("cut")]
    asyncio.get_running_loop().call_later(100.0, lambda: bench.vendor.add(REQUEST))
    list_page = bench.vendor.list_page

    async def lagging(*, limit: int, offset: int) -> ImportPage:
        page = await list_page(limit=limit, offset=offset)
        shown_until = bench.clock.now() - timedelta(seconds=lag_s)
        shown = tuple(remote for remote in page.imports if remote.created_at and remote.created_at <= shown_until)
        return ImportPage(count=len(shown), imports=shown, has_next=False)

    bench.vendor.list_page = lagging  # type: ignore[method-assign]
    await bench.run()
    assert len(bench.vendor.created) == 2


async def test_a_create_is_repeated_soon_after_the_quiet_period_if_the_list_showed_a_new_import_in_it() -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    bench.vendor.create_script += [None, OutcomeUnknown("502")]
    await bench.run()
    made_at = max(remote.created_at for remote in bench.vendor.imports.values() if remote.created_at)
    assert (made_at - EPOCH).total_seconds() < bench.options.quiet_period_s + 120.0


async def test_an_import_that_an_uncertain_item_may_have_made_is_not_adopted_for_another() -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    await bench.leave("a.json", ItemState.UNCERTAIN, error_code="create_in_doubt", intent_at=EPOCH)
    bench.vendor.add(REQUEST)
    bench.vendor.create_script.append(OutcomeUnknown("502"))
    await bench.run()
    item = await bench.item("b.json")
    assert (item.state, item.import_id) == (ItemState.UNCERTAIN, None)


async def test_an_import_that_was_made_while_the_vendors_clock_was_an_hour_ahead_is_not_made_again() -> None:
    bench = Bench(TWO)
    _succeed_at_once(bench)
    await bench.leave("a.json", ItemState.CREATING, intent_at=EPOCH + timedelta(hours=1))
    bench.vendor.add(REQUEST)
    await asyncio.sleep(7200)
    await bench.leave("b.json", ItemState.CREATING, intent_at=bench.clock.now())
    answered = bench.vendor.add(REQUEST)
    item = await bench.item("b.json")
    await bench.ledger.advance(item, ItemState.PROCESSING, reason="created", import_id=answered.import_id)
    await asyncio.sleep(3600)
    await bench.run()
    item = await bench.item("a.json")
    assert (item.state, item.error_code) == (ItemState.UNCERTAIN, "create_in_doubt")
    assert "import-1" in str(item.error_message)
    assert "create" not in bench.vendor.calls

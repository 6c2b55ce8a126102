"""An import is gone only if the vendor says so for minutes, and its list agrees; one answer proves nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.errors import ImportNotFound, NotSent
from runner.local.pipeline import run_batch
from runner.models import CreateRequest, ImportPage, ItemState, RemoteImport
from runner.protocols import Body
from runner.stages.absence import OVER, OVER_IF_LISTED
from tests.support.bench import BATCH_ID, Bench

pytestmark = pytest.mark.virtual_time

FILES = {f"{number}.csv": b"%d" % number for number in range(12)}


def hide(bench: Bench, *, until: float, from_list: bool = True) -> None:
    """Let the vendor find no import until an instant, neither by its id nor, with `from_list`, in its list."""
    retrieve, list_page, results_url = bench.vendor.retrieve, bench.vendor.list_page, bench.vendor.results_url

    def check() -> None:
        if bench.clock.ticks() < until:
            raise ImportNotFound("Not found.")

    async def retrieved(import_id: str) -> RemoteImport:
        check()
        return await retrieve(import_id)

    async def listed(*, limit: int, offset: int) -> ImportPage:
        page = await list_page(limit=limit, offset=offset)
        is_hidden = from_list and bench.clock.ticks() < until
        return replace(page, imports=()) if is_hidden else page

    async def url(import_id: str) -> str:
        check()
        return await results_url(import_id)

    bench.vendor.retrieve = retrieved  # type: ignore[method-assign]
    bench.vendor.list_page = listed  # type: ignore[method-assign]
    bench.vendor.results_url = url  # type: ignore[method-assign]


async def later_batch(bench: Bench) -> dict[str, int]:
    """Run a second batch of the same files; returns how many of its items are in each state."""
    batch = replace(await bench.batch(), batch_id="later")
    await bench.ledger.start_batch(batch)
    await run_batch(batch, bench.context())
    return {str(state): count for state, count in (await bench.ledger.counts("later")).items()}


@pytest.mark.parametrize("from_list", [True, False])
@pytest.mark.parametrize("seconds", [2, 60, 290])
async def test_imports_that_cannot_be_found_for_a_while_are_collected_and_never_made_again(
    seconds: int, from_list: bool
) -> None:
    bench = Bench(FILES)
    hide(bench, until=seconds, from_list=from_list)
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    assert len(bench.vendor.created) == len(FILES)
    assert await later_batch(bench) == {"skipped": len(FILES)}


@pytest.mark.parametrize("seconds", [2, 290])
async def test_uploads_of_an_earlier_run_whose_imports_cannot_be_found_for_a_while_go_on(seconds: int) -> None:
    bench = Bench(FILES)
    for source in FILES:
        await bench.leave_uploading(source)
    hide(bench, until=seconds)
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}
    assert len(bench.vendor.created) == len(FILES)
    assert [item.error_code async for item in bench.ledger.items(BATCH_ID)] == [None] * len(FILES)


async def test_an_import_that_is_gone_for_good_is_asked_for_three_times_over_five_minutes_and_lists_agree() -> None:
    bench = Bench(FILES)
    import_id = await bench.leave_uploading("0.csv")
    bench.vendor.imports.pop(import_id)
    asked_at: list[float] = []
    retrieve = bench.vendor.retrieve

    async def retrieved(wanted: str) -> RemoteImport:
        if wanted == import_id:
            asked_at.append(bench.clock.ticks())
            bench.vendor.calls.append("asked")
        return await retrieve(wanted)

    bench.vendor.retrieve = retrieved  # type: ignore[method-assign]
    await bench.run()
    item = await bench.item("0.csv")
    assert (item.state, item.error_code, item.is_held) == (ItemState.FAILED, "import_missing", True)
    assert len(asked_at) == 3
    assert asked_at[-1] - asked_at[0] >= OVER.total_seconds()
    after = bench.vendor.calls[bench.vendor.calls.index("asked") :]
    assert after.count("list") >= 2


async def test_a_sighting_between_two_answers_starts_the_evidence_again() -> None:
    bench = Bench({"a.csv": b"1"})
    import_id = await bench.leave_uploading("a.csv")
    retrieve, put = bench.vendor.retrieve, bench.vendor.put

    async def come_and_go(wanted: str) -> RemoteImport:
        remote = bench.vendor.imports[import_id]
        if bench.clock.ticks() < 150 or 160 < bench.clock.ticks() < 450:
            bench.vendor.imports.pop(import_id)
        try:
            return await retrieve(wanted)
        finally:
            asyncio.get_running_loop().call_later(1, lambda: bench.vendor.imports.setdefault(import_id, remote))

    async def not_yet(url: str, body: Body, *, only_if_absent: bool) -> bool:
        if bench.clock.ticks() < 450:
            raise NotSent("cannot connect to storage")
        return await put(url, body, only_if_absent=only_if_absent)

    bench.vendor.retrieve = come_and_go  # type: ignore[method-assign]
    bench.vendor.put = not_yet  # type: ignore[method-assign]
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    history = [entry.reason for entry in await bench.ledger.history(BATCH_ID, "a.csv")]
    assert history.count("import_missing") >= 3
    assert history.count("found again") == 2


async def test_the_evidence_of_an_earlier_run_counts() -> None:
    bench = Bench({"a.csv": b"1"}, options=replace(Bench({}).options, max_duration_s=200.0))
    import_id = await bench.leave_uploading("a.csv")
    bench.vendor.imports.pop(import_id)
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.error_code) == (ItemState.CREATED, "import_missing")
    assert item.error_message == "the vendor does not find the import"
    await asyncio.sleep(110)
    await bench.run()
    assert (await bench.item("a.csv")).state is ItemState.FAILED


@pytest.mark.parametrize("seconds", [2, 290])
async def test_results_that_cannot_be_found_for_a_while_are_collected(seconds: int) -> None:
    bench = Bench(FILES)
    for source in FILES:
        remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=source), status="SUCCESSFUL")
        await bench.leave(source, ItemState.SUCCEEDED, import_id=remote.import_id, status="SUCCESSFUL")
    hide(bench, until=seconds)
    await bench.run()
    assert set((await bench.states()).values()) == {"collected"}


@pytest.mark.parametrize("is_listed", [False, True])
async def test_a_result_that_is_gone_is_asked_for_for_minutes_and_its_item_is_held(is_listed: bool) -> None:
    bench = Bench({"a.csv": b"1"})
    remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.csv"), status="SUCCESSFUL")
    await bench.leave("a.csv", ItemState.SUCCEEDED, import_id=remote.import_id, status="SUCCESSFUL")
    hide(bench, until=1e9, from_list=not is_listed)
    result = await bench.run()
    if is_listed:
        assert list(result.reasons) == ["a.csv"]
        await asyncio.sleep(900)
        await bench.run()
    item = await bench.item("a.csv")
    assert (item.error_code, item.is_held) == ("result_missing", True)
    assert bench.clock.ticks() >= (OVER_IF_LISTED if is_listed else OVER).total_seconds()


async def test_items_with_odd_answers_are_left_to_a_later_run_and_named_and_no_other_waits_for_them() -> None:
    bench = Bench(FILES)
    odd = [await bench.leave_uploading(f"{number}.csv") for number in range(4)]
    retrieve = bench.vendor.retrieve

    async def retrieved(import_id: str) -> RemoteImport:
        if import_id in odd:
            raise ImportNotFound("Not found.")
        return await retrieve(import_id)

    bench.vendor.retrieve = retrieved  # type: ignore[method-assign]
    result = await bench.run()
    assert sorted(result.reasons) == [f"{number}.csv" for number in range(4)]
    assert bench.stop.reason is None
    assert sorted((await bench.states()).values()) == ["collected"] * 8 + ["created"] * 4


async def test_many_imports_that_are_gone_share_the_lists_that_prove_it_and_end_in_one_run() -> None:
    bench = Bench(FILES)
    for source in FILES:
        await bench.leave(source, ItemState.PROCESSING, import_id=f"gone-{source}", created_at=bench.clock.now())
    list_page = bench.vendor.list_page

    async def slowly(*, limit: int, offset: int) -> ImportPage:
        await asyncio.sleep(110.0)
        return await list_page(limit=limit, offset=offset)

    bench.vendor.list_page = slowly  # type: ignore[method-assign]
    await bench.run()
    codes = {(await bench.item(source)).error_code for source in FILES}
    states = set((await bench.states()).values())
    assert (states, codes) == ({"failed"}, {"import_missing"})


async def test_an_import_that_is_gone_ends_in_one_run_although_lists_come_only_every_five_minutes() -> None:
    bench = Bench({"a.csv": b"1"})
    await bench.leave("a.csv", ItemState.PROCESSING, import_id="gone", created_at=bench.clock.now())
    list_page = bench.vendor.list_page

    async def slowly(*, limit: int, offset: int) -> ImportPage:
        await asyncio.sleep(290.0)
        return await list_page(limit=limit, offset=offset)

    bench.vendor.list_page = slowly  # type: ignore[method-assign]
    await bench.run()
    assert (await bench.item("a.csv")).error_code == "import_missing"
    assert await bench.states() == {"a.csv": "failed"}

"""Another ledger imports the same files during a run: a list shows it, and the run stops; weaker signs do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runner import identity
from runner.dromo.clock import VendorTime
from runner.errors import BulkheadError, ForeignImports, ImportNotFound, OutcomeUnknown
from runner.local.pipeline import RunResult
from runner.models import CreateRequest, ImportPage, Item, ItemState, RemoteImport
from runner.packing.body import PackName
from runner.stages.foreign import ForeignWatch
from runner.stop import StopReason
from tests.support.bench import BATCH_ID, Bench
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time

S = ItemState
FILES = {f"{number:02}.csv": b"x\n%d\n" % number for number in range(60)}


def foreign(bench: Bench, source: str, *, status: str = "RUNNING", **changes: Any) -> RemoteImport:
    """Let another ledger import a file now."""
    name = identity.tagged_filename(source, bench.tag(source))
    made = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=name), status=status)
    bench.vendor.change(made.import_id, **changes)
    return made


async def after(seconds: float, bench: Bench, act: Callable[[], object]) -> RunResult:
    """Run the bench, and act during the run."""
    running = asyncio.ensure_future(bench.run())
    await asyncio.sleep(seconds)
    act()
    return await running


def sent(bench: Bench) -> list[str]:
    """Return the names of all imports that anybody made."""
    return [request.original_filename or "" for request in bench.vendor.created]


def stopped(bench: Bench, *sources: str) -> bool:
    named = all(source in bench.stop.detail for source in sources)
    return bench.stop.reason is StopReason.FOREIGN_IMPORTS and named


async def test_a_list_that_shows_another_import_of_a_sent_file_stops_the_run_and_names_both() -> None:
    bench = Bench(FILES)
    made: list[RemoteImport] = []
    result = await after(30, bench, lambda: made.append(foreign(bench, "03.csv")))
    assert stopped(bench, "03.csv", made[0].import_id)
    assert f"bulkhead resume {BATCH_ID}" in (bench.stop.hint or "")
    assert result.by_state[S.QUEUED] > 0


async def test_a_list_that_shows_an_import_that_the_vendor_does_not_find_stops_nothing() -> None:
    bench = Bench(FILES)
    list_page = bench.vendor.list_page

    async def odd(*, limit: int, offset: int) -> ImportPage:
        page = await list_page(limit=limit, offset=offset)
        return replace(page, imports=tuple(replace(one, import_id=f"odd-{one.import_id}") for one in page.imports))

    running = asyncio.ensure_future(bench.run())
    await asyncio.sleep(30)
    bench.vendor.list_page = odd  # type: ignore[method-assign]
    await asyncio.sleep(60)
    bench.vendor.list_page = list_page  # type: ignore[method-assign]
    assert (await running).by_state == {S.COLLECTED: len(FILES)}


async def test_a_file_that_another_ledger_has_sent_first_is_not_sent_again() -> None:
    bench = Bench(FILES)
    await after(30, bench, lambda: foreign(bench, "50.csv"))
    assert stopped(bench, "50.csv")
    assert [name for name in sent(bench) if bench.tag("50.csv") in name] == ["50.~" + bench.tag("50.csv") + ".csv"]


async def test_what_it_has_imported_is_adopted_by_the_next_run() -> None:
    bench = Bench(FILES)
    await after(30, bench, lambda: [foreign(bench, f"{number}.csv", status="SUCCESSFUL") for number in range(50, 60)])
    assert bench.stop.reason is StopReason.FOREIGN_IMPORTS
    assert (await bench.run()).by_state == {S.COLLECTED: len(FILES)}
    assert len(sent(bench)) == len(FILES)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "AWAITING_UPLOAD"},
        {"created_at": EPOCH - timedelta(seconds=1)},
        {"created_at": None},
        {"original_filename": "03.csv"},
        {"original_filename": "03.~abcdefghijklm.csv"},
    ],
    ids=["empty", "older than the run", "undated", "without a tag", "of other files"],
)
async def test_what_is_no_proof_of_another_run_changes_nothing(change: dict[str, Any]) -> None:
    bench = Bench(FILES)
    result = await after(30, bench, lambda: foreign(bench, "03.csv", **change))
    assert bench.stop.reason is None
    assert result.by_state == {S.COLLECTED: len(FILES)}


def foreign_pack(bench: Bench, *, status: str = "RUNNING", source: str = "", **changes: Any) -> RemoteImport:
    """Let another ledger send a pack now, of the bench's source unless `source` is another."""
    name = str(PackName(20, "abcdefghijklm", identity.short(source or bench.source.uri)))
    made = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=name), status=status)
    bench.vendor.change(made.import_id, **changes)
    return made


async def test_a_pack_of_the_same_source_that_is_of_another_ledger_stops_the_run() -> None:
    bench = Bench(FILES)
    made: list[RemoteImport] = []
    result = await after(30, bench, lambda: made.append(foreign_pack(bench)))
    assert stopped(bench, f"a pack of 20 files (import {made[0].import_id})")
    assert result.by_state[S.QUEUED] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"status": "AWAITING_UPLOAD"},
        {"created_at": EPOCH - timedelta(seconds=1)},
        {"source": "file:///another/inbox"},
        {"schema_id": "s2"},
    ],
    ids=["empty", "older than the run", "of another source", "of another schema"],
)
async def test_a_pack_that_is_no_proof_of_another_run_changes_nothing(change: dict[str, Any]) -> None:
    bench = Bench(FILES)
    result = await after(30, bench, lambda: foreign_pack(bench, **change))
    assert bench.stop.reason is None
    assert result.by_state == {S.COLLECTED: len(FILES)}


async def test_a_pack_that_the_vendor_does_not_find_stops_nothing() -> None:
    bench = Bench(FILES)
    retrieve = bench.vendor.retrieve

    async def without_packs(import_id: str) -> RemoteImport:
        found = await retrieve(import_id)
        if PackName.parse(found.original_filename) is not None:
            raise ImportNotFound("there is no such import")
        return found

    bench.vendor.retrieve = without_packs  # type: ignore[method-assign]
    result = await after(30, bench, lambda: foreign_pack(bench))
    assert result.by_state == {S.COLLECTED: len(FILES)}


def a_watch(bench: Bench, *, on_found: Callable[[BulkheadError], None] = lambda _: None) -> ForeignWatch:
    """Return a watch over the files of the bench that has seen the first list."""
    watch = ForeignWatch(
        bench.vendor,
        retrieve=bench.vendor.retrieve,
        ledger=bench.ledger,
        batch_id=BATCH_ID,
        source="",
        schemas={"s1"},
        vendor_time=VendorTime(bench.clock),
        on_found=on_found,
    )
    watch.first_walk_done()
    return watch


@pytest.mark.parametrize(("waits_s", "found"), [(0, 1), (1900, 0)])
async def test_an_import_that_failed_counts_unless_it_may_never_have_got_data(waits_s: float, found: int) -> None:
    bench, errors = Bench(FILES), list[BulkheadError]()
    own = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="03.csv"))
    await bench.leave("03.csv", S.PROCESSING, tag=bench.tag("03.csv"), import_id=own.import_id)
    watch = a_watch(bench, on_found=errors.append)
    await asyncio.sleep(1)
    foreign(bench, "03.csv", status="FAILED")
    await asyncio.sleep(waits_s)
    await watch.list_page(limit=10, offset=0)
    assert len(errors) == found


async def test_an_import_that_a_list_shows_while_an_older_one_is_looked_up_is_not_forgotten() -> None:
    bench = Bench(FILES)
    watch = a_watch(bench)
    await asyncio.sleep(1)
    own = foreign(bench, "03.csv")
    await watch.list_page(limit=10, offset=0)
    await bench.leave("03.csv", S.PROCESSING, tag=bench.tag("03.csv"), import_id=own.import_id)
    owners = bench.ledger.owners

    async def list_first(import_ids: Iterable[str]) -> dict[str, Item]:
        bench.ledger.owners = owners  # type: ignore[method-assign]
        foreign(bench, "03.csv")
        await watch.list_page(limit=10, offset=0)
        return await owners(import_ids)

    bench.ledger.owners = list_first  # type: ignore[method-assign, assignment]
    await watch.refuse(bench.tag("03.csv"), "03.csv")
    with pytest.raises(ForeignImports):
        await watch.refuse(bench.tag("03.csv"), "03.csv")


def dates_ahead(bench: Bench, by: timedelta) -> None:
    """Let the clock that dates imports be ahead of the one of the answers."""
    add = bench.vendor.add

    def dated(request: CreateRequest, **options: Any) -> RemoteImport:
        made = add(request, **options)
        bench.vendor.change(made.import_id, created_at=bench.vendor.clock.now() + by)
        return bench.vendor.imports[made.import_id]

    bench.vendor.add = dated  # type: ignore[method-assign]


@pytest.mark.parametrize("by_s", [-3600, -5, 300, 3600])
async def test_a_lost_ledger_is_no_other_run_where_dates_differ_from_the_clock(by_s: float) -> None:
    bench = Bench(FILES)
    dates_ahead(bench, timedelta(seconds=by_s))
    for number in range(20):
        foreign(bench, f"{number:02}.csv", status="SUCCESSFUL")
        await asyncio.sleep(0.2)
    result = await bench.run()
    assert bench.stop.reason is None
    assert result.by_state == {S.COLLECTED: len(FILES)}
    assert len(sent(bench)) == len(FILES)


async def test_an_import_made_just_before_the_run_that_a_lagging_list_shows_later_is_adopted() -> None:
    bench = Bench(FILES)
    own = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="00.csv"), status="RUNNING")
    await bench.leave("00.csv", S.PROCESSING, tag=bench.tag("00.csv"), import_id=own.import_id, created_at=EPOCH)
    dates_ahead(bench, timedelta(seconds=300))
    foreign(bench, "59.csv", status="SUCCESSFUL")
    await asyncio.sleep(1)
    await bench.slots.hold("k", until=30.0)
    list_page = bench.vendor.list_page

    async def lagging(*, limit: int, offset: int) -> ImportPage:
        page = await list_page(limit=limit, offset=offset)
        is_too_early = asyncio.get_running_loop().time() < 1.5
        return replace(page, imports=page.imports[1:]) if is_too_early else page

    bench.vendor.list_page = lagging  # type: ignore[method-assign]
    asyncio.get_running_loop().call_later(40, lambda: bench.vendor.change(own.import_id, status="SUCCESSFUL"))
    result = await bench.run()
    assert bench.stop.reason is None
    assert result.by_state == {S.COLLECTED: len(FILES)}
    assert len(sent(bench)) == len(FILES)


@pytest.mark.parametrize("by_s", [-3600, 300])
async def test_another_run_is_noticed_where_dates_differ_from_the_clock(by_s: float) -> None:
    bench = Bench(FILES)
    dates_ahead(bench, timedelta(seconds=by_s))
    await after(30, bench, lambda: foreign(bench, "03.csv"))
    assert stopped(bench, "03.csv")


async def test_lost_answers_of_this_run_are_no_other_run() -> None:
    bench = Bench(FILES)
    bench.vendor.create_script.extend(bench.vendor.lose(OutcomeUnknown("reset")) for _ in range(10))
    result = await bench.run()
    assert bench.stop.reason is None
    assert result.by_state == {S.COLLECTED: len(FILES)}


async def test_a_file_that_another_ledger_has_sent_is_not_sent_while_a_slow_retrieve_confirms_another_one() -> None:
    bench = Bench(FILES)
    retrieve = bench.vendor.retrieve

    async def slow(import_id: str) -> RemoteImport:
        await asyncio.sleep(100.0)
        return await retrieve(import_id)

    def appear() -> None:
        foreign(bench, "03.csv")
        foreign(bench, "59.csv")
        bench.vendor.retrieve = slow  # type: ignore[method-assign]

    await after(30, bench, appear)
    assert stopped(bench, "59.csv")
    assert sum("59" in name for name in sent(bench)) == 1


async def test_imports_of_this_run_are_no_other_run_once_it_has_made_more_than_it_remembers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runner.stages.foreign._REMEMBERED_IMPORTS", 5)
    bench = Bench(FILES)
    asked: list[set[str]] = []
    owners = bench.ledger.owners

    async def noted(import_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        asked.append({*import_ids})
        return await owners(asked[-1])

    bench.ledger.owners = noted  # type: ignore[method-assign]
    result = await bench.run()
    assert result.by_state == {S.COLLECTED: len(FILES)}
    assert len(set.union(*asked)) < sum(map(len, asked)), "some were asked for again"

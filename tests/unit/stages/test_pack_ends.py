"""What becomes of the files of a pack that has ended without a result for each of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from runner.errors import AuthRefused, BulkheadError, ConnectionBarred, NotYet, OutcomeUnknown, RequestInvalid
from runner.models import Item, ItemState
from runner.stages.absence import PAUSE_S
from runner.stages.pack_ends import PackEnd
from tests.support.pack_bench import PackBench

pytestmark = pytest.mark.virtual_time

S = ItemState


async def test_files_whose_rows_do_not_add_up_are_held_and_the_run_says_that_packing_stops() -> None:
    bench = PackBench()
    pack = await bench.pack(S.FAILED, error_code="pack_unaccounted", error_message="a row is lost", status="SUCCESSFUL")
    end = await bench.ends.settle(pack)
    assert end.stops_packing
    assert [(one.state, one.error_code, one.is_held) for one in await bench.members()] == [
        (S.FAILED, "pack_unaccounted", True)
    ] * 3
    assert bench.said == ["packing of route people stops: a row is lost"]


@pytest.mark.parametrize("state", [S.REJECTED, S.SKIPPED])
async def test_files_of_a_pack_that_was_not_sent_travel_alone(state: ItemState) -> None:
    bench = PackBench()
    end = await bench.ends.settle(await bench.pack(state))
    assert not end.stops_packing
    assert [(one.state, one.pack, one.tag) for one in await bench.members()] == [(S.QUEUED, None, None)] * 3


async def test_files_of_a_small_pack_that_failed_travel_alone() -> None:
    bench = PackBench()
    end = await bench.ends.settle(await bench.pack(S.FAILED, error_code="import_failed", error_message="no"))
    assert (end.new_packs, end.stops_packing) == ((), False)
    assert {one.state for one in await bench.members()} == {S.QUEUED}


async def test_only_the_files_that_the_errors_of_a_review_name_travel_alone() -> None:
    bench = PackBench()
    ended, end = await bench.ends.end_review(await bench.pack_in_review())
    (new,) = end.new_packs
    assert (ended.state, ended.error_code, bench.vendor.imports) == (S.FAILED, "dissolved", {})
    assert [(one.state, one.pack) for one in await bench.members()] == [
        (S.QUEUED, "p"),
        (S.PACKED, new.source),
        (S.PACKED, new.source),
    ]


async def test_a_pack_whose_review_was_finished_while_its_import_was_deleted_keeps_its_files() -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()

    async def too_late(import_id: str) -> None:
        bench.vendor.change(import_id, status="SUCCESSFUL")

    bench.vendor.delete = too_late  # type: ignore[method-assign]
    ended, _ = await bench.ends.end_review(pack)
    assert ended.state is S.SUCCEEDED
    assert {one.state for one in await bench.members()} == {S.PACKED}


async def test_the_files_of_a_pack_that_is_shown_after_it_was_deleted_wait_for_two_more_looks() -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()

    async def nothing(_: str) -> None:
        return None

    bench.vendor.delete = nothing  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(NotYet, match="still shows"):
            await bench.ends.end_review(pack)
        pack = await bench.ledger.item("b.packs", "p")  # type: ignore[assignment]
        assert {one.state for one in await bench.members()} == {S.PACKED}
    ended, _ = await bench.ends.end_review(pack)
    assert ended.error_code == "dissolved"


async def pack_whose_import_stays(bench: PackBench, error: BulkheadError) -> Item:
    """Return a pack in review after its import could not be deleted once, with this error."""
    pack = await bench.pack_in_review()

    async def refuse(_: str) -> None:
        raise error

    bench.vendor.delete = refuse  # type: ignore[method-assign]
    with pytest.raises(type(error) if isinstance(error, ConnectionBarred) else NotYet):
        await bench.ends.end_review(pack)
    return await bench.ledger.item("b.packs", "p")  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (AuthRefused("HTTP 403"), "the license key may not delete imports"),
        (RequestInvalid("an import in review cannot be deleted"), "an import in review cannot be deleted"),
    ],
)
async def test_the_files_of_a_pack_are_held_once_the_vendor_has_refused_twice_to_delete_its_import(
    error: BulkheadError, why: str
) -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, error)
    assert {one.state for one in await bench.members()} == {S.PACKED}
    ended, _ = await bench.ends.end_review(pack)
    end = await bench.ends.settle(ended)
    assert (ended.state, end.stops_packing) == (S.FAILED, True)
    members = await bench.members()
    assert [(one.state, one.error_code, one.is_held, one.carrying_id) for one in members] == [
        (S.FAILED, "pack_review_open", True, "import-1")
    ] * 3
    assert members[0].error_message == (
        f"its pack: import import-1 needs a review, and cannot be deleted: {why}; finish the review in the vendor's "
        "dashboard, then `bulkhead redrive` fetches the result, or delete the import there"
    )


async def test_a_review_that_is_finished_after_the_vendor_refused_to_delete_its_import_gives_the_result() -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, RequestInvalid("no"))
    bench.vendor.change(pack.bound_id, status="SUCCESSFUL")
    ended, _ = await bench.ends.end_review(pack)
    assert (ended.state, ended.error_code) == (S.SUCCEEDED, None)


async def test_a_pack_whose_import_is_deleted_after_all_is_sent_otherwise() -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, AuthRefused("HTTP 403"))
    del bench.vendor.delete
    ended, end = await bench.ends.end_review(pack)
    assert (ended.error_code, len(end.new_packs)) == ("dissolved", 1)


@pytest.mark.parametrize("trouble", [False, True], ids=["at once", "after trouble with the second try"])
async def test_a_pack_whose_import_a_person_deletes_after_the_vendor_refused_to_is_sent_otherwise(
    trouble: bool,
) -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, RequestInvalid("no"))
    if trouble:
        pack = await after_trouble(bench, pack)
    del bench.vendor.imports[pack.bound_id]
    ended, end = await until_gone(bench, pack)
    assert (ended.error_code, len(end.new_packs)) == ("dissolved", 1)
    assert {one.source: (one.state, one.pack == "p") for one in await bench.members()} == {
        "1.csv": (S.QUEUED, True),
        "2.csv": (S.PACKED, False),
        "3.csv": (S.PACKED, False),
    }


async def test_files_are_held_if_their_import_is_gone_long_after_the_vendor_refused_to_delete_it() -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, RequestInvalid("no"))
    del bench.vendor.imports[pack.bound_id]
    await asyncio.sleep(timedelta(days=1, seconds=1).total_seconds())
    ended, _ = await until_gone(bench, pack)
    await bench.ends.settle(ended)
    assert [(one.state, one.error_code, one.is_held) for one in await bench.members()] == [
        (S.FAILED, "import_missing", True)
    ] * 3


async def test_trouble_between_two_refusals_does_not_let_the_first_be_forgotten() -> None:
    bench = PackBench()
    pack = await after_trouble(bench, await pack_whose_import_stays(bench, RequestInvalid("no")))
    ended, _ = await bench.ends.end_review(pack)
    assert (ended.state, ended.error_code) == (S.FAILED, "pack_review_open")


async def after_trouble(bench: PackBench, pack: Item) -> Item:
    """Return the pack after one more try to delete its import, whose answer does not come."""
    refuse = bench.vendor.delete

    async def fail(_: str) -> None:
        raise OutcomeUnknown("no answer")

    bench.vendor.delete = fail  # type: ignore[method-assign]
    with pytest.raises(NotYet, match="not deleted yet"):
        await bench.ends.end_review(pack)
    bench.vendor.delete = refuse  # type: ignore[method-assign]
    return await bench.ledger.item("b.packs", "p")  # type: ignore[return-value]


async def until_gone(bench: PackBench, pack: Item) -> tuple[Item, PackEnd]:
    """Ask for the import of the pack until it is certain that it is gone."""
    for _ in range(2):
        with pytest.raises(NotYet):
            await bench.ends.end_review(pack)
        await asyncio.sleep(PAUSE_S)
        pack = await bench.ledger.item("b.packs", "p")  # type: ignore[assignment]
    return await bench.ends.end_review(pack)


async def test_a_proxy_in_between_does_not_say_whether_an_import_may_be_deleted() -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, ConnectionBarred("the proxy wants a password"))
    assert (pack.state, pack.error_code) == (S.NEEDS_REVIEW, "dissolving")

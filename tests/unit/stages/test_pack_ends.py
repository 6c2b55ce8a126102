"""What becomes of the files of a pack that has ended without a result for each of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runner.errors import (
    AuthRefused,
    BulkheadError,
    ConnectionBarred,
    ImportNotFound,
    NotYet,
    OutcomeUnknown,
    RequestInvalid,
    Unavailable,
)
from runner.models import CreateRequest, Item, ItemKind, ItemState
from runner.stages.absence import PAUSE_S
from runner.stages.pack_ends import IN_TABLE, PackEnd, is_sent_otherwise, pack_again
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
    history = await bench.transitions.history((await bench.members())[0])
    assert history[-1].reason == "pack_unaccounted"


@pytest.mark.parametrize("state", [S.REJECTED, S.SKIPPED])
async def test_files_of_a_pack_that_was_not_sent_travel_alone(state: ItemState) -> None:
    bench = PackBench()
    end = await bench.ends.settle(await bench.pack(state))
    assert not end.stops_packing
    assert [(one.state, one.pack, one.tag) for one in await bench.members()] == [(S.QUEUED, None, None)] * 3


@pytest.mark.parametrize(
    ("state", "code", "is_otherwise"),
    [
        (S.REJECTED, "member_changed", True),
        (S.SKIPPED, None, True),
        (S.FAILED, "import_failed", True),
        (S.FAILED, "pack_review_finished", True),
        (S.FAILED, "pack_unaccounted", False),
        (S.FAILED, "pack_review_open", False),
        (S.QUEUED, "import_failed", False),
        (S.PROCESSING, None, False),
    ],
)
def test_files_of_a_pack_that_ended_without_any_data_are_sent_otherwise(
    state: ItemState, code: str | None, is_otherwise: bool
) -> None:
    pack = Item(batch_id="b.packs", source="p", kind=ItemKind.PACK, state=state, error_code=code)
    assert is_sent_otherwise(pack) == is_otherwise


async def packed_together(bench: PackBench) -> list[list[str]]:
    """Return the files of each pack, and those that travel alone at the end."""
    members = await bench.members()
    packs = sorted({one.pack or "" for one in members if one.state is S.PACKED})
    groups = [[one.source for one in members if one.state is S.PACKED and one.pack == pack] for pack in packs]
    return [*sorted(groups), [one.source for one in members if one.state is S.QUEUED]]


@pytest.mark.parametrize("count", [3, 8])
async def test_files_of_a_small_pack_that_failed_travel_alone(count: int) -> None:
    bench = PackBench(count)
    end = await bench.ends.settle(await bench.pack(S.FAILED, error_code="import_failed", error_message="no"))
    assert (end.new_packs, end.stops_packing, bench.said) == ((), False, [])
    assert await packed_together(bench) == [list(bench.names)]


async def test_a_larger_pack_that_failed_is_sent_again_as_two() -> None:
    bench = PackBench(9)
    end = await bench.ends.settle(await bench.pack(S.FAILED, error_code="import_failed", error_message="no"))
    assert (len(end.new_packs), end.stops_packing) == (2, False)
    assert await packed_together(bench) == [list(bench.names[:4]), list(bench.names[4:]), []]
    assert bench.said == ["a pack of 9 files failed, and is sent again as two"]


async def test_a_larger_pack_that_failed_is_not_said_to_be_sent_as_two_if_no_route_can_pack_its_files_any_more() -> (
    None
):
    bench = PackBench(9, routes=())
    end = await bench.ends.settle(await bench.pack(S.FAILED, error_code="import_failed", error_message="no"))
    assert (end.new_packs, bench.said) == ((), [])
    assert await packed_together(bench) == [list(bench.names)]


async def test_files_of_a_pack_that_failed_at_the_vendor_keep_no_place_in_it() -> None:
    bench = PackBench()
    pack = await bench.sent_pack("FAILED")
    await bench.ends.settle(await bench.ledger.advance(pack, S.FAILED, reason="x", error_code="import_failed"))
    assert [(one.state, one.pack) for one in await bench.members()] == [(S.QUEUED, None)] * 3


async def test_halves_that_the_ledger_has_had_before_travel_alone() -> None:
    bench = PackBench(9)
    pack = await bench.pack(S.FAILED, error_code="import_failed", error_message="no")
    for half in (await bench.ends.settle(pack)).new_packs:
        await bench.ends.release(half, "not sent")
    for number, member in enumerate(await bench.members(), start=1):
        again = {"pack": pack.source, "pack_row": number, "pack_rows": 1, "tag": f"tag of {member.source}"}
        await bench.ledger.advance(member, S.PACKED, reason="x", **again)
    bench.said.clear()
    assert (await bench.ends.settle(pack)).new_packs == ()
    assert bench.said == []
    assert await packed_together(bench) == [list(bench.names)]


@pytest.mark.parametrize("is_canary", [False, True])
async def test_files_of_a_pack_that_the_vendor_refused_or_of_a_first_one_that_failed_travel_alone_from_then_on(
    is_canary: bool,
) -> None:
    bench = PackBench(9, is_canary=is_canary)
    code = "import_failed" if is_canary else "create_refused"
    end = await bench.ends.settle(await bench.pack(S.FAILED, error_code=code, error_message="no"))
    assert (end.new_packs, end.stops_packing) == ((), True)
    assert await packed_together(bench) == [list(bench.names)]
    assert bench.said == ["packing of route people stops: no"]


async def test_a_pack_that_ended_with_all_of_its_files_settled_says_nothing() -> None:
    bench = PackBench()
    pack = await bench.pack(S.FAILED, error_code="create_refused", error_message="no")
    await bench.ends.settle(pack)
    bench.said.clear()
    end = await bench.ends.settle(pack)
    assert (end.new_packs, end.stops_packing, bench.said) == ((), False, [])


@pytest.mark.parametrize(("left_out", "stay_together"), [(("1.csv",), True), (("1.csv", "2.csv"), False)])
async def test_a_pack_that_is_not_sent_because_of_some_files_keeps_the_others_together_if_two_are_left(
    left_out: tuple[str, ...], stay_together: bool
) -> None:
    bench = PackBench()
    await bench.ends.release(await bench.pack(S.QUEUED), "left out", without=left_out)
    groups = [["2.csv", "3.csv"], ["1.csv"]] if stay_together else [["1.csv", "2.csv", "3.csv"]]
    assert await packed_together(bench) == groups
    assert all(one.pack is None for one in await bench.members() if one.state is S.QUEUED)
    pack = await bench.ledger.item("b.packs", "p")
    assert pack is not None
    assert (pack.state, pack.error_code) == (S.FAILED, "dissolved")


@pytest.mark.parametrize(
    ("unreadable", "others", "named"),
    [
        (1, 2, "1.csv"),
        (2, 1, "1.csv, 2.csv"),
        (5, 2, "1.csv, 2.csv, 3.csv, 4.csv, 5.csv"),
        (7, 2, "1.csv, 2.csv, 3.csv, 4.csv, 5.csv and 2 more"),
    ],
)
async def test_the_files_of_a_pack_that_can_be_read_are_sent_without_the_others(
    unreadable: int, others: int, named: str
) -> None:
    bench = PackBench(unreadable + others)
    message = ",".join(f"tag of {name}" for name in bench.names[:unreadable])
    end = await bench.ends.settle(await bench.pack(S.REJECTED, error_code="member_unreadable", error_message=message))
    together = [list(bench.names[unreadable:]), list(bench.names[:unreadable])]
    assert await packed_together(bench) == (together if others > 1 else [list(bench.names)])
    assert (len(end.new_packs), end.stops_packing) == (others > 1, False)
    files = f"{unreadable} file{'s' if unreadable > 1 else ''} of a pack of {unreadable + others}"
    assert bench.said == [f"{files} cannot be read now ({named}); the others are sent without"]


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


@pytest.mark.parametrize(("rows", "is_canary"), [((), False), ((0, 1), False), ((0,), True), ((0, None), False)])
async def test_all_files_of_a_review_travel_alone_if_its_errors_leave_no_two_or_tell_too_little_or_it_was_the_first(
    rows: tuple[int | None, ...], is_canary: bool
) -> None:
    bench = PackBench(is_canary=is_canary)
    pack = await bench.pack_in_review()
    bench.vendor.change(pack.bound_id, import_errors=[{"rowIndex": row} for row in rows])
    _, end = await bench.ends.end_review(pack)
    assert (end.new_packs, end.stops_packing) == ((), is_canary)
    assert await packed_together(bench) == [list(bench.names)]
    stops = ["packing of route people stops: the import of its first pack needed a review"] if is_canary else []
    assert bench.said == ["a pack of 3 files needed a review: its files are sent otherwise", *stops]


async def test_files_that_no_route_can_pack_any_more_travel_alone() -> None:
    bench = PackBench(routes=())
    _, end = await bench.ends.end_review(await bench.pack_in_review())
    assert end.new_packs == ()
    assert await packed_together(bench) == [list(bench.names)]


async def test_files_of_a_pack_that_was_sent_instead_of_a_deleted_one_keep_their_places_when_they_travel_alone() -> (
    None
):
    bench = PackBench()
    _, end = await bench.ends.end_review(await bench.pack_in_review())
    (instead,) = end.new_packs
    rejected = await bench.ledger.advance(instead, S.REJECTED, reason="x", error_code="member_changed")
    await bench.ends.settle(rejected)
    assert [(one.state, one.pack, one.pack_row) for one in await bench.members()] == [
        (S.QUEUED, "p", 1),
        (S.QUEUED, instead.source, 1),
        (S.QUEUED, instead.source, 2),
    ]


async def test_a_review_that_ended_in_a_failure_fails_the_pack() -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()
    bench.vendor.change(pack.bound_id, status="FAILED")
    ended, end = await bench.ends.end_review(pack)
    assert (ended.state, ended.error_code, ended.status, end.new_packs) == (S.FAILED, "import_failed", "FAILED", ())


async def test_an_import_that_runs_again_after_its_review_is_waited_for() -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()
    bench.vendor.change(pack.bound_id, status="RUNNING")
    with pytest.raises(NotYet, match="the import of the pack is RUNNING again"):
        await bench.ends.end_review(pack)
    assert pack.bound_id in bench.vendor.imports


async def test_an_import_that_is_not_deleted_because_of_trouble_is_deleted_10_s_later() -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()

    async def fails(_: str) -> None:
        raise Unavailable("503")

    bench.vendor.delete = fails  # type: ignore[method-assign]
    with pytest.raises(NotYet, match="is not deleted yet: 503") as caught:
        await bench.ends.end_review(pack)
    assert caught.value.wait_s == 10.0


@pytest.mark.parametrize(
    ("goes", "ends_as"), [("before", "import_missing"), ("with it", "dissolved"), ("while it is deleted", "dissolved")]
)
async def test_an_import_that_is_gone_is_missed_only_after_the_vendor_has_said_so_for_five_minutes(
    goes: str, ends_as: str
) -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()

    async def gone(import_id: str) -> None:
        bench.vendor.imports.pop(import_id)
        raise ImportNotFound("Not found.") if goes == "with it" else Unavailable("503")

    if goes == "before":
        del bench.vendor.imports[pack.bound_id]
    bench.vendor.delete = gone  # type: ignore[method-assign]
    waits = []
    while pack.state is S.NEEDS_REVIEW:
        assert {one.state for one in await bench.members()} == {S.PACKED}
        try:
            await bench.ends.end_review(pack)
        except NotYet as error:
            waits.append(error.wait_s)
            await asyncio.sleep(error.wait_s)
        pack = await bench.ledger.item("b.packs", "p")  # type: ignore[assignment]
    assert (pack.state, pack.error_code) == (S.FAILED, ends_as)
    assert sum(waits) >= 300.0
    end = await bench.ends.settle(pack)
    assert end.stops_packing == (ends_as == "import_missing")


async def test_a_pack_that_failed_is_opened_again_with_its_files_for_the_result_of_a_review() -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, RequestInvalid("no"))
    ended, _ = await bench.ends.end_review(pack)
    await bench.ends.settle(ended)
    opened = await again(bench, (await bench.members())[:2])
    assert opened == 2
    found = await bench.ledger.item("b.packs", "p")
    assert found is not None
    assert (found.state, found.error_code, found.finished_at) == (S.PROCESSING, None, None)
    assert [(one.state, one.error_code) for one in await bench.members()] == [
        (S.PACKED, None),
        (S.PACKED, None),
        (S.FAILED, "pack_review_open"),
    ]
    assert await again(bench, (await bench.members())[2:]) == 1


async def again(bench: PackBench, members: list[Item]) -> int:
    return await pack_again(
        members, S.PROCESSING, ledger=bench.ledger, transitions=bench.transitions, reason="redriven", emit=bench.take
    )


async def test_files_whose_pack_the_ledger_does_not_have_stay_as_they_are() -> None:
    bench = PackBench()
    await bench.ends.settle(await bench.pack(S.FAILED, error_code="pack_unaccounted"))
    members = [replace(one, pack="another") for one in await bench.members()]
    assert await again(bench, members) == 0


@pytest.mark.parametrize(
    ("count", "named"), [(1, "1.csv"), (2, "1.csv and 1 other file"), (3, "1.csv and 2 other files")]
)
async def test_files_of_a_pack_that_were_copied_to_a_table_stay_as_they_are_with_a_notice(
    count: int, named: str
) -> None:
    bench = PackBench()
    await bench.pack(S.QUEUED)
    members = (await bench.members())[:count]
    ledger: Any = object()
    opened = await pack_again(
        members, S.PROCESSING, ledger=ledger, transitions=bench.transitions, reason="redriven", emit=bench.take
    )
    assert opened == 0
    assert bench.said == [f"{named} came with a pack: {IN_TABLE}"]


async def test_after_three_reviews_in_a_row_whose_errors_name_one_file_each_all_files_travel_alone() -> None:
    bench = PackBench()
    bench.names = tuple(f"{number}.csv" for number in range(9))
    pack, sizes = await bench.pack_in_review(), [9]
    while (end := (await bench.ends.end_review(pack))[1]).new_packs:
        (new,) = end.new_packs
        sizes.append(len(await bench.ledger.members("b", new.source)))
        remote = bench.vendor.add(CreateRequest(schema_id="s", original_filename="p"), status="NEEDS_REVIEW")
        creating = await bench.ledger.advance(new, S.CREATING, reason="x", attempts=1)
        created = await bench.created(creating, remote.import_id)
        pack = await bench.in_review(await bench.ledger.advance(created, S.PROCESSING, reason="x"))
    assert sizes == [9, 8, 7, 6]


@pytest.mark.parametrize(
    ("state", "trouble"),
    [
        (S.FAILED, {"error_code": "import_failed", "error_message": "no"}),
        (S.REJECTED, {"error_code": "member_unreadable", "error_message": "tag of 1.csv"}),
    ],
)
async def test_no_new_pack_is_made_of_a_pack_that_failed_if_packing_is_off_now(
    state: ItemState, trouble: dict[str, Any]
) -> None:
    bench = PackBench(9, is_off=True)
    end = await bench.ends.settle(await bench.pack(state, **trouble))
    assert end.new_packs == ()
    assert [(one.state, one.pack) for one in await bench.members()] == [(S.QUEUED, None)] * 9
    assert not [said for said in bench.said if "as two" in said]


async def test_no_new_pack_is_made_of_a_pack_in_review_if_packing_is_off_now() -> None:
    bench = PackBench(is_off=True)
    _, end = await bench.ends.end_review(await bench.pack_in_review())
    assert end.new_packs == ()
    assert {one.state for one in await bench.members()} == {S.QUEUED}


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


async def test_an_import_missed_within_a_day_of_the_refusal_was_deleted_however_late_that_is_proved() -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, RequestInvalid("no"))
    del bench.vendor.imports[pack.bound_id]
    for pause in (timedelta(hours=23), timedelta(days=2)):
        await asyncio.sleep(pause.total_seconds())
        with pytest.raises(NotYet):
            await bench.ends.end_review(pack)
        pack = await bench.ledger.item("b.packs", "p")  # type: ignore[assignment]
    await asyncio.sleep(PAUSE_S)
    ended, _ = await bench.ends.end_review(pack)
    assert ended.error_code == "dissolved"


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


@pytest.mark.parametrize("trouble", ["found again", "no answer to the second delete"])
async def test_files_are_held_if_their_import_is_missed_long_after_it_was_last_in_review_and_ever_refused(
    trouble: str,
) -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, RequestInvalid("no"))
    pack = await (found_again(bench, pack) if trouble == "found again" else after_trouble(bench, pack))
    await asyncio.sleep(timedelta(days=60).total_seconds())
    del bench.vendor.imports[pack.bound_id]
    ended, end = await until_gone(bench, pack)
    assert (ended.error_code, end.new_packs) == ("import_missing", ())


async def test_a_pack_whose_import_was_refused_found_again_and_missed_within_a_day_is_sent_otherwise() -> None:
    bench = PackBench()
    pack = await found_again(bench, await pack_whose_import_stays(bench, RequestInvalid("no")))
    del bench.vendor.imports[pack.bound_id]
    ended, end = await until_gone(bench, pack)
    assert (ended.error_code, len(end.new_packs)) == ("dissolved", 1)


async def test_a_pack_whose_import_was_seen_in_review_again_long_after_a_refusal_counts_from_then() -> None:
    bench = PackBench()
    pack = await pack_whose_import_stays(bench, RequestInvalid("no"))
    await asyncio.sleep(timedelta(days=60).total_seconds())
    pack = await after_trouble(bench, pack)
    del bench.vendor.imports[pack.bound_id]
    ended, end = await until_gone(bench, pack)
    assert (ended.error_code, len(end.new_packs)) == ("dissolved", 1)


async def found_again(bench: PackBench, pack: Item) -> Item:
    """Return the pack after a retrieve did not find its import, and the next list showed it."""
    remote = bench.vendor.imports.pop(pack.bound_id)
    with pytest.raises(NotYet):
        await bench.ends.end_review(pack)
    bench.vendor.imports[pack.bound_id] = remote
    retrieve = bench.vendor.retrieve

    async def not_found(_: str) -> None:
        raise ImportNotFound("Not found.")

    await asyncio.sleep(PAUSE_S)
    bench.vendor.retrieve = not_found  # type: ignore[method-assign, assignment]
    with pytest.raises(NotYet, match="its list shows it"):
        await bench.ends.end_review(await bench.ledger.item("b.packs", "p"))  # type: ignore[arg-type]
    bench.vendor.retrieve = retrieve  # type: ignore[method-assign]
    return await bench.ledger.item("b.packs", "p")  # type: ignore[return-value]


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

"""Packs whose imports were deleted in review, and whose reviews somebody has finished anyway."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from runner.errors import NotYet, RequestInvalid, Unavailable
from runner.models import Item, ItemState, RemoteImport
from runner.stages.pack_recipe import PackRecipe
from tests.support.pack_bench import PackBench
from tests.support.scripted import LoopClock

pytestmark = pytest.mark.virtual_time

S = ItemState


async def dissolved(bench: PackBench) -> RemoteImport:
    """Dissolve a pack, and return its import as it was."""
    pack = await bench.pack_in_review()
    remote = bench.vendor.imports[pack.bound_id]
    await bench.ends.end_review(pack)
    bench.said.clear()
    return remote


def finish(bench: PackBench, remote: RemoteImport) -> None:
    bench.vendor.imports[remote.import_id] = replace(remote, status="SUCCESSFUL")


async def named(bench: PackBench) -> dict[str, Item]:
    return {one.source: one for one in await bench.members()}


async def test_files_that_were_not_sent_again_are_held_with_their_places_in_the_pack_that_arrived() -> None:
    bench = PackBench()
    remote = await dissolved(bench)
    finish(bench, remote)
    await bench.dissolved.settle()
    members = await bench.members()
    assert [(one.state, one.error_code, one.is_held, one.carrying_id) for one in members] == [
        (S.FAILED, "pack_review_finished", True, remote.import_id)
    ] * 3
    assert [(one.tag, one.pack, one.pack_row) for one in members] == [
        (f"tag of {one.source}", "p", row) for row, one in enumerate(members, start=1)
    ]
    packs = [pack async for pack in bench.ledger.items("b.packs")]
    assert sorted((one.state, one.error_code) for one in packs) == [
        (S.FAILED, "dissolved"),
        (S.FAILED, "pack_review_finished"),
    ]
    (said,) = bench.said
    assert said.startswith("somebody finished the review of import import-1 after it was deleted; ")
    assert said.endswith("3 files (1.csv, 2.csv, 3.csv): not sent again; `bulkhead redrive` fetches the results")


@pytest.mark.parametrize(("count", "more"), [(5, ""), (7, " and 2 more")])
async def test_many_files_that_were_not_sent_again_are_named_in_part(count: int, more: str) -> None:
    bench = PackBench(count)
    finish(bench, await dissolved(bench))
    await bench.dissolved.settle()
    (said,) = bench.said
    assert f"{count} files (1.csv, 2.csv, 3.csv, 4.csv, 5.csv{more}): not sent again" in said


async def test_files_of_a_pack_that_was_sent_instead_are_named_and_stay_as_they_are() -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()
    remote = bench.vendor.imports[pack.bound_id]
    (instead,) = (await bench.ends.end_review(pack))[1].new_packs
    bench.said.clear()
    await bench.ledger.advance(instead, S.CREATING, reason="x", attempts=1)
    finish(bench, remote)
    await bench.dissolved.settle()
    assert [one.state for one in await bench.members()] == [S.FAILED, S.PACKED, S.PACKED]
    (said,) = bench.said
    assert "1 file (1.csv): not sent again" in said
    assert "2 files (2.csv, 3.csv): sent again since, or changed" in said


async def test_a_review_that_is_still_open_after_its_import_was_deleted_changes_nothing() -> None:
    bench = PackBench()
    remote = await dissolved(bench)
    before = await bench.members()
    bench.vendor.imports[remote.import_id] = remote
    await bench.dissolved.settle()
    assert (await bench.members(), bench.said) == (before, [])


async def test_nothing_is_held_or_told_if_a_file_moves_while_a_dissolved_pack_is_looked_at() -> None:
    bench = PackBench()
    remote = await dissolved(bench)
    finish(bench, remote)
    read = bench.ledger.members

    async def members(batch_id: str, pack: str) -> list[Item]:
        found = await read(batch_id, pack)
        if pack == "p":
            await bench.ledger.advance(found[0], S.CREATING, reason="x", attempts=1)
        return found

    bench.ledger.members = members  # type: ignore[method-assign]
    await bench.dissolved.settle()
    assert [one.state for one in await bench.members()] == [S.CREATING, S.PACKED, S.PACKED]
    assert bench.said == []


async def test_files_that_were_sent_again_are_named_and_stay_as_they_are() -> None:
    bench = PackBench()
    remote = await dissolved(bench)
    alone = (await named(bench))["1.csv"]
    await bench.ledger.advance(alone, S.CREATING, reason="x", attempts=1, tag="another")
    finish(bench, remote)
    await bench.dissolved.settle()
    assert {source: one.state for source, one in (await named(bench)).items()} == {
        "1.csv": S.CREATING,
        "2.csv": S.FAILED,
        "3.csv": S.FAILED,
    }
    (said,) = bench.said
    assert said.endswith(
        "1 file (1.csv): sent again since, or changed, so the vendor may have more rows than it should"
    )


async def test_a_file_that_has_changed_since_is_not_held_because_of_its_older_rows() -> None:
    bench = PackBench()
    remote = await dissolved(bench)
    alone = (await named(bench))["1.csv"]
    tried = await bench.ledger.advance(alone, S.CREATING, reason="x", attempts=1, tag="of other content")
    await bench.ledger.advance(tried, S.QUEUED, reason="no create succeeded")
    finish(bench, remote)
    await bench.dissolved.settle()
    assert {source: one.state for source, one in (await named(bench)).items()} == {
        "1.csv": S.QUEUED,
        "2.csv": S.FAILED,
        "3.csv": S.FAILED,
    }
    (said,) = bench.said
    assert said.endswith(
        "1 file (1.csv): sent again since, or changed, so the vendor may have more rows than it should"
    )


async def test_a_pack_that_arrived_is_told_of_once() -> None:
    bench = PackBench()
    finish(bench, await dissolved(bench))
    await bench.dissolved.settle()
    await bench.dissolved.settle()
    assert len(bench.said) == 1
    assert await bench.dissolved.watched() == []


async def test_files_wait_for_nothing_if_the_import_is_gone() -> None:
    bench = PackBench()
    await dissolved(bench)
    await bench.dissolved.settle()
    assert (await named(bench))["1.csv"].state is S.QUEUED
    assert bench.said == []


async def test_trouble_with_the_vendor_is_a_notice_and_a_later_run_asks_again() -> None:
    bench = PackBench()
    remote = await dissolved(bench)
    finish(bench, remote)

    async def fails(_: str) -> RemoteImport:
        raise Unavailable("503")

    asked, bench.vendor.retrieve = bench.vendor.retrieve, fails  # type: ignore[method-assign]
    await bench.dissolved.settle()
    assert bench.said == ["whether reviews of packs were finished after they were deleted is not known: 503"]
    bench.vendor.retrieve = asked  # type: ignore[method-assign]
    await bench.dissolved.settle()
    assert (await named(bench))["1.csv"].error_code == "pack_review_finished"


async def test_a_dissolved_pack_is_asked_for_during_thirty_days() -> None:
    bench = PackBench()
    await dissolved(bench)
    pack = await bench.ledger.item("b.packs", "p")
    assert pack is not None
    begin = LoopClock().now() - timedelta(days=30)
    for source, seconds in (("just in time", 1), ("too old", -1)):
        at = begin + timedelta(seconds=seconds)
        await bench.ledger.add([replace(pack, source=source, import_id=source, finished_at=at)])
    assert [one.source for one in await bench.dissolved.watched()] == ["p", "just in time"]
    await asyncio.sleep(31 * 86400.0)
    assert await bench.dissolved.watched() == []


async def test_the_fifty_newest_dissolved_packs_that_had_imports_and_list_their_members_are_asked_for() -> None:
    bench = PackBench()
    await dissolved(bench)
    pack = await bench.ledger.item("b.packs", "p")
    assert pack is not None
    assert pack.finished_at is not None
    without_members = replace(PackRecipe.of(pack), members=()).text
    others = [
        replace(
            pack,
            source=f"p{number:02}",
            import_id=f"old-{number:02}",
            finished_at=pack.finished_at - timedelta(hours=number),
        )
        for number in range(1, 52)
    ]
    left_out = [
        replace(pack, source="unsent", import_id=None),
        replace(pack, source="failed", import_id="x", error_code="import_failed"),
        replace(pack, source="of an earlier version", import_id="y", version=without_members),
    ]
    await bench.ledger.add([*others, *left_out])
    assert [one.source for one in await bench.dissolved.watched()] == [
        "p",
        *[f"p{number:02}" for number in range(1, 50)],
    ]


async def kept_in_review(bench: PackBench) -> RemoteImport:
    """End a pack whose import the vendor refuses to delete, and return the import."""
    pack = await bench.pack_in_review()

    async def refuse(_: str) -> None:
        raise RequestInvalid("no")

    bench.vendor.delete = refuse  # type: ignore[method-assign]
    with pytest.raises(NotYet):
        await bench.ends.end_review(pack)
    again = await bench.ledger.item(pack.batch_id, pack.source)
    assert again is not None
    ended, _ = await bench.ends.end_review(again)
    await bench.ends.settle(ended)
    bench.said.clear()
    return bench.vendor.imports[pack.bound_id]


async def test_a_review_that_could_not_be_deleted_and_is_finished_is_told_of_once_and_its_files_stay_held() -> None:
    bench = PackBench()
    remote = await kept_in_review(bench)
    await bench.dissolved.settle()
    assert {one.error_code for one in await bench.members()} == {"pack_review_open"}
    finish(bench, remote)
    await bench.dissolved.settle()
    await bench.dissolved.settle()
    assert [(one.state, one.error_code, one.is_held, one.carrying_id) for one in await bench.members()] == [
        (S.FAILED, "pack_review_finished", True, remote.import_id)
    ] * 3
    (said,) = bench.said
    assert said.startswith(
        "somebody finished the review of import import-1, which could not be deleted; 3 files (1.csv,"
    )
    assert said.endswith("not sent again; `bulkhead redrive` fetches the results")


async def test_a_dismissed_file_of_a_pack_whose_review_is_finished_stays_dismissed() -> None:
    bench = PackBench()
    remote = await kept_in_review(bench)
    one = (await named(bench))["1.csv"]
    await bench.ledger.advance(one, S.FAILED, reason="dismissed", error_code="dismissed")
    finish(bench, remote)
    await bench.dissolved.settle()
    assert [one.error_code for one in await bench.members()] == [
        "dismissed",
        "pack_review_finished",
        "pack_review_finished",
    ]
    (said,) = bench.said
    assert "1.csv" not in said


async def test_a_file_that_was_sent_again_and_dismissed_since_is_named() -> None:
    bench = PackBench()
    remote = await dissolved(bench)
    sent = await bench.ledger.advance((await named(bench))["1.csv"], S.CREATING, reason="x", attempts=1, tag="another")
    await bench.ledger.advance(sent, S.FAILED, reason="dismissed", error_code="dismissed")
    finish(bench, remote)
    await bench.dissolved.settle()
    (said,) = bench.said
    assert "1 file (1.csv): sent again since, or changed" in said


@pytest.mark.parametrize("end", ["rejected", "released", "failed", "unreadable"])
async def test_files_are_held_as_well_if_the_pack_that_was_made_instead_brought_in_nothing(end: str) -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()
    remote = bench.vendor.imports[pack.bound_id]
    _, dissolved_end = await bench.ends.end_review(pack)
    (instead,) = dissolved_end.new_packs
    if end == "released":
        await bench.ends.release(instead, "the filters leave out files of it")
    elif end == "failed":
        for state in (S.CREATING, S.CREATED, S.PROCESSING):
            instead = await bench.ledger.advance(instead, state, reason="x", attempts=1)
        await bench.ends.settle(await bench.ledger.advance(instead, S.FAILED, reason="x", error_code="import_failed"))
    else:
        code, message = ("member_changed", "x") if end == "rejected" else ("member_unreadable", "tag of 2.csv")
        rejected = await bench.ledger.advance(instead, S.REJECTED, reason="x", error_code=code, error_message=message)
        await bench.ends.settle(rejected)
    assert {one.state for one in await bench.members()} == {S.QUEUED}
    finish(bench, remote)
    await bench.dissolved.settle()
    assert [(one.state, one.error_code, one.pack, one.carrying_id) for one in await bench.members()] == [
        (S.FAILED, "pack_review_finished", "p", remote.import_id)
    ] * 3

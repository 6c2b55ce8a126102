"""Packs of a lost ledger: which of today's files they have, and what becomes of an import that waits for its upload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from runner import identity
from runner.config.routes import Routes
from runner.errors import FileUnavailable, ImportNotFound, ItemRejected, Stopped
from runner.ledger.protocol import Move
from runner.models import FILTERED_OUT, CreateRequest, RemoteImport
from runner.models import ItemState as S
from runner.packing.body import PackName
from runner.stages.lost_packs import Adoption
from runner.stages.pack_recipe import PackRecipe
from runner.stop import StopReason
from tests.support.lost_packs import RECIPE, ROUTE, LostPackBench
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time


async def test_files_that_are_as_they_were_sent_are_members_and_a_changed_one_is_not(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv", "3.csv")
    import_id = await bench.sent()
    bench.files.contents["2.csv"] = "other content"
    adoption = await bench.adopt()
    (pack,) = adoption.packs
    assert (pack.state, pack.import_id, pack.source) == (S.CREATED, import_id, bench.tag)
    assert await bench.states() == {"1.csv": S.PACKED, "2.csv": S.QUEUED, "3.csv": S.PACKED}
    members = await bench.ledger.members("b", bench.tag)
    assert {one.source: (one.tag, one.pack_rows) for one in members} == {
        name: (bench.tags[name], 2) for name in ("1.csv", "3.csv")
    }
    first = {tag: 1 + 2 * place for place, tag in enumerate(sorted(bench.tags.values()))}
    assert [one.pack_row for one in members] == [first[one.tag or ""] for one in members]
    assert bench.said == ["2 files came with 1 pack of a lost ledger, and are not sent again; changed or gone since: 1"]


async def test_a_pack_is_adopted_once(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    assert len((await bench.adopt()).packs) == 1
    assert await bench.adopt() == Adoption()


@pytest.mark.parametrize("code", ["not_found", "empty", "too_large"])
async def test_a_file_that_is_gone_or_no_table_any_more_is_no_member(tmp_path: Path, code: str) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    bench.files.contents["2.csv"] = ItemRejected(code, "no")
    assert len((await bench.adopt()).packs) == 1
    assert (await bench.states())["2.csv"] is S.QUEUED


@pytest.mark.parametrize("status", ["SUCCESSFUL", "AWAITING_UPLOAD"])
async def test_a_pack_of_which_no_file_is_as_it_was_is_passed_over_at_once(tmp_path: Path, status: str) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status=status)
    bench.files.contents = {"1.csv": "other content"}
    assert (await bench.adopt(), bench.said) == (Adoption(), [])


@pytest.mark.parametrize("error", [ItemRejected("unreadable", "permission denied"), FileUnavailable("stale handle")])
async def test_nothing_is_sent_while_a_file_of_the_pack_cannot_be_read(tmp_path: Path, error: Exception) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    bench.files.contents["2.csv"] = error
    adoption = await bench.adopt()
    assert adoption.packs == []
    assert f"2.csv may be as it was sent with it, and cannot be read now: {error}" in str(adoption.unknown[bench.tag])
    assert bench.said == []


async def test_nothing_is_sent_while_the_run_leaves_out_a_file_that_is_as_it_was_sent(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    await bench.move("2.csv", S.SKIPPED, error_code=FILTERED_OUT)
    adoption = await bench.adopt()
    assert "2.csv is as it was sent with it, and this run leaves it out" in str(adoption.unknown[bench.tag])
    assert (await bench.states())["1.csv"] is S.QUEUED


async def test_a_file_that_has_an_import_of_its_own_is_no_member(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    name = identity.tagged_filename("2.csv", bench.tags["2.csv"])
    own = bench.vendor.add(CreateRequest(original_filename=name), status="SUCCESSFUL")
    await bench.ledger.keep_orphans([own])
    await bench.adopt()
    assert await bench.states() == {"1.csv": S.PACKED, "2.csv": S.QUEUED}


async def test_an_import_that_waits_for_its_upload_is_bound_if_the_pack_can_be_built_again(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="AWAITING_UPLOAD")
    (pack,) = (await bench.adopt()).packs
    assert (pack.import_id, pack.fingerprint) == (import_id, "sha256:1")


async def test_an_import_that_waits_for_its_upload_is_given_up_once_no_upload_can_be_on_its_way(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="AWAITING_UPLOAD")
    bench.files.contents["2.csv"] = "other content"
    began = bench.vendor.clock.ticks()
    assert await bench.adopt() == Adoption()
    assert bench.vendor.clock.ticks() - began >= bench.options.settle_s
    assert set((await bench.states()).values()) == {S.QUEUED}
    assert bench.said == ["1 pack of a lost ledger may still be on the way: the run waits 120 s"]


@pytest.mark.parametrize("fate", ["failed", "deleted"])
async def test_an_import_that_has_ended_without_data_since_it_was_listed_is_not_waited_for(
    tmp_path: Path, fate: str
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="AWAITING_UPLOAD")
    if fate == "failed":
        bench.vendor.change(import_id, status="FAILED")
    else:
        del bench.vendor.imports[import_id]
    assert (await bench.adopt(), bench.said) == (Adoption(), [])


async def test_an_adopted_pack_is_recorded_as_the_lost_ledger_had_it(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent()
    made_at = EPOCH - timedelta(hours=1)
    await bench.ledger.keep_orphans([replace(bench.vendor.imports[import_id], created_at=made_at)])
    (pack,) = (await bench.adopt()).packs
    route = RECIPE.route(Routes([ROUTE]))
    assert route is not None
    recipe = PackRecipe.of(pack)
    assert (pack.created_at, pack.intent_at, pack.binding) == (made_at, made_at, route.binding)
    assert (recipe.is_adopted, [tag for tag, _ in recipe.members]) == (True, sorted(bench.tags.values()))


@pytest.mark.parametrize("trouble", ["it cannot be read", "the run leaves it out"])
async def test_an_import_without_data_is_given_up_although_nobody_knows_whether_a_file_is_as_it_was(
    tmp_path: Path, trouble: str
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="AWAITING_UPLOAD")
    if trouble == "it cannot be read":
        bench.files.contents["2.csv"] = ItemRejected("unreadable", "permission denied")
    else:
        await bench.move("2.csv", S.SKIPPED, error_code=FILTERED_OUT)
    began = bench.vendor.clock.ticks()
    assert await bench.adopt() == Adoption()
    assert bench.vendor.clock.ticks() - began >= bench.options.settle_s
    assert (await bench.states())["1.csv"] is S.QUEUED


async def test_data_that_arrives_while_the_run_waits_counts_although_a_file_cannot_be_read(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="AWAITING_UPLOAD")
    bench.files.contents["2.csv"] = ItemRejected("unreadable", "permission denied")
    asyncio.get_running_loop().call_later(60, lambda: bench.vendor.change(import_id, status="RUNNING"))
    adoption = await bench.adopt()
    assert adoption.packs == []
    assert "2.csv may be as it was sent with it, and cannot be read now" in str(adoption.unknown[bench.tag])


@pytest.mark.parametrize("event", ["an upload arrives", "it fails", "it is deleted"])
async def test_what_happens_to_an_import_while_the_run_waits_decides(tmp_path: Path, event: str) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="AWAITING_UPLOAD")
    bench.files.contents["2.csv"] = "other content"
    happens: dict[str, Callable[[], object]] = {
        "an upload arrives": lambda: bench.vendor.change(import_id, status="RUNNING"),
        "it fails": lambda: bench.vendor.change(import_id, status="FAILED"),
        "it is deleted": lambda: bench.vendor.imports.pop(import_id),
    }
    asyncio.get_running_loop().call_later(60, happens[event])
    adoption = await bench.adopt()
    assert [one.import_id for one in adoption.packs] == ([import_id] if event == "an upload arrives" else [])
    assert adoption.unknown == {}


async def test_an_import_without_data_of_a_pack_that_the_ledger_knows_is_not_lost(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    await bench.adopt()
    name = str(PackName(2, bench.tag, identity.short("inbox")))
    await bench.ledger.keep_orphans([bench.vendor.add(CreateRequest(original_filename=name))])
    assert await bench.adopt() == Adoption()


async def test_of_several_imports_of_a_pack_the_newest_with_data_is_the_one_that_is_lost(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    now = bench.vendor.clock.now()
    newest = await bench.another_import(status="RUNNING", created_at=now + timedelta(seconds=2))
    await bench.another_import(status="RUNNING", created_at=now + timedelta(seconds=1))
    await bench.another_import(created_at=now + timedelta(seconds=3))
    await bench.another_import(status="FAILED", created_at=now + timedelta(seconds=4))
    assert [one.remote.import_id for one in (await bench.lost().found()).values()] == [newest.import_id]


async def test_a_pack_that_a_person_passes_over_is_not_lost_and_a_tag_that_no_pack_has_is_named(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    assert list(await bench.lost(ignored=["another"]).found()) == [bench.tag]
    lost = bench.lost(ignored=[bench.tag, "x", "another"])
    assert (await lost.found(), await lost.unmatched()) == ({}, ["another", "x"])


@pytest.mark.parametrize(("schemas", "counts"), [(None, True), ({"s"}, True), ({None, "t"}, False)])
async def test_a_pack_of_another_source_counts_only_if_a_route_of_the_run_has_its_schema(
    tmp_path: Path, schemas: set[str | None] | None, counts: bool
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(source_uri="elsewhere")
    await bench.ledger.keep_orphans([replace(bench.vendor.imports[import_id], schema_id="s")])
    lost = bench.lost(schemas=schemas)
    assert (await lost.found(), bool(await lost.of_other_sources())) == ({}, counts)


async def test_a_pack_of_another_source_that_waits_for_its_upload_does_not_count(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(source_uri="elsewhere", status="AWAITING_UPLOAD")
    assert await bench.lost().of_other_sources() == {}


async def test_a_pack_that_was_given_up_before_it_was_sent_is_taken_up_with_the_import_of_the_lost_ledger(
    tmp_path: Path,
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent()
    given_up = await bench.packed("1.csv", "2.csv")
    await bench.ledger.advance_all(
        [
            Move(item=given_up, state=S.FAILED, reason="x", changes={"error_code": "dissolved"}),
            *[
                Move(item=one, state=S.QUEUED, reason="x", changes={"tag": None})
                for one in await bench.ledger.members("b", bench.tag)
            ],
        ]
    )
    (pack,) = (await bench.adopt()).packs
    assert (pack.source, pack.state, pack.import_id) == (bench.tag, S.PROCESSING, import_id)
    assert (pack.error_code, pack.finished_at, pack.attempts) == (None, None, 1)
    assert set((await bench.states()).values()) == {S.PACKED}
    batch = await bench.ledger.batch("b")
    assert batch is not None
    assert batch.counters == {"creates": 1}


async def test_nothing_is_sent_if_the_ledger_has_sent_the_pack_itself_or_a_file_moves_meanwhile(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    await bench.packed("1.csv", "2.csv")
    for member in await bench.ledger.members("b", bench.tag):
        await bench.ledger.advance(member, S.QUEUED, reason="x", tag=None)
    assert "nobody knows which files were in it" in str((await bench.adopt()).unknown[bench.tag])

    moving = LostPackBench(tmp_path, "1.csv", "2.csv")
    await moving.sent()
    start = moving.maker.start

    async def move_and_start() -> None:
        await moving.move("2.csv", S.SKIPPED)
        await start()

    moving.maker.start = move_and_start  # type: ignore[method-assign]
    assert list((await moving.adopt()).unknown) == [moving.tag]
    assert (await moving.states())["1.csv"] is S.QUEUED


async def test_an_import_that_the_vendor_shows_only_in_its_list_is_still_there(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="AWAITING_UPLOAD")
    await asyncio.sleep(86400.0)

    async def not_found(_: str) -> RemoteImport:
        raise ImportNotFound("Not found.")

    bench.vendor.retrieve = not_found  # type: ignore[method-assign]
    assert [pack.import_id for pack in (await bench.adopt()).packs] == [import_id]


@pytest.mark.parametrize(("age", "waits"), [(timedelta(days=7), True), (timedelta(days=7, seconds=121), False)])
async def test_an_upload_may_be_on_its_way_for_as_long_as_the_url_of_an_import_can_be_used(
    tmp_path: Path, age: timedelta, waits: bool
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="AWAITING_UPLOAD", with_list=False)
    remote = replace(bench.vendor.imports[import_id], created_at=bench.vendor.clock.now() - age)
    bench.vendor.imports[import_id] = remote
    await bench.ledger.keep_orphans([remote])
    await bench.adopt()
    assert bool(bench.said) == waits


async def test_a_stop_while_the_run_waits_for_an_upload_ends_the_run_before_anything_is_sent(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="AWAITING_UPLOAD", with_list=False)
    bench.stop.request(StopReason.INTERRUPTED)
    with pytest.raises(Stopped, match="before it is known whether packs of a lost ledger have arrived"):
        await bench.adopt()


async def test_again_adopts_nothing(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent()
    bench.options = replace(bench.options, again=True)
    adoption = await bench.adopt()
    assert (adoption.packs, list(adoption.unknown)) == ([], [bench.tag])


@pytest.mark.parametrize(("first", "second"), [("AWAITING_UPLOAD", "SUCCESSFUL"), ("SUCCESSFUL", "AWAITING_UPLOAD")])
async def test_of_two_packs_with_the_same_file_that_with_data_is_adopted_and_the_other_gets_none(
    tmp_path: Path, first: str, second: str
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    arrived = {first: await bench.sent(status=first)}
    arrived[second] = (await bench.another_pack("2.csv", status=second)).import_id
    adoption = await bench.adopt()
    assert [one.import_id for one in adoption.packs] == [arrived["SUCCESSFUL"]]
    assert adoption.unknown == {}
    assert (await bench.states())["2.csv"] == S.PACKED


@pytest.mark.parametrize("with_list", [True, False])
@pytest.mark.parametrize("arrives_late", [True, False])
async def test_a_pack_that_waits_gets_no_file_that_may_be_in_one_with_data_whose_files_cannot_be_told(
    tmp_path: Path, with_list: bool, arrives_late: bool
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="AWAITING_UPLOAD" if arrives_late else "RUNNING", with_list=with_list)
    await bench.another_pack("2.csv", status="AWAITING_UPLOAD")
    if with_list:
        bench.files.contents["1.csv"] = FileUnavailable("stale handle")
    asyncio.get_running_loop().call_later(60, lambda: bench.vendor.change(import_id, status="RUNNING"))
    adoption = await bench.adopt()
    assert (adoption.packs, list(adoption.unknown)) == ([], [bench.tag])
    assert set((await bench.states()).values()) == {S.QUEUED}


async def test_of_two_packs_with_the_same_file_that_wait_that_whose_data_arrives_is_adopted(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="AWAITING_UPLOAD")
    arrives = (await bench.another_pack("2.csv", status="AWAITING_UPLOAD")).import_id
    asyncio.get_running_loop().call_later(60, lambda: bench.vendor.change(arrives, status="RUNNING"))
    adoption = await bench.adopt()
    assert ([one.import_id for one in adoption.packs], adoption.unknown) == ([arrives], {})
    assert await bench.states() == {"1.csv": S.QUEUED, "2.csv": S.PACKED}


async def test_of_two_packs_with_the_same_file_that_wait_in_vain_one_is_built_again(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    first = await bench.sent(status="AWAITING_UPLOAD")
    await bench.another_pack("2.csv", status="AWAITING_UPLOAD")
    adoption = await bench.adopt()
    assert ([one.import_id for one in adoption.packs], adoption.unknown) == ([first], {})
    assert set((await bench.states()).values()) == {S.PACKED}


async def test_a_pack_that_waits_is_not_built_again_before_it_is_known_what_came_with_one_without_a_list(
    tmp_path: Path,
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    arrives = await bench.sent(status="AWAITING_UPLOAD", with_list=False)
    await bench.another_pack("2.csv", status="AWAITING_UPLOAD")
    asyncio.get_running_loop().call_later(60, lambda: bench.vendor.change(arrives, status="SUCCESSFUL"))
    adoption = await bench.adopt()
    assert ([one.import_id for one in adoption.packs], adoption.unknown) == ([arrives], {})
    assert set((await bench.states()).values()) == {S.PACKED}


async def test_packs_that_wait_and_have_no_file_in_common_are_built_again_at_once(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv", "3.csv")
    await bench.sent(status="AWAITING_UPLOAD")
    bench.vendor.imports.clear()
    await bench.another_pack("1.csv", "3.csv", status="AWAITING_UPLOAD")
    await bench.another_pack("2.csv", status="AWAITING_UPLOAD")
    assert len((await bench.adopt()).packs) == 2
    assert set((await bench.states()).values()) == {S.PACKED}
    assert not [one for one in bench.said if "the run waits" in one]


@pytest.mark.parametrize("with_list", [True, False])
@pytest.mark.parametrize("arrives_late", [True, False])
async def test_a_file_whose_own_import_waits_for_its_upload_gets_its_rows_from_a_pack_that_has_its_data(
    tmp_path: Path, with_list: bool, arrives_late: bool
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="AWAITING_UPLOAD" if arrives_late else "SUCCESSFUL", with_list=with_list)
    name = identity.tagged_filename("2.csv", bench.tags["2.csv"])
    own = bench.vendor.add(CreateRequest(original_filename=name), status="AWAITING_UPLOAD")
    await bench.ledger.keep_orphans([own])
    asyncio.get_running_loop().call_later(60, lambda: bench.vendor.change(import_id, status="SUCCESSFUL"))
    assert [one.import_id for one in (await bench.adopt()).packs] == [import_id]
    assert set((await bench.states()).values()) == {S.PACKED}


async def test_a_pack_that_waits_is_not_built_again_with_a_file_whose_own_import_waits_too(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="AWAITING_UPLOAD")
    name = identity.tagged_filename("2.csv", bench.tags["2.csv"])
    await bench.ledger.keep_orphans([bench.vendor.add(CreateRequest(original_filename=name))])
    assert await bench.adopt() == Adoption()
    assert set((await bench.states()).values()) == {S.QUEUED}

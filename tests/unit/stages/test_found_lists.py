"""Packs of a lost ledger whose lists are lost, too: what the results of their imports tell of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.errors import FileUnavailable, Unavailable
from runner.models import FAILED_BEFORE, FILTERED_OUT, Item
from runner.models import ItemState as S
from runner.stages.lost_packs import Adoption
from tests.support.lost_packs import LostPackBench, content_of

pytestmark = pytest.mark.virtual_time


async def lost(out: Path, *, status: str = "SUCCESSFUL", **metadata: Any) -> LostPackBench:
    """Return a bench with a pack of three files of two rows each, without a list."""
    bench = LostPackBench(out, "1.csv", "2.csv", "3.csv")
    import_id = await bench.sent(status=status, with_list=False)
    bench.vendor.change(import_id, result_metadata=metadata)
    return bench


async def refusal(bench: LostPackBench) -> str:
    """Return what is said of the pack, of which nothing was adopted."""
    adoption = await bench.adopt()
    assert adoption.packs == []
    assert set((await bench.states()).values()) <= {S.QUEUED, S.SKIPPED}
    assert f"--ignore-pack {bench.tag}" in (adoption.unknown[bench.tag].hint or "")
    return str(adoption.unknown[bench.tag])


async def test_the_markers_of_a_result_name_the_members(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    bench.files.contents["2.csv"] = content_of("another file")
    (pack,) = (await bench.adopt()).packs
    assert pack.source == bench.tag
    assert await bench.states() == {"1.csv": S.PACKED, "2.csv": S.QUEUED, "3.csv": S.PACKED}
    assert bench.said == ["2 files came with 1 pack of a lost ledger, and are not sent again; changed or gone since: 1"]
    members = await bench.ledger.members("b", bench.tag)
    first = {tag: 1 + 2 * place for place, tag in enumerate(sorted(bench.tags.values()))}
    assert {one.tag: (one.pack_row, one.pack_rows) for one in members} == {
        bench.tags[name]: (first[bench.tags[name]], 2) for name in ("1.csv", "3.csv")
    }


async def test_rows_that_the_import_left_out_count(tmp_path: Path) -> None:
    bench = await lost(tmp_path, errors=[{"rowIndex": index} for index in (1, 3, 5)])
    bench.vendor.result = bench.result_of(bench.tags.values(), numbers=[1])
    bench.files.contents["2.csv"] = content_of("another file")
    assert len((await bench.adopt()).packs) == 1
    assert {one.pack_rows for one in await bench.ledger.members("b", bench.tag)} == {2}


async def test_a_pack_of_which_no_file_is_as_it_was_is_passed_over(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    bench.files.contents = {}
    assert await bench.adopt() == Adoption()


async def test_a_result_that_lacks_a_member_proves_nothing(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    bench.vendor.result = bench.result_of(sorted(bench.tags.values())[:2])
    assert "its result does not name all files that were in it" in await refusal(bench)


async def test_a_result_that_lacks_rows_proves_nothing(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    bench.vendor.result = bench.result_of(bench.tags.values(), numbers=[1])
    assert "its result does not account for all rows that were sent" in await refusal(bench)


async def test_a_result_with_a_damaged_marker_proves_nothing(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    bench.vendor.result = bench.result_of([*bench.tags.values(), "?"])
    assert "its result does not tell which files were in it" in await refusal(bench)


@pytest.mark.parametrize("status", ["RUNNING", "NEEDS_REVIEW"])
async def test_an_import_that_has_not_ended_tells_nothing(tmp_path: Path, status: str) -> None:
    bench = await lost(tmp_path, status=status)
    assert f"it is {status} now: run again once it has ended" in await refusal(bench)


async def test_an_import_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    bench.vendor.imports.clear()
    assert "the vendor does not find it now" in await refusal(bench)


async def test_a_run_that_leaves_out_files_does_not_take_them_for_changed(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    await bench.move("2.csv", S.SKIPPED, error_code=FILTERED_OUT)
    assert "this run leaves out some files" in await refusal(bench)


@pytest.mark.parametrize("with_list", [True, False], ids=["with its list", "by its result"])
@pytest.mark.parametrize("source_uri", ["inbox", "list"], ids=["own source", "another source"])
async def test_a_file_whose_own_import_failed_before_gets_its_rows_from_the_pack(
    tmp_path: Path, source_uri: str, with_list: bool
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(source_uri=source_uri, with_list=with_list)
    await bench.move("2.csv", S.FAILED, error_code=FAILED_BEFORE, error_message="x", earlier_batch_id="earlier")
    adoption = await bench.adopt()
    assert (len(adoption.packs), adoption.unknown) == (1, {})
    assert await bench.states() == {"1.csv": S.PACKED, "2.csv": S.PACKED}
    joined = await bench.ledger.item("b", "2.csv")
    assert joined is not None
    assert (joined.pack, joined.error_code, joined.error_message, joined.earlier_batch_id) == (
        bench.tag, None, None, None,
    )  # fmt: skip


@pytest.mark.parametrize("source_uri", ["inbox", "list"], ids=["own source", "another source"])
async def test_a_file_that_failed_before_and_was_not_in_the_pack_stops_nothing(tmp_path: Path, source_uri: str) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(source_uri=source_uri, with_list=False)
    await bench.ledger.add([Item(batch_id="b", source="3.csv")])
    bench.files.contents["3.csv"] = content_of("3.csv")
    await bench.move("3.csv", S.FAILED, error_code=FAILED_BEFORE)
    bench.files.contents["2.csv"] = content_of("2.csv" if source_uri == "list" else "another file")
    adoption = await bench.adopt()
    assert (len(adoption.packs), adoption.unknown) == (1, {})
    assert (await bench.states())["3.csv"] is S.FAILED


async def test_a_pack_of_another_source_whose_only_file_in_the_run_failed_before_stops_nothing(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv", "3.csv")
    await bench.sent(source_uri="list")
    bench.files.contents |= {"2.csv": content_of("a"), "3.csv": content_of("b")}
    await bench.move("1.csv", S.FAILED, error_code=FAILED_BEFORE)
    assert await bench.adopt() == Adoption()


async def test_an_import_without_data_does_not_get_a_file_that_the_vendor_refused_before(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="AWAITING_UPLOAD")
    await bench.move("2.csv", S.FAILED, error_code=FAILED_BEFORE)
    assert await bench.adopt() == Adoption()
    assert await bench.states() == {"1.csv": S.QUEUED, "2.csv": S.FAILED}


@pytest.mark.parametrize("state", [S.QUEUED, S.FAILED], ids=["queued", "failed before"])
async def test_a_file_that_cannot_be_read_does_not_hold_up_a_pack_whose_files_are_all_found(
    tmp_path: Path, state: S
) -> None:
    bench = await lost(tmp_path)
    await bench.ledger.add([Item(batch_id="b", source="4.csv")])
    if state is S.FAILED:
        await bench.move("4.csv", S.FAILED, error_code=FAILED_BEFORE)
    bench.files.contents["4.csv"] = FileUnavailable("stale handle")
    adoption = await bench.adopt()
    assert (len(adoption.packs), adoption.unknown) == (1, {})


async def test_nothing_is_sent_while_a_file_cannot_be_read(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    bench.files.contents["2.csv"] = FileUnavailable("stale handle")
    assert "2.csv" in await refusal(bench)


async def test_a_result_that_cannot_be_fetched_now_is_fetched_later(tmp_path: Path) -> None:
    bench = await lost(tmp_path)
    bench.vendor.get_script.extend([Unavailable("cut")] * 20)
    with pytest.raises(Unavailable):
        await bench.adopt()
    bench.vendor.get_script.clear()
    assert len((await bench.adopt()).packs) == 1

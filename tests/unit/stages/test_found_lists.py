"""Packs of a lost ledger whose lists are lost, too: what the results of their imports tell of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.errors import FileUnavailable, Unavailable
from runner.models import FILTERED_OUT
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

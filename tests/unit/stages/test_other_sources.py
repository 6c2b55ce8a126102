"""Packs of other sources whose ledger is lost: they may have files of this run, whatever they were sent from."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner import identity
from runner.errors import FileUnavailable, ForeignImports, ItemRejected, RequestInvalid, Stopped, Unavailable
from runner.models import CreateRequest, Item, ItemKind, RemoteImport
from runner.models import ItemState as S
from runner.packing.body import PackName, pack_tag
from runner.packing.member import MEMBER_BYTES_MAX
from runner.stages.known_packs import KnownPacks
from runner.stages.lost_packs import Adoption
from runner.stages.other_sources import WAIT_S
from runner.stages.pack_lists import FOLDER
from runner.stop import StopReason
from tests.support.lost_packs import BATCH, CountedSink, LostPackBench, content_of
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time

WAITS = "1 pack of other sources may have files of this run: the run waits for the end of their imports, 300 s at most"
KNOWN_1, KNOWN_2 = (f"{identity.short(BATCH.source_uri)}.others-{number}.json" for number in (1, 2))


@pytest.mark.parametrize("with_list", [True, False], ids=["with its list", "by its result"])
async def test_a_pack_of_another_source_is_adopted_if_all_of_its_files_are_in_the_run(
    tmp_path: Path, with_list: bool
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(with_list=with_list, source_uri="list")
    (pack,) = (await bench.adopt()).packs
    assert (pack.import_id, pack.source) == (import_id, bench.tag)
    assert set((await bench.states()).values()) == {S.PACKED}
    assert bench.said == ["2 files came with 1 pack of a lost ledger, and are not sent again"]


@pytest.mark.parametrize("with_list", [True, False], ids=["with its list", "by its result"])
@pytest.mark.parametrize("now", [content_of("another"), ItemRejected("unreadable", "permission denied")])
async def test_nothing_is_sent_if_the_run_has_only_some_of_its_files(
    tmp_path: Path, with_list: bool, now: str | Exception
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(with_list=with_list, source_uri="list")
    bench.files.contents["2.csv"] = now
    adoption = await bench.adopt()
    assert adoption.packs == []
    said = str(adoption.unknown[bench.tag])
    assert "is a pack of 2 files of another source that is not in this ledger: 1 file of this run came with it" in said
    assert "(1.csv)" in said
    assert "run once with the source that it was sent from" in said
    assert f"--ignore-pack {bench.tag}" in (adoption.unknown[bench.tag].hint or "")


@pytest.mark.parametrize(("count", "named"), [(3, "1.csv, 2.csv, 3.csv"), (4, "1.csv, 2.csv, 3.csv, and 1 more")])
async def test_three_of_the_files_that_came_with_another_source_are_named(
    tmp_path: Path, count: int, named: str
) -> None:
    bench = LostPackBench(tmp_path, *[f"{number}.csv" for number in range(1, count + 2)])
    await bench.sent(source_uri="list")
    bench.files.contents[f"{count + 1}.csv"] = "other content"
    said = str((await bench.adopt()).unknown[bench.tag])
    assert f"{count} files of this run came with it ({named}), and its other files" in said


async def test_nothing_is_read_of_packs_of_other_sources_if_no_file_is_queued_or_there_are_none(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(source_uri="list")
    assert await bench.others.with_files_of_the_run([]) == {}
    for name in bench.tags:
        await bench.move(name, S.SKIPPED)
    assert await bench.adopt() == Adoption()
    assert bench.sink.reads == []


@pytest.mark.parametrize(("source_uri", "is_dissolved"), [("file:///data", True), ("file:///elsewhere", False)])
async def test_a_pack_is_dissolved_while_nobody_knows_the_files_of_a_directory_that_has_one_of_its_own(
    tmp_path: Path, source_uri: str, is_dissolved: bool
) -> None:
    bench = LostPackBench(tmp_path, "/data/b/1.csv", "/data/b/2.csv")
    await bench.sent(status="RUNNING", with_list=False, source_uri=source_uri)
    await bench.packed("/data/b/1.csv", "/data/b/2.csv")
    assert bool(await bench.settle_unsent()) == is_dissolved


@pytest.mark.parametrize("with_list", [True, False], ids=["with its list", "by its result"])
async def test_a_pack_that_has_no_file_of_the_run_says_nothing(tmp_path: Path, with_list: bool) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(with_list=with_list, source_uri="list")
    bench.files.contents = {"1.csv": content_of("a"), "2.csv": ItemRejected("unreadable", "permission denied")}
    assert await bench.adopt() == Adoption()
    assert bench.said == []


async def test_a_result_of_another_source_is_read_only_once(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(with_list=False, source_uri="list")
    bench.files.contents = {}
    await bench.adopt()
    bench.vendor.result = b"no result any more"
    assert await bench.adopt() == Adoption()
    assert bench.said == []


@pytest.mark.parametrize("source_uri", ["inbox", "inbox/a", "file:///data", "file:///data/b"])
async def test_nothing_is_sent_while_nobody_knows_the_files_of_a_directory_that_has_one(
    tmp_path: Path, source_uri: str
) -> None:
    bench = LostPackBench(tmp_path, "a/1.csv", "/data/b/2.csv")
    await bench.sent(status="RUNNING", with_list=False, source_uri=source_uri)
    adoption = await bench.adopt()
    assert "only its result tells which files were in it; it is RUNNING now" in str(adoption.unknown[bench.tag])
    assert bench.said == []


async def test_a_pack_at_work_of_a_source_that_is_no_directory_of_the_files_is_named_and_stops_nothing(
    tmp_path: Path,
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="RUNNING", with_list=False, source_uri="file:///elsewhere")
    began = asyncio.get_running_loop().time()
    assert await bench.adopt() == Adoption()
    assert bench.said == [
        WAITS,
        f"1 pack of other sources, whose files nothing tells now, passed over: import {import_id}",
    ]
    assert WAIT_S <= asyncio.get_running_loop().time() - began < 2 * WAIT_S
    assert await bench.adopt() == Adoption()
    assert bench.said.count(WAITS) == 1
    assert asyncio.get_running_loop().time() - began < 2 * WAIT_S


async def test_files_of_a_list_whose_pack_is_at_work_wait_for_its_end_and_are_not_sent_again(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="RUNNING", with_list=False, source_uri="list")
    asyncio.get_running_loop().call_later(100.0, lambda: bench.vendor.change(import_id, status="SUCCESSFUL"))
    assert len((await bench.adopt()).packs) == 1
    assert set((await bench.states()).values()) == {S.PACKED}
    assert bench.said == [WAITS, "2 files came with 1 pack of a lost ledger, and are not sent again"]


async def test_an_unsent_pack_waits_for_the_end_of_a_pack_at_work_that_may_have_its_files(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv", "3.csv")
    import_id = await bench.sent(status="RUNNING", with_list=False, source_uri="list")
    await bench.packed("1.csv", "2.csv")
    asyncio.get_running_loop().call_later(100.0, lambda: bench.vendor.change(import_id, status="SUCCESSFUL"))
    assert sorted(await bench.settle_unsent()) == ["1.csv", "2.csv"]


async def test_a_pack_that_needs_a_review_is_not_waited_for(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="NEEDS_REVIEW", with_list=False, source_uri="list")
    assert await bench.adopt() == Adoption()
    assert bench.said == [f"1 pack of other sources, whose files nothing tells now, passed over: import {import_id}"]


async def test_a_stop_ends_the_wait_for_packs_at_work(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="RUNNING", with_list=False, source_uri="list")
    asyncio.get_running_loop().call_later(20.0, lambda: bench.stop.request(StopReason.INTERRUPTED, "Ctrl-C"))
    with pytest.raises(Stopped):
        await bench.adopt()


@pytest.mark.parametrize("fate", ["failed", "deleted"])
async def test_a_pack_of_a_directory_above_that_ended_without_rows_stops_nothing(tmp_path: Path, fate: str) -> None:
    bench = LostPackBench(tmp_path, "/data/b/1.csv")
    import_id = await bench.sent(status="RUNNING", with_list=False, source_uri="file:///data")
    if fate == "failed":
        bench.vendor.change(import_id, status="FAILED")
    else:
        del bench.vendor.imports[import_id]
    assert (await bench.adopt()).unknown == {}


@pytest.mark.parametrize("with_list", [True, False], ids=["with its list", "by its result"])
async def test_neither_list_nor_result_of_a_pack_is_read_again_by_the_next_run(tmp_path: Path, with_list: bool) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(with_list=with_list, source_uri="list")
    bench.files.contents = {"1.csv": content_of("a"), "2.csv": content_of("b")}
    await bench.adopt()
    bench.next_run()
    bench.vendor.calls.clear()
    assert await bench.adopt() == Adoption()
    assert (bench.sink.reads, bench.vendor.calls) == ([KNOWN_1, KNOWN_2], [])


@pytest.mark.parametrize("with_list", [True, False], ids=["with its list", "by its result"])
async def test_a_file_that_comes_later_is_found_in_a_pack_that_had_no_file_of_an_earlier_run(
    tmp_path: Path, with_list: bool
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(with_list=with_list, source_uri="list")
    bench.files.contents = {}
    assert await bench.adopt() == Adoption()
    bench.next_run()
    bench.files.contents = {"1.csv": content_of("1.csv")}
    assert "1 file of this run came with it (1.csv)" in str((await bench.adopt()).unknown[bench.tag])
    bench.next_run()
    bench.files.contents["2.csv"] = content_of("2.csv")
    assert len((await bench.adopt()).packs) == 1


async def test_a_pack_that_was_at_work_is_looked_at_again(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(status="RUNNING", with_list=False, source_uri="file:///elsewhere")
    assert await bench.adopt() == Adoption()
    bench.next_run()
    bench.vendor.change(import_id, status="SUCCESSFUL")
    assert len((await bench.adopt()).packs) == 1


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"format": "1", "endpoint": "e", "packs": {"x": "short"}}'])
async def test_what_is_remembered_of_packs_is_not_used_if_it_is_damaged(tmp_path: Path, damage: bytes) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(source_uri="list")
    bench.files.contents = {}
    await bench.adopt()
    bench.next_run()
    (tmp_path / FOLDER / KNOWN_1).write_bytes(damage.replace(b'"x"', f'"{bench.tag}"'.encode()))
    bench.files.contents = {name: content_of(name) for name in ("1.csv", "2.csv")}
    assert len((await bench.adopt()).packs) == 1


async def test_a_list_is_read_again_only_for_an_unsent_pack_that_may_have_a_file_of_it(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv", "3.csv")
    await bench.sent(source_uri="list")
    bench.files.contents = {}
    await bench.adopt()
    await bench.packed("1.csv", "2.csv")
    bench.next_run()
    assert sorted(await bench.settle_unsent()) == ["1.csv", "2.csv"]


@pytest.mark.parametrize("counts", [(0, 700, 1_600, 2_500), (1_000, 2_000, 2_500), (999, 1_000, 2_001, 2_500)])
async def test_any_number_of_packs_is_remembered_in_documents_of_a_thousand(
    tmp_path: Path, counts: tuple[int, ...]
) -> None:
    sink = CountedSink(tmp_path, threaded=False)
    names = [f"pack{number:04}" for number in range(2_500)]
    for start in counts:
        await KnownPacks(sink, source="s", endpoint="e").add({name: [f"{name}-tag"] for name in names[:start]})
    assert await KnownPacks(sink, source="s", endpoint="e").starts() == {name: "pack" + name[4:6] for name in names}
    assert await KnownPacks(sink, source="s", endpoint="other").starts() == {}
    assert len(list((tmp_path / FOLDER).iterdir())) == 3


@pytest.mark.parametrize("with_list", [True, False], ids=["with its list", "by its result"])
async def test_a_file_that_can_be_read_only_later_is_looked_up_again_before_it_is_sent(
    tmp_path: Path, with_list: bool
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(with_list=with_list, source_uri="list")
    bench.files.contents = dict.fromkeys(("1.csv", "2.csv"), FileUnavailable("no answer"))
    assert await bench.adopt() == Adoption()
    with pytest.raises(ForeignImports, match=r"another source .* 1\.csv came with it, and could not be read before"):
        await bench.others.refuse(bench.tags["1.csv"], "1.csv")
    await bench.others.refuse("tag-of-another-content", "1.csv")
    await bench.others.refuse(bench.tags["1.csv"], "a file that could be read")


async def test_a_file_is_not_sent_if_nobody_can_tell_any_more_whether_a_known_pack_has_it(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(source_uri="list")
    bench.files.contents = dict.fromkeys(("1.csv", "2.csv"), FileUnavailable("no answer"))
    await bench.adopt()
    (tmp_path / FOLDER / f"{bench.tag}.json").unlink()
    bench.vendor.result = b"no result any more"
    with pytest.raises(ForeignImports, match="its result does not tell which files were in it"):
        await bench.others.refuse(bench.tags["1.csv"], "1.csv")


async def test_a_result_that_tells_nothing_is_fetched_twice_in_a_run_and_not_again(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv", "3.csv")
    import_id = await bench.sent(with_list=False, source_uri="list")
    bench.vendor.result = b"no result"
    await bench.packed("1.csv", "2.csv")
    assert await bench.settle_unsent() == []
    assert await bench.adopt() == Adoption()
    assert bench.vendor.calls.count("get") == 2
    assert bench.said == [f"1 pack of other sources, whose files nothing tells now, passed over: import {import_id}"]


@pytest.mark.parametrize(
    "changes",
    [{"status": "STALLED"}, {"status": "RUNNING", "created_at": EPOCH - timedelta(hours=1)}],
    ids=["unknown status", "old"],
)
async def test_a_pack_that_may_never_end_is_not_waited_for(tmp_path: Path, changes: dict[str, Any]) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(with_list=False, source_uri="list", **changes)
    began = asyncio.get_running_loop().time()
    assert await bench.adopt() == Adoption()
    assert asyncio.get_running_loop().time() < began + 1.0
    assert WAITS not in bench.said


@pytest.mark.parametrize(
    "changes", [{"created_at": None}, {"created_at": EPOCH - timedelta(minutes=59)}], ids=["unknown age", "young"]
)
async def test_a_pack_that_may_end_soon_is_waited_for(tmp_path: Path, changes: dict[str, Any]) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="RUNNING", with_list=False, source_uri="list", **changes)
    await bench.adopt()
    assert WAITS in bench.said


@pytest.mark.parametrize(
    "item",
    [{"kind": ItemKind.JSON}, {"size_bytes": MEMBER_BYTES_MAX + 1}],
    ids=["json", "large"],
)
@pytest.mark.parametrize("source_uri", ["inbox/a", "list"], ids=["directory of the file", "list"])
async def test_a_run_without_a_file_that_can_be_in_a_pack_neither_waits_nor_stops(
    tmp_path: Path, source_uri: str, item: dict[str, Any]
) -> None:
    bench = LostPackBench(tmp_path, "a/1.csv", "a/2.csv")
    await bench.sent(status="RUNNING", with_list=False, source_uri=source_uri)
    for name in bench.tags:
        await bench.move(name, S.SKIPPED)
    await bench.ledger.add([Item(batch_id="b", source="a/rows", **item)])
    assert await bench.adopt() == Adoption()
    assert bench.said == []


async def test_documents_are_not_read_again_while_a_run_waits_for_a_pack(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    await bench.sent(status="RUNNING", with_list=False, source_uri="list")
    await bench.adopt()
    assert bench.sink.reads.count(f"{bench.tag}.json") == 1
    assert bench.sink.reads.count(f"{bench.tag}.found.json") == 1


class _Broken:
    """An API that does not show some imports, and its list neither if `list_too`."""

    def __init__(self, bench: LostPackBench, *import_ids: str, error: Exception, list_too: bool = False) -> None:
        self.import_ids, self._error = set(import_ids), error
        self._retrieve = bench.vendor.retrieve
        bench.vendor.retrieve = self.retrieve  # type: ignore[method-assign]
        if list_too:
            bench.vendor.list_page = self._fail  # type: ignore[assignment]

    async def retrieve(self, import_id: str) -> RemoteImport:
        return await (self._fail() if import_id in self.import_ids else self._retrieve(import_id))

    async def _fail(self, **_: object) -> Any:
        raise self._error


ERRORS = pytest.mark.parametrize("error", [Unavailable("502"), RequestInvalid("what is this?")], ids=["5xx", "4xx"])


@ERRORS
async def test_a_broken_import_of_another_source_that_may_have_files_of_the_run_is_named(
    tmp_path: Path, error: Exception
) -> None:
    bench = LostPackBench(tmp_path, "a/1.csv", "a/2.csv")
    import_id = await bench.sent(with_list=False, source_uri="inbox/a")
    _Broken(bench, import_id, error=error)
    said = (await bench.adopt()).unknown[bench.tag]
    assert str(said).startswith(f"import {import_id} is a pack of 2 files of another source")
    assert str(said).endswith(f"the vendor does not show its result: {error}")
    assert f"--ignore-pack {bench.tag}" in (said.hint or "")


@ERRORS
async def test_a_broken_import_of_a_source_that_is_no_directory_of_the_files_is_passed_over(
    tmp_path: Path, error: Exception
) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(with_list=False, source_uri="list")
    _Broken(bench, import_id, error=error)
    assert await bench.adopt() == Adoption()
    assert bench.said == [f"1 pack of other sources, whose files nothing tells now, passed over: import {import_id}"]


async def test_an_outage_of_the_vendor_is_not_taken_for_a_broken_import(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(with_list=False, source_uri="list")
    outage = _Broken(bench, import_id, error=Unavailable("502"), list_too=True)
    with pytest.raises(Unavailable):
        await bench.adopt()
    outage.import_ids.clear()
    assert len((await bench.adopt()).packs) == 1


async def test_nothing_is_passed_over_while_the_vendor_does_not_show_several_imports(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    first = await bench.sent(with_list=False, source_uri="list")
    other = bench.vendor.add(
        CreateRequest(
            original_filename=str(PackName(2, pack_tag(["x"], binding="", endpoint="e"), identity.short("y")))
        ),
        status="SUCCESSFUL",
    )
    await bench.ledger.keep_orphans([other])
    outage = _Broken(bench, first, other.import_id, error=Unavailable("502"))
    with pytest.raises(Unavailable, match=r"the results of 2 packs of other sources .*: 502") as raised:
        await bench.adopt()
    assert {first, other.import_id} <= set(str(raised.value).replace(",", " ").replace(")", " ").split())
    assert f"--ignore-pack {bench.tag}" in (raised.value.hint or "")
    outage.import_ids = {other.import_id}
    assert len((await bench.adopt()).packs) == 1


@pytest.mark.parametrize("source_uri", ["list", "file:///data"])
async def test_a_deleted_import_of_another_source_is_not_named(tmp_path: Path, source_uri: str) -> None:
    bench = LostPackBench(tmp_path, "/data/1.csv", "/data/2.csv")
    import_id = await bench.sent(with_list=False, source_uri=source_uri)
    del bench.vendor.imports[import_id]
    assert await bench.adopt() == Adoption()
    assert bench.said == []


async def test_a_file_that_can_be_read_later_is_sent_if_the_pack_that_may_have_it_was_deleted(tmp_path: Path) -> None:
    bench = LostPackBench(tmp_path, "1.csv", "2.csv")
    import_id = await bench.sent(source_uri="list")
    bench.files.contents = dict.fromkeys(("1.csv", "2.csv"), FileUnavailable("no answer"))
    await bench.adopt()
    (tmp_path / FOLDER / f"{bench.tag}.json").unlink()
    del bench.vendor.imports[import_id]
    await bench.others.refuse(bench.tags["1.csv"], "1.csv")

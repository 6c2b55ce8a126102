"""Packs that this ledger has not sent: another one may have sent their files, alone, in other packs, or in the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from runner import identity
from runner.config.routes import Routes
from runner.errors import FileUnavailable
from runner.ledger.protocol import Move
from runner.models import CreateRequest, Item, ItemChanges
from runner.models import ItemState as S
from runner.stages.pack_recipe import PackRecipe
from tests.support.lost_packs import RECIPE, ROUTE, LostPackBench, content_of
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time


async def lost_pack(out: Path, *names: str, **sent: object) -> LostPackBench:
    """Return a bench on which another ledger has sent a pack of these files."""
    bench = LostPackBench(out, *names)
    await bench.sent(**sent)  # type: ignore[arg-type]
    return bench


async def add(bench: LostPackBench, *names: str) -> None:
    """Queue further files."""
    for name in names:
        bench.files.contents[name] = content_of(name)
        bench.tags[name] = bench.tag_of(name)
    await bench.ledger.add([Item(batch_id="b", source=name) for name in names])


async def now(bench: LostPackBench, pack: Item) -> Item:
    found = await bench.ledger.item(pack.batch_id, pack.source)
    assert found is not None
    return found


@pytest.mark.parametrize("with_list", [True, False], ids=["with its list", "by its result"])
@pytest.mark.parametrize("source_uri", ["inbox", "list"], ids=["same source", "another"])
async def test_a_pack_with_a_file_of_a_pack_that_another_ledger_has_sent_is_dissolved(
    tmp_path: Path, with_list: bool, source_uri: str
) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv", "3.csv", with_list=with_list, source_uri=source_uri)
    pack = await bench.packed("1.csv", "2.csv")
    assert sorted(await bench.settle_unsent()) == ["1.csv", "2.csv"]
    assert (await now(bench, pack)).state is S.FAILED
    assert len((await bench.adopt()).packs) == 1
    assert set((await bench.states()).values()) == {S.PACKED}


async def test_a_pack_without_such_a_file_is_kept(tmp_path: Path) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv")
    await add(bench, "4.csv", "5.csv")
    pack = await bench.packed("4.csv", "5.csv")
    assert await bench.settle_unsent() == []
    assert (await now(bench, pack)).state is S.QUEUED


async def test_a_pack_with_a_file_that_has_an_import_of_its_own_is_dissolved(tmp_path: Path) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv")
    await add(bench, "4.csv", "5.csv")
    pack = await bench.packed("4.csv", "5.csv")
    name = identity.tagged_filename("4.csv", bench.tags["4.csv"])
    await bench.ledger.keep_orphans([bench.vendor.add(CreateRequest(original_filename=name), status="RUNNING")])
    assert sorted(await bench.settle_unsent()) == ["4.csv", "5.csv"]
    assert (await now(bench, pack)).state is S.FAILED


@pytest.mark.parametrize(("status", "is_dissolved"), [("RUNNING", True), ("FAILED", False)])
async def test_a_pack_is_dissolved_while_nobody_knows_the_files_that_another_ledger_has_sent(
    tmp_path: Path, status: str, is_dissolved: bool
) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv", status=status, with_list=False)
    await add(bench, "4.csv", "5.csv")
    await bench.packed("4.csv", "5.csv")
    assert bool(await bench.settle_unsent()) == is_dissolved
    reasons = [step.reason for step in await bench.ledger.history("b", "4.csv")]
    unknown = "nobody can tell whether another ledger has sent files of the pack"
    assert (reasons[-1] == unknown) == is_dissolved


@pytest.mark.parametrize(("days", "is_dissolved"), [(0, True), (8, False)])
@pytest.mark.parametrize("with_list", [True, False])
async def test_an_upload_that_may_be_on_its_way_to_another_pack_counts(
    tmp_path: Path, days: int, is_dissolved: bool, with_list: bool
) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv", "3.csv", status="AWAITING_UPLOAD", with_list=with_list)
    (remote,) = bench.vendor.imports.values()
    made_at = bench.vendor.clock.now() - timedelta(days=days)
    await bench.ledger.keep_orphans([replace(remote, created_at=made_at)])
    await bench.packed("1.csv", "2.csv")
    assert bool(await bench.settle_unsent()) == is_dissolved


@pytest.mark.parametrize("state", [S.QUEUED, S.CREATING])
async def test_a_pack_that_another_ledger_has_sent_is_bound_and_a_changed_file_leaves_it(
    tmp_path: Path, state: S
) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv", "3.csv")
    (import_id,) = bench.vendor.imports
    made_at = EPOCH - timedelta(hours=1)
    await bench.ledger.keep_orphans([replace(bench.vendor.imports[import_id], created_at=made_at)])
    pack = await bench.packed("1.csv", "2.csv", "3.csv")
    route = RECIPE.route(Routes([ROUTE]))
    assert route is not None
    if state is S.CREATING:
        changes: ItemChanges = {"tag": pack.source, "attempts": 1, "binding": route.binding, "intent_at": made_at}
        await bench.ledger.advance_all([Move(item=pack, state=state, reason="x", changes=changes)])
    bench.files.contents |= {"2.csv": "other content", "3.csv": FileUnavailable("stale handle")}
    assert await bench.settle_unsent() == ["2.csv"]
    bound = await now(bench, pack)
    assert (bound.state, bound.import_id, bound.attempts, bound.binding) == (S.CREATED, import_id, 1, route.binding)
    assert (bound.intent_at, bound.created_at) == (made_at, made_at)
    assert PackRecipe.of(bound).is_adopted
    assert PackRecipe.of(bound).members == tuple((tag, 2) for tag in sorted(bench.tags.values()))
    batch = await bench.ledger.batch("b")
    assert batch is not None
    assert batch.counters == {"creates": 1}
    assert await bench.states() == {"1.csv": S.PACKED, "2.csv": S.QUEUED, "3.csv": S.PACKED}
    left = await bench.ledger.item("b", "2.csv")
    assert left is not None
    assert (left.pack, left.tag) == (None, None)
    assert bench.said == [
        "2 files came with a pack that another ledger has sent, and are not sent again; changed since: 1"
    ]


async def test_nothing_changes_if_a_file_of_a_pack_that_another_ledger_has_sent_moves_meanwhile(tmp_path: Path) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv")
    pack = await bench.packed("1.csv", "2.csv")
    bench.files.contents["2.csv"] = "other content"
    read = bench.ledger.members

    async def members(batch_id: str, source: str) -> list[Item]:
        found = await read(batch_id, source)
        await bench.move("2.csv", S.QUEUED)
        return found

    bench.ledger.members = members  # type: ignore[method-assign]
    assert await bench.settle_unsent() == []
    assert (await now(bench, pack)).import_id is None
    assert bench.said == []


async def test_a_pack_without_a_route_is_kept_unless_its_tags_are_those_of_files_that_were_sent(tmp_path: Path) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv")
    await add(bench, "4.csv", "5.csv")
    pack = await bench.packed("4.csv", "5.csv")
    await bench.ledger.advance(pack, S.QUEUED, reason="x", version=replace(RECIPE, binding="another").text)
    assert await bench.settle_unsent() == []


async def test_again_sends_what_was_sent(tmp_path: Path) -> None:
    bench = await lost_pack(tmp_path, "1.csv", "2.csv", "3.csv")
    await bench.packed("1.csv", "2.csv")
    bench.options = replace(bench.options, again=True)
    assert await bench.settle_unsent() == []

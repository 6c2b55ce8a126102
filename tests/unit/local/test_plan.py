"""Discovery and plan: each input queued, skipped or rejected at once, and counted without being sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.config.routes import Route, Routes
from runner.config.units import Rate
from runner.events import Notice
from runner.ledger.protocol import Move
from runner.local.plan import explain, plan
from runner.models import ImportStatus, Item, ItemKind, ItemState, batch_of_packs
from runner.stages.discover import Discovery
from tests.support.bench import BATCH_ID, Bench

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"1", "b.pdf": b"x", "c/d.csv": b"", "other/e.csv": b"1"}
ROUTES = Routes([Route(name="top", match="a*", schema_id="s1"), Route(name="deep", match="c/**", schema_id="s2")])


def _discovery(bench: Bench, *, again: bool = False) -> Discovery:
    return Discovery(
        batch_id=BATCH_ID, ledger=bench.ledger, source=bench.source, routes=bench.routes, rank_of=lambda _: 0,
        endpoint="e", again=again, clock=bench.clock,
    )  # fmt: skip


async def test_each_file_is_queued_or_rejected_with_a_code() -> None:
    bench = Bench(FILES, routes=ROUTES)
    await bench.run()
    items = [item async for item in bench.ledger.items(BATCH_ID)]
    codes = {item.source: item.error_code for item in items}
    assert codes["a.csv"] is None
    assert codes["b.pdf"] == "unsupported_type"
    assert codes["c/d.csv"] == "empty"
    assert codes["other/e.csv"] == "no_route"


async def test_a_plan_counts_and_changes_nothing() -> None:
    bench = Bench({f"{n:03}.csv": b"1" for n in range(45)} | {"x.pdf": b"1"})
    found = await plan(bench.source, _discovery(bench), bench.routes, quota=Rate(20, 60.0), free=20)
    assert (found.items, found.creates, found.rejected) == (46, 45, {"unsupported_type": 1})
    assert found.by_route == {"all": 45}
    assert found.finish_in_s == 120
    assert found.bytes == 45
    assert bench.vendor.calls == []
    assert await bench.ledger.batches() == []


async def test_a_plan_skips_what_was_collected_before_unless_again() -> None:
    bench = Bench({"a.csv": b"1"})
    await bench.run()
    again = await plan(bench.source, _discovery(bench, again=True), bench.routes, quota=Rate(20, 60.0), free=20)
    found = await plan(bench.source, _discovery(bench), bench.routes, quota=Rate(20, 60.0), free=20)
    assert (found.skipped, found.creates) == (1, 0)
    assert (again.skipped, again.creates) == (0, 1)


async def test_changing_the_binding_makes_exactly_the_affected_files_eligible() -> None:
    bench = Bench({"a.csv": b"1", "c/d.csv": b"2"}, routes=ROUTES)
    await bench.run()
    changed = Route(name="deep", match="c/**", schema_id="s2", settings={"maxRecords": 5})
    bench.routes = Routes([ROUTES.routes[0], changed])
    items = [item async for entries in bench.source.entries() for item in await _discovery(bench).items(entries)]
    assert {item.source: item.state for item in items} == {
        "a.csv": ItemState.SKIPPED, "c/d.csv": ItemState.QUEUED,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "is_off", "creates", "counts"),
    [
        ("no", False, 3, (3, 1)),
        ("maybe", False, 3, (3, 1)),
        ("yes", False, 2, (3, 0)),
        ("no", True, 5, (0, 0)),
        ("maybe", True, 3, (3, 1)),
        ("yes", True, 2, (3, 0)),
    ],
)
async def test_a_plan_counts_a_pack_that_an_earlier_run_has_recorded_once_and_only_while_it_may_be_unsent(
    sent: str, is_off: bool, creates: int, counts: tuple[int, int]
) -> None:
    bench = Bench({f"{name}.csv": b"1" for name in "abcde"})
    batch = await bench.start()
    items = [item async for entries in bench.source.entries() for item in await _discovery(bench).items(entries)]
    await bench.ledger.add(items)
    pack = Item(batch_id=batch_of_packs(BATCH_ID), source="p", kind=ItemKind.PACK)
    await bench.ledger.start_batch(replace(batch, batch_id=pack.batch_id))
    moves = [
        Move(item=one, state=ItemState.PACKED, reason="x", changes={"pack": "p", "pack_row": row, "pack_rows": 1})
        for row, one in enumerate(items[:3], start=1)
    ]
    await bench.ledger.advance_all(moves, add=[pack])
    if sent != "no":
        pack = await bench.ledger.advance(pack, ItemState.CREATING, reason="x")
    if sent == "yes":
        await bench.ledger.advance(pack, ItemState.CREATED, reason="x", import_id="i")
    quota = Rate(20, 60.0)
    found = await plan(
        bench.source,
        _discovery(bench),
        bench.routes,
        quota=quota,
        free=20,
        ledger=bench.ledger,
        is_off=lambda _: is_off,
    )
    assert (found.creates, found.by_route) == (creates, {"all": 5})
    assert (found.packed_before, found.packs_before) == counts


async def test_explain_says_which_route_and_what_a_run_would_do() -> None:
    bench = Bench({"c/d.csv": b"1"}, routes=ROUTES)
    found = await explain(bench.source, _discovery(bench), ROUTES, ledger=bench.ledger, endpoint="e", again=False)
    assert found is not None
    assert (found.route, found.verdict, found.schema_id) == ("deep", "send", "s2")
    assert found.tried == [("top", "a*", False), ("deep", "c/**", True)]


async def _explained(bench: Bench, *, again: bool = False) -> tuple[str, str]:
    found = await explain(
        bench.source, _discovery(bench, again=True), bench.routes, ledger=bench.ledger, endpoint="e", again=again
    )
    assert found is not None
    return found.verdict, found.reason


async def test_explain_skips_content_that_the_vendor_has() -> None:
    bench = Bench({"a.csv": b"1"})
    await bench.run()
    assert await _explained(bench) == ("skip", "the same content is collected in batch b1")


async def test_explain_skips_content_that_was_imported_with_an_unusable_result() -> None:
    bench = Bench({"a.csv": b"1"})
    await bench.leave("a.csv", ItemState.FAILED, tag=bench.tag("a.csv"), status=ImportStatus.SUCCESSFUL)
    assert await _explained(bench) == ("skip", "the same content is failed in batch b1")


async def test_explain_sends_again_what_a_run_would_send_again() -> None:
    bench = Bench({"a.csv": b"1"})
    await bench.run()
    assert await _explained(bench, again=True) == ("send", "1 bytes go to schema s1")


@pytest.mark.parametrize(
    ("creates", "free", "seconds"),
    [(0, 0, 0), (20, 20, 0), (21, 20, 60), (40, 20, 60), (41, 20, 120), (5, 0, 60), (10_000, 20, 499 * 60)],
)
def test_the_quota_alone_says_when_the_last_create_can_go(creates: int, free: int, seconds: float) -> None:
    assert Rate(20, 60.0).last_in_s(creates, free=free) == seconds


async def test_a_plan_and_a_run_name_misspelt_names_of_each_route_once() -> None:
    one = {"key": "k", "label": "K", "type": "phone", "validators": [{"validte": "required"}]}
    routes = Routes(
        [
            Route(name="inline", match="a*", fields=(one,), settings={"delimiter": ";"}),
            Route(name="saved", match="c/**", schema_id="s2", settings={"maxrecords": 3}),
        ]
    )
    bench = Bench({f"a{number}.csv": b"1" for number in range(5)}, routes=routes)
    found = await plan(bench.source, _discovery(bench), bench.routes, quota=Rate(20, 60.0), free=20)
    faults = [remark.sentence for remark in found.schema_remarks if remark.is_fault]
    assert faults == [
        'route inline: fields[0].type: "phone" is not known; did you mean phone-number?',
        "route inline: fields[0].validators[0].validte is not known; did you mean validate?",
        "route saved: settings.maxrecords is not known; did you mean maxRecords?",
    ]
    assert [remark.remark.path for remark in found.schema_remarks if not remark.is_fault] == ["settings.delimiter"]
    await bench.run()
    notices = [event for event in bench.events if isinstance(event, Notice) and event.code == "schema_name"]
    assert [notice.message for notice in notices] == faults

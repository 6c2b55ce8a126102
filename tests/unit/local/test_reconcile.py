"""After a crash, a lost ledger or an old copy of it: what a run finds, adopts, repairs and puts back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runner.config.options import RunOptions
from runner.errors import Unavailable
from runner.events import Notice
from runner.local import reconcile as recovery
from runner.local.pipeline import run_batch
from runner.local.reconcile import Difference, DifferenceKind
from runner.local.redrive import Redrive
from runner.models import REDRIVABLE_STATES, SENT_STATES, CreateRequest, ImportPage, Item, ItemState
from runner.stages.transitions import Transitions
from tests.support.bench import BATCH_ID, Bench
from tests.support.pack_bench import BATCH, PackBench
from tests.support.scripted import EPOCH

pytestmark = pytest.mark.virtual_time

FILES = {"a.csv": b"x\n1\n"}


def _tagged(bench: Bench, source: str = "a.csv") -> CreateRequest:
    return CreateRequest(schema_id="s1", original_filename=f"a.~{bench.tag(source)}.csv")


async def _transitions(bench: Bench) -> Transitions:
    return Transitions(bench.ledger, clock=bench.clock, emit=bench.events.append, by_state={})


async def test_a_crash_between_create_and_bind_leads_to_adoption_of_the_own_orphan() -> None:
    bench = Bench(FILES)
    await bench.leave("a.csv", ItemState.CREATING)
    bench.vendor.add(_tagged(bench))
    await bench.run()
    assert bench.vendor.received == {"import-1": [FILES["a.csv"]]}
    assert len(bench.vendor.created) == 1


async def test_a_crash_after_the_bind_uploads_to_the_bound_import() -> None:
    bench = Bench(FILES)
    remote = bench.vendor.add(_tagged(bench))
    fingerprint = (await bench.source.prepare(await bench.leave("a.csv", ItemState.CREATING))).fingerprint
    item = await bench.item("a.csv")
    await bench.ledger.advance(
        item, ItemState.CREATED, reason="earlier", import_id=remote.import_id, fingerprint=fingerprint
    )
    await bench.run()
    assert bench.vendor.received == {"import-1": [FILES["a.csv"]]}
    assert len(bench.vendor.created) == 1


async def test_a_crash_after_the_upload_sends_nothing_again() -> None:
    bench = Bench(FILES)
    remote = bench.vendor.add(_tagged(bench))
    await bench.leave("a.csv", ItemState.CREATED, import_id=remote.import_id)
    bench.vendor.received = {remote.import_id: [FILES["a.csv"]]}
    bench.vendor.change(remote.import_id, status="SUCCESSFUL")
    await bench.run()
    assert await bench.states() == {"a.csv": "collected"}
    assert not [call for call in bench.vendor.calls if call.startswith("put")]


async def test_a_lost_ledger_is_rebuilt_from_the_tags_at_the_vendor() -> None:
    bench = Bench(FILES)
    remote = bench.vendor.add(_tagged(bench), status="SUCCESSFUL")
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.import_id) == (ItemState.COLLECTED, remote.import_id)
    assert len(bench.vendor.created) == 1


async def test_with_again_an_import_of_an_earlier_time_is_left_alone() -> None:
    bench = Bench(FILES, options=RunOptions(again=True))
    bench.vendor.add(_tagged(bench), status="SUCCESSFUL")
    await bench.run()
    assert (await bench.item("a.csv")).import_id == "import-2"


async def test_a_failed_import_of_the_same_tag_is_not_adopted() -> None:
    bench = Bench(FILES)
    bench.vendor.add(_tagged(bench), status="FAILED")
    await bench.run()
    assert (await bench.item("a.csv")).import_id == "import-2"


async def _redriven(bench: Bench, *, match: str | None = None, import_again: bool = False, api: Any = None) -> int:
    async def open_api() -> Any:
        return api or bench.vendor

    redrive = Redrive(bench.ledger, await _transitions(bench), open_api)
    return await redrive.batch(
        BATCH_ID, states=REDRIVABLE_STATES, match=match, again=import_again, emit=bench.events.append
    )


async def _held(bench: Bench, code: str, status: str) -> None:
    """Leave a failed item of which only the vendor knows what became of its data."""
    remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.csv"), status=status)
    await bench.leave("a.csv", ItemState.FAILED, import_id=remote.import_id, error_code=code, created_at=EPOCH)


@pytest.mark.parametrize("code", ["result_missing", "result_invalid", "result_refused", "import_missing"])
async def test_a_redriven_item_whose_import_succeeded_gets_its_result_and_no_new_import(code: str) -> None:
    bench = Bench(FILES)
    await _held(bench, code, "SUCCESSFUL")
    assert await _redriven(bench) == 1
    await bench.run()
    item = await bench.item("a.csv")
    assert (item.state, item.error_code, item.import_id) == (ItemState.COLLECTED, None, "import-1")
    assert len(bench.vendor.created) == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [("RUNNING", "processing"), ("NEEDS_REVIEW", "needs_review"), ("FAILED", "queued"), ("AWAITING_UPLOAD", "queued")],
)
async def test_a_redriven_item_takes_the_state_that_the_vendor_reports(status: str, state: str) -> None:
    bench = Bench(FILES)
    await _held(bench, "import_missing", status)
    await _redriven(bench)
    assert (await bench.item("a.csv")).state == state


async def test_a_redriven_item_whose_import_is_gone_is_sent_again_only_on_request() -> None:
    bench = Bench(FILES)
    await _held(bench, "import_missing", "SUCCESSFUL")
    bench.vendor.imports.clear()
    assert await _redriven(bench) == 0
    assert [event.code for event in bench.events if isinstance(event, Notice)] == ["import_gone"]
    assert (await bench.item("a.csv")).state is ItemState.FAILED
    assert await _redriven(bench, import_again=True) == 1
    assert (await bench.item("a.csv")).state is ItemState.QUEUED


async def test_a_redrive_changes_nothing_while_the_vendor_cannot_be_asked() -> None:
    class Down:
        async def retrieve(self, _import_id: str) -> Any:
            raise Unavailable("down")

    bench = Bench({**FILES, "b.csv": b"2"})
    await _held(bench, "import_missing", "SUCCESSFUL")
    await bench.leave("b.csv", ItemState.FAILED, error_code="create_refused")
    with pytest.raises(Unavailable):
        await _redriven(bench, api=Down())
    assert set((await bench.states()).values()) == {"failed"}


async def test_import_again_sends_what_the_vendor_has() -> None:
    bench = Bench(FILES)
    await _held(bench, "result_missing", "SUCCESSFUL")
    await _redriven(bench, import_again=True)
    await bench.run()
    assert (await bench.item("a.csv")).import_id == "import-2"


@pytest.mark.parametrize(("match", "count"), [("c.csv", 2), ("a/*", 1), ("a/**", 2), ("*.{csv,tsv}", 2)])
async def test_a_match_is_a_glob_as_everywhere_else(match: str, count: int) -> None:
    bench = Bench({"a/c.csv": b"1", "a/b/c.csv": b"2"})
    for source in bench.files:
        await bench.leave(source, ItemState.FAILED, error_code="import_failed")
    assert await _redriven(bench, match=match) == count


async def test_redrive_queues_what_matches_without_its_import() -> None:
    bench = Bench({"a.csv": b"1", "b/c.csv": b"2"})
    for source in bench.files:
        remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=source), status="FAILED")
        await bench.leave(source, ItemState.FAILED, import_id=remote.import_id, error_code="import_failed")
    count = await _redriven(bench, match="b/*")
    item = await bench.item("b/c.csv")
    assert (count, item.state, item.import_id, item.error_code) == (1, ItemState.QUEUED, None, None)
    assert (await bench.item("a.csv")).state is ItemState.FAILED
    await bench.run()
    assert await bench.states() == {"a.csv": "failed", "b/c.csv": "collected"}


async def _differing(bench: Bench) -> None:
    """Leave an item behind the vendor, one whose import is gone, and an orphan."""
    ahead = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.csv"))
    await bench.leave("a.csv", ItemState.PROCESSING, import_id=ahead.import_id, created_at=EPOCH)
    bench.vendor.change(ahead.import_id, status="SUCCESSFUL")
    gone = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="b.csv"))
    await bench.leave("b.csv", ItemState.PROCESSING, import_id=gone.import_id, created_at=EPOCH)
    bench.vendor.imports.pop(gone.import_id)
    bench.vendor.add(_tagged(bench))
    await bench.ledger.add([Item(batch_id=BATCH_ID, source="x.csv", state=ItemState.REJECTED, tag=bench.tag("a.csv"))])
    for number in range(3):
        name = f"c{number}.~aaaaaaaaaaaaa.csv"
        bench.vendor.add(CreateRequest(schema_id="s1", original_filename=name))


async def test_reconcile_names_what_differs_and_changes_nothing() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    await _differing(bench)
    batch = await bench.ledger.batch(BATCH_ID)
    assert batch is not None
    before = await bench.states()
    found = await recovery.differences(bench.ledger, bench.vendor, batch, emit=bench.events.append)
    assert {(one.source, one.kind, one.batch_id) for one in found} == {
        ("a.csv", DifferenceKind.STATUS, None),
        ("b.csv", DifferenceKind.MISSING, None),
        ("x.csv", DifferenceKind.ORPHAN, BATCH_ID),
    }
    assert await bench.states() == before


async def test_imports_of_other_ledgers_are_one_number_without_names() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    await _differing(bench)
    found = await recovery.differences(bench.ledger, bench.vendor, await bench.batch(), emit=bench.events.append)
    assert [one.kind for one in found].count(DifferenceKind.ORPHAN) == 1
    (notice,) = [event for event in bench.events if isinstance(event, Notice)]
    assert notice.message == "3 imports of other ledgers are not compared"


async def test_repair_moves_items_to_the_state_at_the_vendor() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    await _differing(bench)
    batch = await bench.ledger.batch(BATCH_ID)
    assert batch is not None
    transitions = await _transitions(bench)
    fixed = []
    for _ in range(3):
        found = await recovery.differences(bench.ledger, bench.vendor, batch)
        repaired = await recovery.repair(
            found, ledger=bench.ledger, api=bench.vendor, batch=batch, transitions=transitions
        )
        fixed.append({one.source for one in repaired if one.fixed})
        await asyncio.sleep(200)
    assert fixed == [{"a.csv"}, set(), {"b.csv"}]
    assert await bench.states() == {"a.csv": "succeeded", "b.csv": "failed", "x.csv": "rejected"}


async def test_an_import_that_was_given_up_and_took_data_is_reported_as_a_risk() -> None:
    bench = Bench(FILES)
    given_up = bench.vendor.add(CreateRequest(schema_id="s1", original_filename="a.csv"))
    item = await bench.leave("a.csv", ItemState.CREATED, import_id=given_up.import_id)
    await bench.ledger.advance(item, ItemState.QUEUED, reason="url expired", import_id=None)
    await bench.run()
    bench.vendor.change(given_up.import_id, status="SUCCESSFUL")
    batch = await bench.ledger.batch(BATCH_ID)
    assert batch is not None
    found = await recovery.differences(bench.ledger, bench.vendor, batch)
    assert [(one.import_id, one.kind) for one in found] == [(given_up.import_id, DifferenceKind.DUPLICATE_RISK)]


@pytest.mark.parametrize("state", sorted(SENT_STATES))
async def test_content_that_the_vendor_has_or_may_have_is_not_sent_for_another_batch(state: ItemState) -> None:
    bench = Bench(FILES)
    first = await bench.start()
    held = Item(batch_id=BATCH_ID, source="a.csv", state=state, tag=bench.tag("a.csv"))
    await bench.ledger.add([held])
    second = replace(first, batch_id="b2")
    await bench.ledger.start_batch(second)
    await run_batch(second, bench.context())
    duplicate = await bench.ledger.item("b2", "a.csv")
    assert duplicate is not None
    assert duplicate.state is ItemState.SKIPPED
    assert bench.vendor.created == []
    history = await bench.ledger.history("b2", "a.csv")
    assert history[-1].reason == f"the same content is {state} in batch b1"


async def test_reconcile_calls_repaired_only_what_it_repaired() -> None:
    bench = Bench({"a.csv": b"1", "b.csv": b"2"})
    await _differing(bench)
    batch = await bench.batch()
    found = await recovery.differences(bench.ledger, bench.vendor, batch)
    bench.vendor.change("import-1", status="AWAITING_UPLOAD")
    transitions = await _transitions(bench)
    repaired = await recovery.repair(found, ledger=bench.ledger, api=bench.vendor, batch=batch, transitions=transitions)
    states = await bench.states()
    assert {one.source for one in repaired if one.fixed} == {
        source for source, state in states.items() if state in ("succeeded", "failed")
    }


async def _bound(bench: Bench, state: ItemState, status: str, source: str = "a.csv") -> str:
    """Leave an item with an import; returns the import's id."""
    remote = bench.vendor.add(CreateRequest(schema_id="s1", original_filename=source), status=status)
    await bench.leave(source, state, import_id=remote.import_id, created_at=EPOCH)
    return remote.import_id


async def _repaired(bench: Bench, found: list[Difference]) -> list[Difference]:
    return await recovery.repair(
        found, ledger=bench.ledger, api=bench.vendor, batch=await bench.batch(), transitions=await _transitions(bench)
    )


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ItemState.CREATED, "AWAITING_UPLOAD"),
        (ItemState.PROCESSING, "AWAITING_UPLOAD"),
        (ItemState.PROCESSING, "RUNNING"),
        (ItemState.PROCESSING, "POLISHING"),
        (ItemState.NEEDS_REVIEW, "NEEDS_REVIEW"),
    ],
)
async def test_an_item_that_agrees_with_the_vendor_is_no_difference(state: ItemState, status: str) -> None:
    bench = Bench(FILES)
    await _bound(bench, state, status)
    assert await recovery.differences(bench.ledger, bench.vendor, await bench.batch()) == []


async def test_an_import_that_only_a_retrieve_shows_is_not_missing() -> None:
    bench = Bench(FILES)
    import_id = await _bound(bench, ItemState.PROCESSING, "SUCCESSFUL")
    bench.vendor.list_page = _empty_list  # type: ignore[method-assign]
    (found,) = await recovery.differences(bench.ledger, bench.vendor, await bench.batch())
    assert (found.import_id, found.kind) == (import_id, DifferenceKind.STATUS)


async def _empty_list(*, limit: int, offset: int) -> ImportPage:
    return ImportPage(count=0, imports=(), has_next=False)


async def test_an_upload_that_had_arrived_is_repaired_to_the_end_of_its_import() -> None:
    bench = Bench(FILES)
    await _bound(bench, ItemState.CREATED, "SUCCESSFUL")
    (repaired,) = await _repaired(bench, await recovery.differences(bench.ledger, bench.vendor, await bench.batch()))
    assert repaired.fixed
    assert await bench.states() == {"a.csv": "succeeded"}


async def test_an_upload_whose_import_is_not_found_is_not_taken_for_arrived() -> None:
    bench = Bench(FILES)
    bench.vendor.imports.pop(await _bound(bench, ItemState.CREATED, "AWAITING_UPLOAD"))
    (repaired,) = await _repaired(bench, await recovery.differences(bench.ledger, bench.vendor, await bench.batch()))
    assert not repaired.fixed
    assert await bench.states() == {"a.csv": "created"}


async def test_an_item_that_moves_while_it_is_repaired_is_left_as_it_is() -> None:
    bench = Bench(FILES)
    await _bound(bench, ItemState.CREATED, "SUCCESSFUL")
    found = await recovery.differences(bench.ledger, bench.vendor, await bench.batch())
    look_up, advance = bench.ledger.item, bench.ledger.advance

    async def move_after(batch_id: str, source: str) -> Item | None:
        item = await look_up(batch_id, source)
        assert item is not None
        if item.state is ItemState.CREATED:
            await advance(item, ItemState.PROCESSING, reason="webhook")
        return item

    bench.ledger.item = move_after  # type: ignore[method-assign]
    assert await _repaired(bench, found) == found
    assert await bench.states() == {"a.csv": "processing"}


async def test_an_item_that_has_another_import_by_now_is_not_repaired() -> None:
    bench = Bench(FILES)
    await _bound(bench, ItemState.PROCESSING, "SUCCESSFUL")
    found = Difference(source="a.csv", import_id="given-up", kind=DifferenceKind.STATUS, detail="")
    assert await _repaired(bench, [found]) == [found]
    assert await bench.states() == {"a.csv": "processing"}


@pytest.mark.parametrize("kind", [DifferenceKind.RESULT_GONE, DifferenceKind.DUPLICATE_RISK, DifferenceKind.ORPHAN])
async def test_only_statuses_and_missing_imports_are_repaired(kind: DifferenceKind) -> None:
    bench = Bench(FILES)
    import_id = await _bound(bench, ItemState.PROCESSING, "SUCCESSFUL")
    found = Difference(source="a.csv", import_id=import_id, kind=kind, detail="")
    assert await _repaired(bench, [found]) == [found]
    assert await bench.states() == {"a.csv": "processing"}


@pytest.mark.parametrize(
    ("status", "import_id", "is_risk"),
    [
        ("RUNNING", None, False),
        ("RUNNING", "another", True),
        ("SUCCESSFUL", "another", True),
        ("FAILED", "another", False),
        ("AWAITING_UPLOAD", "another", False),
    ],
)
async def test_an_import_that_was_given_up_is_a_risk_once_it_has_data_and_its_item_another_import(
    status: str, import_id: str | None, is_risk: bool
) -> None:
    bench = Bench(FILES)
    given_up = await _bound(bench, ItemState.CREATED, "AWAITING_UPLOAD")
    item = await bench.ledger.advance(await bench.item("a.csv"), ItemState.QUEUED, reason="expired", import_id=None)
    if import_id is not None:
        item = await bench.ledger.advance(item, ItemState.CREATING, reason="again")
        await bench.ledger.advance(item, ItemState.CREATED, reason="again", import_id=import_id)
    bench.vendor.change(given_up, status=status)
    found = await recovery.differences(bench.ledger, bench.vendor, await bench.batch())
    risks = [one.import_id for one in found if one.kind is DifferenceKind.DUPLICATE_RISK]
    assert risks == ([given_up] if is_risk else [])


async def test_the_import_of_an_item_that_has_ended_is_no_risk() -> None:
    bench = Bench(FILES)
    await _bound(bench, ItemState.SUCCEEDED, "SUCCESSFUL")
    assert await recovery.differences(bench.ledger, bench.vendor, await bench.batch()) == []


async def test_an_import_of_an_item_that_was_redriven_without_it_is_a_risk_once_the_item_has_ended() -> None:
    bench = Bench(FILES)
    given_up = await _bound(bench, ItemState.CREATED, "SUCCESSFUL")
    item = await bench.ledger.advance(await bench.item("a.csv"), ItemState.QUEUED, reason="expired", import_id=None)
    await bench.ledger.advance(item, ItemState.REJECTED, reason="unreadable", error_code="unreadable")
    (found,) = await recovery.differences(bench.ledger, bench.vendor, await bench.batch())
    assert (found.import_id, found.kind) == (given_up, DifferenceKind.DUPLICATE_RISK)


async def test_a_repair_leaves_an_item_that_has_been_collected_since_the_comparison() -> None:
    bench = Bench(FILES)
    remote = bench.vendor.add(_tagged(bench))
    bench.vendor.change(remote.import_id, status="SUCCESSFUL")
    item = await bench.leave("a.csv", ItemState.PROCESSING, import_id=remote.import_id)
    batch = await bench.ledger.batch(BATCH_ID)
    assert batch is not None
    found = await recovery.differences(bench.ledger, bench.vendor, batch)
    for state in (ItemState.SUCCEEDED, ItemState.COLLECTED):
        item = await bench.ledger.advance(item, state, reason="the run goes on")

    repaired = await recovery.repair(
        found, ledger=bench.ledger, api=bench.vendor, batch=batch, transitions=await _transitions(bench)
    )
    assert [difference.fixed for difference in repaired] == [False]
    assert await bench.item("a.csv") == item


async def test_a_pack_whose_import_is_further_than_the_ledger_says_is_named_without_its_files_and_repaired() -> None:
    bench = PackBench()
    pack = await bench.sent_pack("SUCCESSFUL")
    (found,) = await recovery.differences(bench.ledger, bench.vendor, BATCH)
    assert found == Difference(
        source=None,
        pack="p",
        import_id=pack.bound_id,
        kind=DifferenceKind.STATUS,
        detail="a pack of 3 files: the ledger says processing, the vendor SUCCESSFUL",
    )
    (repaired,) = await recovery.repair([found], bench.ledger, bench.vendor, BATCH, bench.transitions)
    assert repaired.fixed
    current = await bench.ledger.item(pack.batch_id, "p")
    assert current is not None
    assert current.state is ItemState.SUCCEEDED
    assert {one.state for one in await bench.members()} == {ItemState.PACKED}


async def test_a_pack_whose_import_is_gone_is_missing() -> None:
    bench = PackBench()
    pack = await bench.sent_pack("RUNNING")
    del bench.vendor.imports[pack.bound_id]
    (found,) = await recovery.differences(bench.ledger, bench.vendor, BATCH)
    assert (found.kind, found.pack, found.source) == (DifferenceKind.MISSING, "p", None)


async def test_a_dissolved_pack_whose_review_was_finished_is_a_risk_of_duplicates() -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()
    remote = bench.vendor.imports[pack.bound_id]
    await bench.ends.end_review(pack)
    assert await recovery.differences(bench.ledger, bench.vendor, BATCH) == []
    bench.vendor.imports[remote.import_id] = replace(remote, status="SUCCESSFUL")
    (found,) = await recovery.differences(bench.ledger, bench.vendor, BATCH)
    assert (found.kind, found.pack) == (DifferenceKind.DUPLICATE_RISK, "p")
    assert found.detail.endswith("but is SUCCESSFUL")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (ItemState.FAILED, "import_failed"),
        (ItemState.FAILED, "upload_refused"),
        (ItemState.REJECTED, "member_changed"),
    ],
)
async def test_a_pack_whose_data_arrives_after_its_files_were_queued_again_is_a_risk_of_duplicates(
    state: ItemState, code: str
) -> None:
    bench = PackBench()
    created = await bench.created_pack()
    pack = await bench.ledger.advance(created, state, reason="x", error_code=code, error_message="x")
    await bench.ends.settle(pack)
    assert {one.state for one in await bench.members()} == {ItemState.QUEUED}
    assert await recovery.differences(bench.ledger, bench.vendor, BATCH) == []
    bench.vendor.change(pack.bound_id, status="RUNNING")
    (found,) = await recovery.differences(bench.ledger, bench.vendor, BATCH)
    assert (found.kind, found.pack, found.detail) == (
        DifferenceKind.DUPLICATE_RISK,
        "p",
        f"a pack of 3 files: it is {state}, so its files are sent otherwise, but its import is RUNNING",
    )


async def test_a_pack_whose_files_are_held_is_no_risk_of_duplicates() -> None:
    bench = PackBench()
    pack = await bench.sent_pack("SUCCESSFUL")
    pack = await bench.ledger.advance(pack, ItemState.SUCCEEDED, reason="x")
    pack = await bench.ledger.advance(pack, ItemState.FAILED, reason="x", error_code="pack_unaccounted")
    await bench.ends.settle(pack)
    assert await recovery.differences(bench.ledger, bench.vendor, BATCH) == []


async def test_a_pack_in_review_whose_import_is_gone_is_left_to_a_run() -> None:
    bench = PackBench()
    pack = await bench.pack_in_review()
    del bench.vendor.imports[pack.bound_id]
    for _ in range(4):
        (found,) = await recovery.differences(bench.ledger, bench.vendor, BATCH)
        (repaired,) = await recovery.repair([found], bench.ledger, bench.vendor, BATCH, bench.transitions)
        assert (repaired.kind, repaired.fixed) == (DifferenceKind.MISSING, False)
        await asyncio.sleep(300)
    assert await bench.ledger.item(pack.batch_id, "p") == pack

"""What packing needs of a ledger, tested on each store that has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.errors import LedgerError, StaleItem, TagInUse
from runner.ledger.memory import MemoryLedger
from runner.ledger.protocol import Move, PackLedger
from runner.ledger.sqlite.ledger import SqliteLedger
from runner.models import Batch, BatchState, Item, ItemKind, ItemState, batch_of_packs

START = datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC)
BATCH, PACKS = "night", batch_of_packs("night")
S = ItemState


@pytest.fixture(params=["memory", "sqlite file", "sqlite :memory:"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PackLedger]:
    openers: dict[str, Callable[[], PackLedger]] = {
        "memory": lambda: MemoryLedger(now=lambda: START),
        "sqlite file": lambda: SqliteLedger.open(tmp_path / "ledger.db", now=lambda: START),
        "sqlite :memory:": lambda: SqliteLedger.open(":memory:", now=lambda: START),
    }
    store = openers[request.param]()
    await store.start_batch(batch(BATCH))
    await store.start_batch(batch(PACKS))
    await store.add([item(name) for name in ("a.csv", "b.csv", "c.csv")])
    yield store
    await store.close()


def batch(batch_id: str) -> Batch:
    return Batch(batch_id=batch_id, source_uri="inbox", account="acc", out="out", config="{}", started_at=START)


def item(source: str) -> Item:
    return Item(batch_id=BATCH, source=source, size_bytes=10)


def pack(tag: str) -> Item:
    return Item(batch_id=PACKS, source=tag, kind=ItemKind.PACK, tag=tag)


def joins(member: Item, tag: str, pack_tag: str, row: int) -> Move:
    changes = {"tag": tag, "pack": pack_tag, "pack_row": row, "pack_rows": 5}
    return Move(item=member, state=S.PACKED, reason="packed", changes=changes)  # type: ignore[arg-type]


async def members_of_new_pack(ledger: PackLedger, *sources: str) -> list[Item]:
    found = await ledger.look_up(BATCH, sources)
    moves = [joins(found[name], f"tag of {name}", "pack-1", 1 + 5 * at) for at, name in enumerate(sources)]
    return await ledger.advance_all(moves, add=[pack("pack-1")])


async def test_a_pack_and_its_members_are_recorded_together(ledger: PackLedger) -> None:
    moved = await members_of_new_pack(ledger, "b.csv", "a.csv")
    assert [(one.source, one.state, one.pack, one.pack_row, one.pack_rows) for one in moved] == [
        ("b.csv", S.PACKED, "pack-1", 1, 5),
        ("a.csv", S.PACKED, "pack-1", 6, 5),
    ]
    assert await ledger.members(BATCH, "pack-1") == moved
    assert await ledger.item(PACKS, "pack-1") == pack("pack-1")
    assert [step.reason for step in await ledger.history(BATCH, "a.csv")] == ["listed", "packed"]


async def test_a_pack_is_no_item_of_the_batch_and_its_batch_is_not_listed(ledger: PackLedger) -> None:
    await members_of_new_pack(ledger, "a.csv")
    assert [one.source async for one in ledger.items(BATCH)] == ["a.csv", "b.csv", "c.csv"]
    assert await ledger.counts(BATCH) == {S.QUEUED: 2, S.PACKED: 1}
    assert await ledger.counts(PACKS) == {S.QUEUED: 1}
    assert [one.batch_id for one in await ledger.batches()] == [BATCH]
    assert [one.batch_id for one in await ledger.batches(source_uri="inbox")] == [BATCH]
    assert (await ledger.batch(PACKS)) is not None


async def test_the_import_of_a_pack_belongs_to_the_pack(ledger: PackLedger) -> None:
    await members_of_new_pack(ledger, "a.csv")
    creating = await ledger.advance(pack("pack-1"), S.CREATING, reason="create")
    await ledger.advance(creating, S.CREATED, reason="created", import_id="imp-1")
    assert await ledger.owners(["imp-1"]) == {"imp-1": (PACKS, "pack-1")}
    assert [one.source for one in (await ledger.by_tag(["pack-1"]))["pack-1"]] == ["pack-1"]


async def test_nothing_changes_if_one_of_the_members_was_moved_by_another_process(ledger: PackLedger) -> None:
    found = await ledger.look_up(BATCH, ["a.csv", "b.csv"])
    await ledger.advance(found["b.csv"], S.SKIPPED, reason="filtered out")
    moves = [joins(found["a.csv"], "t1", "pack-1", 1), joins(found["b.csv"], "t2", "pack-1", 6)]
    with pytest.raises(StaleItem):
        await ledger.advance_all(moves, add=[pack("pack-1")])
    assert await ledger.item(BATCH, "a.csv") == found["a.csv"]
    assert await ledger.item(PACKS, "pack-1") is None
    assert await ledger.members(BATCH, "pack-1") == []


async def test_the_tag_of_a_member_is_claimed(ledger: PackLedger) -> None:
    await members_of_new_pack(ledger, "a.csv")
    other = await ledger.item(BATCH, "b.csv")
    assert other is not None
    with pytest.raises(TagInUse):
        await ledger.advance(other, S.CREATING, reason="create", tag="tag of a.csv")


async def test_a_pack_is_added_once(ledger: PackLedger) -> None:
    await members_of_new_pack(ledger, "a.csv")
    other = await ledger.item(BATCH, "b.csv")
    assert other is not None
    with pytest.raises(LedgerError, match="pack-1"):
        await ledger.advance_all([joins(other, "t2", "pack-1", 6)], add=[pack("pack-1")])
    assert await ledger.item(BATCH, "b.csv") == other


async def test_members_that_end_with_their_pack_count_their_rows_in_the_batch(ledger: PackLedger) -> None:
    (member,) = await members_of_new_pack(ledger, "a.csv")
    ends = Move(
        item=member,
        state=S.COLLECTED,
        reason="result saved",
        changes={"row_count": 4, "rows_in": 5, "result": "a.json", "pack_import_id": "imp-1"},
    )
    (collected,) = await ledger.advance_all([ends])
    assert (collected.rows_left_out, collected.import_id, collected.pack_import_id) == (1, None, "imp-1")
    totals = await ledger.row_totals(BATCH)
    assert (totals.row_count, totals.rows_left_out) == (4, 1)
    assert (await ledger.row_totals(PACKS)).file_count == 0


async def test_a_member_that_is_queued_again_can_join_another_pack(ledger: PackLedger) -> None:
    (member,) = await members_of_new_pack(ledger, "a.csv")
    leaves = Move(item=member, state=S.QUEUED, reason="dissolved", changes={"pack": None, "pack_row": None})
    (queued,) = await ledger.advance_all([leaves])
    await ledger.advance_all([joins(queued, "tag of a.csv", "pack-2", 1)], add=[pack("pack-2")])
    assert await ledger.members(BATCH, "pack-1") == []
    assert [one.source for one in await ledger.members(BATCH, "pack-2")] == ["a.csv"]


async def test_a_batch_of_packs_can_be_closed(ledger: PackLedger) -> None:
    await ledger.update_batch(PACKS, state=BatchState.COMPLETE)
    found = await ledger.batch(PACKS)
    assert found is not None
    assert replace(found, number=0).state is BatchState.COMPLETE

"""JSON creates whose outcome is unknown: an import is adopted only if no other item can own it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.config.options import RunOptions
from runner.dromo.clock import VendorTime
from runner.events import ignore
from runner.ledger.memory import MemoryLedger
from runner.models import Batch, ImportPage, Item, ItemKind, ItemState, RemoteImport
from runner.stages.json_imports import JsonImports
from runner.stages.lost_creates import LostCreates
from runner.stages.transitions import Transitions
from runner.stop import StopSignal

pytestmark = pytest.mark.virtual_time

MADE_AT = datetime(2026, 7, 1, tzinfo=UTC)
NOW = MADE_AT + timedelta(hours=2)


class LateClock:
    def now(self) -> datetime:
        return NOW

    def ticks(self) -> float:
        return 0.0


class ListOnly:
    """An API that only lists."""

    def __init__(self, *imports: RemoteImport) -> None:
        self._imports = imports

    async def list_page(self, *, limit: int, offset: int) -> ImportPage:
        return ImportPage(count=len(self._imports), imports=self._imports, has_next=False)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected")


def made(schema_id: str | None, *, import_id: str = "i-1") -> RemoteImport:
    return RemoteImport(import_id=import_id, status="SUCCESSFUL", schema_id=schema_id, created_at=MADE_AT)


async def answered(ledger: MemoryLedger) -> RemoteImport:
    """Record a create that was answered, and return its import."""
    remote = made("contacts", import_id="i-0")
    item = await in_doubt(ledger, "b", "0.json", "contacts")
    await ledger.advance(item, ItemState.PROCESSING, reason="created", import_id="i-0", created_at=MADE_AT)
    return remote


async def in_doubt(ledger: MemoryLedger, batch_id: str, source: str, schema_id: str | None) -> Item:
    if await ledger.batch(batch_id) is None:
        started = Batch(batch_id=batch_id, source_uri="x", account="a", out="o", config="{}", started_at=MADE_AT)
        await ledger.start_batch(started)
    item = Item(batch_id=batch_id, source=source, kind=ItemKind.JSON, schema_id=schema_id)
    await ledger.add([item])
    return await ledger.advance(item, ItemState.CREATING, reason="intent", intent_at=MADE_AT)


async def settled(ledger: MemoryLedger, items: list[Item], *imports: RemoteImport) -> list[Item]:
    doubts = LostCreates(
        ledger=ledger,
        imports=JsonImports(ListOnly(*imports), ledger, saved_schemas=frozenset({"contacts"})),
        transitions=Transitions(ledger, clock=LateClock(), emit=ignore, by_state={}),
        options=RunOptions(),
        vendor_time=VendorTime(LateClock()),
        stop=StopSignal(),
    )
    return await doubts.settle(items)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(now=lambda: NOW)


async def test_the_only_import_is_adopted(ledger: MemoryLedger) -> None:
    items = await settled(ledger, [await in_doubt(ledger, "b", "1.json", "contacts")], made("contacts"))
    assert [item.import_id for item in items] == ["i-1"]


async def test_an_import_that_may_be_an_item_of_another_batch_is_not_adopted(ledger: MemoryLedger) -> None:
    await in_doubt(ledger, "earlier", "1.json", "contacts")
    items = await settled(ledger, [await in_doubt(ledger, "b", "2.json", "contacts")], made("contacts"))
    assert [item.state for item in items] == [ItemState.UNCERTAIN]


async def test_an_import_of_a_saved_schema_is_not_taken_for_one_with_inline_fields(ledger: MemoryLedger) -> None:
    item = await in_doubt(ledger, "b", "1.json", None)
    items = await settled(ledger, [item], made("contacts"), await answered(ledger))
    assert [item.state for item in items] == [ItemState.QUEUED]


async def test_two_items_of_different_schemas_do_not_disturb_each_other(ledger: MemoryLedger) -> None:
    both = [await in_doubt(ledger, "b", "1.json", None), await in_doubt(ledger, "b", "2.json", "contacts")]
    items = await settled(ledger, both, made("contacts"), await answered(ledger))
    assert [item.state for item in items] == [ItemState.QUEUED, ItemState.PROCESSING]

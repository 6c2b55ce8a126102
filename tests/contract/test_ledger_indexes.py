"""The indexes that methods of the DynamoDB ledger query are those that tests of the functions' roles assume."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.protocol import Recorded
from runner.models import Batch, Item, ItemState
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table
from tests.support.ledger_indexes import indexes_for

START = datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC)
S = ItemState
BATCH = "b1"
Call = Callable[[DynamoLedger], Coroutine[Any, Any, object]]


async def items_of(ledger: DynamoLedger, *states: ItemState) -> list[Item]:
    return [item async for item in ledger.items(BATCH, states=states or None)]


CALLS: list[tuple[str, tuple[ItemState, ...], Call]] = [
    ("by_version", (), lambda ledger: ledger.by_version(["v"])),
    ("incomplete_batches", (), lambda ledger: ledger.incomplete_batches()),
    *[("items", (state,), lambda ledger, state=state: items_of(ledger, state)) for state in ItemState],
    *[
        ("page", (state,), lambda ledger, state=state: ledger.page(BATCH, state, after=None, limit=5))
        for state in ItemState
    ],
    ("items", (), items_of),
    ("batch", (), lambda ledger: ledger.batch(BATCH)),
    ("batches", (), lambda ledger: ledger.batches()),
    ("recent_batches", (), lambda ledger: ledger.recent_batches(2)),
    ("item", (), lambda ledger: ledger.item(BATCH, "0.csv")),
    ("look_up", (), lambda ledger: ledger.look_up(BATCH, ["0.csv"])),
    ("counts", (), lambda ledger: ledger.counts(BATCH)),
    ("has_open", (), lambda ledger: ledger.has_open(BATCH)),
    ("row_totals", (), lambda ledger: ledger.row_totals(BATCH)),
    ("history", (), lambda ledger: ledger.history(BATCH, "0.csv")),
    ("owners", (), lambda ledger: ledger.owners(["i"])),
    ("by_tag", (), lambda ledger: ledger.by_tag(["t"])),
    ("by_file", (), lambda ledger: ledger.by_file(["f"])),
    ("held_back", (), lambda ledger: ledger.held_back(BATCH)),
    ("orphans", (), lambda ledger: ledger.orphans("t")),
]


@pytest.fixture
async def asked(ministack: LocalAws, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[DynamoLedger, set[str]]]:
    """A ledger with an item in every state, and the indexes that it has queried."""
    async with fresh_table(ministack.client_arguments) as table:
        ledger = DynamoLedger(table, now=lambda: START)
        await ledger.start_batch(
            Batch(batch_id=BATCH, source_uri="u", account="a", out="o", config="{}", started_at=START)
        )
        await ledger.restore([
            Recorded(Item(batch_id=BATCH, source=f"{rank}.csv", rank=rank, size_bytes=1, state=state), ())
            for rank, state in enumerate(ItemState)
        ])  # fmt: skip
        indexes: set[str] = set()
        call = table._call

        async def noted(operation: str, **arguments: Any) -> Any:
            indexes.update({arguments["IndexName"]} if "IndexName" in arguments else ())
            return await call(operation, **arguments)

        monkeypatch.setattr(table, "_call", noted)
        yield ledger, indexes


async def test_a_method_queries_the_indexes_that_it_is_listed_with(asked: tuple[DynamoLedger, set[str]]) -> None:
    ledger, indexes = asked
    for method, states, call in CALLS:
        indexes.clear()
        await call(ledger)
        assert indexes == indexes_for(method, states), (method, states)

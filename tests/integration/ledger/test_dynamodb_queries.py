"""Reads through an index that lags are complete."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from runner.ledger.dynamodb import ledger as dynamodb
from runner.ledger.dynamodb.keys import place_of
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import Batch, Item, ItemState
from tests.support.aws import LocalAws
from tests.support.dynamodb import fresh_table

START = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
S = ItemState


async def test_an_item_is_not_missed_if_the_index_still_shows_another_in_its_place(
    ministack: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_table(ministack.client_arguments) as table:
        ledger = DynamoLedger(table, now=lambda: START)
        batch = Batch(batch_id="b1", source_uri="u", account="a", out="o", config="{}", started_at=START)
        await ledger.start_batch(batch)
        await ledger.add([Item(batch_id="b1", source=source) for source in ("left.csv", "joined.csv")])
        await ledger.advance(Item(batch_id="b1", source="joined.csv"), S.CREATING, reason="intent")

        async def stale(_table: DynamoTable, _batch_id: str, _groups: Collection[str]) -> list[bytes]:
            return [place_of("left.csv")]

        monkeypatch.setattr(dynamodb, "places_of", stale)
        found = [item.source async for item in ledger.items("b1", states={S.CREATING, S.CREATED})]
        assert found == ["joined.csv"]


async def test_an_item_that_joined_while_the_others_were_read_is_not_missed(
    ministack: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_table(ministack.client_arguments) as table:
        ledger = DynamoLedger(table, now=lambda: START)
        batch = Batch(batch_id="b1", source_uri="u", account="a", out="o", config="{}", started_at=START)
        await ledger.start_batch(batch)
        await ledger.add([Item(batch_id="b1", source=source) for source in ("a.csv", "b.csv", "c.csv")])
        await ledger.advance(Item(batch_id="b1", source="a.csv"), S.CREATING, reason="intent")
        await ledger.advance(Item(batch_id="b1", source="b.csv"), S.CREATING, reason="intent")

        async def stale(_table: DynamoTable, _batch_id: str, _groups: Collection[str]) -> list[bytes]:
            await ledger.advance(Item(batch_id="b1", source="c.csv"), S.CREATING, reason="intent")
            return [place_of("a.csv"), place_of("c.csv")]

        monkeypatch.setattr(dynamodb, "places_of", stale)
        found = [item.source async for item in ledger.items("b1", states={S.CREATING})]
        assert found == ["a.csv", "b.csv", "c.csv"]

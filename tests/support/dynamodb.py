"""Tables of DynamoDB for tests."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from runner.ledger.dynamodb import keys
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.ledger.memory import MemoryLedger


@asynccontextmanager
async def fresh_table(arguments: Mapping[str, Any]) -> AsyncIterator[DynamoTable]:
    """Create a table that nothing else uses, and open it."""
    async with DynamoTable.open(f"ledger-{uuid.uuid4().hex[:12]}", **arguments) as table:
        await table.create()
        yield table


def fixture_of(where: str) -> str:
    """Return the ministack or moto that isn't reset between tests: each test has its own table."""
    return "moto_server" if where == "moto" else where


async def keep_as_0_1_0(ledger: object, text: str) -> None:
    """Store a configuration as version 0.1.0 did."""
    if isinstance(ledger, MemoryLedger):
        ledger._config, ledger._config_is_from_inbox = text, True
    else:
        assert isinstance(ledger, DynamoLedger)
        await ledger._table.put(keys.key("CONFIG") | {"config": keys.text(text)})

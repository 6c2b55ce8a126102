"""Tables of DynamoDB for tests."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from runner.ledger.dynamodb.table import DynamoTable


@asynccontextmanager
async def fresh_table(arguments: Mapping[str, Any]) -> AsyncIterator[DynamoTable]:
    """Create a table that nothing else uses, and open it."""
    async with DynamoTable.open(f"ledger-{uuid.uuid4().hex[:12]}", **arguments) as table:
        await table.create()
        yield table


def fixture_of(where: str) -> str:
    """Return the ministack or moto that isn't reset between tests: each test has its own table."""
    return "moto_server" if where == "moto" else where

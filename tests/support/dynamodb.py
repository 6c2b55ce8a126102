"""Tables of DynamoDB for tests: on ministack, and on moto as a second opinion."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from moto.server import ThreadedMotoServer

from runner.ledger.dynamodb_client import DynamoTable
from tests.support.aws import REGION


@asynccontextmanager
async def fresh_table(arguments: Mapping[str, Any]) -> AsyncIterator[DynamoTable]:
    """Make a table that nothing else uses, and open it."""
    async with DynamoTable.open(f"ledger-{uuid.uuid4().hex[:12]}", **arguments) as table:
        await table.create()
        yield table


class MotoServer:
    """A moto on a port of this machine."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        _, port = self._server.get_host_and_port()
        self.client_arguments = {
            "endpoint_url": f"http://127.0.0.1:{port}",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "region_name": REGION,
        }

    def stop(self) -> None:
        self._server.stop()

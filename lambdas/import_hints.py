"""Import hints: enqueue an import that the ledger knows for collect, at most once in ten seconds."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from runner.cloud.messages import ImportHint, encode
from runner.errors import Unavailable
from runner.ledger.dynamodb.hints import HintTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 3},
)


class ImportHints:
    """Enqueues imports; `table` is boto3's client `dynamodb`, `queues` its client `sqs`."""

    def __init__(
        self, *, table_name: str, queue_url: str, now: Callable[[], datetime], table: Any = None, queues: Any = None
    ) -> None:
        self._hints = HintTable(table or boto3.client("dynamodb", config=_CONFIG), table_name)
        self._queues = queues or boto3.client("sqs", config=_CONFIG)
        self._queue_url = queue_url
        self._now = now

    def enqueue(self, import_id: str) -> bool:
        """Enqueue an import; False if the ledger does not know it. Raises Unavailable."""
        try:
            return self._enqueue(import_id, self._now(), token=uuid4().hex)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            raise Unavailable(f"AWS refused {error.operation_name}: {code}") from None
        except BotoCoreError as error:
            raise Unavailable(f"AWS cannot be reached: {type(error).__name__}") from None

    def _enqueue(self, import_id: str, now: datetime, *, token: str) -> bool:
        now_ms = int(now.timestamp() * 1000)
        hint = self._hints.reserve(import_id, now_ms=now_ms, token=token)
        if hint is None:
            return False
        if hint.token == token:
            self._send(import_id, now, token=token, delay_s=ceil(max(0, hint.at_ms - now_ms) / 1000))
        return True

    def _send(self, import_id: str, now: datetime, *, token: str, delay_s: int) -> None:
        body = encode(ImportHint(import_id=import_id, at=now))
        try:
            self._queues.send_message(QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=delay_s)
        except (BotoCoreError, ClientError):
            self._hints.withdraw(import_id, token=token)
            raise

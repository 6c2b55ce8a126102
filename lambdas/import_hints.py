"""The doorbell: rings collect for an import that the ledger knows, at most once in ten seconds.

Each import's entry in the table holds `hint_at`, the instant (milliseconds since 1970) of its latest ring. It decides,
by conditional writes, which of many rings counts: one that comes within ten seconds of the latest is put off until
they are over, and one that comes while another is put off has nothing to add to it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from runner.cloud.messages import ImportHint, encode
from runner.errors import Unavailable

QUIET_MS = 10_000

_HAS_BEEN_QUIET = "attribute_exists(pk) AND (attribute_not_exists(hint_at) OR hint_at <= :before)"
_IS_AS_SEEN = "hint_at = :before"
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 3},
)


@dataclass(frozen=True, slots=True)
class _Hint:
    """When an import is, or was, rung for, and the mark of the request that set it."""

    at_ms: int
    mark: str | None


class ImportHints:
    """Rings for imports; `table` is boto3's client `dynamodb`, `queues` its client `sqs`."""

    def __init__(
        self, *, table_name: str, queue_url: str, now: Callable[[], datetime], table: Any = None, queues: Any = None
    ) -> None:
        self._table = table or boto3.client("dynamodb", config=_CONFIG)
        self._table_name = table_name
        self._queues = queues or boto3.client("sqs", config=_CONFIG)
        self._queue_url = queue_url
        self._now = now

    def ring(self, import_id: str) -> bool:
        """Ring for an import; False where the ledger does not know it. Raises Unavailable."""
        now = self._now()
        try:
            return self._ring(import_id, now, now_ms=int(now.timestamp() * 1000), mark=uuid4().hex)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            raise Unavailable(f"{error.operation_name} is refused: {code}") from None
        except BotoCoreError as error:
            raise Unavailable(f"AWS cannot be reached: {type(error).__name__}") from None

    def _ring(self, import_id: str, now: datetime, *, now_ms: int, mark: str) -> bool:
        hint = self._set(import_id, _Hint(now_ms, mark), where=_HAS_BEEN_QUIET, before_ms=now_ms - QUIET_MS)
        if hint is None:
            return False
        if hint.mark != mark and hint.at_ms <= now_ms:
            put_off = _Hint(hint.at_ms + QUIET_MS, mark)
            hint = self._set(import_id, put_off, where=_IS_AS_SEEN, before_ms=hint.at_ms) or hint
        if hint.mark == mark:
            self._send(import_id, hint, now, delay_s=ceil(max(0, hint.at_ms - now_ms) / 1000))
        return True

    def _set(self, import_id: str, hint: _Hint, *, where: str, before_ms: int) -> _Hint | None:
        """Return the hint that stands now: `hint`, or the one that was in its way; None where there is no import."""
        try:
            self._table.update_item(
                TableName=self._table_name,
                Key=_key(import_id),
                UpdateExpression="SET hint_at = :at, hint_by = :mark",
                ConditionExpression=where,
                ExpressionAttributeValues={
                    ":at": {"N": str(hint.at_ms)},
                    ":mark": {"S": hint.mark},
                    ":before": {"N": str(before_ms)},
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._table.exceptions.ConditionalCheckFailedException as error:
            return _hint_of(error.response.get("Item"))
        return hint

    def _send(self, import_id: str, hint: _Hint, now: datetime, *, delay_s: int) -> None:
        body = encode(ImportHint(import_id=import_id, at=now))
        try:
            self._queues.send_message(QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=delay_s)
        except (BotoCoreError, ClientError):
            self._take_back(import_id, hint)
            raise

    def _take_back(self, import_id: str, hint: _Hint) -> None:
        """Forget a ring that nobody heard, so that the vendor's next try rings."""
        with suppress(BotoCoreError, ClientError):
            self._table.update_item(
                TableName=self._table_name,
                Key=_key(import_id),
                UpdateExpression="REMOVE hint_at, hint_by",
                ConditionExpression="hint_by = :mark",
                ExpressionAttributeValues={":mark": {"S": hint.mark}},
            )


def _key(import_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"IMPORT#{import_id}"}, "sk": {"B": b"-"}}


def _hint_of(stored: dict[str, Any] | None) -> _Hint | None:
    if not stored or "hint_at" not in stored:
        return None
    return _Hint(int(stored["hint_at"]["N"]), stored.get("hint_by", {}).get("S"))

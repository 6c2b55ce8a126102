"""The hint of an import: when its webhooks last enqueued it, so that a burst of webhooks enqueues it only once.

Each import's row holds `hint_at`, the instant (milliseconds since 1970) for which its latest message was sent, and
`hint_by`, the token of the request that sent it. Conditional writes decide which of many requests sends a message.
This module is synchronous and light to import, because the webhook's function must start fast.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runner.ledger.dynamodb.keys import Row, import_key, number

QUIET_MS = 10_000
"""An import is enqueued at most once in this time."""

_IS_DUE = "attribute_exists(pk) AND (attribute_not_exists(hint_at) OR hint_at <= :before)"
_IS_UNCHANGED = "hint_at = :before"


@dataclass(frozen=True, slots=True)
class Hint:
    """When an import is enqueued, or was, and the token of the request that does it."""

    at_ms: int
    token: str | None


class HintTable:
    """The hints in a table; `client` is boto3's client `dynamodb`.

    Every method may raise botocore's ClientError and BotoCoreError.
    """

    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def reserve(self, import_id: str, *, now_ms: int, token: str) -> Hint | None:
        """Return the current hint; if it has your `token`, enqueue the import for `at_ms`.

        The first request is due now. One within QUIET_MS of the latest hint is due when that time is over, and covers
        any further ones until then. Returns None if the ledger does not know the import.
        """
        hint = self._set(import_id, Hint(now_ms, token), where=_IS_DUE, before_ms=now_ms - QUIET_MS)
        if hint is None or hint.token == token or hint.at_ms > now_ms:
            return hint
        delayed = Hint(hint.at_ms + QUIET_MS, token)
        return self._set(import_id, delayed, where=_IS_UNCHANGED, before_ms=hint.at_ms) or hint

    def withdraw(self, import_id: str, *, token: str) -> None:
        """Forget a hint whose message was not sent, so that the vendor's next attempt enqueues; errors are ignored."""
        with suppress(BotoCoreError, ClientError):
            self._client.update_item(
                TableName=self._table_name,
                Key=import_key(import_id),
                UpdateExpression="REMOVE hint_at, hint_by",
                ConditionExpression="hint_by = :token",
                ExpressionAttributeValues={":token": {"S": token}},
            )

    def _set(self, import_id: str, hint: Hint, *, where: str, before_ms: int) -> Hint | None:
        """Return `hint` if it was stored, else the one that is; None if there is neither an import nor a hint."""
        try:
            self._client.update_item(
                TableName=self._table_name,
                Key=import_key(import_id),
                UpdateExpression="SET hint_at = :at, hint_by = :token",
                ConditionExpression=where,
                ExpressionAttributeValues={
                    ":at": number(hint.at_ms),
                    ":token": {"S": hint.token},
                    ":before": number(before_ms),
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return _hint_of(error.response.get("Item"))
        return hint


def _hint_of(row: Row | None) -> Hint | None:
    if not row or "hint_at" not in row:
        return None
    return Hint(int(row["hint_at"]["N"]), row.get("hint_by", {}).get("S"))

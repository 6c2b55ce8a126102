"""DynamoTable: calls one table, retries what may succeed, counts the cost, and translates errors."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from botocore import exceptions as botocore

from runner.aws.client import open_client
from runner.aws.errors import KeyTrouble, code_of, expiry_named, key_trouble, translated
from runner.errors import LedgerError, LedgerUnavailable
from runner.ledger.dynamodb.clock import SharedTime
from runner.ledger.dynamodb.decoding import open_session
from runner.ledger.dynamodb.keys import TABLE, TTL_ATTRIBUTE, Row
from runner.retry import delay_s

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
MAX_ACTIONS = 100
"""Most actions in one transaction."""

MAX_TRIES = 10
_LONGEST_PAUSE_S = 2.0
_FIRST_PAUSE_S = 0.04
_KEYS_PER_READ = 100
_ROWS_PER_WRITE = 25
_MAX_CONNECTIONS = 40
_TRANSIENT_REASONS = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"}
)
_TRANSIENT_CODES = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


@dataclass(slots=True)
class Usage:
    """What the calls of a table have used so far: request units as DynamoDB bills them, and write requests."""

    read_units: float = 0.0
    write_units: float = 0.0
    write_requests: int = 0


class ConditionFailed(Exception):
    """A condition did not hold: `found` has the current row, or None, for each action that failed."""

    def __init__(self, found: dict[int, Row | None]) -> None:
        super().__init__("a condition did not hold")
        self.found = found


def new_token() -> bytes:
    """Return a value that identifies the rows of one write."""
    return secrets.token_bytes(8)


class DynamoTable:
    """One table. Every method may raise LedgerUnavailable, LedgerError, ConfigError, and AwsRefused.

    A write that took effect but whose response was lost is a success: its rows have its token, `w`.
    """

    def __init__(self, client: Any, name: str, *, time: SharedTime | None = None) -> None:
        """`client` is a DynamoDB client of aiobotocore without retries of its own."""
        self._client = client
        self.name = name
        self.time = time or SharedTime()
        self.usage = Usage()
        self._rng = random.Random()  # noqa: S311 - jitter

    @classmethod
    @asynccontextmanager
    async def open(
        cls, name: str, *, time: SharedTime | None = None, endpoint_url: str | None = None, **arguments: str | None
    ) -> AsyncIterator[DynamoTable]:
        """Open a table; `arguments` are passed to `aws_session`. Raises ConfigError."""
        opening = open_client(
            "dynamodb",
            session=open_session(**arguments),
            endpoint_url=endpoint_url,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            read_timeout_s=READ_TIMEOUT_S,
            max_connections=_MAX_CONNECTIONS,
        )
        async with opening as client:
            yield cls(client, name, time=time)

    async def create(self) -> bool:
        """Create the table and wait until it is ready; False if it exists."""
        if await self._exists():
            return False
        await self._call("create_table", **TABLE)
        await self._client.get_waiter("table_exists").wait(TableName=self.name)
        ttl = {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}
        await self._call("update_time_to_live", TimeToLiveSpecification=ttl)
        recovery = {"PointInTimeRecoveryEnabled": True}
        await self._call("update_continuous_backups", PointInTimeRecoverySpecification=recovery)
        return True

    async def _exists(self) -> bool:
        try:
            await self._call("describe_table")
        except LedgerError:
            return False
        return True

    async def get(self, key: Row) -> Row | None:
        """Return the current row, or None."""
        found: Row | None = (await self._call("get_item", Key=key, ConsistentRead=True)).get("Item")
        return found

    async def get_many(self, keys: Iterable[Row], *, may_lag: bool = False) -> list[Row]:
        """Return the current rows that exist, in no order; `keys` may have duplicates.

        With `may_lag`, as they were up to a second ago, for half of the price.
        """
        once = list({(key["pk"]["S"], key["sk"]["B"]): key for key in keys}.values())
        found: list[Row] = []
        for start in range(0, len(once), _KEYS_PER_READ):
            wanted = {self.name: {"Keys": once[start : start + _KEYS_PER_READ], "ConsistentRead": not may_lag}}
            for _ in range(MAX_TRIES):
                answer = await self._call("batch_get_item", named=False, RequestItems=wanted)
                found += answer["Responses"].get(self.name, [])
                wanted = answer.get("UnprocessedKeys") or {}
                if not wanted:
                    break
                await self._pause(1)
            if wanted:
                raise self._unavailable("it throttles requests")
        return found

    async def query(
        self,
        pk: str,
        *,
        index: str | None = None,
        after: bytes | None = None,
        between: tuple[bytes, bytes] | None = None,
        limit: int = 1000,
        may_lag: bool = False,
    ) -> AsyncIterator[list[Row]]:
        """Yield pages of a partition by sort key; an index yields only keys, and may lag, as any read does on request.

        With `after`, those that follow it; with `between`, those from the first to the last.
        """
        names = {"#p": "gpk", "#s": "gsk"} if index else {"#p": "pk", "#s": "sk"}
        condition = "#p = :p"
        values: Row = {":p": {"S": pk}}
        if after is not None:
            condition, values = condition + " AND #s > :a", values | {":a": {"B": after}}
        elif between is not None:
            condition += " AND #s BETWEEN :f AND :l"
            values |= {":f": {"B": between[0]}, ":l": {"B": between[1]}}
        else:
            del names["#s"]
        arguments: dict[str, Any] = {"IndexName": index} if index else {"ConsistentRead": not may_lag}
        arguments |= {
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "Limit": limit,
        }
        while True:
            answer = await self._call("query", **arguments)
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def last(self, pk: str, *, limit: int) -> list[Row]:
        """Return the last rows of a partition, in descending order of their sort keys."""
        answer = await self._call(
            "query",
            KeyConditionExpression="#p = :p",
            ExpressionAttributeNames={"#p": "pk"},
            ExpressionAttributeValues={":p": {"S": pk}},
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=limit,
        )
        found: list[Row] = answer["Items"]
        return found

    async def with_value(self, index: str, attribute: str, value: str) -> list[Row]:
        """Return the keys of the first page of rows with that value in an index, which may lag."""
        answer = await self._call(
            "query",
            IndexName=index,
            KeyConditionExpression="#k = :k",
            ExpressionAttributeNames={"#k": attribute},
            ExpressionAttributeValues={":k": {"S": value}},
        )
        found: list[Row] = answer["Items"]
        return found

    async def scan(self, pk_prefix: str) -> AsyncIterator[list[Row]]:
        """Yield the rows of all partitions whose key has this prefix; reads the whole table."""
        arguments: dict[str, Any] = {
            "FilterExpression": "begins_with(pk, :p)",
            "ExpressionAttributeValues": {":p": {"S": pk_prefix}},
            "ConsistentRead": True,
        }
        while True:
            answer = await self._call("scan", **arguments)
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def put(self, row: Row) -> None:
        await self._call("put_item", writes=True, Item=row)

    async def put_many(self, rows: Sequence[Row]) -> None:
        """Put rows, without a transaction."""
        for start in range(0, len(rows), _ROWS_PER_WRITE):
            wanted = {self.name: [{"PutRequest": {"Item": row}} for row in rows[start : start + _ROWS_PER_WRITE]]}
            for _ in range(MAX_TRIES):
                answer = await self._call("batch_write_item", named=False, writes=True, RequestItems=wanted)
                wanted = answer.get("UnprocessedItems") or {}
                if not wanted:
                    break
                await self._pause(1)
            if wanted:
                raise self._unavailable("it throttles requests")

    async def update(self, token: bytes, action: dict[str, Any]) -> Row:
        """Update one row on a condition, and return the row after it; `action` is an `Update` without its table.

        The action sets `w` to the token. Raises ConditionFailed.
        """
        try:
            answer = await self._call("update_item", writes=True, ReturnValues="ALL_NEW", **_returning_old_row(action))
        except ConditionFailed as error:
            found = error.found[0]
            if found is not None and is_of(found, token):
                return found
            raise
        attributes: Row = answer["Attributes"]
        return attributes

    async def replace(self, token: bytes, action: dict[str, Any]) -> None:
        """Put one row on a condition that fails afterwards; `action` is a `Put` without its table.

        The row has the token as its `w`. Raises ConditionFailed.
        """
        try:
            await self._call("put_item", writes=True, **_returning_old_row(action))
        except ConditionFailed as error:
            found = error.found[0]
            if found is None or not is_of(found, token):
                raise

    async def delete(self, action: dict[str, Any]) -> None:
        """Delete one row on a condition. Raises ConditionFailed."""
        await self._call("delete_item", writes=True, **_returning_old_row(action))

    async def transact(self, token: bytes, actions: Sequence[dict[str, Any]]) -> None:
        """Apply all actions or none; each is an action such as `{"Put": ...}` without its table.

        At least one action sets `w` to the token on a condition that fails afterwards. Raises ConditionFailed.
        """
        items = [
            {kind: _returning_old_row(action) | {"TableName": self.name} for kind, action in one.items()}
            for one in actions
        ]
        try:
            await self._call(
                "transact_write_items", named=False, writes=True, TransactItems=items, ClientRequestToken=token.hex()
            )
        except ConditionFailed as error:
            if not any(row is not None and is_of(row, token) for row in error.found.values()):
                raise

    async def _call(self, operation: str, *, named: bool = True, writes: bool = False, **arguments: Any) -> Any:
        """Call the API, and retry temporary errors, up to MAX_TRIES times in all."""
        if named:
            arguments["TableName"] = self.name
        if operation in _COSTING:
            arguments["ReturnConsumedCapacity"] = "TOTAL"
        for tries in range(1, MAX_TRIES + 1):
            asked_at = self.time.ticks()
            try:
                with expiry_named():
                    answer = await getattr(self._client, operation)(**arguments)
            except (botocore.ClientError, botocore.BotoCoreError) as error:
                refused = self._translated(error)
                if refused is not None:
                    raise refused from error
                why = str(error)
            else:
                if "RequestId" in answer.get("ResponseMetadata", {}):
                    self._note(answer, asked_at, writes=writes)
                    return answer
                why = "something else answers in the place of DynamoDB, such as a proxy"
            await self._pause(tries)
        raise self._unavailable(why)

    def _note(self, answer: dict[str, Any], asked_at: float, *, writes: bool) -> None:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self.time.answered(headers.get("date"), asked_at=asked_at)
        consumed = answer.get("ConsumedCapacity") or []
        units = sum(part["CapacityUnits"] for part in (consumed if isinstance(consumed, list) else [consumed]))
        if writes:
            self.usage.write_requests += 1
            self.usage.write_units += units
        else:
            self.usage.read_units += units

    def _translated(self, error: Exception) -> Exception | None:
        """Return the error to raise, or None if another try may succeed."""
        if isinstance(error, botocore.ConnectionError | botocore.HTTPClientError):
            return None
        if not isinstance(error, botocore.ClientError):
            return translated(error, service="dynamodb")
        code = code_of(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "ConditionalCheckFailedException":
            return ConditionFailed({0: error.response.get("Item")})
        if code == "TransactionCanceledException":
            return _cancelled(error.response)
        if code in _TRANSIENT_CODES or status >= 500 or key_trouble(error) is KeyTrouble.BUSY:
            return None
        return self._refusal(code, str(error)) or translated(error, service="dynamodb")

    def _refusal(self, code: str, message: str) -> LedgerError | None:
        if code == "ResourceNotFoundException":
            return LedgerError(
                f"there is no table {self.name}",
                hint=f"create it with `bulkhead ledger create-table {self.name}`, or deploy the stack; AWS_REGION and "
                "AWS_PROFILE select where to look for it",
            )
        if code == "ValidationException" and "schema" in message:
            return LedgerError(f"the table {self.name} is not a Bulkhead ledger: it has other keys")
        return None

    async def _pause(self, tries: int) -> None:
        await asyncio.sleep(delay_s(tries, self._rng, base_s=_FIRST_PAUSE_S, cap_s=_LONGEST_PAUSE_S))

    def _unavailable(self, why: str) -> LedgerUnavailable:
        return LedgerUnavailable(f"the table {self.name} does not answer: {why}", hint="run the command again")


_COSTING = frozenset(
    {
        "batch_get_item", "batch_write_item", "delete_item", "get_item", "put_item", "query", "scan",
        "transact_write_items", "update_item",
    }
)  # fmt: skip


def is_of(row: Row, token: bytes) -> bool:
    """Return whether the write with this token was the last to change the row."""
    return row.get("w", {}).get("B") == token


def _returning_old_row(action: dict[str, Any]) -> dict[str, Any]:
    if "ConditionExpression" not in action:
        return action
    return action | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def _cancelled(response: dict[str, Any]) -> ConditionFailed | LedgerError | None:
    reasons = response.get("CancellationReasons", [])
    failed = {
        number: reason.get("Item") or None
        for number, reason in enumerate(reasons)
        if reason.get("Code") == "ConditionalCheckFailed"
    }
    if failed:
        return ConditionFailed(failed)
    others = {reason.get("Code") for reason in reasons} - {"None", None}
    if others <= _TRANSIENT_REASONS:
        return None
    sentences = {reason.get("Message") for reason in reasons if reason.get("Message")}
    return LedgerError(f"the table rejects a write: {'; '.join(sorted(sentences))}")

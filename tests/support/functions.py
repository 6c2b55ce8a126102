"""The environment of the functions, created on a local AWS, and contexts and events in Lambda's format."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from runner.ledger.dynamodb.keys import TABLE

TOKEN = "canary-token-" + "5e" * 32
LICENSE_KEY = "canary-license-key"
QUEUES = ("register", "submit", "load", "upload", "list", "collect", "finish")

_WITHOUT_RETRIES = Config(retries={"total_max_attempts": 1})


@dataclass
class Context:
    """Lambda's context: a name, an id, and how long the function has left."""

    left_ms: int = 60_000
    function_name: str = "bulkhead-test"
    aws_request_id: str = "0d9e9d2c-0000-4000-8000-000000000001"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:bulkhead-test"

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


class Stack:
    """Table, queues, and secrets of one deployment, and the environment variables that name them."""

    def __init__(self, client_arguments: dict[str, str]) -> None:
        self._arguments = client_arguments
        self.table = self.client("dynamodb")
        self.queues = self.client("sqs")
        self.secrets = self.client("secretsmanager")
        self.queue_urls = {name: self._queue(name) for name in QUEUES}
        self.table.create_table(TableName="bulkhead", **TABLE)
        self.secrets.create_secret(Name="bulkhead/license")
        self.secrets.create_secret(Name="bulkhead/webhook", SecretString=json.dumps({"current": TOKEN}))
        self.variables = {
            "BULKHEAD_TABLE": "bulkhead",
            "BULKHEAD_INBOX": "bulkhead-inbox",
            "BULKHEAD_RESULTS": "bulkhead-results",
            **{f"BULKHEAD_{name.upper()}_QUEUE_URL": url for name, url in self.queue_urls.items()},
            "BULKHEAD_LICENSE_SECRET": "bulkhead/license",
            "BULKHEAD_WEBHOOK_SECRET": "bulkhead/webhook",
            "BULKHEAD_NIGHTLY_PREFIX": "nightly/",
            "BULKHEAD_CONFIG_BUCKET": "bulkhead-config",
            "BULKHEAD_CONFIG_KEY": "config/bulkhead.toml",
            "BULKHEAD_EVENT_BUS": "default",
            "POWERTOOLS_SERVICE_NAME": "bulkhead-test",
        }

    def client(self, service: str) -> Any:
        return boto3.client(service, config=_WITHOUT_RETRIES, **self._arguments)

    def put_secret(self, name: str, value: str) -> None:
        self.secrets.put_secret_value(SecretId=f"bulkhead/{name}", SecretString=value)

    def know(self, import_id: str) -> None:
        """Add an import to the ledger, as a bind does."""
        self.table.put_item(TableName="bulkhead", Item={**_key(import_id), "batch": {"S": "b"}, "source": {"B": b"s"}})

    def entry(self, import_id: str) -> dict[str, Any] | None:
        return self.table.get_item(TableName="bulkhead", Key=_key(import_id), ConsistentRead=True).get("Item")

    def waiting(self, queue: str) -> list[dict[str, Any]]:
        """Receive all visible messages of a queue."""
        url, bodies = self.queue_urls[queue], []
        while messages := self.queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                bodies.append(json.loads(message["Body"]))
                self.queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def receive(self, queue: str) -> list[dict[str, Any]]:
        """Receive up to ten messages, and leave them invisible."""
        answer = self.queues.receive_message(
            QueueUrl=self.queue_urls[queue], MaxNumberOfMessages=10, AttributeNames=["All"]
        )
        return list(answer.get("Messages", ()))

    def acknowledge(self, queue: str, event: dict[str, Any], answer: Any) -> None:
        """Delete the messages of an event that did not fail, as Lambda does."""
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for record in event["Records"]:
            if record["messageId"] not in failed:
                self.queues.delete_message(QueueUrl=self.queue_urls[queue], ReceiptHandle=record["receiptHandle"])

    def send(self, queue: str, body: str) -> None:
        self.queues.send_message(QueueUrl=self.queue_urls[queue], MessageBody=body)

    def add_queue(self, name: str) -> None:
        self.queue_urls[name] = self._queue(name)

    def add_dead_letter_queue(self, queue: str, *, receives: int) -> str:
        """Send messages that were received this many times to another queue, and return its name."""
        dead = f"{queue}-dead"
        self.add_queue(dead)
        policy = json.dumps({"deadLetterTargetArn": self._arn(dead), "maxReceiveCount": receives})
        self.queues.set_queue_attributes(QueueUrl=self.queue_urls[queue], Attributes={"RedrivePolicy": policy})
        return dead

    def listen_to_topic(self, topic_arn: str, queue: str) -> None:
        self.client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=self._arn(queue))

    def listen_to_bus(self, queue: str, *, source: str) -> None:
        events = self.client("events")
        events.put_rule(Name="ended", EventPattern=json.dumps({"source": [source]}))
        events.put_targets(Rule="ended", Targets=[{"Id": "queue", "Arn": self._arn(queue)}])

    def _arn(self, queue: str) -> str:
        answer = self.queues.get_queue_attributes(QueueUrl=self.queue_urls[queue], AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def delayed_count(self, queue: str) -> int:
        return self._attribute(queue, "ApproximateNumberOfMessagesDelayed")

    def depth(self, queue: str) -> int:
        return self._attribute(queue, "ApproximateNumberOfMessages")

    def _attribute(self, queue: str, name: str) -> int:
        answer = self.queues.get_queue_attributes(QueueUrl=self.queue_urls[queue], AttributeNames=[name])
        return int(answer["Attributes"][name])

    def _queue(self, name: str) -> str:
        return str(self.queues.create_queue(QueueName=f"bulkhead-{name}")["QueueUrl"])


def _key(import_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"IMPORT#{import_id}"}, "sk": {"B": b"-"}}


def posted(
    body: bytes | str | None, *, token: str = TOKEN, method: str = "POST", encoded: bool = False
) -> dict[str, Any]:
    """Return a request in an HTTP API's payload format 2.0."""
    text = base64.b64encode(body).decode() if encoded and isinstance(body, bytes) else body
    return {
        "version": "2.0",
        "routeKey": "POST /wh/v1/{token}",
        "rawPath": f"/wh/v1/{token}",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "example.test"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api",
            "domainName": "example.test",
            "http": {"method": method, "path": f"/wh/v1/{token}", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "id",
            "routeKey": "POST /wh/v1/{token}",
            "stage": "$default",
            "timeEpoch": 1784800000000,
        },
        "pathParameters": {"token": token},
        "body": text.decode() if isinstance(text, bytes) else text,
        "isBase64Encoded": encoded,
    }


def managed(import_id: str, *, upload_id: str = "", **more: Any) -> str:
    """Return the body of a managed webhook."""
    headless = {"id": import_id, "status": "SUCCESSFUL", **more}
    return json.dumps({"event": "import_completed", "data": {"id": upload_id or import_id, "headless": headless}})


def arrived(*bodies: str, receives: int = 1) -> dict[str, Any]:
    """Return an SQS event in Lambda's format; a record's id is its index in `bodies`."""
    return {
        "Records": [
            {
                "messageId": str(number),
                "receiptHandle": f"receipt-{number}",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": str(receives),
                    "SentTimestamp": "1784800000000",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1784800000100",
                },
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:bulkhead-submit",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def taken(stack: Stack, queue: str) -> dict[str, Any]:
    """Receive the messages of a queue, and return the event that Lambda would create from them."""
    messages = stack.receive(queue)
    event = arrived(*(message["Body"] for message in messages))
    for record, message in zip(event["Records"], messages, strict=True):
        record |= {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"]}
        record["eventSourceARN"] = f"arn:aws:sqs:us-east-1:000000000000:bulkhead-{queue}"
        record["attributes"] |= {"ApproximateReceiveCount": message["Attributes"]["ApproximateReceiveCount"]}
    return event


class Counts:
    """A ledger that has nothing but counts to write: `flushes` says how often it did; fails on request."""

    def __init__(self) -> None:
        self.flushes = 0
        self.failure: Exception | None = None

    async def flush_counts(self) -> None:
        self.flushes += 1
        if self.failure is not None:
            raise self.failure


class Opened(str):
    """The name of a deployment, with a ledger."""

    __slots__ = ("ledger",)

    ledger: Counts


class Opening:
    """Opens names instead of deployments, and records what happened; fails on request."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        self.events: list[str] = []
        self.failure: Exception | None = None
        self.counts = Counts()

    @asynccontextmanager
    async def __call__(self, *, license_key: str | None, **_: Any) -> AsyncIterator[Any]:
        if self.failure is not None:
            raise self.failure
        self.keys.append(license_key)
        self.events.append(f"opened with {license_key}")
        opened = Opened(f"deployment {len(self.keys)}")
        opened.ledger = self.counts
        yield opened
        self.events.append("closed")

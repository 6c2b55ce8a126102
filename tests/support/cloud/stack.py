"""A deployed stack as its operator sees it: its outputs, buckets, queues, functions, and their logs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from tests.support.aws import LocalAws

QUEUES = ("Register", "Submit", "Load", "Upload", "List", "Collect", "Finish")
FUNCTIONS = ("Register", "Submit", "Upload", "ListPrefix", "Webhook", "Collect", "Reconcile", "Finish", "Configure")

_LOOK_EVERY_S = 0.3
"""Polling more often would take processor time from ministack and the functions."""

_T = TypeVar("_T")


def until(found: Callable[[], _T], *, within_s: float = 120.0, what: Callable[[], object] = lambda: "") -> _T:
    """Poll until the result is true, and return it. Raises AssertionError with the text of `what` after `within_s`."""
    end = time.monotonic() + within_s
    while not (answer := found()):
        assert time.monotonic() < end, f"waited {within_s} s for {found}\n{what()}"
        time.sleep(_LOOK_EVERY_S)
    return answer


class Stack:
    """The stack `name` in `aws`; the end of the block closes its clients."""

    def __init__(self, aws: LocalAws, *, name: str) -> None:
        self.aws = aws
        self.name = name
        self._clients: dict[str, Any] = {}
        described = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
        self.inbox = self.outputs["InboxBucketName"]
        self.results = self.outputs["ResultsBucketName"]
        self.config = self.outputs["ConfigBucketName"]
        self.table = self.outputs["TableName"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()

    def client(self, service: str) -> Any:
        if service not in self._clients:
            config = Config(read_timeout=120, retries={"max_attempts": 1})
            session = boto3.session.Session()
            self._clients[service] = session.client(service, config=config, **self.aws.client_arguments)
        return self._clients[service]

    @cached_property
    def resources(self) -> dict[str, str]:
        """Return the physical ids by logical id."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        return {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for page in pages
            for one in page["StackResourceSummaries"]
        }

    # What an operator sets up

    def set_secrets(self, *, license_key: str, token: str, next_token: str | None = None) -> None:
        tokens = {"current": token, **({"next": next_token} if next_token else {})}
        for output, value in (("LicenseKeySecretArn", license_key), ("WebhookTokensSecretArn", json.dumps(tokens))):
            self.client("secretsmanager").put_secret_value(SecretId=self.outputs[output], SecretString=value)

    def webhook_url(self, token: str) -> str:
        """Return the URL of the HTTP API on this machine."""
        path = urlsplit(self.outputs["WebhookUrlBase"]).path
        return f"{self.aws.endpoint_url}/_aws/execute-api/{self.outputs['WebhookApiId']}/$default{path}{token}"

    def speak_plainly(self) -> None:
        """Allow requests to the buckets without TLS, which the local AWS doesn't support."""
        for bucket in (self.inbox, self.results, self.config):
            self.client("s3").delete_bucket_policy(Bucket=bucket)

    def grant_batches(self) -> None:
        """Allow every role that may send a message to send batches: one permission on AWS, two in ministack."""
        iam = self.client("iam")
        for role in (name for logical, name in self.resources.items() if logical.endswith("Role")):
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                document = json.dumps(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
                granted = document.replace('"sqs:SendMessage"', '"sqs:SendMessage*"')
                iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=granted)

    def read_concurrency_as_numbers(self) -> None:
        """Set the concurrency of the queues' readers again: ministack keeps the value of a parameter as a text."""
        functions = self.client("lambda")
        for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
            if most := mapping.get("ScalingConfig", {}).get("MaximumConcurrency"):
                functions.update_event_source_mapping(
                    UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": int(most)}
                )

    @contextmanager
    def short_lived(self, function: str, *, timeout_s: int) -> Iterator[None]:
        """Limit a function's time, and make its messages visible again soon after it ends."""
        queue = self.outputs[f"{function}QueueUrl"]
        before = self.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])
        configured = self._configured(function)["Timeout"]
        self._configure(function, Timeout=timeout_s)
        self.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": str(timeout_s)})
        try:
            yield
        finally:
            self._configure(function, Timeout=configured)
            self.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes=before["Attributes"])

    @contextmanager
    def impatient(self, queue: str, *, receives: int) -> Iterator[None]:
        """Send a queue's messages to its dead-letter queue after this number of failures."""
        url, name = self.outputs[f"{queue}QueueUrl"], "RedrivePolicy"
        before = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"]
        policy = json.loads(before[name]) | {"maxReceiveCount": receives}
        self.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={name: json.dumps(policy)})
        try:
            yield
        finally:
            self.client("sqs").set_queue_attributes(QueueUrl=url, Attributes=before)

    def delete(self) -> None:
        """Delete the stack, and wait until it is gone."""
        self.client("cloudformation").delete_stack(StackName=self.name)
        self.client("cloudformation").get_waiter("stack_delete_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    # Objects

    def land(self, key: str, content: bytes) -> None:
        """Put an object into the inbox."""
        self.client("s3").put_object(Bucket=self.inbox, Key=key, Body=content)

    def result_keys(self, prefix: str) -> Iterator[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.results, Prefix=prefix)
        return (one["Key"] for page in pages for one in page.get("Contents", []))

    def result(self, key: str) -> bytes | None:
        """Return the content of an object in the results bucket, or None."""
        client = self.client("s3")
        try:
            content: bytes = client.get_object(Bucket=self.results, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            return None
        return content

    def summary(self, batch_id: str) -> dict[str, Any] | None:
        content = self.result(f"batches/{batch_id}/summary.json")
        return json.loads(content) if content else None

    def manifest(self, batch_id: str) -> dict[str, dict[str, Any]]:
        """Return the lines of manifest.jsonl by source; empty if there is no manifest."""
        content = self.result(f"batches/{batch_id}/manifest.jsonl") or b""
        lines = [json.loads(line) for line in content.splitlines()]
        assert len({line["source"] for line in lines}) == len(lines)
        return {line["source"]: line for line in lines}

    # Queues

    def depth(self, queue: str) -> int:
        """Count the messages in a queue such as `Submit` or `SubmitDeadLetter`: visible, delayed, and in flight."""
        names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "Delayed", "NotVisible")]
        answer = self.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs[f"{queue}QueueUrl"], AttributeNames=names
        )
        return sum(int(answer["Attributes"][name]) for name in names)

    def send(self, queue: str, body: str) -> None:
        self.client("sqs").send_message(QueueUrl=self.outputs[f"{queue}QueueUrl"], MessageBody=body)

    def forget(self, queue: str) -> None:
        """Delete all messages of a queue, such as copies that met work in progress and come back a minute later."""
        self.client("sqs").purge_queue(QueueUrl=self.outputs[f"{queue}QueueUrl"])

    def dead_letters(self) -> list[str]:
        """Take the messages of the dead-letter queues and return their bodies."""
        bodies: list[str] = []
        for queue in QUEUES:
            url = self.outputs[f"{queue}DeadLetterQueueUrl"]
            while found := self.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                for one in found:
                    self.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
                    bodies.append(one["Body"])
        return bodies

    def depths(self) -> dict[str, int]:
        return {queue: self.depth(queue) for queue in QUEUES}

    def is_quiet(self) -> bool:
        """Return whether no message is waiting or in progress."""
        return not any(self.depths().values())

    # Functions

    def function_name(self, function: str) -> str:
        return self.resources[f"{function}Function"]

    def invoke(self, function: str, event: object = None) -> Any:
        """Invoke a function, and return the decoded response. Raises AssertionError if the function failed."""
        answer = self.client("lambda").invoke(
            FunctionName=self.function_name(function), Payload=json.dumps(event or {}).encode()
        )
        payload = answer["Payload"].read()
        assert "FunctionError" not in answer, payload.decode(errors="replace")
        return json.loads(payload) if payload else None

    def log(self, function: str) -> list[str]:
        """Return everything that a function has logged, as a list of messages."""
        client, name = self.client("logs"), self._log_group(function)
        try:
            pages = list(client.get_paginator("filter_log_events").paginate(logGroupName=name))
        except client.exceptions.ResourceNotFoundException:
            return []
        return [one["message"] for page in pages for one in page["events"]]

    def _log_group(self, function: str) -> str:
        name: str = self._configured(function)["LoggingConfig"]["LogGroup"]
        return name

    def _configured(self, function: str) -> dict[str, Any]:
        name = self.function_name(function)
        found: dict[str, Any] = self.client("lambda").get_function_configuration(FunctionName=name)
        return found

    def _configure(self, function: str, **values: Any) -> None:
        self.client("lambda").update_function_configuration(FunctionName=self.function_name(function), **values)

    def logs(self) -> dict[str, list[str]]:
        return {function: self.log(function) for function in FUNCTIONS}

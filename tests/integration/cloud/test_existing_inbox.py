"""A bucket that was there before the stack: the command that connects it keeps what it notifies already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from runner.aws.s3 import S3Place
from runner.cloud.ops.client import Operations
from runner.cloud.ops.stack import CONNECT_INBOX, read_stack
from runner.cloud.ops.stack_checks import StackChecks
from runner.config.settings import Settings
from runner.errors import ConfigError
from runner.findings import Level
from runner.ledger.dynamodb.keys import TABLE
from tests.support.aws import LocalAws
from tests.support.deployed import Deployed, deploy, services_of
from tests.support.template import ROOT, template

BUCKET = "acme-inbox"
PREFIXES = {"ExistingInbox": BUCKET, "InboxPrefix": "incoming/", "NightlyPrefix": "later/"}


def connect_command() -> str:
    text: str = template().outputs[CONNECT_INBOX]["Value"]["Fn::Sub"]
    return text.replace("${ExistingInbox}", BUCKET)


@pytest.fixture(autouse=True)
def credentials(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(aws: LocalAws) -> Any:
    client = boto3.client("s3", **aws.client_arguments)
    client.create_bucket(Bucket=BUCKET)
    return client


def others(aws: LocalAws) -> dict[str, Any]:
    """Return what another team's bucket notifies: a queue of new reports, and a function of new pictures."""
    sqs = boto3.client("sqs", **aws.client_arguments)
    url = sqs.create_queue(QueueName="reports")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    suffix = {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".png"}]}}
    return {
        "QueueConfigurations": [{"Id": "reports", "QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}],
        "LambdaFunctionConfigurations": [
            {
                "Id": "pictures",
                "LambdaFunctionArn": arn.replace(":sqs:", ":lambda:").replace(":reports", ":function:pictures"),
                "Events": ["s3:ObjectCreated:Put"],
                "Filter": suffix,
            }
        ],
    }


def shell(
    aws: LocalAws, directory: Path, *, command: str | None = None, denied: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command with a stand-in for the AWS command line, as somebody pastes it."""
    program = directory / "aws"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.support.aws_cli "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{directory}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CLIENT": json.dumps(aws.client_arguments),
        "DENIED": "get" if denied else "",
    }
    return subprocess.run(
        ["sh", "-c", command or connect_command()],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def notifications(s3: Any) -> dict[str, Any]:
    found = s3.get_bucket_notification_configuration(Bucket=BUCKET)
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


@pytest.mark.parametrize("times", [1, 2])
def test_the_command_adds_eventbridge_and_keeps_the_notifications_of_a_queue_and_a_function(
    aws: LocalAws, s3: Any, tmp_path: Path, times: int
) -> None:
    before = others(aws)
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration=before, SkipDestinationValidation=True
    )
    assert "EventBridgeConfiguration" not in notifications(s3)
    for _ in range(times):
        done = shell(aws, tmp_path)
        assert done.returncode == 0, done.stderr
    assert notifications(s3) == {**before, "EventBridgeConfiguration": {}}


def test_the_command_works_for_a_bucket_that_notifies_nobody(aws: LocalAws, s3: Any, tmp_path: Path) -> None:
    assert shell(aws, tmp_path).returncode == 0
    assert notifications(s3) == {"EventBridgeConfiguration": {}}


def test_the_command_changes_nothing_if_the_present_configuration_cannot_be_read(
    aws: LocalAws, s3: Any, tmp_path: Path
) -> None:
    before = others(aws)
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration=before, SkipDestinationValidation=True
    )
    assert shell(aws, tmp_path, denied=True).returncode != 0
    assert notifications(s3) == before


def deployed(aws: LocalAws) -> Deployed:
    outputs = {"InboxBucketName": BUCKET, CONNECT_INBOX: connect_command()}
    return deploy(aws, table=TABLE, outputs=outputs, **PREFIXES)


async def test_doctor_names_the_command_until_the_bucket_is_connected(aws: LocalAws, s3: Any, tmp_path: Path) -> None:
    deployed(aws)
    async with services_of(aws) as services:
        checks = StackChecks(await read_stack(services, "bulkhead"), services)
        (before,) = await checks.inbox()
        assert before.level is Level.FAIL
        assert connect_command() in (before.hint or "")
        shell(aws, tmp_path)
        (after,) = await checks.inbox()
        assert after.level is Level.OK


@pytest.mark.parametrize("key", ["incoming/a/", "later/"])
async def test_a_load_may_begin_under_each_prefix_that_the_functions_can_read(aws: LocalAws, s3: Any, key: str) -> None:
    async with Operations(settings(aws, deployed(aws))) as operations:
        assert await operations.start(f"s3://{BUCKET}/{key}", name="bulk")


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/", f"s3://{BUCKET}/private/", "s3://other/incoming/"])
async def test_a_load_of_anything_else_is_refused_with_what_can_be_read(aws: LocalAws, s3: Any, uri: str) -> None:
    async with Operations(settings(aws, deployed(aws))) as operations:
        with pytest.raises(ConfigError, match=f"s3://{BUCKET}/incoming/, s3://{BUCKET}/later/"):
            await operations.start(uri, name="bulk")
        assert S3Place.parse(operations.nightly_prefix_url).key == "later/"


def settings(aws: LocalAws, stack: Deployed) -> Settings:
    return Settings(stack=stack.name, aws_endpoint_url=aws.endpoint_url)

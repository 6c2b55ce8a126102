"""A stack that fits into an account: it reads a bucket that was there before, and takes its policies and topics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.acceptance.inbox import rows
from tests.cloud.conftest import CONFIG
from tests.integration.cloud.test_existing_inbox import shell
from tests.support.cloud.building import built_template
from tests.support.cloud.deploying import deploy
from tests.support.cloud.running import Cloud, rolling
from tests.support.cloud.stack import until
from tests.support.command import CANARY_KEY

BUCKET = "acme-inbox"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def fitted(deployed: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A second stack in the same account and region, over what the account has already."""
    aws, directory = deployed.aws, tmp_path_factory.mktemp("fitted")
    boto3.client("s3", **aws.client_arguments).create_bucket(Bucket=BUCKET)
    boundary = _client(deployed, "iam").create_policy(PolicyName="boundary", PolicyDocument=json.dumps(EVERYTHING))
    on_call = _client(deployed, "sns").create_topic(Name="on-call")["TopicArn"]
    tickets = _client(deployed, "sns").create_topic(Name="tickets")["TopicArn"]
    key = _client(deployed, "kms").create_key()["KeyMetadata"]["Arn"]
    log = directory / "sam.log"
    values = {
        "ExistingInbox": BUCKET,
        "InboxPrefix": "incoming/",
        "NightlyPrefix": "incoming/later/",
        "KmsKeyArn": key,
        "InboxKmsKeyArn": key,
        "PermissionsBoundary": boundary["Policy"]["Arn"],
        "RolePath": "/applications/",
        "PageTopicArn": on_call,
        "TicketTopicArn": tickets,
        "ReconcileMinutes": "60",
    }
    with deploy(
        aws,
        built_template(log=log),
        log=log,
        name="fitted",
        ApiUrl=deployed.vendor.api_url,
        Quota=deployed.quota,
        **values,
    ) as stack:
        stack.set_secrets(license_key=CANARY_KEY, token=deployed.token)
        cloud = replace(deployed, stack=stack)
        cloud.configure(CONFIG)
        yield cloud
        stack.delete()


def _client(cloud: Cloud, service: str) -> Any:
    return boto3.client(service, **cloud.aws.client_arguments)


def test_the_stack_imports_from_a_bucket_that_others_use_and_changes_nothing_in_it(
    fitted: Cloud, tmp_path: Path
) -> None:
    queue = _notified(fitted)
    done = shell(fitted.aws, tmp_path, command=fitted.stack.outputs["ConnectInboxCommand"])
    assert done.returncode == 0, done.stderr
    fitted.tell(fitted.webhook_url)
    files = fitted.land({"incoming/orders/a.csv": rows(900)})
    fitted.land({"incoming/later/b.csv": rows(901), "private/c.csv": rows(902)})
    batch_id = rolling("orders")
    fitted.expect(batch_id, dict.fromkeys(files, "collected"))
    fitted.assert_collected(files, batch_id=batch_id)
    until(fitted.stack.is_quiet, what=fitted.stack.depths)
    assert fitted.batches_of("landed-") == [batch_id]
    assert _keys(fitted, queue) == {"incoming/orders/a.csv", "incoming/later/b.csv", "private/c.csv"}
    fitted.stack.client("sqs").delete_queue(QueueUrl=queue)


def test_roles_have_the_path_and_nothing_is_made_that_the_account_has(fitted: Cloud) -> None:
    iam = fitted.stack.client("iam")
    roles = [name for logical_id, name in fitted.stack.resources.items() if logical_id.endswith("Role")]
    assert roles
    for name in roles:
        assert iam.get_role(RoleName=name)["Role"]["Path"] == "/applications/"
    assert not {"InboxBucket", "InboxBucketPolicy", "AlarmTopic", "AlarmTopicPolicy"} & fitted.stack.resources.keys()


def _notified(cloud: Cloud) -> str:
    """Let the bucket notify a queue of another team, and return its url."""
    sqs = cloud.stack.client("sqs")
    url: str = sqs.create_queue(QueueName="others")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**allowed, "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    others = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Id": "others"}]}
    cloud.stack.client("s3").put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=others)
    return url


def _keys(cloud: Cloud, queue: str) -> set[str]:
    found: set[str] = set()
    while messages := cloud.stack.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            cloud.stack.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            found |= {record["s3"]["object"]["key"] for record in json.loads(message["Body"]).get("Records", [])}
    return {key.replace("%2F", "/") for key in found}

"""A stack that fits into an account: it reads a bucket of the account, and a worker outside of it sends the files."""

from __future__ import annotations

import json
import signal
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
from tests.support.command import CANARY_KEY, Command

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
        "SubmitBy": "container",
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


def _may_work(cloud: Cloud) -> dict[str, str]:
    """Return the credentials of somebody who has the policy for workers, and no other right.

    For ministack, sending batches is a permission of its own, and a condition can't name the namespace of a metric.
    """
    iam = cloud.stack.client("iam")
    arn = cloud.stack.outputs["WorkerPolicyArn"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    (metrics,) = [one for one in document["Statement"] if one.get("Sid") == "Metrics"]
    del metrics["Condition"]
    granted = json.dumps(document).replace('"sqs:SendMessage"', '"sqs:SendMessage*"')
    iam.create_user(UserName="worker")
    iam.put_user_policy(UserName="worker", PolicyName="worker", PolicyDocument=granted)
    key = iam.create_access_key(UserName="worker")["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def _finding(bulkhead: Command, name: str) -> dict[str, Any]:
    (found,) = [one for one in bulkhead("cloud", "doctor", "--json").document if one["name"] == name]
    return dict(found)


def test_the_stack_imports_from_a_bucket_that_others_use_and_changes_nothing_in_it(
    fitted: Cloud, tmp_path: Path
) -> None:
    bulkhead = fitted.command(tmp_path)
    bulkhead.environment |= {"BULKHEAD_STACK": "fitted", "DROMO_LICENSE_KEY": ""}
    queue = _notified(fitted)
    done = shell(fitted.aws, tmp_path, command=fitted.stack.outputs["ConnectInboxCommand"])
    assert done.returncode == 0, done.stderr
    fitted.tell(fitted.webhook_url)
    files = fitted.land({"incoming/orders/a.csv": rows(900)})
    fitted.land({"incoming/later/b.csv": rows(901), "private/c.csv": rows(902)})
    batch_id = rolling("orders")
    until(lambda: fitted.stack.depth("Submit"), what=fitted.stack.depths)
    assert _finding(bulkhead, "worker")["level"] == "fail", "a file waits, and nobody sends it"
    with bulkhead.start("cloud", "work", "--stats", "1s", variables=_may_work(fitted)) as worker:
        fitted.expect(batch_id, dict.fromkeys(files, "collected"))
        until(fitted.stack.is_quiet, what=fitted.stack.depths)
        assert _finding(bulkhead, "worker")["level"] == "ok"
        assert bulkhead("cloud", "status", batch_id, "--json").expect(0).document["worker_is_there"] is True
        worker.send(signal.SIGTERM)
        said = worker.wait(timeout_s=30).expect(143).text
    assert "1 create;" in said
    assert "not written" not in said
    fitted.assert_collected(files, batch_id=batch_id)
    assert fitted.stack.log("Submit") == [], "no function has sent anything"
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

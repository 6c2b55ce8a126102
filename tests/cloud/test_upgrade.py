"""What outlives an upgrade that changes every parameter, and the deletion of the stack; runs after all other tests."""

from __future__ import annotations

from pathlib import Path

from tests.support.cloud.building import built_template
from tests.support.cloud.deploying import deploy
from tests.support.cloud.running import Cloud
from tests.support.cloud.stack import Stack, until
from tests.support.template import template

CHANGED = {
    "ApiUrl": "https://vendor.example/api/v2",
    "SchemaId": "customers",
    "AllowHooks": "true",
    "StorageHosts": "*.storage.example",
    "ReviewHosts": "review.example,*.review.example",
    "Quota": "40/60s",
    "WebhookPerImport": "true",
    "WebhookUrl": "https://hooks.example/wh/v1/",
    "InboxPrefix": "landing/",
    "NightlyPrefix": "later/",
    "NightlySchedule": "'cron(0 2 * * ? *)'",
    "NightlyTimezone": "Europe/Berlin",
    "ReconcileMinutes": "1",
    "AlarmEmail": "operator@example.com",
    "LogRetentionDays": "7",
    "LogLevel": "DEBUG",
    "SubmitBy": "container",
    "SubmitConcurrency": "3",
    "UploadConcurrency": "6",
    "CollectConcurrency": "6",
    "LandedShare": "50",
    "WebhookRate": "60",
    "WebhookBurst": "120",
    "ManifestMinutes": "10",
    "PageTopicArn": "arn:aws:sns:us-east-1:000000000000:on-call",
    "TicketTopicArn": "arn:aws:sns:us-east-1:000000000000:tickets",
    "KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "PermissionsBoundary": "arn:aws:iam::000000000000:policy/boundary",
    "RolePath": "/applications/",
}
OF_THIS_MACHINE = {"Runtime", "Architecture"}
OF_ANOTHER_INBOX = {"ExistingInbox", "InboxKmsKeyArn"}
"""They take another bucket instead of the stack's own, which stays, but is no longer an output."""
LASTING = ("TableName", "InboxBucketName", "ResultsBucketName", "ConfigBucketName")
KEPT = "config/kept.csv"
"""Under config/ no object is imported."""

ROW = {"pk": {"S": "KEPT"}, "sk": {"B": b"-"}, "text": {"S": "kept"}}


def test_table_and_buckets_outlive_every_change_of_parameters_and_the_stack(deployed: Cloud, tmp_path: Path) -> None:
    log = tmp_path / "sam.log"
    stack = deployed.stack
    until(stack.is_quiet, what=stack.depths)
    before = _lasting(stack)
    _fill(stack)
    with deploy(deployed.aws, built_template(log=log), log=log, **CHANGED) as upgraded:
        assert _lasting(upgraded) == before
    assert _is_full(stack)
    stack.delete()
    assert _is_full(stack)
    assert not stack.client("lambda").list_functions()["Functions"]
    assert not stack.client("sqs").list_queues().get("QueueUrls")
    assert not stack.client("scheduler").list_schedules()["Schedules"]


def test_every_parameter_is_changed_but_those_that_this_machine_decides_or_that_take_another_inbox() -> None:
    assert set(CHANGED) == set(template().parameters) - OF_THIS_MACHINE - OF_ANOTHER_INBOX


def _lasting(stack: Stack) -> dict[str, str]:
    return {name: stack.outputs[name] for name in LASTING}


def _fill(stack: Stack) -> None:
    stack.client("dynamodb").put_item(TableName=stack.table, Item=ROW)
    for bucket in (stack.inbox, stack.results, stack.config):
        stack.client("s3").put_object(Bucket=bucket, Key=KEPT, Body=b"kept")


def _is_full(stack: Stack) -> bool:
    s3 = stack.client("s3")
    found = stack.client("dynamodb").get_item(TableName=stack.table, Key={name: ROW[name] for name in ("pk", "sk")})
    kept = [
        s3.get_object(Bucket=bucket, Key=KEPT)["Body"].read() for bucket in (stack.inbox, stack.results, stack.config)
    ]
    return found.get("Item") == ROW and kept == [b"kept"] * 3

"""A stack on the local AWS that has the outputs of template.yaml, but no working functions."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from runner.aws.services import Aws
from tests.support.aws import LocalAws

QUEUES = ("Register", "Submit", "Load", "Upload", "List", "Collect", "Finish")
TOKEN = "current-token-7f3ab1"
KEY_CANARY = "stack-key-91c4e7d2"


@dataclass(frozen=True)
class Deployed:
    """The stack: its name and outputs, and clients with which a test changes or inspects it."""

    aws: LocalAws
    name: str
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        return boto3.client(service, **self.aws.client_arguments)

    def put_secret(self, output: str, text: str) -> None:
        self.client("secretsmanager").put_secret_value(SecretId=self.outputs[output], SecretString=text)

    def secret(self, output: str) -> str:
        found = self.client("secretsmanager").get_secret_value(SecretId=self.outputs[output])
        return str(found["SecretString"])


def deploy(
    aws: LocalAws,
    *,
    name: str = "bulkhead",
    webhook_base: str = "https://hooks.example.com/wh/v1/",
    without: tuple[str, ...] = (),
    table: dict[str, Any] | None = None,
    outputs: Mapping[str, str] = {},
    **parameters: str,
) -> Deployed:
    """Create the stack, except the outputs in `without`; `table` are the properties of its table.

    `outputs` replace those of the same names.
    """
    given = {"ApiUrl": "https://vendor.example.com/api/v1", "Quota": "20/60s", "SchemaId": "customers", **parameters}
    given_outputs = {**_outputs(webhook_base), **outputs}
    template = {
        "Parameters": {key: {"Type": "String", "Default": value} for key, value in given.items()},
        "Resources": _resources(table),
        "Outputs": {key: {"Value": value} for key, value in given_outputs.items() if key not in without},
    }
    cloudformation = boto3.client("cloudformation", **aws.client_arguments)
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    found = _created(cloudformation, name)
    return Deployed(aws, name, {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]})


def services_of(aws: LocalAws) -> Aws:
    """Return clients of the local AWS."""
    return Aws(**aws.client_arguments)


def _created(cloudformation: Any, name: str) -> dict[str, Any]:
    for _ in range(200):
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if found["StackStatus"] == "CREATE_COMPLETE":
            return found
        time.sleep(0.02)
    raise AssertionError(found["StackStatus"])


def _resources(table: dict[str, Any] | None) -> dict[str, Any]:
    bucket = {"Type": "AWS::S3::Bucket"}
    telling = {"NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}}
    tokens = {"SecretString": json.dumps({"current": TOKEN})}
    queues = {name: {"Type": "AWS::SQS::Queue"} for queue in QUEUES for name in (f"{queue}Queue", _dead(queue))}
    properties = table or {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    }
    return {
        **queues,
        "InboxBucket": {**bucket, "Properties": telling},
        "ResultsBucket": bucket,
        "ConfigBucket": bucket,
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": properties},
        "LicenseKeySecret": {"Type": "AWS::SecretsManager::Secret"},
        "WebhookTokensSecret": {"Type": "AWS::SecretsManager::Secret", "Properties": tokens},
        "EndedTopic": {"Type": "AWS::SNS::Topic"},
        "AlarmTopic": {"Type": "AWS::SNS::Topic"},
    }


def _outputs(webhook_base: str) -> dict[str, Any]:
    queues = {f"{name}Url": {"Ref": name} for queue in QUEUES for name in (f"{queue}Queue", _dead(queue))}
    return {
        **queues,
        "TableName": {"Ref": "Table"},
        "InboxBucketName": {"Ref": "InboxBucket"},
        "ResultsBucketName": {"Ref": "ResultsBucket"},
        "ConfigBucketName": {"Ref": "ConfigBucket"},
        "WebhookUrlBase": webhook_base,
        "LicenseKeySecretArn": {"Ref": "LicenseKeySecret"},
        "WebhookTokensSecretArn": {"Ref": "WebhookTokensSecret"},
        "EndedTopicArn": {"Ref": "EndedTopic"},
        "AlarmTopicArn": {"Ref": "AlarmTopic"},
        "DashboardName": {"Ref": "AWS::StackName"},
    }


def _dead(queue: str) -> str:
    return f"{queue}DeadLetterQueue"

"""What each function may do, word for word: a grant that is not listed here is one too many."""

from __future__ import annotations

from typing import Any

import pytest

from runner.cloud.ops.metrics import NAMESPACE
from tests.support.template import references, template

LEDGER = "dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem"
LEASES = "dynamodb:DeleteItem"
ORPHANS = "dynamodb:BatchWriteItem"
ASK = "dynamodb:Query"
TAKE = "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage"
SEND = "sqs:SendMessage"
LIST_KEYS = "s3:ListBucket"
READ = "s3:GetObject s3:GetObjectVersion"
WRITE = "s3:AbortMultipartUpload s3:PutObject"
READ_SECRET = "secretsmanager:GetSecretValue"

GRANTS: dict[str, dict[str, str]] = {
    "Register": {
        "Table": LEDGER,
        "Table/index/by_version": ASK,
        "RegisterQueue": f"{TAKE} {SEND}",
        "SubmitQueue": SEND,
        "FinishQueue": SEND,
        "LicenseKeySecret": READ_SECRET,
    },
    "Submit": {
        "Table": f"{LEDGER} {LEASES} {ORPHANS}",
        "Table/index/by_state": ASK,
        "Table/index/by_version": ASK,
        "SubmitQueue": f"{TAKE} {SEND}",
        "LoadQueue": f"{TAKE} {SEND}",
        "UploadQueue": SEND,
        "FinishQueue": SEND,
        "InboxBucket if HasOwnInbox": LIST_KEYS,
        "InboxBucket/* if HasOwnInbox": READ,
        "${ExistingInbox} if not HasOwnInbox": LIST_KEYS,
        "${ExistingInbox}/${InboxPrefix}* if not HasOwnInbox": READ,
        "${ExistingInbox}/${NightlyPrefix}* if not HasOwnInbox": READ,
        "LicenseKeySecret": READ_SECRET,
        "WebhookTokensSecret if IsWebhookPerImport": READ_SECRET,
    },
    "Upload": {
        "Table": f"{LEDGER} {LEASES}",
        "UploadQueue": f"{TAKE} {SEND}",
        "SubmitQueue": SEND,
        "LoadQueue": SEND,
        "FinishQueue": SEND,
        "InboxBucket if HasOwnInbox": LIST_KEYS,
        "InboxBucket/* if HasOwnInbox": READ,
        "${ExistingInbox} if not HasOwnInbox": LIST_KEYS,
        "${ExistingInbox}/${InboxPrefix}* if not HasOwnInbox": READ,
        "${ExistingInbox}/${NightlyPrefix}* if not HasOwnInbox": READ,
        "LicenseKeySecret": READ_SECRET,
    },
    "ListPrefix": {
        "Table": f"{LEDGER} {LEASES}",
        "Table/index/by_version": ASK,
        "ListQueue": f"{TAKE} {SEND}",
        "RegisterQueue": f"sqs:GetQueueAttributes {SEND}",
        "LoadQueue": SEND,
        "FinishQueue": SEND,
        "InboxBucket if HasOwnInbox": f"{LIST_KEYS} s3:ListBucketVersions",
        "${ExistingInbox} if not HasOwnInbox": f"{LIST_KEYS} s3:ListBucketVersions",
        "LicenseKeySecret": READ_SECRET,
    },
    "Webhook": {
        "Table": "dynamodb:UpdateItem",
        "CollectQueue": SEND,
        "WebhookTokensSecret": READ_SECRET,
    },
    "Collect": {
        "Table": f"{LEDGER} {LEASES}",
        "CollectQueue": f"{TAKE} {SEND}",
        "FinishQueue": SEND,
        "ResultsBucket/batches/*": WRITE,
        "LicenseKeySecret": READ_SECRET,
    },
    "Reconcile": {
        "Table": f"{LEDGER} {LEASES} {ORPHANS}",
        "Table/index/by_state": ASK,
        "SubmitQueue": f"sqs:GetQueueAttributes {SEND}",
        "LoadQueue": f"sqs:GetQueueAttributes {SEND}",
        "ListQueue": f"sqs:GetQueueAttributes {SEND}",
        "UploadQueue": SEND,
        "CollectQueue": SEND,
        "FinishQueue": SEND,
        "LicenseKeySecret": READ_SECRET,
    },
    "Finish": {
        "Table": f"{LEDGER} {LEASES}",
        "Table/index/by_state": ASK,
        "FinishQueue": f"{TAKE} {SEND}",
        "ResultsBucket/batches/*": WRITE,
        "EndedTopic": "sns:Publish",
        "event-bus/default": "events:PutEvents",
    },
    "Configure": {
        "Table": "dynamodb:GetItem dynamodb:PutItem",
        "ConfigBucket": LIST_KEYS,
        "ConfigBucket/config/*": "s3:GetObject s3:PutObject",
        "EndedTopic": "sns:Publish",
    },
}
WORKER = GRANTS["Submit"] | {
    "stack/${StackName}/*": "cloudformation:DescribeStacks",
    "*": "cloudwatch:PutMetricData",
}
"""What the function submit may do, to find the stack, and to write the metrics of that function."""

KEYS_OF_THE_TABLE = {"Webhook": ["IMPORT#*"], "Configure": ["CONFIG"]}
CLOCK = {
    "ListQueue": SEND,
    "ReconcileFunction": "lambda:InvokeFunction",
    "ConfigureFunction": "lambda:InvokeFunction",
}


@pytest.mark.parametrize("function", GRANTS)
def test_a_function_may_do_what_is_listed_and_nothing_else(function: str) -> None:
    log = {f"{function}Log": "logs:CreateLogStream logs:PutLogEvents"}
    listed = {resource: " ".join(sorted(actions.split())) for resource, actions in (GRANTS[function] | log).items()}
    assert _granted(_statements(f"{function}Role")) == listed


@pytest.mark.parametrize("function", GRANTS)
def test_a_function_bears_its_role_which_only_lambda_takes_on(function: str) -> None:
    role = template().of_type("AWS::IAM::Role")[f"{function}Role"]
    trust = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust == [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    assert role["ManagedPolicyArns"] == [
        {"Ref": "TracingPolicy"},
        {"Fn::If": ["HasAnyKmsKey", {"Ref": "KeyPolicy"}, {"Ref": "AWS::NoValue"}]},
    ]
    assert template().functions()[f"{function}Function"]["Role"] == {"Fn::GetAtt": [f"{function}Role", "Arn"]}


def test_every_function_is_listed_and_there_is_one_role_more_for_the_clock() -> None:
    assert set(template().functions()) == {f"{name}Function" for name in GRANTS}
    assert set(template().of_type("AWS::IAM::Role")) == {f"{name}Role" for name in GRANTS} | {"ClockRole"}
    assert _granted(_statements("ClockRole")) == CLOCK


@pytest.mark.parametrize("function", GRANTS)
def test_what_needs_few_keys_of_the_table_gets_no_others(function: str) -> None:
    conditions = [one["Condition"] for one in _statements(f"{function}Role") if "Condition" in one]
    keys = KEYS_OF_THE_TABLE.get(function)
    assert conditions == ([{"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}}] if keys else [])


def test_nothing_but_configure_and_no_function_that_reads_the_inbox_reaches_the_configuration() -> None:
    readers = {
        name: set(_granted(_statements(f"{name}Role"))) & {"ConfigBucket", "ConfigBucket/config/*", "InboxBucket"}
        for name in GRANTS
    }
    assert {name for name, found in readers.items() if found & {"ConfigBucket", "ConfigBucket/config/*"}} == {
        "Configure"
    }
    assert not readers["Configure"] & {"InboxBucket"}, "the place of version 0.1.0 cannot be read any more"


def test_a_worker_may_do_what_the_function_submit_may_with_the_keys_of_the_account() -> None:
    policy = template().resources["WorkerPolicy"]
    assert "Condition" not in policy, "while a role has it, CloudFormation could not delete it"
    *statements, keys = policy["Properties"]["PolicyDocument"]["Statement"]
    assert _granted(statements) == {resource: " ".join(sorted(actions.split())) for resource, actions in WORKER.items()}
    condition, granted, otherwise = keys["Fn::If"]
    (of_functions,) = template().resources["KeyPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (condition, otherwise) == ("HasAnyKmsKey", {"Ref": "AWS::NoValue"})
    assert {name: value for name, value in granted.items() if name != "Sid"} == of_functions


def test_a_worker_writes_no_metrics_but_ours() -> None:
    statements = template().resources["WorkerPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (metrics,) = [one for one in statements if one.get("Resource") == "*"]
    assert metrics["Condition"] == {"StringEquals": {"cloudwatch:namespace": NAMESPACE}}


def test_only_traces_and_metrics_go_to_every_resource_and_no_action_has_a_star() -> None:
    tracing = template().of_type("AWS::IAM::ManagedPolicy")["TracingPolicy"]
    assert _granted(tracing["PolicyDocument"]["Statement"]) == {"*": "xray:PutTelemetryRecords xray:PutTraceSegments"}
    for role in template().of_type("AWS::IAM::Role"):
        assert "*" not in "".join(_granted(_statements(role)).values())
        assert "*" not in _granted(_statements(role))


def test_every_role_can_be_bounded_and_has_the_path_that_the_account_wants() -> None:
    for name, role in template().of_type("AWS::IAM::Role").items():
        boundary = {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]}
        assert role["PermissionsBoundary"] == boundary, name
        assert role["Path"] == {"Ref": "RolePath"}, name
    for name, policy in template().of_type("AWS::IAM::ManagedPolicy").items():
        assert policy["Path"] == {"Ref": "RolePath"}, name


def test_keys_are_used_only_by_way_of_the_services_that_keep_the_data() -> None:
    policy = template().resources["KeyPolicy"]
    assert policy["Condition"] == "HasAnyKmsKey"
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert {name for one in statement["Resource"] for name in references(one)} == {
        *("HasKmsKey", "KmsKeyArn", "HasInboxKmsKey", "InboxKmsKeyArn", "AWS::NoValue")
    }
    services = statement["Condition"]["StringLike"]["kms:ViaService"]
    assert {service.split(".")[0] for service in services} == {"s3", "dynamodb", "secretsmanager"}


def test_of_an_existing_inbox_only_keys_under_the_prefixes_can_be_listed() -> None:
    for role in ("SubmitRole", "UploadRole", "ListPrefixRole"):
        branches = [one["Fn::If"] for one in _statements(role) if one.get("Fn::If", [""])[0] == "HasOwnInbox"]
        (listing,) = [other for _, _, other in branches if LIST_KEYS in other["Action"]]
        prefixes = [{"Fn::Sub": "${InboxPrefix}*"}, {"Fn::Sub": "${NightlyPrefix}*"}]
        assert listing["Condition"] == {"StringLike": {"s3:prefix": prefixes}}


def test_what_aws_itself_may_call_is_bound_to_this_stack_or_account() -> None:
    assert all("SourceArn" in one for one in template().of_type("AWS::Lambda::Permission").values())
    for name, policy in (
        template().of_type("AWS::SQS::QueuePolicy") | template().of_type("AWS::SNS::TopicPolicy")
    ).items():
        (statement,) = policy["PolicyDocument"]["Statement"]
        if name == "EndedTopicPolicy":
            roles = [{"Fn::GetAtt": [f"{name}Role", "Arn"]} for name in ("Finish", "Configure")]
            assert statement["Principal"] == {"AWS": roles}
        else:
            assert set(statement["Principal"]) == {"Service"}
            assert statement["Condition"]


def _statements(role: str) -> list[dict[str, Any]]:
    (policy,) = template().of_type("AWS::IAM::Role")[role]["Policies"]
    return list(policy["PolicyDocument"]["Statement"])


def _granted(statements: list[dict[str, Any]]) -> dict[str, str]:
    """Return {resource: its actions}, resources by their logical ids, with the condition if there is one."""
    found: dict[str, set[str]] = {}
    for statement, condition in (branch for one in statements for branch in _branches(one)):
        assert statement["Effect"] == "Allow"
        for resource in _listed(statement["Resource"]):
            found.setdefault(f"{_name(resource)}{condition}", set()).update(_listed(statement["Action"]))
    return {resource: " ".join(sorted(actions)) for resource, actions in found.items()}


def _branches(statement: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    match statement:
        case {"Fn::If": [str(condition), dict(granted), {"Ref": "AWS::NoValue"}]}:
            return [(granted, f" if {condition}")]
        case {"Fn::If": [str(condition), dict(granted), dict(otherwise)]}:
            return [(granted, f" if {condition}"), (otherwise, f" if not {condition}")]
    return [(statement, "")]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(resource: Any) -> str:
    match resource:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), "Arn" | "Id"]}:
            return name
        case {"Fn::Sub": str(text)} if text.startswith("arn:"):
            return text.replace("AWS::", "").rpartition(":")[2]
        case {"Fn::Sub": str(text)}:
            return text.removeprefix("${").replace(".Arn}", "")
    return str(resource)

"""What must hold of template.yaml whatever is changed in it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lambdas import environment
from runner.cloud.handlers.configure import ALLOW_HOOKS
from runner.cloud.lifecycle import SUBMIT_QUEUES
from runner.cloud.messages import StartLoad, decode
from runner.config.units import parse_create_quota
from runner.ledger.dynamodb.keys import TABLE, TTL_ATTRIBUTE
from tests.support.template import ROOT, TEMPLATE, load_template, references, template

LASTING = ("InboxBucket", "ResultsBucket", "ConfigBucket", "Table")
QUEUES = ("RegisterQueue", "SubmitQueue", "LoadQueue", "UploadQueue", "ListQueue", "CollectQueue", "FinishQueue")
SMALLEST_SAFE_VISIBILITY = 6  # times the timeout of the function, says AWS's guide to queues and Lambda
DAYS_S = 86400
INBOX = {"Fn::If": ["HasOwnInbox", {"Ref": "InboxBucket"}, {"Ref": "ExistingInbox"}]}

OUTPUTS = {
    "TableName",
    "InboxBucketName",
    "ResultsBucketName",
    "ConfigBucketName",
    "RegisterQueueUrl",
    "RegisterDeadLetterQueueUrl",
    "SubmitQueueUrl",
    "SubmitDeadLetterQueueUrl",
    "LoadQueueUrl",
    "LoadDeadLetterQueueUrl",
    "UploadQueueUrl",
    "UploadDeadLetterQueueUrl",
    "ListQueueUrl",
    "ListDeadLetterQueueUrl",
    "CollectQueueUrl",
    "CollectDeadLetterQueueUrl",
    "FinishQueueUrl",
    "FinishDeadLetterQueueUrl",
    "WebhookUrlBase",
    "WebhookApiId",
    "LicenseKeySecretArn",
    "WebhookTokensSecretArn",
    "EndedTopicArn",
    "AlarmTopicArn",
    "TicketTopicArn",
    "WorkerPolicyArn",
    "DashboardName",
    "ConnectInboxCommand",
}
VARIABLES = {value for value in vars(environment).values() if str(value).startswith("BULKHEAD_")}
LOGGED = {
    "$context.requestTime",
    "$context.requestId",
    "$context.identity.sourceIp",
    "$context.routeKey",
    "$context.status",
    "$context.responseLength",
    "$context.responseLatency",
    "$context.error.responseType",
}


@pytest.mark.parametrize("name", LASTING)
def test_the_ledger_and_the_files_outlive_the_stack_and_every_update_of_it(name: str) -> None:
    resource = template().resources[name]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate", "a first deployment that fails leaves nothing behind"
    assert resource["UpdateReplacePolicy"] == "Retain"
    assert resource.get("Condition") == ("HasOwnInbox" if name == "InboxBucket" else None)


@pytest.mark.parametrize("name", LASTING)
def test_no_parameter_and_no_name_of_ours_can_make_an_update_replace_them(name: str) -> None:
    properties = template().resources[name]["Properties"]
    ciphers = {key: properties[key] for key in ("BucketEncryption", "SSESpecification") if key in properties}
    rest = {key: value for key, value in properties.items() if key not in ciphers}
    assert not set(references(rest)), "what they are made of depends on nothing"
    assert set(references(ciphers)) - {"AWS::NoValue"} == {"HasKmsKey", "KmsKeyArn"}, "an update changes it in place"
    assert not {"TableName", "BucketName"} & properties.keys(), "CloudFormation names them"


def test_no_name_stands_in_the_way_of_a_second_stack_or_of_the_same_stack_in_another_region() -> None:
    dashboard = template().resources["Dashboard"]["Properties"]["DashboardName"]
    assert dashboard == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}, "dashboards have one name in all regions"
    access_log = template().resources["WebhookAccessLog"]["Properties"]["LogGroupName"]
    assert access_log == {"Fn::Sub": "/aws/vendedlogs/apis/${AWS::StackName}-webhook"}, "no entry in the log policy"
    for logical_id, resource in template().resources.items():
        names = {key for key in resource.get("Properties", {}) if re.fullmatch(r"[A-Z]\w*Name", key)}
        allowed = {"MetricName", "DashboardName", "FunctionName", "DisplayName", "StageName"}
        allowed |= {"LogGroupName"} if logical_id == "WebhookAccessLog" else set()
        assert names <= allowed, f"{logical_id} would stand in the way of a second stack"


def test_the_table_has_the_keys_and_safeguards_of_the_design() -> None:
    table = template().resources["Table"]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    own_key = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "KmsKeyArn"}}
    assert table["SSESpecification"] == {"Fn::If": ["HasKmsKey", own_key, {"SSEEnabled": True}]}
    assert table["TimeToLiveSpecification"] == {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}


def test_the_table_is_the_one_that_the_ledger_makes_for_itself() -> None:
    properties = template().resources["Table"]["Properties"]
    assert {name: _unordered(properties[name]) for name in TABLE} == {name: _unordered(TABLE[name]) for name in TABLE}


@pytest.mark.parametrize("name", ["InboxBucket", "ResultsBucket", "ConfigBucket"])
def test_a_bucket_is_encrypted_private_versioned_and_spoken_to_over_tls(name: str) -> None:
    bucket = template().resources[name]["Properties"]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    own_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
    assert rule == {
        "ServerSideEncryptionByDefault": {"Fn::If": ["HasKmsKey", own_key, {"SSEAlgorithm": "AES256"}]},
        "BucketKeyEnabled": {"Fn::If": ["HasKmsKey", True, {"Ref": "AWS::NoValue"}]},
    }
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    lifecycle = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert "NoncurrentVersionExpiration" in lifecycle["versions"]
    assert "AbortIncompleteMultipartUpload" in lifecycle["uploads"]
    (statement,) = template().resources[f"{name}Policy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_gives_up_after_five_times_and_keeps_what_failed_ten_days_longer_than_what_waits(name: str) -> None:
    dead_letters = name.replace("Queue", "DeadLetterQueue")
    queue = template().resources[name]["Properties"]
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_letters, "Arn"]},
        "maxReceiveCount": 5,
    }
    dead = template().resources[dead_letters]["Properties"]
    assert (queue["MessageRetentionPeriod"], dead["MessageRetentionPeriod"]) == (4 * DAYS_S, 14 * DAYS_S)
    assert queue["SqsManagedSseEnabled"] is dead["SqsManagedSseEnabled"] is True


def test_an_event_of_a_file_that_cannot_be_delivered_is_kept_with_the_dead_letters_of_its_queue() -> None:
    (target,) = template().resources["LandedRule"]["Properties"]["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["RegisterQueue", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["RegisterDeadLetterQueue", "Arn"]}}
    policy = template().resources["RegisterQueuePolicy"]["Properties"]
    assert policy["Queues"] == [{"Ref": "RegisterQueue"}, {"Ref": "RegisterDeadLetterQueue"}]


def test_every_queue_is_read_by_one_function_and_hides_messages_for_six_times_its_timeout() -> None:
    readers = {}
    for name, function in template().functions().items():
        for event in function.get("Events", {}).values():
            properties = event["Properties"]
            queue = properties["Queue"]["Fn::GetAtt"][0]
            assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            most = properties["ScalingConfig"]["MaximumConcurrency"]
            assert 2 <= (template().parameters[most["Ref"]]["Default"] if isinstance(most, dict) else most) <= 10
            visibility_s = template().resources[queue]["Properties"]["VisibilityTimeout"]
            assert visibility_s >= SMALLEST_SAFE_VISIBILITY * function["Timeout"], name
            readers[queue] = name
    assert readers == {
        "RegisterQueue": "RegisterFunction",
        "SubmitQueue": "SubmitFunction",
        "LoadQueue": "SubmitFunction",
        "UploadQueue": "UploadFunction",
        "ListQueue": "ListPrefixFunction",
        "CollectQueue": "CollectFunction",
        "FinishQueue": "FinishFunction",
    }


def read_by_functions(submit_by: str) -> set[str]:
    """Return the queues whose mappings are enabled in a stack with this value of SubmitBy."""
    conditions = load_template(TEMPLATE)["Conditions"]
    assert conditions["SubmitsByFunctions"] == {"Fn::Equals": [{"Ref": "SubmitBy"}, "functions"]}
    found = set()
    for function in template().functions().values():
        for properties in (event["Properties"] for event in function.get("Events", {}).values()):
            match properties.get("Enabled", True):
                case {"Fn::If": ["SubmitsByFunctions", bool(by_functions), bool(by_container)]}:
                    is_enabled = by_functions if submit_by == "functions" else by_container
                case is_enabled:
                    assert is_enabled is True
            if is_enabled:
                found.add(properties["Queue"]["Fn::GetAtt"][0])
    return found


def test_functions_read_every_queue_and_with_a_container_all_but_those_of_files_to_send() -> None:
    parameter = template().parameters["SubmitBy"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("functions", ["functions", "container"])
    assert read_by_functions("functions") == set(QUEUES)
    assert read_by_functions("container") == set(QUEUES) - {"SubmitQueue", "LoadQueue"}
    workers = {f"{queue.capitalize()}Queue" for queue in SUBMIT_QUEUES}
    assert workers == {"SubmitQueue", "LoadQueue"}, "a worker reads what the functions leave"


def test_nothing_else_in_the_stack_depends_on_who_submits() -> None:
    conditional = {name for name, one in template().resources.items() if "SubmitsBy" in str(one.get("Condition", ""))}
    assert conditional == set(), "so an update in either direction neither makes nor deletes anything"


def test_files_that_arrived_and_loads_have_as_many_executions_of_submit_as_a_parameter_says() -> None:
    submit = template().functions()["SubmitFunction"]
    for event in ("Queue", "Loads"):
        scaling = submit["Events"][event]["Properties"]["ScalingConfig"]
        assert scaling == {"MaximumConcurrency": {"Ref": "SubmitConcurrency"}}
    assert template().parameters["SubmitConcurrency"]["Default"] == 2


def test_an_execution_of_upload_has_one_file() -> None:
    properties = template().functions()["UploadFunction"]["Events"]["Queue"]["Properties"]
    assert properties["BatchSize"] == 1
    assert properties["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "UploadConcurrency"}}


def test_a_pass_of_reconcile_that_failed_is_not_repeated_by_lambda() -> None:
    assert template().functions()["ReconcileFunction"]["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}


def test_submit_has_room_to_parse_15_mb_of_json() -> None:
    submit = template().functions()["SubmitFunction"]
    assert (submit["Timeout"], submit["MemorySize"]) == (900, 1024)


def test_functions_are_traced_log_to_a_group_that_forgets_and_name_themselves_in_metrics() -> None:
    for name, function in template().functions().items():
        stem = name.removesuffix("Function")
        module = re.sub(r"(?<!^)(?=[A-Z])", "_", stem).lower()
        assert function["Handler"] == f"lambdas.{module}.lambda_handler"
        assert "def lambda_handler(" in (ROOT / "lambdas" / f"{module}.py").read_text()
        assert function["Tracing"] == "Active"
        assert function["LoggingConfig"] == {"LogGroup": {"Ref": f"{stem}Log"}}
        variables = function["Environment"]["Variables"]
        assert variables == {"POWERTOOLS_SERVICE_NAME": {"Fn::Sub": f"${{AWS::StackName}}-{module}"}}
    for group in template().of_type("AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_functions_get_every_variable_they_read() -> None:
    given = set(template().function_globals["Environment"]["Variables"])
    assert {name for name in given if name.startswith("BULKHEAD_")} == VARIABLES


def test_the_outputs_are_those_that_commands_and_runbook_ask_for() -> None:
    assert set(template().outputs) == OUTPUTS


def test_the_access_log_of_the_webhook_names_no_path_and_so_no_token() -> None:
    stage = template().resources["WebhookStage"]["Properties"]
    form = json.loads(stage["AccessLogSettings"]["Format"])
    assert set(form.values()) == LOGGED
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "WebhookRate"},
        "ThrottlingBurstLimit": {"Ref": "WebhookBurst"},
    }


def test_the_webhook_is_all_that_anybody_may_call() -> None:
    (route,) = template().of_type("AWS::ApiGatewayV2::Route").values()
    assert route["RouteKey"] == "POST /wh/v1/{token}"
    assert not template().of_type("AWS::Lambda::Url")


def test_with_an_own_domain_the_webhook_has_no_second_address() -> None:
    api = template().resources["WebhookApi"]["Properties"]
    assert api["DisableExecuteApiEndpoint"] == {"Fn::If": ["HasWebhookUrl", True, False]}


def test_secrets_are_made_without_a_value_of_ours_and_an_update_creates_no_new_ones() -> None:
    secrets = template().of_type("AWS::SecretsManager::Secret")
    assert set(secrets["LicenseKeySecret"]) == {"Description", "KmsKeyId"}
    assert secrets["WebhookTokensSecret"]["GenerateSecretString"] == {
        "SecretStringTemplate": "{}",
        "GenerateStringKey": "current",
        "PasswordLength": 64,
        "ExcludePunctuation": True,
    }, "another value here would give every stack another token"


def test_files_that_land_are_told_to_submit_but_for_configuration_folders_and_what_waits_for_a_load() -> None:
    pattern = template().resources["LandedRule"]["Properties"]["EventPattern"]
    assert pattern["detail"]["bucket"] == {"name": [INBOX]}
    key = pattern["detail"]["object"]["key"]
    everything = [{"anything-but": {"wildcard": ["config/*", "*/", {"Fn::Sub": "${NightlyPrefix}*"}]}}]
    assert key == {"Fn::If": ["HasInboxPrefix", [{"prefix": {"Ref": "InboxPrefix"}}], everything]}


def test_a_nightly_load_is_a_message_that_the_list_queue_understands() -> None:
    schedule = template().resources["NightlyLoad"]
    text, values = schedule["Properties"]["Target"]["Input"]["Fn::Sub"]
    assert values == {"Inbox": INBOX}
    filled = text.replace("${Inbox}", "inbox").replace("${NightlyPrefix}", "nightly/")
    load = decode(filled.replace("<aws.scheduler.scheduled-time>", "2026-07-23T02:00:00Z"))
    assert isinstance(load, StartLoad)
    assert load.at is not None
    assert (load.uri, load.name, load.at.hour) == ("s3://inbox/nightly/", "nightly", 2)
    assert schedule["Condition"] == "HasNightly"
    assert template().parameters["NightlySchedule"]["Default"] == ""


def test_the_configuration_is_read_from_its_own_bucket_and_from_nowhere_else() -> None:
    detail = template().resources["ConfigRule"]["Properties"]["EventPattern"]["detail"]
    assert detail == {"bucket": {"name": [{"Ref": "ConfigBucket"}]}, "object": {"key": ["config/bulkhead.toml"]}}
    variables = template().function_globals["Environment"]["Variables"]
    assert variables["BULKHEAD_CONFIG_BUCKET"] == {"Ref": "ConfigBucket"}
    assert "EventBridgeConfiguration" in template().resources["ConfigBucket"]["Properties"]["NotificationConfiguration"]
    schedule = template().resources["ConfigureSchedule"]["Properties"]
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": ["ConfigureFunction", "Arn"]}


def test_hooks_in_the_configuration_are_off_by_default() -> None:
    parameter = template().parameters[ALLOW_HOOKS]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("false", ["true", "false"])
    variables = template().function_globals["Environment"]["Variables"]
    assert variables["BULKHEAD_ALLOW_HOOKS"] == {"Ref": ALLOW_HOOKS}


@pytest.mark.parametrize("name", ["InboxPrefix", "NightlyPrefix"])
@pytest.mark.parametrize(
    ("prefix", "is_allowed"),
    [
        ("orders/", True),
        ("configs/", True),
        ("orders/config/", True),
        ("config/", False),
        ("config/orders/", False),
        ("orders", False),
        ("/", False),
    ],
)
def test_a_prefix_ends_with_a_slash_and_is_not_that_from_which_nothing_is_imported(
    name: str, prefix: str, is_allowed: bool
) -> None:
    assert bool(re.fullmatch(template().parameters[name]["AllowedPattern"], prefix)) == is_allowed
    assert "config/" in template().parameters[name]["ConstraintDescription"]


@pytest.mark.parametrize("name", ["ApiUrl", "WebhookUrl"])
@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://app.dromo.io/api/v1/", True),
        ("http://127.0.0.1:8080/api/v1/", True),
        ("http://localhost/", True),
        ("http://[::1]:8080/", True),
        ("http://app.dromo.io/api/v1/", False),
        ("http://localhost.evil.example/", False),
        ("http://127.0.0.1.evil.example/", False),
        ("http://127.0.0.1:80@evil.example/", False),
        ("https://user:password@app.dromo.io/", False),
        ("ftp://app.dromo.io/", False),
        (" https://app.dromo.io/", False),
    ],
)
def test_a_url_is_https_or_of_this_machine(name: str, url: str, is_allowed: bool) -> None:
    assert bool(re.fullmatch(template().parameters[name]["AllowedPattern"], url)) == is_allowed


@pytest.mark.parametrize(
    ("quota", "is_allowed"),
    [
        *((text, True) for text in ("20/60s", "1/1s", "1/3600s", "999/1s", "30/86400s", "1000/10s", "99999/60s")),
        *((text, True) for text in ("20/3s", "600/60s", "28000/86400s", "99999/86400s")),
        *((text, False) for text in ("100000/86400s", "99999/59s", "10000/59s", "1000/9s", "1/3601s", "29/86400s")),
        *((text, False) for text in ("0/60s", "20/0s", "20/60", "20/1m", " 20/60s")),
    ],
)
def test_a_quota_is_one_that_the_functions_can_keep(quota: str, is_allowed: bool) -> None:
    assert bool(re.fullmatch(template().parameters["Quota"]["AllowedPattern"], quota)) == is_allowed


@given(count=st.integers(1, 99_999), seconds=st.integers(1, 99_999))
def test_every_quota_that_can_be_deployed_is_one_that_the_runner_can_keep(count: int, seconds: int) -> None:
    quota = f"{count}/{seconds}s"
    assume(re.fullmatch(template().parameters["Quota"]["AllowedPattern"], quota))
    rate = parse_create_quota(quota)
    assert (rate.count, rate.per_s) == (count, seconds)


@pytest.mark.parametrize(
    ("name", "value", "is_allowed"),
    [
        ("ExistingInbox", "acme-inbox.example", True),
        ("ExistingInbox", "s3://acme-inbox", False),
        ("ExistingInbox", "acme-inbox/incoming", False),
        ("KmsKeyArn", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", True),
        ("KmsKeyArn", "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab", True),
        ("KmsKeyArn", "arn:aws:kms:eu-central-1:111122223333:alias/acme", False),
        ("PermissionsBoundary", "arn:aws-us-gov:iam::111122223333:policy/boundaries/acme", True),
        ("PermissionsBoundary", "acme-boundary", False),
        ("RolePath", "/", True),
        ("RolePath", "/applications/bulkhead/", True),
        ("RolePath", "applications", False),
        ("PageTopicArn", "arn:aws:sns:eu-central-1:111122223333:on-call", True),
        ("TicketTopicArn", "on-call", False),
    ],
)
def test_what_the_account_has_is_named_in_full(name: str, value: str, is_allowed: bool) -> None:
    parameter = template().parameters[name]
    assert bool(re.fullmatch(parameter["AllowedPattern"], value)) == is_allowed
    assert re.fullmatch(parameter["AllowedPattern"], parameter["Default"])


def test_every_parameter_has_a_default_and_says_what_it_is() -> None:
    for name, parameter in template().parameters.items():
        assert {"Default", "Description"} <= parameter.keys(), name


def _unordered(value: Any) -> Any:
    """Return lists of named things as sets would be, to compare what order does not matter in."""
    if isinstance(value, list):
        return sorted((json.dumps(one, sort_keys=True) for one in value), key=str)
    return value

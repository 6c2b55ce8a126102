"""What goes wrong at AWS becomes an error of Bulkhead's own, with what to do about it."""

from __future__ import annotations

import pytest
from botocore import exceptions as botocore

from runner.aws.errors import translated
from runner.aws.services import Aws
from runner.errors import AwsRefused, BulkheadError, ConfigError, Unavailable
from tests.support.aws import LocalAws, free_port
from tests.support.deployed import services_of


def refusal(code: str, message: str = "no", *, operation: str = "DescribeStacks", status: int = 400) -> Exception:
    metadata = {"HTTPStatusCode": status}
    return botocore.ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, operation)


@pytest.mark.parametrize(
    ("error", "kind", "said", "hinted"),
    [
        (botocore.NoCredentialsError(), ConfigError, "there are no usable AWS credentials", "AWS_PROFILE"),
        (botocore.NoRegionError(), ConfigError, "no AWS region is set", "--region"),
        (botocore.UnauthorizedSSOTokenError(), ConfigError, "the AWS login has expired", "aws sso login"),
        (botocore.ProfileNotFound(profile="ops"), ConfigError, "ops", "AWS_PROFILE"),
        (botocore.EndpointConnectionError(endpoint_url="http://x"), Unavailable, "cannot be reached", ""),
        (botocore.ReadTimeoutError(endpoint_url="http://x"), Unavailable, "cannot be reached", ""),
        (refusal("ExpiredToken", "expired"), AwsRefused, "does not accept the credentials", "aws sso login"),
        (refusal("Throttling"), Unavailable, "busy", ""),
        (refusal("ProvisionedThroughputExceededException"), Unavailable, "busy", ""),
        (refusal("InternalError", status=500), Unavailable, "busy", ""),
        (refusal("ValidationError", "wrong name"), AwsRefused, "wrong name", ""),
    ],
)
def test_each_trouble_has_its_sentence_and_its_hint(
    error: Exception, kind: type[BulkheadError], said: str, hinted: str
) -> None:
    found = translated(error, service="cloudformation")
    assert type(found) is kind
    assert said in str(found)
    assert hinted in (found.hint or "")


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (
            refusal("AccessDenied", "User: u is not authorized to perform: cloudformation:DescribeStacks on resource"),
            "cloudformation:DescribeStacks",
        ),
        (refusal("AccessDenied", "Access Denied", operation="GetObject"), "s3:GetObject"),
        (refusal("AccessDenied", "not authorized to perform: sqs:SendMessageBatch on x"), "sqs:SendMessage"),
        (
            refusal("AccessDenied", "Access Denied", operation="GetBucketNotificationConfiguration"),
            "s3:GetBucketNotification",
        ),
    ],
)
def test_a_refusal_names_the_permission_that_is_missing(error: Exception, action: str) -> None:
    found = translated(error, service="s3")
    assert str(found).endswith(f" {action}")
    assert action in (found.hint or "")


async def test_a_client_is_opened_once_and_its_errors_are_ours(aws: LocalAws) -> None:
    async with services_of(aws) as services:
        assert await services.client("sqs") is await services.client("sqs")
        with pytest.raises(AwsRefused, match="does not exist"):
            await services.call("cloudformation", "describe_stacks", StackName="nope")


async def test_an_aws_that_does_not_answer_is_unavailable() -> None:
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
    async with Aws(region_name="eu-west-1", endpoint_url=f"http://127.0.0.1:{free_port()}", **keys) as services:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await services.call("sts", "get_caller_identity")

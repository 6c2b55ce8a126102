"""Whatever S3 or the way to it raises becomes a sentence with the place, the reason and the next step."""

from __future__ import annotations

import inspect

import aiohttp
import pytest
from botocore import exceptions as botocore

from runner.aws.errors import KeyTrouble, key_trouble
from runner.aws.errors import translated as of_service
from runner.aws.s3 import S3Place
from runner.aws.s3_errors import FOREIGN, Doing, translated, translation
from runner.errors import (
    AwsRefused,
    BulkheadError,
    ConfigError,
    FileUnavailable,
    ItemRejected,
    SourceNotFound,
    StorageFull,
    TransientError,
    Unavailable,
)
from tests.support.scripted_s3 import refusal

PLACE = S3Place("inbox", "2026/")
OF_BOTOCORE = [
    kind for _, kind in inspect.getmembers(botocore, inspect.isclass) if issubclass(kind, botocore.BotoCoreError)
]


def made(kind: type[Exception]) -> Exception:
    """Make an error without what its message is made of."""
    error = kind.__new__(kind)
    error.kwargs = {}  # type: ignore[attr-defined]
    Exception.__init__(error, "secret-looking details")
    return error


@pytest.mark.parametrize("doing", Doing)
@pytest.mark.parametrize("kind", OF_BOTOCORE)
def test_every_error_of_botocore_is_translated(kind: type[Exception], doing: Doing) -> None:
    found = translation(made(kind), PLACE, doing)
    assert isinstance(found, ConfigError | TransientError)
    assert "inbox" in str(found)
    assert found.hint


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), aiohttp.ClientPayloadError()])
def test_a_broken_connection_may_be_tried_again(error: Exception) -> None:
    with pytest.raises(FileUnavailable), translated(PLACE, Doing.LIST):
        raise error


def test_what_is_no_error_of_s3_passes() -> None:
    assert not issubclass(ValueError, FOREIGN)
    with pytest.raises(ValueError, match="ours"), translated(PLACE, Doing.LIST):
        raise ValueError("ours")


NO_KEY_POLICY = "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: kms:Decrypt on the resource"


@pytest.mark.parametrize("doing", Doing)
@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (refusal(400, "KMS.DisabledException", "arn:aws:kms:eu-west-1:1:key/k is disabled."), "enable it"),
        (refusal(400, "KMS.KMSInvalidStateException", "the key is pending deletion"), "cancel its deletion"),
        (refusal(400, "KMS.NotFoundException"), "see the key in KMS"),
    ],
)
def test_a_key_that_cannot_be_used_is_no_property_of_one_object(error: Exception, hint: str, doing: Doing) -> None:
    found = translation(error, PLACE, doing)
    assert type(found) is ConfigError
    assert "the KMS key that encrypts it" in str(found)
    assert hint in (found.hint or "")


@pytest.mark.parametrize("doing", [one for one in Doing if one is not Doing.READ])
def test_a_key_that_is_denied_is_named_with_the_permissions(doing: Doing) -> None:
    found = translation(refusal(403, "AccessDenied", NO_KEY_POLICY), PLACE, doing)
    assert type(found) is ConfigError
    assert "allow kms:Decrypt" in (found.hint or "")


@pytest.mark.parametrize(
    "error", [refusal(403, "AccessDenied", NO_KEY_POLICY), refusal(400, "KMS.AccessDeniedException", "not yours")]
)
def test_a_key_of_an_object_that_is_denied_may_be_of_that_object_alone(error: Exception) -> None:
    found = translation(error, PLACE, Doing.READ)
    assert isinstance(found, ItemRejected)
    assert found.code == "access_denied"
    assert "kms:Decrypt" in str(found)


@pytest.mark.parametrize("doing", Doing)
@pytest.mark.parametrize(
    "code", ["KMS.ThrottlingException", "KMS.KMSInternalException", "KMS.DependencyTimeoutException"]
)
def test_a_key_that_is_busy_may_be_tried_again(code: str, doing: Doing) -> None:
    assert type(translation(refusal(400, code), PLACE, doing)) is FileUnavailable


@pytest.mark.parametrize(
    ("code", "message", "trouble"),
    [
        ("KmsThrottled", "", KeyTrouble.BUSY),
        ("KMSThrottling", "", KeyTrouble.BUSY),
        ("KmsDisabled", "", KeyTrouble.UNUSABLE),
        ("KMSAccessDenied", "", KeyTrouble.DENIED),
        (
            "AccessDeniedException",
            "KMS key access denied error: DisabledException: the key is disabled",
            KeyTrouble.UNUSABLE,
        ),
        ("AccessDeniedException", "KMS key access denied error: ThrottlingException: slow down", KeyTrouble.BUSY),
        ("AccessDeniedException", "not authorized to perform: dynamodb:GetItem on table kms", None),
        ("AccessDenied", "Access Denied", None),
        ("ThrottlingException", "", None),
    ],
)
def test_each_service_says_in_its_own_way_that_a_key_is_the_trouble(
    code: str, message: str, trouble: KeyTrouble | None
) -> None:
    error = refusal(400, code, message)
    assert key_trouble(error) is trouble
    kinds = {KeyTrouble.BUSY: Unavailable, KeyTrouble.UNUSABLE: AwsRefused, KeyTrouble.DENIED: AwsRefused}
    if trouble is not None:
        found = of_service(error, service="dynamodb")
        assert type(found) is kinds[trouble]
        assert found.hint == (None if trouble is KeyTrouble.BUSY else trouble.hint)


@pytest.mark.parametrize(
    ("error", "doing", "kind", "said", "hint"),
    [
        (refusal(404, "NoSuchBucket"), Doing.LIST, SourceNotFound, "there is no bucket inbox", "aws_endpoint_url"),
        (refusal(404, "NoSuchBucket"), Doing.WRITE, ConfigError, "there is no bucket inbox", "aws_endpoint_url"),
        (refusal(403, "AccessDenied"), Doing.LIST, ConfigError, "cannot list s3://inbox/2026/: S3 denies it",
         "allow s3:ListBucket on arn:aws:s3:::inbox in"),
        (refusal(403, "AccessDenied"), Doing.WRITE, ConfigError, "cannot write to s3://inbox/2026/",
         "allow s3:PutObject on arn:aws:s3:::inbox/2026/*"),
        (botocore.NoCredentialsError(), Doing.LIST, ConfigError, "no usable AWS credentials", "AWS_PROFILE"),
        (refusal(403, "ExpiredToken"), Doing.LIST, ConfigError, "does not accept the AWS credentials", "aws sso login"),
        (refusal(403, "RequestTimeTooSkewed"), Doing.LIST, ConfigError, "RequestTimeTooSkewed", "clock"),
        (refusal(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"), Doing.LIST, ConfigError,
         "is in region eu-west-1", "BULKHEAD_AWS_REGION=eu-west-1"),
        (refusal(400, "AuthorizationHeaderMalformed", "the region 'a' is wrong; expecting 'us-west-2'"), Doing.WRITE,
         ConfigError, "is in region us-west-2", "BULKHEAD_AWS_REGION=us-west-2"),
        (botocore.EndpointConnectionError(endpoint_url="http://127.0.0.1:1/inbox?prefix=2026"), Doing.LIST,
         FileUnavailable, "S3 cannot be reached at http://127.0.0.1:1", "aws_endpoint_url"),
        (refusal(503, "SlowDown"), Doing.LIST, FileUnavailable, "HTTP 503 SlowDown", None),
        (refusal(507, "XMinioStorageFull"), Doing.WRITE, StorageFull, "no space is left", "resume"),
        (refusal(501, "NotImplemented"), Doing.WRITE, ConfigError, "HTTP 501 NotImplemented", None),
    ],
)  # fmt: skip
def test_an_answer_is_reported_with_its_place_reason_and_next_step(
    error: Exception, doing: Doing, kind: type[BulkheadError], said: str, hint: str | None
) -> None:
    found = translation(error, PLACE, doing)
    assert type(found) is kind
    assert said in str(found)
    assert hint is None or hint in (found.hint or "")


def test_a_folder_written_without_its_slash_is_hinted_at() -> None:
    found = translation(refusal(403, "AccessDenied"), S3Place("inbox", "2026"), Doing.LIST)
    assert "s3://inbox/2026/" in (found.hint or "")

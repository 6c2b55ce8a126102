"""Whatever S3 or the way to it raises becomes a sentence with the place, the reason and the next step."""

from __future__ import annotations

import inspect

import aiohttp
import pytest
from botocore import exceptions as botocore

from runner.aws.s3 import S3Place
from runner.aws.s3_errors import FOREIGN, Doing, translated, translation
from runner.errors import BulkheadError, ConfigError, FileUnavailable, SourceNotFound, StorageFull, TransientError
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

"""AWS errors translated to errors of Bulkhead; `s3_errors` does so for places in S3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from botocore import exceptions as botocore

from runner.errors import AwsRefused, BulkheadError, ConfigError, Unavailable
from runner.masking import FORMS

UNUSABLE = (botocore.BotoCoreError, ValueError, OSError)
"""Errors that opening a session or a client may raise."""

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "Forbidden", "403"})
"""Codes of calls that the credentials are not allowed to make."""

NOT_ACCEPTED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidToken",
        "MissingAuthenticationToken",
        "NotSignedUp",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
"""Codes of calls whose credentials AWS does not accept, or no longer accepts."""

_BUSY = frozenset({"RequestLimitExceeded", "RequestThrottled", "SlowDown", "ThrottledException", "Throttling"})
_BUSY_ENDINGS = ("ThrottlingException", "ThroughputExceededException", "TooManyRequestsException")
_KEY_BUSY = re.compile(r"throttl|LimitExceeded|DependencyTimeout|KMSInternal|KeyUnavailable", re.IGNORECASE)
_KEY_DENIED = re.compile(r"kms:[A-Z]|\bKMS key\b")
_ACTION = re.compile(r"perform: ([A-Za-z0-9-]+:[A-Za-z]+)")
_ACTIONS = {
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
"""IAM actions whose names differ from the operations they allow."""

_CODE_CHARS = 100

LOG_IN = "log in again (`aws sso login`), or check AWS_PROFILE and the AWS_* variables"
"""What to do if credentials are missing or refused."""

_UNCONFIGURED: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (botocore.NoCredentialsError, botocore.PartialCredentialsError, botocore.CredentialRetrievalError),
        "there are no usable AWS credentials",
        LOG_IN,
    ),
    (
        (botocore.SSOError, botocore.TokenRetrievalError, botocore.NoAuthTokenError),
        "the AWS login has expired",
        LOG_IN,
    ),
    (
        (botocore.NoRegionError,),
        "no AWS region is set",
        "set AWS_DEFAULT_REGION, or aws_region in bulkhead.toml; `bulkhead cloud` takes --region too",
    ),
)


class KeyTrouble(Enum):
    """What is wrong with the KMS key of what a call reads or writes: it is busy, or nobody may use it, or not we."""

    BUSY = "is busy"
    UNUSABLE = "cannot be used"
    DENIED = "is denied"

    @property
    def hint(self) -> str:
        """Return what to do, if the trouble does not pass by itself."""
        if self is KeyTrouble.DENIED:
            return "allow kms:Decrypt and kms:GenerateDataKey on the key, in the identity's policy and the key's policy"
        return "see the key in KMS: enable it, or cancel its deletion; then run again"


def key_trouble(error: botocore.ClientError) -> KeyTrouble | None:
    """Return what an error says of a KMS key, None if it is about something else.

    Services name their errors differently: `KMS.DisabledException` (S3), `KmsDisabled` (SQS), `KMSDisabled` (SNS), and
    an access that is denied with a message about the key (DynamoDB, and S3 for a missing permission).
    """
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    if code in DENIED and _KEY_DENIED.search(message):
        is_busy, is_disabled = _KEY_BUSY.search(message), re.search(r"Disabled|InvalidState|NotFound", message)
        return KeyTrouble.BUSY if is_busy else KeyTrouble.UNUSABLE if is_disabled else KeyTrouble.DENIED
    if not code.lower().startswith("kms"):
        return None
    if _KEY_BUSY.search(code):
        return KeyTrouble.BUSY
    return KeyTrouble.DENIED if "accessdenied" in code.lower() else KeyTrouble.UNUSABLE


@contextmanager
def expiry_named() -> Iterator[None]:
    """Raise botocore's own error if renewed credentials have expired already, for which it has only a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if "still expired" not in str(error):
            raise
        raise botocore.CredentialRetrievalError(provider="refresh", error_msg=str(error)) from error


def translated(error: Exception, *, service: str = "aws") -> BulkheadError:
    """Return Bulkhead's own error for one of botocore's: AwsRefused, Unavailable or ConfigError."""
    if isinstance(error, botocore.ClientError):
        return _refusal(error, service)
    if isinstance(error, botocore.HTTPClientError | botocore.ConnectionError):
        return Unavailable(f"AWS cannot be reached: {FORMS.short(str(error))}")
    return unconfigured(error) or ConfigError(
        f"AWS cannot be asked: {FORMS.short(str(error))}", hint="check AWS_PROFILE and the AWS_* variables"
    )


def unconfigured(error: Exception) -> ConfigError | None:
    """Return the error for missing credentials, login, or region; None if botocore's error is about something else."""
    for kinds, message, hint in _UNCONFIGURED:
        if isinstance(error, kinds):
            return ConfigError(message, hint=hint)
    return None


def code_of(error: botocore.ClientError) -> str:
    """Return AWS's error code, such as `NoSuchBucket`."""
    return FORMS(str(error.response.get("Error", {}).get("Code", ""))[:_CODE_CHARS])


def _refusal(error: botocore.ClientError, service: str) -> BulkheadError:
    code = code_of(error)
    message = FORMS.short(str(error.response.get("Error", {}).get("Message", "")) or code)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if (of_key := key_trouble(error)) is not None:
        if of_key is KeyTrouble.BUSY:
            return Unavailable(f"AWS is busy: {error.operation_name}: {message}")
        detail = f"AWS refuses {service} {error.operation_name}: the KMS key {of_key.value}: {message}"
        return AwsRefused(detail, code=code, hint=of_key.hint)
    if code in DENIED:
        action = _action(message, service, str(error.operation_name))
        return AwsRefused(
            f"AWS does not allow these credentials {action}",
            code=code,
            hint=f"ask for the permission {action}, or use another AWS_PROFILE",
        )
    if code in NOT_ACCEPTED:
        return AwsRefused(f"AWS does not accept the credentials: {message}", code=code, hint=LOG_IN)
    if code in _BUSY or code.endswith(_BUSY_ENDINGS) or status >= 500:
        return Unavailable(f"AWS is busy: {error.operation_name}: {message}")
    return AwsRefused(f"AWS refuses {service} {error.operation_name}: {message}", code=code)


def _action(message: str, service: str, operation: str) -> str:
    named = _ACTION.search(message)
    action = named[1] if named else f"{service}:{operation}"
    return _ACTIONS.get(action, action)

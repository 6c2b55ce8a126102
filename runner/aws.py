"""AWS: calls its services, each client opened once, and turns what goes wrong there into Bulkhead's own errors."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import aioboto3
from aiobotocore.config import AioConfig
from botocore import exceptions as foreign

from runner.errors import AwsRefused, BulkheadError, ConfigError, Unavailable

if TYPE_CHECKING:
    from types import TracebackType

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "Forbidden", "403"})
"""Codes of a call that these credentials are not allowed."""

_NOT_ACCEPTED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_BUSY = frozenset({"RequestLimitExceeded", "RequestThrottled", "SlowDown", "ThrottledException", "Throttling"})
_BUSY_ENDINGS = ("ThrottlingException", "ThroughputExceededException", "TooManyRequestsException")
_ACTION = re.compile(r"perform: ([A-Za-z0-9-]+:[A-Za-z]+)")
_ACTIONS = {
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
"""IAM actions that are not named as the operation they allow."""

_LOG_IN = "log in again (`aws sso login`), or check AWS_PROFILE and the AWS_* variables"
_NO_REGION = ("no AWS region is set", "set AWS_DEFAULT_REGION, or name one by --region")
_UNCONFIGURED: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (foreign.NoCredentialsError, foreign.PartialCredentialsError, foreign.CredentialRetrievalError),
        "there are no AWS credentials",
        _LOG_IN,
    ),
    ((foreign.SSOError, foreign.TokenRetrievalError), "the AWS login has expired", _LOG_IN),
    ((foreign.NoRegionError,), *_NO_REGION),
)


class Aws:
    """The services of one region with the credentials of this process; use as an async context manager.

    Any call may raise ConfigError (no credentials or region), AwsRefused and Unavailable.
    """

    def __init__(self, *, region: str | None = None, endpoint_url: str | None = None, **credentials: str) -> None:
        """Without `region` and `credentials` they come from the usual AWS variables and files."""
        self._arguments = {"region_name": region, **credentials}
        self._endpoint_url = endpoint_url
        self._stack = AsyncExitStack()
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def region(self) -> str:
        """Return the region that is asked."""
        return str((await self.client("sts")).meta.region_name)

    async def client(self, service: str) -> Any:
        """Return the client of a service; what its methods raise is not translated."""
        if service not in self._clients:
            try:
                self._clients[service] = await self._open(service)
            except (foreign.BotoCoreError, ValueError) as error:
                raise translated(error) from error
        return self._clients[service]

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation by the name of the client's method, such as `describe_stacks`."""
        client = await self.client(service)
        try:
            answer: dict[str, Any] = await getattr(client, operation)(**arguments)
        except (foreign.BotoCoreError, foreign.ClientError) as error:
            raise translated(error, service=service) from error
        return answer

    async def _open(self, service: str) -> Any:
        if self._session is None:
            self._session = aioboto3.Session(**self._arguments)
        if not self._session.region_name:
            raise ConfigError(_NO_REGION[0], hint=_NO_REGION[1])
        config = AioConfig(connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"mode": "standard"})
        opened = self._session.client(service, endpoint_url=self._endpoint_url, config=config)
        return await self._stack.enter_async_context(opened)


def translated(error: Exception, *, service: str = "aws") -> BulkheadError:
    """Return Bulkhead's own error for one of botocore's."""
    if isinstance(error, foreign.ClientError):
        return _refusal(error, service)
    if isinstance(error, foreign.HTTPClientError | foreign.ConnectionError):
        return Unavailable(f"AWS cannot be reached: {error}")
    for kinds, message, hint in _UNCONFIGURED:
        if isinstance(error, kinds):
            return ConfigError(message, hint=hint)
    return ConfigError(f"AWS cannot be asked: {error}", hint="check AWS_PROFILE and the AWS_* variables")


def code_of(error: foreign.ClientError) -> str:
    """Return AWS's word for what went wrong, such as `NoSuchBucket`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _refusal(error: foreign.ClientError, service: str) -> BulkheadError:
    code = code_of(error)
    message = str(error.response.get("Error", {}).get("Message", "")) or code
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in DENIED:
        action = _action(message, service, str(error.operation_name))
        return AwsRefused(
            f"AWS does not allow these credentials {action}",
            code=code,
            hint=f"ask for the permission {action}, or use another AWS_PROFILE",
        )
    if code in _NOT_ACCEPTED:
        return AwsRefused(f"AWS does not accept the credentials: {message}", code=code, hint=_LOG_IN)
    if code in _BUSY or code.endswith(_BUSY_ENDINGS) or status >= 500:
        return Unavailable(f"AWS is busy: {error.operation_name}: {message}")
    return AwsRefused(f"AWS refuses {service} {error.operation_name}: {message}", code=code)


def _action(message: str, service: str, operation: str) -> str:
    named = _ACTION.search(message)
    action = named[1] if named else f"{service}:{operation}"
    return _ACTIONS.get(action, action)

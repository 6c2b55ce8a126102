"""Aws: calls AWS services with one client per service, and raises errors of Bulkhead."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from botocore import exceptions as botocore

from runner.aws.client import aws_session, open_client
from runner.aws.errors import expiry_named, translated

if TYPE_CHECKING:
    from types import TracebackType

MAX_TRIES = 3


class Aws:
    """The services of one region with the credentials of this process; use as an async context manager.

    Any call may raise ConfigError (no credentials or region), AwsRefused and Unavailable.
    """

    def __init__(self, *, endpoint_url: str | None = None, **arguments: str | None) -> None:
        """`arguments` are those of `aws_session`, such as `region_name`."""
        self._arguments = arguments
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
        """Return the region of the calls."""
        return str((await self.client("sts")).meta.region_name)

    async def client(self, service: str) -> Any:
        """Return the client of a service; the errors of its methods are not translated."""
        if service not in self._clients:
            self._clients[service] = await self._open(service)
        return self._clients[service]

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation by the name of the client's method, such as `describe_stacks`."""
        client = await self.client(service)
        try:
            with expiry_named():
                answer: dict[str, Any] = await getattr(client, operation)(**arguments)
        except (botocore.BotoCoreError, botocore.ClientError) as error:
            raise translated(error, service=service) from error
        return answer

    async def _open(self, service: str) -> Any:
        if self._session is None:
            self._session = aws_session(**self._arguments)
        if not self._session.region_name:
            raise translated(botocore.NoRegionError())
        opening = open_client(service, session=self._session, endpoint_url=self._endpoint_url, max_tries=MAX_TRIES)
        return await self._stack.enter_async_context(opening)

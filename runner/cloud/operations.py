"""Operations: what those who run a deployment do with it; every `bulkhead cloud` command is one method of it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from runner.aws import Aws
from runner.cloud.stack import Stack, read_stack
from runner.cloud.webhook_tokens import WebhookUrls

if TYPE_CHECKING:
    from types import TracebackType

    from runner.settings import Settings


class Operations:
    """The deployment that the setting `stack` names; an async context manager that opens what it needs.

    It knows the stack by CloudFormation's outputs, and its batches by the ledger. Entering raises ConfigError where
    there are no credentials, no region or no such stack. Everything may raise AwsRefused and Unavailable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aws = Aws(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url)
        self._open = AsyncExitStack()
        self._stack: Stack | None = None

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._aws)
        self._stack = await read_stack(self._aws, self._settings.stack)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def stack(self) -> Stack:
        assert self._stack is not None, "enter it first"
        return self._stack

    def webhook_urls(self) -> WebhookUrls:
        """Return the urls that the vendor may call. Raises ConfigError."""
        return WebhookUrls(self.stack, self._aws)

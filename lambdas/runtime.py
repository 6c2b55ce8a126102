"""The container: what a process of Lambda keeps between invocations: one event loop, and the clients opened on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lambdas import environment
from lambdas.secrets import Secrets
from lambdas.telemetry import Telemetry
from runner.aws.services import Aws
from runner.cloud.protocols import Queue
from runner.cloud.sqs import SqsQueues
from runner.errors import BulkheadError, first_cause

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from runner.cloud.context import Deployment
    from runner.cloud.protocols import Metrics, TimeLeft

logger = logging.getLogger(__name__)

T = TypeVar("T")

_URLS = {
    Queue.REGISTER: environment.REGISTER_QUEUE_URL,
    Queue.SUBMIT: environment.SUBMIT_QUEUE_URL,
    Queue.LOAD: environment.LOAD_QUEUE_URL,
    Queue.UPLOAD: environment.UPLOAD_QUEUE_URL,
    Queue.LIST: environment.LIST_QUEUE_URL,
    Queue.COLLECT: environment.COLLECT_QUEUE_URL,
    Queue.FINISH: environment.FINISH_QUEUE_URL,
}

_THAW_S = 0.001
"""How long the loop runs before the work, to notice connections that were closed while the container was frozen."""

_GRACE_S = 0.5
"""How long tasks that an invocation leaves behind may still run."""


class OpenDeployment(Protocol):
    """Opens a deployment; see `open_deployment.open_deployment`."""

    def __call__(
        self, *, license_key: str | None, secrets: Secrets, aws: Aws, queues: SqsQueues, metrics: Metrics
    ) -> AbstractAsyncContextManager[Deployment]: ...


class Container:
    """Runs the invocations of a function, one after the other, on one event loop.

    A client belongs to the loop that it was opened on, so the loop lives as long as the clients. If opening fails, the
    next invocation tries again.
    """

    def __init__(self, open_deployment: OpenDeployment) -> None:
        self.telemetry = Telemetry()
        self._open_deployment = open_deployment
        self._runner = asyncio.Runner()
        self._secrets: Secrets | None = None
        self._aws: Aws | None = None
        self._deployment: Deployment | None = None
        self._license_key: str | None = None
        self._opened = AsyncExitStack()

    def run(self, work: Callable[[TimeLeft], Coroutine[Any, Any, T]], context: LambdaContext) -> T:
        """Do the work of one invocation. Raises RuntimeError without a cause, because Lambda logs everything raised."""
        self.telemetry.begin(context)
        try:
            doing = work(lambda: context.get_remaining_time_in_millis() / 1000)
            return self._runner.run(_isolated(self._counted(doing)))
        except Exception as error:  # noqa: BLE001 - another library's error text may contain secrets or rows
            self.telemetry.failure("invocation failed", error)
            raise RuntimeError(_safe_text(error)) from None
        finally:
            self.telemetry.flush()

    async def deployment(self, *, license_key: bool = True) -> Deployment:
        """Return the deployment; if opened without the license key, it must not call the vendor.

        It is opened again when the key has changed. Raises ConfigError if a variable or a secret is missing,
        AwsRefused, TransientError.
        """
        if self._secrets is None:
            self._secrets = Secrets()
        key = self._secrets.license_key() if license_key else None
        if self._deployment is not None and key == self._license_key:
            return self._deployment
        return await self._open(key, self._secrets)

    async def queues(self) -> SqsQueues:
        """Return the queues, which need no secret. Raises ConfigError if a variable is missing."""
        urls = {queue: environment.required(variable) for queue, variable in _URLS.items()}
        return SqsQueues(await self.aws(), urls)

    async def aws(self) -> Aws:
        """Return the clients of AWS, opened on first use."""
        if self._aws is None:
            self._aws = await Aws().__aenter__()
        return self._aws

    def failure(self, sentence: str, error: BaseException, **fields: object) -> None:
        """Log an error; see `Telemetry.failure`."""
        self.telemetry.failure(sentence, error, **fields)

    async def _counted(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, and write what its moves have left to be counted. An error in that is only logged."""
        try:
            return await work
        finally:
            work.close()
            await self._flush_counts()

    async def _flush_counts(self) -> None:
        if self._deployment is None:
            return
        try:
            await self._deployment.ledger.flush_counts()
        except BulkheadError as error:
            self.telemetry.failure("counts were not written", error)

    def reload_license_key(self) -> None:
        """Read the license key again before the next invocation, because the vendor refuses the current one."""
        self._license_key = None
        if self._secrets is not None:
            self._secrets.forget()

    def close(self) -> None:
        """Close everything; Lambda never does."""
        self._runner.run(self._close())
        self._runner.close()

    async def _open(self, key: str | None, secrets: Secrets) -> Deployment:
        self._deployment = None
        await self._opened.aclose()
        aws, queues = await self.aws(), await self.queues()
        opened = self._open_deployment(license_key=key, secrets=secrets, aws=aws, queues=queues, metrics=self.telemetry)
        self._deployment = await self._opened.enter_async_context(opened)
        self._license_key = key
        return self._deployment

    async def _close(self) -> None:
        self._deployment = None
        await self._opened.aclose()
        if self._aws is not None:
            await self._aws.__aexit__(None, None, None)


async def _isolated(work: Coroutine[Any, Any, T]) -> T:
    """Do the work, and leave no task on the loop that would continue in another invocation."""
    try:
        await asyncio.sleep(_THAW_S)
        return await work
    finally:
        work.close()
        await _end(asyncio.all_tasks() - {asyncio.current_task()})


async def _end(left: Collection[asyncio.Task[Any]]) -> None:
    """Give tasks that were left behind a moment, because one may be a shielded last write; then cancel them."""
    if not left:
        return
    logger.warning("tasks were left behind", extra={"tasks": len(left)})
    await asyncio.wait(left, timeout=_GRACE_S)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _safe_text(error: Exception) -> str:
    cause = first_cause(error)
    return str(cause) if isinstance(cause, BulkheadError) else type(cause).__name__

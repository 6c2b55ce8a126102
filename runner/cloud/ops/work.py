"""The worker of a stack: sends its files from this process, as its function submit does."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.cloud.deliveries import Deliveries
from runner.cloud.handlers.submit import submit
from runner.cloud.leases import note_worker
from runner.cloud.lifecycle import SUBMIT_QUEUES
from runner.cloud.messages import ItemRef, ObjectCreated
from runner.cloud.opening import Parts, open_deployment
from runner.cloud.ops.endpoint_checks import LicenseKey
from runner.cloud.ops.metrics import CloudWatchMetrics
from runner.cloud.ops.stack import TABLE, WEBHOOK_BASE
from runner.cloud.webhooks import WebhookUrls
from runner.cloud.worker import Worker
from runner.errors import (
    AuthRefused,
    AwsRefused,
    BulkheadError,
    ConfigError,
    ConnectionBarred,
    TransientError,
    VendorAway,
)
from runner.events import CreateAnswered, EventHook, Notice, WorkerStands, ignore
from runner.local.resources import connections_of
from runner.masking import log_fields
from runner.stop import StopReason, StopSignal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.aws.services import Aws
    from runner.cloud.context import Deployment
    from runner.cloud.ops.stack import Stack
    from runner.cloud.sqs import SqsQueues
    from runner.config.settings import Settings
    from runner.config.units import Rate
    from runner.events import Event

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
"""How often a worker says that it is there, writes its metrics, and counts the messages that wait."""

_KEY_EVERY = 5
"""The secrets are read again every so many looks, as functions do after five minutes."""

_LEAST_AT_ONCE, _MOST_AT_ONCE = 10, 200
_BUSY_S = 10.0
"""How long a message keeps a place, at most, whose create need not wait: create and upload."""


def default_at_once(quota: Rate) -> int:
    """Return how many messages of each queue to work on at once so that a quota can be used."""
    return min(_MOST_AT_ONCE, max(_LEAST_AT_ONCE, math.ceil(_BUSY_S * quota.count / quota.per_s)))


def parts_of(stack: Stack) -> Parts:
    """Return the parts of a stack as its functions get them. Raises ConfigError if it is of another version."""
    given = stack.parameters
    return Parts(
        table=stack.output(TABLE),
        inbox=stack.output("InboxBucketName"),
        results=stack.output("ResultsBucketName"),
        topic_arn=stack.output("EndedTopicArn"),
        event_bus="default",
        config_key="config/bulkhead.toml",
        inbox_prefix=given.get("InboxPrefix", ""),
        nightly_prefix=stack.nightly_prefix,
        webhook_base=stack.output(WEBHOOK_BASE) if given.get("WebhookPerImport") == "true" else None,
        allow_hooks=given.get("AllowHooks") == "true",
        landed_share=float(given.get("LandedShare") or 0) / 100,
        manifest_every_s=60 * float(given.get("ManifestMinutes") or 0),
    )


class StackWorker:
    """Works on the submit queues of a stack until it is stopped.

    `settings` are the stack's parameters. `license_key` is that of the environment; without it, the key is read from
    the stack's secret, and read again every five minutes. Implements `Workplace`.
    """

    def __init__(
        self,
        stack: Stack,
        aws: Aws,
        queues: SqsQueues,
        settings: Settings,
        *,
        license_key: str | None,
        at_once: int | None = None,
        listen: EventHook = ignore,
    ) -> None:
        self._stack = stack
        self._aws = aws
        self._queues = queues
        self._settings = settings
        self._own_key = license_key
        self._secret = LicenseKey(stack, aws)
        self.at_once = at_once or default_at_once(settings.create_quota)
        self._listen = listen
        self._metrics = CloudWatchMetrics(aws, service=f"{stack.name}-submit")
        self._ending, self._now = StopSignal(), StopSignal()
        self._deployment: Deployment | None = None
        self._is_key_doubted = False
        self._webhook_token = ""
        self._created = 0

    def stop(self, reason: StopReason) -> None:
        """Finish the messages in work; a second call gives them back to their queues at once."""
        if self._ending.requested:
            self._now.request(reason)
        self._ending.request(reason)

    async def run(self) -> StopReason:
        """Work until `stop`, and return its reason.

        Raises ConfigError if there is no license key or it is not that of the functions, AuthRefused if the vendor
        refuses it, AwsRefused if a permission is missing.
        """
        if self._stack.submit_by != "container":
            self._listen(_BESIDE_FUNCTIONS)
        key = await self._first_key()
        while not self._ending.requested:
            key = await self._with_key(key)
        assert self._ending.reason is not None
        return self._ending.reason

    # Workplace

    async def deployment(self, *, license_key: bool = True) -> Deployment:  # noqa: ARG002
        """Return the deployment that is open."""
        assert self._deployment is not None, "run it first"
        return self._deployment

    async def queues(self) -> SqsQueues:
        return self._queues

    def failure(self, sentence: str, error: BaseException, **fields: object) -> None:
        """Log an error, without secrets and rows."""
        logger.error(sentence, extra={**log_fields(error), **fields})

    def reload_license_key(self) -> None:
        """Read the key again at the next look."""
        self._is_key_doubted = True

    # Keys

    async def _first_key(self) -> str:
        if self._own_key is None:
            return await self._secret_key()
        with suppress(AwsRefused):
            stored = await self._secret.read()
            if stored not in (None, self._own_key):
                raise ConfigError(
                    "DROMO_LICENSE_KEY is another key than the one in the stack's secret, with which its functions "
                    "collect results",
                    hint="unset DROMO_LICENSE_KEY, or store the same key in both",
                )
        return self._own_key

    async def _secret_key(self) -> str:
        key = await self._secret.read()
        if key is None:
            raise ConfigError("the stack's secret has no license key yet", hint=self._secret.put)
        return key

    # The work with one key

    async def _with_key(self, key: str) -> str:
        """Work until the stop, or until the secret has another key, and return the key."""
        parts, ending = parts_of(self._stack), StopSignal()
        if parts.webhook_base:
            self._webhook_token = await self._current_token()
        opening = open_deployment(
            parts,
            self._settings,
            license_key=key,
            webhook_token=lambda: self._webhook_token,
            aws=self._aws,
            queues=self._queues,
            metrics=self._metrics,
            connections=connections_of(self._settings),
        )
        async with opening as opened:
            self._deployment = replace(opened, ending=ending, listen=self._take)
            await self._require_key(self._deployment)
            self._listen(Notice(code="worker_started", message=self._sentence()))
            deliveries = Deliveries(self, submit, ObjectCreated, ItemRef)
            worker = Worker(deliveries, self._queues, SUBMIT_QUEUES, at_once=self.at_once, ending=ending, now=self._now)
            with self._ending.passed_on(ending):
                key = await self._keeping(self._deployment, worker, ending, key)
        return key

    async def _require_key(self, deployment: Deployment) -> None:
        """Raise AuthRefused if the vendor refuses the key, whatever else it answers."""
        try:
            with suppress(TransientError):
                await deployment.api.list_page(limit=1, offset=0)
        except ConnectionBarred:
            raise
        except AuthRefused as error:
            if self._own_key is not None:
                raise
            raise AuthRefused(str(error), hint=f"store the right key: {self._secret.put}") from error

    def _sentence(self) -> str:
        what = f"up to {self.at_once:,} files that arrived and {self.at_once:,} of loads at once"
        return f"sending the files of the stack {self._stack.name}: {what}, {self._settings.create_quota} in all"

    async def _keeping(self, deployment: Deployment, worker: Worker, ending: StopSignal, key: str) -> str:
        """Run the worker, and look after it meanwhile; returns the current key."""
        found = [key]

        async def look_often() -> None:
            looks = 0
            while True:
                await self._look(deployment, worker)
                looks += 1
                if looks % _KEY_EVERY == 0 or self._is_key_doubted:
                    found[0] = await self._key_now(key)
                    if found[0] != key:
                        ending.request(StopReason.TERMINATED, "there is another license key")
                await asyncio.sleep(LOOK_EVERY_S)

        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look_often())
            await worker.run()
            looking.cancel()
        await self._look(deployment, worker)
        return found[0]

    async def _look(self, deployment: Deployment, worker: Worker) -> None:
        await _tried("sign of life", lambda: note_worker(deployment.leases))
        await _tried("metrics", self._metrics.flush)
        waiting = await self._waiting()
        self._listen(
            WorkerStands(created=self._created, in_work=worker.in_work, waiting=waiting, away=await _away(deployment))
        )

    async def _key_now(self, key: str) -> str:
        """Read the secrets again; what cannot be read stays as it is."""
        self._is_key_doubted = False
        if self._webhook_token:
            with suppress(BulkheadError):
                self._webhook_token = await self._current_token()
        if self._own_key is None:
            with suppress(BulkheadError):
                return await self._secret.read() or key
        return key

    async def _current_token(self) -> str:
        return (await WebhookUrls(self._stack, self._aws).tokens()).current

    async def _waiting(self) -> int:
        with suppress(BulkheadError):
            counts = [await self._queues.count(queue) for queue in SUBMIT_QUEUES]
            return sum(one.waiting + one.delayed for one in counts)
        return 0

    def _take(self, event: Event) -> None:
        self._created += isinstance(event, CreateAnswered)
        self._listen(event)


_BESIDE_FUNCTIONS = Notice(
    code="beside_functions",
    message="the stack's functions send its files, too, which is safe, but costs their waiting: deploy it with "
    "SubmitBy=container",
)


async def _tried(what: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do what the sending of files does not depend on; a failure is logged."""
    try:
        await work()
    except BulkheadError as error:
        logger.error("%s not written", what, extra=log_fields(error))  # noqa: TRY400 - its trace says nothing more


async def _away(deployment: Deployment) -> str | None:
    """Return a sentence if the vendor does not answer."""
    try:
        await deployment.breaker.require_vendor()
    except VendorAway as error:
        return str(error)
    except BulkheadError:
        return None
    return None

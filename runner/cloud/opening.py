"""Opens a deployment: the ledger, the vendor's API, storage, and everything else that works on a stack's batches."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner import identity
from runner.aws.s3 import open_s3
from runner.clock import SystemClock, WallClock
from runner.cloud.breaker import Breaker, GuardedApi
from runner.cloud.context import Deployment, Landing, S3Places, WebhookPerImport, require_encryption
from runner.cloud.notify import AwsNotifier
from runner.cloud.webhooks import webhook_url
from runner.dromo.client import HeadlessClient
from runner.dromo.clock import VendorTime
from runner.dromo.http import DIRECT
from runner.dromo.rate_limited import RateLimitedApi
from runner.dromo.storage import HttpStorage
from runner.errors import ConfigError
from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.quota.dynamodb import SHARED_GUARD_S, DynamoSlots
from runner.quota.pacer import CreatePacer

if TYPE_CHECKING:
    from runner.aws.services import Aws
    from runner.cloud.protocols import Metrics, Queues
    from runner.config.settings import Settings
    from runner.dromo.connections import Connections
    from runner.protocols import ImportsApi

COUNTER_SHARDS = 8
"""Rows that count the items of a batch: DynamoDB lets transactions on one row fail if they come at the same time."""

_NO_KEY = "no-license-key"
"""The key of a function that must not call the vendor, which would refuse it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The names of a stack's parts, and those of its parameters that are no settings.

    `inbox` and `results` are buckets. `landed_share` is a share of 1. `webhook_base` is None unless each import names
    its own webhook.
    """

    table: str
    inbox: str
    results: str
    topic_arn: str
    event_bus: str
    config_key: str
    inbox_prefix: str
    nightly_prefix: str
    webhook_base: str | None
    allow_hooks: bool
    landed_share: float
    manifest_every_s: float

    @property
    def config_folder(self) -> str:
        """Return the folder of the configuration. Raises ConfigError if it is in none."""
        folder, _, _ = self.config_key.rpartition("/")
        if not folder:
            raise ConfigError(
                f"{self.config_key} names no folder", hint="without one the whole inbox would be excluded"
            )
        return folder


@asynccontextmanager
async def open_deployment(
    parts: Parts,
    settings: Settings,
    *,
    license_key: str | None,
    webhook_token: Callable[[], str],
    aws: Aws,
    queues: Queues,
    metrics: Metrics,
    connections: Connections = DIRECT,
) -> AsyncIterator[Deployment]:
    """Open what a stack consists of. Raises ConfigError, AwsRefused.

    Without a license key, the deployment must not call the vendor. `webhook_token` is called before each create that
    names its own webhook.
    """
    require_encryption(settings.api_url)
    license_key = license_key or _NO_KEY
    clock, vendor_time = SystemClock(), VendorTime(WallClock())
    place: dict[str, Any] = {"endpoint_url": settings.aws_endpoint_url, "region_name": settings.aws_region}
    async with (
        DynamoTable.open(parts.table, **place) as table,
        open_s3(**place) as client,
        HttpStorage(
            settings.api_url, allow_hosts=settings.storage_hosts, stall_s=settings.stall_s, connections=connections
        ) as storage,
        _client(settings, license_key, vendor_time, connections) as api,
    ):
        rng = random.Random()  # noqa: S311 - jitter and slot tokens
        slots, leases = DynamoSlots(table, now=clock.now), DynamoLeases(table, now=clock.now)
        breaker = Breaker(api, leases, clock=clock, rng=rng)
        account = identity.account(settings.api_url, license_key)
        inbox, config_folder = f"s3://{parts.inbox}", parts.config_folder
        yield Deployment(
            settings=settings,
            ledger=DynamoLedger(table, now=clock.now, counter_shards=COUNTER_SHARDS),
            leases=leases,
            queues=queues,
            notifier=AwsNotifier(aws, topic_arn=parts.topic_arn, event_bus=parts.event_bus),
            metrics=metrics,
            places=S3Places(client, clock=clock),
            api=_rate_limited(_with_webhook(GuardedApi(api, breaker), parts.webhook_base, webhook_token), settings),
            breaker=breaker,
            storage=storage,
            pacer=_pacer(slots, account, settings, rng),
            clock=clock,
            vendor_time=vendor_time,
            rng=rng,
            landed_share=parts.landed_share,
            manifest_every_s=parts.manifest_every_s,
            account=account,
            inbox=inbox,
            results=f"s3://{parts.results}",
            landing=Landing(
                root=f"{inbox}/{parts.inbox_prefix}", config=f"{config_folder}/", nightly=parts.nightly_prefix
            ),
            config_folder=f"{inbox}/{config_folder}",
            allow_hooks=parts.allow_hooks,
        )


def _client(settings: Settings, license_key: str, vendor_time: VendorTime, connections: Connections) -> HeadlessClient:
    return HeadlessClient(
        settings.api_url,
        license_key,
        timeout_s=settings.request_timeout_s,
        vendor_time=vendor_time,
        review_hosts=settings.review_hosts,
        connections=connections,
    )


def _pacer(slots: DynamoSlots, account: str, settings: Settings, rng: random.Random) -> CreatePacer:
    return CreatePacer(
        slots,
        quota_key=account,
        quota=settings.create_quota,
        clock=slots,
        rng=rng,
        guard_s=SHARED_GUARD_S,
        request_timeout_s=settings.request_timeout_s,
    )


def _rate_limited(api: ImportsApi, settings: Settings) -> RateLimitedApi:
    return RateLimitedApi(
        api,
        poll_count=settings.poll_quota.count,
        poll_per_s=settings.poll_quota.per_s,
        lists_per_minute=settings.list_quota.per_minute,
    )


def _with_webhook(api: ImportsApi, base: str | None, token: Callable[[], str]) -> ImportsApi:
    """Return an API whose imports each name their webhook, if the deployment is configured so."""
    return WebhookPerImport(api, lambda: webhook_url(base, token())) if base else api

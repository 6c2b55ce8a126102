"""Opens the deployment on this event loop: the ledger, the vendor's API, storage, and everything else in it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lambdas import environment
from runner import identity
from runner.aws.s3 import open_s3
from runner.clock import SystemClock, WallClock
from runner.cloud.breaker import Breaker, GuardedApi
from runner.cloud.context import Deployment, Landing, S3Places, WebhookPerImport, require_encryption
from runner.cloud.notify import AwsNotifier
from runner.cloud.webhooks import webhook_url
from runner.config.settings import Settings
from runner.dromo.client import HeadlessClient
from runner.dromo.clock import VendorTime
from runner.dromo.rate_limited import RateLimitedApi
from runner.dromo.storage import HttpStorage
from runner.errors import ConfigError
from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.quota.dynamodb import SHARED_GUARD_S, DynamoSlots
from runner.quota.pacer import CreatePacer

if TYPE_CHECKING:
    from lambdas.secrets import Secrets
    from runner.aws.services import Aws
    from runner.cloud.protocols import Metrics, Queues
    from runner.protocols import ImportsApi

_NO_FILES = Path(__file__).parent
"""A directory without `.env` and `bulkhead.toml`: a function is configured by its variables alone."""

COUNTER_SHARDS = 8
"""Rows that count the items of a batch: DynamoDB lets transactions on one row fail if they come at the same time."""

_NO_KEY = "no-license-key"
"""The key of a function that must not call the vendor, which would refuse it."""


@asynccontextmanager
async def open_deployment(
    *, license_key: str | None, secrets: Secrets, aws: Aws, queues: Queues, metrics: Metrics
) -> AsyncIterator[Deployment]:
    """Open what the variables name. Raises ConfigError if one of them is missing or invalid, AwsRefused."""
    license_key = license_key or _NO_KEY
    settings, clock, rng = _settings(), SystemClock(), random.Random()  # noqa: S311 - jitter and slot tokens
    vendor_time = VendorTime(WallClock())
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(DynamoTable.open(environment.required(environment.TABLE)))
        client = await stack.enter_async_context(open_s3())
        storage = await stack.enter_async_context(
            HttpStorage(settings.api_url, allow_hosts=settings.storage_hosts, stall_s=settings.stall_s)
        )
        api = await stack.enter_async_context(
            HeadlessClient(
                settings.api_url,
                license_key,
                timeout_s=settings.request_timeout_s,
                vendor_time=vendor_time,
                review_hosts=settings.review_hosts,
            )
        )
        slots = DynamoSlots(table, now=clock.now)
        leases = DynamoLeases(table, now=clock.now)
        breaker = Breaker(api, leases, clock=clock, rng=rng)
        account = identity.account(settings.api_url, license_key)
        inbox = f"s3://{environment.required(environment.INBOX)}"
        yield Deployment(
            settings=settings,
            ledger=DynamoLedger(table, now=clock.now, counter_shards=COUNTER_SHARDS),
            leases=leases,
            queues=queues,
            notifier=_notifier(aws),
            metrics=metrics,
            places=S3Places(client, clock=clock),
            api=_rate_limited(_with_webhook(GuardedApi(api, breaker), secrets), settings),
            breaker=breaker,
            storage=storage,
            pacer=CreatePacer(
                slots,
                quota_key=account,
                quota=settings.create_quota,
                clock=slots,
                rng=rng,
                guard_s=SHARED_GUARD_S,
                request_timeout_s=settings.request_timeout_s,
            ),
            clock=clock,
            vendor_time=vendor_time,
            rng=rng,
            landed_share=float(environment.optional(environment.LANDED_SHARE) or 0) / 100,
            manifest_every_s=60 * float(environment.optional(environment.MANIFEST_MINUTES) or 0),
            account=account,
            inbox=inbox,
            results=f"s3://{environment.required(environment.RESULTS)}",
            landing=_landing(inbox),
            config_folder=_config_folder(inbox),
            allow_hooks=environment.optional(environment.ALLOW_HOOKS) == "true",
        )


def _settings() -> Settings:
    variables = {
        environment.API_URL: environment.required(environment.API_URL),
        environment.SCHEMA_ID: environment.optional(environment.SCHEMA_ID) or "",
        "BULKHEAD_CREATE_QUOTA": environment.optional(environment.QUOTA) or "",
        environment.STORAGE_HOSTS: environment.optional(environment.STORAGE_HOSTS) or "",
        environment.REVIEW_HOSTS: environment.optional(environment.REVIEW_HOSTS) or "",
    }
    settings = Settings.load({}, environ=variables, cwd=_NO_FILES).settings
    require_encryption(settings.api_url)
    return settings


def _landing(inbox: str) -> Landing:
    return Landing(
        root=f"{inbox}/{environment.optional(environment.INBOX_PREFIX) or ''}",
        config=f"{_config_folder(inbox).removeprefix(f'{inbox}/')}/",
        nightly=environment.required(environment.NIGHTLY_PREFIX),
    )


def _config_folder(inbox: str) -> str:
    folder, _, _ = environment.required(environment.CONFIG_KEY).rpartition("/")
    if not folder:
        raise ConfigError(
            f"{environment.CONFIG_KEY} names no folder", hint="without one the whole inbox would be excluded"
        )
    return f"{inbox}/{folder}"


def _notifier(aws: Aws) -> AwsNotifier:
    return AwsNotifier(
        aws,
        topic_arn=environment.required(environment.TOPIC_ARN),
        event_bus=environment.required(environment.EVENT_BUS),
    )


def _rate_limited(api: ImportsApi, settings: Settings) -> RateLimitedApi:
    return RateLimitedApi(
        api,
        poll_count=settings.poll_quota.count,
        poll_per_s=settings.poll_quota.per_s,
        lists_per_minute=settings.list_quota.per_minute,
    )


def _with_webhook(api: ImportsApi, secrets: Secrets) -> ImportsApi:
    """Return an API whose imports each name their webhook, if the deployment is configured so."""
    base = environment.optional(environment.WEBHOOK_BASE)
    return WebhookPerImport(api, lambda: webhook_url(base, secrets.webhook_tokens()[0])) if base else api

"""Opens the deployment that the variables of the environment name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lambdas import environment
from runner.cloud import opening
from runner.cloud.opening import Parts
from runner.config.settings import Settings

if TYPE_CHECKING:
    from lambdas.secrets import Secrets
    from runner.aws.services import Aws
    from runner.cloud.context import Deployment
    from runner.cloud.protocols import Metrics, Queues

_NO_FILES = Path(__file__).parent
"""A directory without `.env` and `bulkhead.toml`: a function is configured by its variables alone."""


@asynccontextmanager
async def open_deployment(
    *, license_key: str | None, secrets: Secrets, aws: Aws, queues: Queues, metrics: Metrics
) -> AsyncIterator[Deployment]:
    """Open what the variables name. Raises ConfigError if one of them is missing or invalid, AwsRefused."""
    async with opening.open_deployment(
        _parts(),
        _settings(),
        license_key=license_key,
        webhook_token=lambda: secrets.webhook_tokens()[0],
        aws=aws,
        queues=queues,
        metrics=metrics,
    ) as deployment:
        yield deployment


def _parts() -> Parts:
    return Parts(
        table=environment.required(environment.TABLE),
        inbox=environment.required(environment.INBOX),
        results=environment.required(environment.RESULTS),
        topic_arn=environment.required(environment.TOPIC_ARN),
        event_bus=environment.required(environment.EVENT_BUS),
        config_key=environment.required(environment.CONFIG_KEY),
        inbox_prefix=environment.optional(environment.INBOX_PREFIX) or "",
        nightly_prefix=environment.required(environment.NIGHTLY_PREFIX),
        webhook_base=environment.optional(environment.WEBHOOK_BASE),
        allow_hooks=environment.optional(environment.ALLOW_HOOKS) == "true",
        landed_share=float(environment.optional(environment.LANDED_SHARE) or 0) / 100,
        manifest_every_s=60 * float(environment.optional(environment.MANIFEST_MINUTES) or 0),
    )


def _settings() -> Settings:
    variables = {
        environment.API_URL: environment.required(environment.API_URL),
        environment.SCHEMA_ID: environment.optional(environment.SCHEMA_ID) or "",
        "BULKHEAD_CREATE_QUOTA": environment.optional(environment.QUOTA) or "",
        environment.STORAGE_HOSTS: environment.optional(environment.STORAGE_HOSTS) or "",
        environment.REVIEW_HOSTS: environment.optional(environment.REVIEW_HOSTS) or "",
    }
    return Settings.load({}, environ=variables, cwd=_NO_FILES).settings

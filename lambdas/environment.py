"""The environment variables that the template sets; read only here and in `runner.config.settings`."""

from __future__ import annotations

import os

from runner.errors import ConfigError

TABLE = "BULKHEAD_TABLE"
INBOX = "BULKHEAD_INBOX"
RESULTS = "BULKHEAD_RESULTS"
REGISTER_QUEUE_URL = "BULKHEAD_REGISTER_QUEUE_URL"
SUBMIT_QUEUE_URL = "BULKHEAD_SUBMIT_QUEUE_URL"
LOAD_QUEUE_URL = "BULKHEAD_LOAD_QUEUE_URL"
UPLOAD_QUEUE_URL = "BULKHEAD_UPLOAD_QUEUE_URL"
LIST_QUEUE_URL = "BULKHEAD_LIST_QUEUE_URL"
COLLECT_QUEUE_URL = "BULKHEAD_COLLECT_QUEUE_URL"
FINISH_QUEUE_URL = "BULKHEAD_FINISH_QUEUE_URL"
TOPIC_ARN = "BULKHEAD_TOPIC_ARN"
EVENT_BUS = "BULKHEAD_EVENT_BUS"
LICENSE_SECRET = "BULKHEAD_LICENSE_SECRET"  # noqa: S105 - the name of a variable that names a secret
WEBHOOK_SECRET = "BULKHEAD_WEBHOOK_SECRET"  # noqa: S105 - as above
API_URL = "BULKHEAD_API_URL"
SCHEMA_ID = "BULKHEAD_SCHEMA_ID"
WEBHOOK_BASE = "BULKHEAD_WEBHOOK_BASE"
INBOX_PREFIX = "BULKHEAD_INBOX_PREFIX"
NIGHTLY_PREFIX = "BULKHEAD_NIGHTLY_PREFIX"
CONFIG_BUCKET = "BULKHEAD_CONFIG_BUCKET"
CONFIG_KEY = "BULKHEAD_CONFIG_KEY"
ALLOW_HOOKS = "BULKHEAD_ALLOW_HOOKS"
LANDED_SHARE = "BULKHEAD_LANDED_SHARE"
MANIFEST_MINUTES = "BULKHEAD_MANIFEST_MINUTES"
QUOTA = "BULKHEAD_QUOTA"
STORAGE_HOSTS = "BULKHEAD_STORAGE_HOSTS"
REVIEW_HOSTS = "BULKHEAD_REVIEW_HOSTS"


def required(name: str) -> str:
    """Return a variable's value. Raises ConfigError if it is absent or empty."""
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"the variable {name} is not set", hint="deploy the function with template.yaml")
    return value


def optional(name: str) -> str | None:
    """Return a variable's value, None if it is absent or empty."""
    return os.environ.get(name) or None

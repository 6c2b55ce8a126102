"""webhook: checks the token in the url, finds an import that the ledger knows, and enqueues it for collect.

Nothing else in a request is believed, stored, or logged: collect reads the import's status from the vendor. A caller
without the token learns nothing: every refusal is the same 404 that the API returns for an unknown path.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from lambdas import environment
from lambdas.import_hints import ImportHints
from lambdas.secrets import Secrets
from lambdas.telemetry import Telemetry
from lambdas.webhook_body import body_of, import_ids
from runner.clock import system_now
from runner.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MAX_TOKEN_CHARS = 256

telemetry = Telemetry()
logger = telemetry.logger


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request of an HTTP API (payload format 2.0): 204, 404, 413 or 503."""
    telemetry.begin(context)
    try:
        return _answer(event)
    except (ConfigError, Unavailable) as error:
        telemetry.failure("webhook failed", error)
        return {"statusCode": 503, "headers": {"retry-after": "30"}}
    finally:
        telemetry.flush()


def is_valid(token: str, valid: tuple[str, ...]) -> bool:
    """Return whether a token is one of the valid ones, in constant time."""
    digest = _digest(token)
    matches = [hmac.compare_digest(digest, _digest(one)) for one in valid]
    return any(matches) and len(token) <= MAX_TOKEN_CHARS


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _answer(event: Mapping[str, Any]) -> dict[str, Any]:
    if not _is_authentic(event):
        telemetry.add_metric("WebhookRejected", 1)
        return {
            "statusCode": 404,
            "headers": {"content-type": "application/json"},
            "body": '{"message":"Not Found"}',
        }
    body = body_of(event)
    if body is None:
        telemetry.add_metric("WebhookRejected", 1)
        logger.warning("webhook too large")
        return {"statusCode": 413}
    _enqueue_first_known(import_ids(body))
    return {"statusCode": 204}


def _is_authentic(event: Mapping[str, Any]) -> bool:
    request = (event.get("requestContext") or {}).get("http") or {}
    token = (event.get("pathParameters") or {}).get("token") or ""
    return is_valid(str(token), _secrets().webhook_tokens()) and request.get("method") == "POST"


def _enqueue_first_known(candidates: list[str]) -> None:
    for import_id in candidates:
        if _import_hints().enqueue(import_id):
            logger.info("webhook accepted", extra={"import_id": import_id})
            return
    telemetry.add_metric("WebhookUnknown", 1)


@cache
def _secrets() -> Secrets:
    return Secrets()


@cache
def _import_hints() -> ImportHints:
    return ImportHints(
        table_name=environment.required(environment.TABLE),
        queue_url=environment.required(environment.COLLECT_QUEUE_URL),
        now=system_now,
    )


with suppress(ConfigError, Unavailable):  # a container gets more CPU while it starts
    _import_hints()
    _secrets().webhook_tokens()

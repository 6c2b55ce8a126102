"""webhook: the vendor's bell. It checks the token in the url, takes an id that is known, and rings collect.

Nothing else of a request is believed, kept or logged: what became of an import is read from the vendor, by collect.
Whoever lacks the token learns nothing: each refusal is the same 404 that the API gives for a path it does not know.
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
        telemetry.failure("webhook not taken", error)
        return {"statusCode": 503, "headers": {"retry-after": "30"}}
    finally:
        telemetry.flush()


def is_valid(token: str, valid: tuple[str, ...]) -> bool:
    """Tell whether a token is one of the valid ones, in a time that says nothing of them."""
    given = _digest(token)
    matches = [hmac.compare_digest(given, _digest(one)) for one in valid]
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
    _ring_for(import_ids(body))
    return {"statusCode": 204}


def _is_authentic(event: Mapping[str, Any]) -> bool:
    request = (event.get("requestContext") or {}).get("http") or {}
    token = (event.get("pathParameters") or {}).get("token") or ""
    return is_valid(str(token), _secrets().webhook_tokens()) and request.get("method") == "POST"


def _ring_for(candidates: list[str]) -> None:
    for import_id in candidates:
        if _doorbell().ring(import_id):
            logger.info("webhook taken", extra={"import_id": import_id})
            return
    telemetry.add_metric("WebhookUnknown", 1)


@cache
def _secrets() -> Secrets:
    return Secrets()


@cache
def _doorbell() -> ImportHints:
    return ImportHints(
        table_name=environment.required(environment.TABLE),
        queue_url=environment.required(environment.COLLECT_QUEUE_URL),
        now=system_now,
    )


with suppress(ConfigError, Unavailable):  # while a container starts it has more of a processor than later
    _doorbell()
    _secrets().webhook_tokens()

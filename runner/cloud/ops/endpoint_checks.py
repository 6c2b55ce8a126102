"""Checks of the endpoints: the license key's secret, the vendor's API with that key, the webhook by a self-test."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING

import aiohttp

from runner.cloud.ops.stack import LICENSE_SECRET
from runner.cloud.webhooks import TOKEN_BYTES, WebhookUrls
from runner.dromo.client import HeadlessClient
from runner.dromo.http import ConnectionCut, RequestSent, open_session
from runner.errors import AuthRefused, AwsRefused, BulkheadError, ConnectionBarred, Unavailable
from runner.findings import Finding, fail, ok, warn
from runner.local.resources import connections_of

if TYPE_CHECKING:
    from runner.aws.services import Aws
    from runner.cloud.ops.stack import Stack
    from runner.config.settings import Settings

TIMEOUT_S = 15.0
"""Timeout of one request; the webhook's function starts within a few seconds if it was not called for a while."""

_WITHOUT_VALUE = "ResourceNotFoundException"


class LicenseKey:
    """The vendor's license key in the stack's secret; it is never shown."""

    def __init__(self, stack: Stack, aws: Aws) -> None:
        self._stack = stack
        self._aws = aws

    async def read(self) -> str | None:
        """Return the key, None if the secret has no value. Raises AwsRefused, ConfigError, Unavailable."""
        try:
            answer = await self._aws.call("secretsmanager", "get_secret_value", SecretId=self._secret)
        except AwsRefused as error:
            if error.code != _WITHOUT_VALUE:
                raise
            return None
        return str(answer.get("SecretString", "")).strip() or None

    async def finding(self) -> Finding:
        """Check that the secret holds something in the form of a key."""
        key = await self.read()
        if key is None:
            return fail("license key", "the secret has no value yet", self.put)
        if not key.isascii() or any(char.isspace() or char in '{}"' for char in key):
            return fail(
                "license key", "the secret does not hold a license key: store the key alone, not JSON", self.put
            )
        return ok("license key", "is set")

    @property
    def put(self) -> str:
        """Return the command that stores a key."""
        return f"aws secretsmanager put-secret-value --secret-id {self._secret} --secret-string file://key.txt"

    @property
    def _secret(self) -> str:
        return self._stack.output(LICENSE_SECRET)


async def vendor_finding(settings: Settings, key: str) -> Finding:
    """Check that the vendor's API accepts the key; creates nothing."""
    api_url = settings.api_url
    try:
        connections = connections_of(settings)
        async with HeadlessClient(api_url, key, timeout_s=TIMEOUT_S, connections=connections) as client:
            await client.list_page(limit=1, offset=0)
    except ConnectionBarred as error:
        return fail("vendor", f"{api_url}: {error}", error.hint)
    except AuthRefused as error:
        return fail("vendor", f"{api_url}: {error}", "store the right key in the secret, or fix the stack's ApiUrl")
    except BulkheadError as error:
        return fail("vendor", f"{api_url}: {error}", error.hint or "see the vendor's status page")
    return ok("vendor", f"{api_url} accepts the key")


async def self_test_findings(urls: WebhookUrls, *, logs: str, options: str = "") -> list[Finding]:
    """Call the real url with an unknown import, and with a wrong token; neither has any effect.

    `logs` is the command that shows the webhook's log, `options` is appended to the commands in hints. Raises
    AwsRefused, ConfigError.
    """
    tokens = await urls.tokens()
    try:
        found = [
            await _self_test("webhook", urls.of(tokens.current), expected=204, logs=logs),
            await _self_test("forged webhook", urls.of(secrets.token_urlsafe(TOKEN_BYTES)), expected=404, logs=logs),
        ]
        if tokens.next is not None:
            found.append(await _self_test("next webhook", urls.of(tokens.next), expected=204, logs=logs))
    except Unavailable as error:
        return [fail("webhook", str(error), f"check the stack's API and its domain; {logs}")]
    if tokens.next is not None:
        hint = f"once the vendor calls the next url: bulkhead webhook-url --rotate{options}"
        found.append(warn("rotation", "the webhook's url is being replaced", hint))
    return found


async def _self_test(name: str, url: str, *, expected: int, logs: str) -> Finding:
    status = await _post(url)
    if status == expected:
        return ok(name, "accepts a self-test event" if expected == 204 else "a wrong token is refused")
    return fail(name, f"answers {status} instead of {expected}", _HINTS.get(status, logs).format(logs=logs))


_HINTS = {
    204: "tokens are not checked, so anyone can call it: {logs}",
    404: "it does not know the token; a new token takes up to five minutes",
    429: "too many calls at once: try again in a minute",
    503: "the function cannot reach its secrets or the table: {logs}",
}


async def _post(url: str) -> int:
    """Post a self-test event and return the HTTP status. Raises Unavailable, whose text has no url."""
    import_id = str(uuid.uuid4())
    event = {"event": "import_completed", "data": {"id": import_id, "headless": {"id": import_id}}}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with open_session(timeout=timeout, headers={}, force_close=True) as session:
        try:
            async with session.post(url, json=event, allow_redirects=False, trace_request_ctx=RequestSent()) as answer:
                return answer.status
        except (aiohttp.ClientError, ConnectionCut, TimeoutError, ValueError) as error:
            raise Unavailable(f"the webhook does not answer ({type(error).__name__})") from None

"""The outside of the deployment, looked at: its secrets, the vendor's API with its key, the webhook by a self-test."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING

import aiohttp

from runner.cloud.ops.stack import LICENSE_SECRET
from runner.cloud.webhook_tokens import TOKEN_BYTES, WebhookUrls
from runner.dromo.client import HeadlessClient
from runner.dromo.http import ConnectionCut, RequestSent, open_session
from runner.errors import AuthRefused, AwsRefused, BulkheadError, Unavailable
from runner.findings import Finding, fail, ok, warn

if TYPE_CHECKING:
    from runner.aws.services import Aws
    from runner.cloud.ops.stack import Stack

TIMEOUT_S = 15.0
"""For one request: a webhook that was not called for a while starts within a few seconds."""

_WITHOUT_VALUE = "ResourceNotFoundException"


class LicenseKey:
    """The vendor's key as the stack's secret holds it; it is never shown."""

    def __init__(self, stack: Stack, aws: Aws) -> None:
        self._stack = stack
        self._aws = aws

    async def read(self) -> str | None:
        """Return the key, None where none was put in. Raises AwsRefused where it may not be read."""
        try:
            answer = await self._aws.call("secretsmanager", "get_secret_value", SecretId=self._secret)
        except AwsRefused as error:
            if error.code != _WITHOUT_VALUE:
                raise
            return None
        return str(answer.get("SecretString", "")).strip() or None

    async def finding(self) -> Finding:
        """Tell whether a key is there that could be one."""
        key = await self.read()
        put = f"aws secretsmanager put-secret-value --secret-id {self._secret} --secret-string file://key.txt"
        if key is None:
            return fail("license key", "no key was put into the secret yet", put)
        if not key.isascii() or any(char.isspace() or char in '{}"' for char in key):
            return fail("license key", "what the secret holds is no key: it is to be the key alone, no JSON", put)
        return ok("license key", "is set")

    @property
    def _secret(self) -> str:
        return self._stack.output(LICENSE_SECRET)


async def vendor_finding(api_url: str, key: str) -> Finding:
    """Ask the vendor's API whether it takes the key; nothing is created."""
    try:
        async with HeadlessClient(api_url, key, timeout_s=TIMEOUT_S) as client:
            await client.list_page(limit=1, offset=0)
    except AuthRefused as error:
        return fail("vendor", f"{api_url}: {error}", "put the right key into the secret, or mend the stack's ApiUrl")
    except BulkheadError as error:
        return fail("vendor", f"{api_url}: {error}", error.hint or "look at the vendor's status page")
    return ok("vendor", f"{api_url} accepts the key")


async def webhook_findings(urls: WebhookUrls, *, logs: str, options: str = "") -> list[Finding]:
    """Ring at the real url with an import that nobody knows, and with a wrong token; neither has any effect.

    `logs` is the command that shows the webhook's log, `options` end the commands in hints.
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
    status = await _ring(url)
    if status == expected:
        return ok(name, "takes a self-test event" if expected == 204 else "is refused for its token")
    return fail(name, f"answers {status}, not {expected}", _HINTS.get(status, logs).format(logs=logs))


_HINTS = {
    204: "tokens are not checked, so anybody may ring: {logs}",
    404: "its token is not known there; a new one is within five minutes",
    429: "too many calls at once: ask again in a minute",
    503: "the function cannot reach its secrets or the table: {logs}",
}


async def _ring(url: str) -> int:
    """Return the status a self-test event is answered with. Raises Unavailable, whose text has no url."""
    import_id = str(uuid.uuid4())
    event = {"event": "import_completed", "data": {"id": import_id, "headless": {"id": import_id}}}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with open_session(timeout=timeout, headers={}, force_close=True) as session:
        try:
            async with session.post(url, json=event, allow_redirects=False, trace_request_ctx=RequestSent()) as answer:
                return answer.status
        except (aiohttp.ClientError, ConnectionCut, TimeoutError, ValueError) as error:
            raise Unavailable(f"the webhook does not answer ({type(error).__name__})") from None

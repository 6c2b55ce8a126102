"""The webhook's tokens: the secret at the end of the url that the vendor calls, and how it is replaced."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from runner.cloud.stack import WEBHOOK_BASE, WEBHOOK_SECRET
from runner.errors import ConfigError

if TYPE_CHECKING:
    from runner.aws import Aws
    from runner.cloud.stack import Stack

TOKEN_BYTES = 32
SHORTEST_TOKEN = 32
"""Characters; what the template makes, and what is made here, is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTokens:
    """The token in use, and during a rotation the one that will be; the webhook takes both."""

    current: str | None = None
    next: str | None = None

    def __repr__(self) -> str:
        return f"WebhookTokens(current={bool(self.current)}, next={bool(self.next)})"

    @classmethod
    def from_json(cls, text: str) -> WebhookTokens:
        """Read what the secret holds. Raises ConfigError."""
        try:
            raw = json.loads(text)
            found = {name: raw.get(name) or None for name in ("current", "next")}
        except (ValueError, AttributeError):
            found = {"current": 0}
        if not all(isinstance(token, str | None) for token in found.values()):
            raise ConfigError(
                "the secret of the webhook's tokens is not as it should be",
                hint='it holds {"current": token}, and during a rotation "next" too',
            )
        return cls(**found)

    def to_json(self) -> str:
        return json.dumps({name: token for name, token in (("current", self.current), ("next", self.next)) if token})


class WebhookUrls:
    """The urls that the vendor may call; a url holds its token, so it is shown on purpose only."""

    def __init__(self, stack: Stack, aws: Aws) -> None:
        self._base = stack.output(WEBHOOK_BASE)
        self._secret = stack.output(WEBHOOK_SECRET)
        self._aws = aws

    def of(self, token: str) -> str:
        """Return the url that ends in a token."""
        return f"{self._base.rstrip('/')}/{quote(token, safe='')}"

    async def tokens(self) -> WebhookTokens:
        """Read the secret. Raises AwsRefused, ConfigError."""
        answer = await self._aws.call("secretsmanager", "get_secret_value", SecretId=self._secret)
        return WebhookTokens.from_json(str(answer.get("SecretString", "")))

    async def current(self) -> str:
        """Return the url to be pasted into the vendor's dashboard. Raises ConfigError where there is no token."""
        tokens = await self.tokens()
        if tokens.current is None:
            raise ConfigError(
                "the webhook has no token yet", hint="make one: bulkhead webhook-url --next, then --rotate"
            )
        return self.of(tokens.current)

    async def prepare_next(self) -> str:
        """Return the url of the next token, which the webhook takes beside the current one; it is made where absent."""
        tokens = await self.tokens()
        if tokens.next is None:
            tokens = replace(tokens, next=secrets.token_urlsafe(TOKEN_BYTES))
            await self._keep(tokens)
        return self.of(tokens.next or "")

    async def rotate(self) -> str:
        """Make the next token the current one and return its url; the old one is refused from then on.

        Raises ConfigError where no next one was prepared.
        """
        tokens = await self.tokens()
        if tokens.next is None:
            raise ConfigError(
                "there is no next token to rotate to",
                hint="bulkhead webhook-url --next makes one; paste its url into the vendor's dashboard first",
            )
        await self._keep(WebhookTokens(current=tokens.next))
        return self.of(tokens.next)

    async def _keep(self, tokens: WebhookTokens) -> None:
        await self._aws.call("secretsmanager", "put_secret_value", SecretId=self._secret, SecretString=tokens.to_json())

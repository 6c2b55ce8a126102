"""The webhook that the vendor calls: its url, the secret token that ends the url, and its rotation."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from runner.cloud.ops.stack import WEBHOOK_BASE, WEBHOOK_SECRET
from runner.errors import ConfigError

if TYPE_CHECKING:
    from runner.aws.services import Aws
    from runner.cloud.ops.stack import Stack

TOKEN_BYTES = 32

_EXPECTED = 'it must be JSON: {"current": TOKEN}, and {"current": TOKEN, "next": TOKEN} during a rotation'


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTokens:
    """The current token, and during a rotation the next one; the webhook accepts both."""

    current: str = field(repr=False)
    next: str | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, text: str) -> WebhookTokens:
        """Parse the value of the secret. Raises ConfigError if it has another form."""
        try:
            raw = json.loads(text)
            current, following = raw["current"], raw.get("next") or None
        except (ValueError, TypeError, AttributeError, KeyError):
            current, following = None, None
        if not (isinstance(current, str) and current and isinstance(following, str | None)):
            raise ConfigError("the secret of the webhook's tokens has an unexpected form", hint=_EXPECTED)
        return cls(current=current, next=following)

    def to_json(self) -> str:
        return json.dumps({"current": self.current} | ({"next": self.next} if self.next else {}))


def webhook_url(base: str, token: str) -> str:
    """Return the webhook's url: `base`, a slash, and the token."""
    return f"{base.rstrip('/')}/{quote(token, safe='')}"


class WebhookUrls:
    """The urls that the vendor may call. A url contains its token: never log one."""

    def __init__(self, stack: Stack, aws: Aws) -> None:
        self._base = stack.output(WEBHOOK_BASE)
        self._secret = stack.output(WEBHOOK_SECRET)
        self._aws = aws

    def of(self, token: str) -> str:
        """Return the url for a token."""
        return webhook_url(self._base, token)

    async def tokens(self) -> WebhookTokens:
        """Read the secret. Raises AwsRefused, ConfigError."""
        answer = await self._aws.call("secretsmanager", "get_secret_value", SecretId=self._secret)
        return WebhookTokens.from_json(str(answer.get("SecretString", "")))

    async def current(self) -> str:
        """Return the url of the current token. Raises AwsRefused, ConfigError."""
        return self.of((await self.tokens()).current)

    async def prepare_next(self) -> str:
        """Return the url of the next token, created if missing; the webhook accepts both tokens from now on."""
        tokens = await self.tokens()
        token = tokens.next or secrets.token_urlsafe(TOKEN_BYTES)
        if tokens.next is None:
            await self._keep(replace(tokens, next=token))
        return self.of(token)

    async def rotate(self) -> str:
        """Make the next token the current one and return its url; the webhook refuses the old one from now on.

        Raises ConfigError if there is no next token.
        """
        tokens = await self.tokens()
        if tokens.next is None:
            raise ConfigError(
                "there is no next token to rotate to",
                hint="run `bulkhead webhook-url --next`, and paste its url into the vendor's dashboard first",
            )
        await self._keep(WebhookTokens(current=tokens.next))
        return self.of(tokens.next)

    async def _keep(self, tokens: WebhookTokens) -> None:
        await self._aws.call("secretsmanager", "put_secret_value", SecretId=self._secret, SecretString=tokens.to_json())

"""The webhook's tokens: the secret at the end of the url that the vendor calls, and how it is replaced."""

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

_AS_IT_SHOULD_BE = 'it holds {"current": token}, and during a rotation "next" too'


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTokens:
    """The token in use, and during a rotation the one that will be; the webhook takes both."""

    current: str = field(repr=False)
    next: str | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, text: str) -> WebhookTokens:
        """Read what the secret holds. Raises ConfigError."""
        try:
            raw = json.loads(text)
            current, following = raw["current"], raw.get("next") or None
        except (ValueError, TypeError, AttributeError, KeyError):
            current, following = None, None
        if not (isinstance(current, str) and current and isinstance(following, str | None)):
            raise ConfigError("the secret of the webhook's tokens is not as it should be", hint=_AS_IT_SHOULD_BE)
        return cls(current=current, next=following)

    def to_json(self) -> str:
        return json.dumps({"current": self.current} | ({"next": self.next} if self.next else {}))


def webhook_url(base: str, token: str) -> str:
    """Return the url that ends in a token; `base` is what stands before it."""
    return f"{base.rstrip('/')}/{quote(token, safe='')}"


class WebhookUrls:
    """The urls that the vendor may call; a url holds its token, so it is shown on purpose only."""

    def __init__(self, stack: Stack, aws: Aws) -> None:
        self._base = stack.output(WEBHOOK_BASE)
        self._secret = stack.output(WEBHOOK_SECRET)
        self._aws = aws

    def of(self, token: str) -> str:
        """Return the url that ends in a token."""
        return webhook_url(self._base, token)

    async def tokens(self) -> WebhookTokens:
        """Read the secret. Raises AwsRefused, ConfigError."""
        answer = await self._aws.call("secretsmanager", "get_secret_value", SecretId=self._secret)
        return WebhookTokens.from_json(str(answer.get("SecretString", "")))

    async def current(self) -> str:
        """Return the url that is in use."""
        return self.of((await self.tokens()).current)

    async def prepare_next(self) -> str:
        """Return the url of the next token, which the webhook takes beside the current one; it is made where absent."""
        tokens = await self.tokens()
        token = tokens.next or secrets.token_urlsafe(TOKEN_BYTES)
        if tokens.next is None:
            await self._keep(replace(tokens, next=token))
        return self.of(token)

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

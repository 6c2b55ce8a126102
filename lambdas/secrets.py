"""The secrets of a deployment, read from Secrets Manager and kept for five minutes."""

from __future__ import annotations

from typing import Any

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdas import environment
from runner.cloud.webhooks import WebhookTokens
from runner.errors import ConfigError, Unavailable

MAX_AGE_S = 300
"""How long a secret is cached: a rotation reaches every container within this time."""

_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
_WITHOUT_VALUE = ("ResourceNotFoundException", "InvalidRequestException")
_HOW_TO_SET = "set it: aws secretsmanager put-secret-value --secret-id {} --secret-string file://..."


class Secrets:
    """Reads the secrets that the environment names; `client` is boto3's `secretsmanager`.

    No value appears in a log or an error.
    """

    def __init__(self, client: Any = None) -> None:
        self._provider = SecretsProvider(boto3_client=client or boto3.client("secretsmanager", config=_CONFIG))

    def license_key(self) -> str:
        """Return the vendor's license key. Raises ConfigError if the secret has no value, Unavailable."""
        return self._text(environment.LICENSE_SECRET)

    def webhook_tokens(self) -> tuple[str, ...]:
        """Return the tokens that a webhook's url may end with: the current one, and the next one during a rotation.

        Raises ConfigError if the secret has no value or an unexpected form, Unavailable.
        """
        tokens = WebhookTokens.from_json(self._text(environment.WEBHOOK_SECRET))
        return (tokens.current, tokens.next) if tokens.next else (tokens.current,)

    def forget(self) -> None:
        """Empty the cache, so that every secret is read again when it is needed."""
        self._provider.store.clear()

    def _text(self, variable: str) -> str:
        name = environment.required(variable)
        try:
            text = str(self._provider.get(name, max_age=MAX_AGE_S)).strip()
        except GetParameterError as error:
            raise _translated(error.__context__, name) from None
        if not text:
            raise ConfigError(f"the secret {name} is empty", hint=_HOW_TO_SET.format(name))
        return text


def _translated(error: BaseException | None, name: str) -> Exception:
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    if code in _WITHOUT_VALUE or isinstance(error, KeyError):  # an answer without a value
        return ConfigError(f"the secret {name} has no value yet", hint=_HOW_TO_SET.format(name))
    return Unavailable(f"the secret {name} cannot be read: {code or type(error).__name__}")

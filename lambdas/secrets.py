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
"""How old a secret may be: a rotation has reached every container by then."""

_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
_WITHOUT_VALUE = ("ResourceNotFoundException", "InvalidRequestException")
_PUT_IT_IN = "put it in: aws secretsmanager put-secret-value --secret-id {} --secret-string file://..."


class Secrets:
    """Reads secrets by the names that the environment gives; `client` is boto3's `secretsmanager`.

    A value is in no log and no error.
    """

    def __init__(self, client: Any = None) -> None:
        self._provider = SecretsProvider(boto3_client=client or boto3.client("secretsmanager", config=_CONFIG))

    def license_key(self) -> str:
        """Return the vendor's license key. Raises ConfigError where none was put in yet, Unavailable."""
        return self._text(environment.LICENSE_SECRET)

    def webhook_tokens(self) -> tuple[str, ...]:
        """Return the tokens a webhook's url may end with: the current one, and the next while they change.

        Raises ConfigError where the secret has no value, or none of use; Unavailable.
        """
        tokens = WebhookTokens.from_json(self._text(environment.WEBHOOK_SECRET))
        return (tokens.current, tokens.next) if tokens.next else (tokens.current,)

    def forget(self) -> None:
        """Read every secret anew when it is asked for next."""
        self._provider.store.clear()

    def _text(self, variable: str) -> str:
        name = environment.required(variable)
        try:
            text = str(self._provider.get(name, max_age=MAX_AGE_S)).strip()
        except GetParameterError as error:
            raise _translated(error.__context__, name) from None
        if not text:
            raise ConfigError(f"the secret {name} is empty", hint=_PUT_IT_IN.format(name))
        return text


def _translated(error: BaseException | None, name: str) -> Exception:
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    if code in _WITHOUT_VALUE or isinstance(error, KeyError):  # an answer without a value
        return ConfigError(f"the secret {name} has no value yet", hint=_PUT_IT_IN.format(name))
    return Unavailable(f"the secret {name} cannot be read: {code or type(error).__name__}")

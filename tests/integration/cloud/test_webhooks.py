"""The webhook's url ends in a secret, which is replaced without a moment in which no url works."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from runner.cloud.ops.stack import read_stack
from runner.cloud.webhooks import WebhookTokens, WebhookUrls
from runner.errors import ConfigError
from tests.support.aws import LocalAws
from tests.support.deployed import TOKEN, Deployed, deploy, services_of

SECRET = "WebhookTokensSecretArn"
BASE = "https://hooks.example.com/wh/v1/"


@pytest.fixture
def deployed(aws: LocalAws) -> Deployed:
    return deploy(aws)


@pytest.fixture
async def urls(deployed: Deployed) -> AsyncIterator[WebhookUrls]:
    async with services_of(deployed.aws) as services:
        yield WebhookUrls(await read_stack(services, deployed.name), services)


async def test_the_url_in_use_ends_in_the_current_token(urls: WebhookUrls) -> None:
    assert await urls.current() == BASE + TOKEN


async def test_a_rotation_goes_through_a_time_in_which_both_tokens_hold(urls: WebhookUrls, deployed: Deployed) -> None:
    url = await urls.prepare_next()
    both = json.loads(deployed.secret(SECRET))
    assert both["current"] == TOKEN
    assert url == BASE + both["next"]
    assert await urls.rotate() == url
    assert json.loads(deployed.secret(SECRET)) == {"current": both["next"]}
    assert await urls.current() == url


async def test_a_next_token_is_made_once(urls: WebhookUrls) -> None:
    assert await urls.prepare_next() == await urls.prepare_next()


async def test_a_new_token_holds_256_bits(urls: WebhookUrls) -> None:
    assert len((await urls.prepare_next()).removeprefix(BASE)) >= 43


async def test_nothing_is_rotated_that_nobody_prepared(urls: WebhookUrls, deployed: Deployed) -> None:
    with pytest.raises(ConfigError) as caught:
        await urls.rotate()
    assert "webhook-url --next" in (caught.value.hint or "")
    assert json.loads(deployed.secret(SECRET)) == {"current": TOKEN}


@pytest.mark.parametrize("text", ["", "plain", "[]", "{}", '{"current": 7}', '{"current": "a", "next": 7}'])
def test_a_secret_of_another_form_is_not_taken_for_tokens(text: str) -> None:
    with pytest.raises(ConfigError, match="unexpected form"):
        WebhookTokens.from_json(text)


def test_a_token_that_a_url_could_not_hold_is_quoted(urls: WebhookUrls) -> None:
    assert urls.of("a/b?c") == f"{BASE}a%2Fb%3Fc"


def test_tokens_are_not_shown_by_accident() -> None:
    assert "secret" not in repr(WebhookTokens(current="secret-1", next="secret-2"))

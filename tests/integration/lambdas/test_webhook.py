"""The webhook as Lambda calls it: who is let in, what that moves, and what it gives away."""

from __future__ import annotations

import hmac
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from lambdas import webhook
from lambdas.secrets import Secrets
from lambdas.webhook_body import MAX_BODY_BYTES
from tests.support.functions import TOKEN, Context, Stack, managed, posted

ID = str(uuid4())
NEXT = "canary-next-" + "a7" * 32
HEAVY = (
    "aiohttp",
    "aioboto3",
    "aiobotocore",
    "asyncio",
    "aws_xray_sdk",
    "pydantic",
    "orjson",
    "runner.config.settings",
)


@pytest.fixture(autouse=True)
def fresh(stack: Stack) -> Iterator[None]:
    """A container that has just started."""
    kept = (webhook._secrets, webhook._import_hints)
    for one in kept:
        one.cache_clear()
    yield
    for one in kept:
        one.cache_clear()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the function writes into its log."""
    stream = io.StringIO()
    monkeypatch.setattr(webhook.logger.registered_handler, "stream", stream)
    return stream


@pytest.fixture
def known(stack: Stack) -> Stack:
    stack.know(ID)
    return stack


def call(body: bytes | str | None = managed(ID), **given: Any) -> dict[str, Any]:
    return webhook.lambda_handler(posted(body, **given), Context())


def metrics_in(printed: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    return [line for line in lines if "_aws" in line]


def test_a_webhook_for_a_known_import_enqueues_collect(known: Stack) -> None:
    assert call()["statusCode"] == 204
    [message] = known.waiting("collect")
    assert message["kind"] == "import_hint"
    assert message["import_id"] == ID


@pytest.mark.parametrize(
    ("body", "encoded"),
    [
        (managed(ID, upload_id=str(uuid4())), False),
        (json.dumps({"event": "x", "data": {"id": ID}}), False),
        (json.dumps({"data": {"id": ID, "headless": {"id": str(uuid4())}}}), False),
        (urlencode({"uploadId": ID}), False),
        (urlencode({"uploadId": ID}).encode(), True),
        (managed(ID).encode(), True),
    ],
    ids=["managed", "uploads-id", "other-headless-id", "form", "encoded-form", "encoded"],
)
def test_each_form_of_webhook_is_understood(known: Stack, body: str | bytes, encoded: bool) -> None:
    assert call(body, encoded=encoded)["statusCode"] == 204
    assert [message["import_id"] for message in known.waiting("collect")] == [ID]


def test_three_webhooks_at_once_enqueue_now_and_once_more(known: Stack) -> None:
    assert [call()["statusCode"] for _ in range(3)] == [204, 204, 204]
    assert len(known.waiting("collect")) == 1
    assert known.delayed_count("collect") == 1


def test_an_unknown_import_is_counted_and_dropped(known: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(managed(str(uuid4())))["statusCode"] == 204
    assert known.waiting("collect") == []
    [metric] = metrics_in(capsys.readouterr().out)
    assert metric["WebhookUnknown"] == [1.0]


def test_all_refusals_look_the_same(known: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [
        call(token="x" + TOKEN[1:]),
        call(token=TOKEN[:-1]),
        call(token=TOKEN + "0"),
        call(token=""),
        call(token="ü" * 10_000),
        call(token="\udcff"),
        call(method="GET"),
        call(None, method="DELETE"),
        call("x" * (MAX_BODY_BYTES + 1), token="wrong"),
        webhook.lambda_handler(posted(managed(ID)) | {"pathParameters": None}, Context()),
        webhook.lambda_handler({}, Context()),
    ]
    assert all(answer == wrong[0] for answer in wrong)
    assert wrong[0]["statusCode"] == 404
    assert known.waiting("collect") == []
    entry = known.entry(ID)
    assert entry is not None
    assert "hint_at" not in entry
    counted = metrics_in(capsys.readouterr().out)
    assert len(counted) == len(wrong)
    assert all(metric["WebhookRejected"] == [1.0] for metric in counted)


def test_a_token_too_long_is_refused_even_where_it_is_the_right_one(known: Stack) -> None:
    long = "t" * (webhook.MAX_TOKEN_CHARS + 1)
    known.put_secret("webhook", json.dumps({"current": long}))
    assert call(token=long)["statusCode"] == 404


def test_tokens_are_compared_as_hashes_in_constant_time(known: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    known.put_secret("webhook", json.dumps({"current": TOKEN, "next": NEXT}))
    for token in (TOKEN, NEXT, "wrong"):
        compared.clear()
        call(token=token)
        assert len(compared) == 2, "all valid tokens are looked at, wherever the right one stands"
        assert all(len(one) == len(other) == 32 for one, other in compared)


def test_the_next_token_is_taken_while_they_change(known: Stack) -> None:
    known.put_secret("webhook", json.dumps({"current": TOKEN, "next": NEXT}))
    assert call(token=TOKEN)["statusCode"] == 204
    assert call(token=NEXT)["statusCode"] == 204


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"current": ""}', '{"current": 7}'])
def test_without_tokens_nobody_is_let_in_and_the_vendor_tries_again(known: Stack, text: str) -> None:
    if text:
        known.put_secret("webhook", text)
    else:
        known.secrets.delete_secret(SecretId="bulkhead/webhook", ForceDeleteWithoutRecovery=True)
    for token in (TOKEN, "", "None"):
        assert call(token=token)["statusCode"] == 503


def test_a_next_token_that_is_no_text_lets_nobody_in(known: Stack) -> None:
    known.put_secret("webhook", json.dumps({"current": TOKEN, "next": None}))
    assert call(token="None")["statusCode"] == 404
    assert call(token="")["statusCode"] == 404


def test_a_rotated_token_is_known_within_five_minutes(known: Stack) -> None:
    from aws_lambda_powertools.utilities.parameters.base import BaseProvider

    assert call()["statusCode"] == 204
    known.put_secret("webhook", json.dumps({"current": NEXT}))
    assert call(token=NEXT)["statusCode"] == 404
    provider: BaseProvider = webhook._secrets()._provider
    for key, kept in list(provider.store.items()):
        provider.store[key] = kept._replace(ttl=kept.ttl.__class__(2000, 1, 1))
    assert call(token=NEXT)["statusCode"] == 204


def test_a_body_that_is_too_large_is_not_read(known: Stack) -> None:
    assert call(managed(ID, padding="x" * MAX_BODY_BYTES))["statusCode"] == 413
    assert known.waiting("collect") == []


def test_a_table_that_does_not_answer_lets_the_vendor_try_again(known: Stack) -> None:
    call(managed(str(uuid4())))
    known.table.delete_table(TableName="bulkhead")
    answer = call()
    assert answer["statusCode"] == 503
    assert "body" not in answer


def test_a_missing_variable_is_named_in_the_log(
    known: Stack, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.delenv("BULKHEAD_TABLE")
    assert call()["statusCode"] == 503
    assert "BULKHEAD_TABLE" in log.getvalue()
    monkeypatch.setenv("BULKHEAD_TABLE", "bulkhead")
    assert call()["statusCode"] == 204


class NoStore:
    """Stands for the table and the queue: counts calls, and answers that nothing is known."""

    def __init__(self) -> None:
        self.calls = 0

    def enqueue(self, import_id: str) -> bool:
        self.calls += 1
        return False


class FixedSecrets(Secrets):
    """Answers from memory, as powertools' cache does."""

    def __init__(self) -> None:
        """There is no store behind it."""

    def webhook_tokens(self) -> tuple[str, ...]:
        return (TOKEN,)


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_forged_requests_touch_no_store(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hints = NoStore()
    monkeypatch.setattr(webhook, "_import_hints", lambda: hints)
    monkeypatch.setattr(webhook, "_secrets", FixedSecrets)
    monkeypatch.setattr(webhook.telemetry, "flush", webhook.telemetry._metrics.clear_metrics)
    body, started = managed(ID), time.perf_counter()
    for number in range(count):
        answer = webhook.lambda_handler(posted(body, token=f"{number:064x}"), Context())
        assert answer["statusCode"] == 404
    assert hints.calls == 0
    assert time.perf_counter() - started < count / 1000, "a forged request costs a millisecond at most"


def test_a_warm_webhook_answers_within_fifty_milliseconds(known: Stack) -> None:
    ids = [str(uuid4()) for _ in range(60)]
    for one in ids:
        known.know(one)
    call()
    times = []
    for one in ids:
        started = time.perf_counter()
        assert call(managed(one))["statusCode"] == 204
        times.append(time.perf_counter() - started)
    assert sorted(times)[len(times) // 2] < 0.05


def test_nothing_of_the_body_or_the_token_is_logged(
    known: Stack, log: io.StringIO, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    canaries = ["canary-cell", "canary-signature", "canary-file", TOKEN, "wrong-canary-token"]
    body = managed(ID, upload="https://s3.test/x?X-Amz-Signature=canary-signature", original_filename="canary-file.csv")
    webhook.logger.setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        call(body)
        call(body, token="wrong-canary-token")
        call('{"data": "canary-cell')
        call("x" * (MAX_BODY_BYTES + 1) + "canary-cell")
        known.table.delete_table(TableName="bulkhead")
        call(body)
    printed = capfd.readouterr()
    for line in ("webhook accepted", "webhook too large", "webhook failed"):
        assert line in log.getvalue()
    logged = log.getvalue() + printed.out + printed.err + caplog.text
    assert [canary for canary in canaries if canary in logged] == []


def test_the_event_is_not_logged_even_where_a_variable_asks_for_it(
    known: Stack, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    call()
    assert "webhook accepted" in log.getvalue()
    assert TOKEN not in log.getvalue()


def test_its_import_loads_nothing_heavy() -> None:
    script = f"import sys, lambdas.webhook; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"

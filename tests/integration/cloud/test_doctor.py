"""The doctor tells what is well, what is not, and what to type next; it changes nothing and shows no secret."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from runner import identity
from runner.aws.services import Aws
from runner.clock import SystemClock
from runner.cloud.handlers.sweep import Swept, record_sweep
from runner.cloud.ops.doctor import CONFIG_KEY, Doctor
from runner.cloud.ops.stack import read_stack
from runner.config.settings import Settings
from runner.config.units import Rate
from runner.findings import Finding, Level
from runner.ledger.leases import MemoryLeases
from runner.ledger.memory import MemoryLedger
from runner.quota.pacer import CreatePacer
from runner.quota.slots import MemorySlots
from tests.support.aws import LocalAws, free_port
from tests.support.deployed import KEY_CANARY, TOKEN, Deployed, deploy, services_of
from tests.support.dynamodb import keep_as_0_1_0

NOW = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
TABLE = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "gpk", "vk")],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": name,
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
        for name, key in (("by_state", "gpk"), ("by_version", "vk"))
    ],
}
CONFIG = b'[[routes]]\nname = "all"\nmatch = "**"\nschema_id = "customers"\n'
HOOKS = CONFIG + b'hooks = { rowHooks = ["row => row"] }\n'


@dataclass
class Outside:
    """The vendor's API and the webhook on one port: which key and tokens they take, and what they were sent."""

    url: str = ""
    key: str = KEY_CANARY
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    posted: list[dict[str, object]] = field(default_factory=list)
    forged_status: int = 404

    async def list_imports(self, request: web.Request) -> web.Response:
        known = request.headers.get("X-Dromo-License-Key") == self.key
        return web.json_response(
            {"count": 0, "next": None, "results": []} if known else {}, status=200 if known else 401
        )

    async def webhook(self, request: web.Request) -> web.Response:
        self.posted.append(await request.json())
        return web.Response(status=204 if request.match_info["token"] in self.tokens else self.forged_status)


@asynccontextmanager
async def running(outside: Outside) -> AsyncIterator[Outside]:
    app = web.Application()
    app.router.add_get("/api/v1/headless/imports/", outside.list_imports)
    app.router.add_post("/wh/v1/{token}", outside.webhook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    outside.url = f"http://{host}:{port}"
    try:
        yield outside
    finally:
        await runner.cleanup()


@dataclass
class Clinic:
    """A deployment without any problem, and its doctor."""

    deployed: Deployed
    services: Aws
    ledger: MemoryLedger
    outside: Outside
    slots: MemorySlots = field(default_factory=MemorySlots)
    schema_id: str | None = "customers"

    @property
    def api_url(self) -> str:
        return f"{self.outside.url}/api/v1"

    async def findings(self) -> dict[str, Finding]:
        stack = await read_stack(self.services, self.deployed.name)
        doctor = Doctor(
            stack,
            self.services,
            settings=Settings(api_url=self.api_url, schema_id=self.schema_id),
            ledger=self.ledger,
            leases=MemoryLeases(now=lambda: NOW),
            pacer=self.pacer,
            now=lambda: NOW,
            options=" --stack bulkhead",
        )
        found = await doctor.findings()
        assert len({finding.name for finding in found}) == len(found)
        shown = repr(found)
        assert KEY_CANARY not in shown
        assert TOKEN not in shown
        return {finding.name: finding for finding in found}

    async def pacer(self, key: str) -> CreatePacer:
        account = identity.account(self.api_url, key)
        quota = Rate(20, 60.0)
        return CreatePacer(self.slots, quota_key=account, quota=quota, clock=SystemClock(), rng=random.Random(1))

    async def reconciled(self, *, ago: timedelta) -> None:
        await self.ledger.set_reconciled(identity.endpoint(self.api_url), NOW - ago)

    async def swept(self, *, ago: timedelta, missing_for: timedelta = timedelta()) -> None:
        """Let the last sweep have begun so long ago, with a file that had been missing for so long before."""
        at = NOW - ago
        await record_sweep(self.ledger, self.inbox, Swept(to=at - missing_for, at=at))

    @property
    def inbox(self) -> str:
        return f"s3://{self.deployed.outputs['InboxBucketName']}/"


@pytest.fixture
async def clinic(aws: LocalAws) -> AsyncIterator[Clinic]:
    async with running(Outside()) as outside, services_of(aws) as services:
        deployed = deploy(aws, table=TABLE, webhook_base=f"{outside.url}/wh/v1/", ApiUrl=f"{outside.url}/api/v1")
        deployed.put_secret("LicenseKeySecretArn", KEY_CANARY)
        clinic = Clinic(deployed, services, MemoryLedger(now=lambda: NOW), outside)
        await clinic.reconciled(ago=timedelta(minutes=4))
        await clinic.swept(ago=timedelta(minutes=14))
        yield clinic


async def test_if_all_is_ok_every_check_says_so(clinic: Clinic) -> None:
    found = await clinic.findings()
    assert {name: finding.level for name, finding in found.items()} == dict.fromkeys(
        (
            *("stack", "table", "inbox", "queues", "dead letters", "triggers", "concurrency", "configuration"),
            *("license key", "vendor", "quota", "webhook", "forged webhook", "reconcile", "sweep"),
        ),
        Level.OK,
    )
    assert found["quota"].detail == "20 of 20 create slots are free"
    assert found["reconcile"].detail == "completed 4 min ago"
    assert found["sweep"].detail == f"{clinic.inbox} was compared with the ledger 14 min ago"


async def test_the_self_test_posts_imports_that_nobody_has(clinic: Clinic) -> None:
    await clinic.findings()
    await clinic.findings()
    ids = [event["data"]["id"] for event in clinic.outside.posted]  # type: ignore[index]
    assert len(set(ids)) == len(ids) == 4


Spoil = Callable[[Clinic], Awaitable[None]]


def spoiled(name: str, level: Level, said: str, hinted: str) -> Callable[[Spoil], Spoil]:
    def keep(spoil: Spoil) -> Spoil:
        CASES.append(pytest.param(spoil, name, level, said, hinted, id=spoil.__name__.replace("_", " ")))
        return spoil

    return keep


CASES: list[object] = []


@spoiled("dead letters", Level.FAIL, "collect 1", "bulkhead cloud redrive --dead-letters --stack bulkhead")
async def a_dead_letter(clinic: Clinic) -> None:
    url = clinic.deployed.outputs["CollectDeadLetterQueueUrl"]
    clinic.deployed.client("sqs").send_message(QueueUrl=url, MessageBody="x")


@spoiled("inbox", Level.FAIL, "does not notify EventBridge", "sam deploy")
async def an_inbox_that_tells_nobody(clinic: Clinic) -> None:
    clinic.deployed.client("s3").put_bucket_notification_configuration(
        Bucket=clinic.deployed.outputs["InboxBucketName"], NotificationConfiguration={}
    )


@spoiled("license key", Level.FAIL, "does not hold a license key", "put-secret-value")
async def a_key_inside_of_json(clinic: Clinic) -> None:
    clinic.deployed.put_secret("LicenseKeySecretArn", json.dumps({"key": KEY_CANARY}))


@spoiled("vendor", Level.FAIL, "license key", "store the right key")
async def a_key_that_the_vendor_does_not_take(clinic: Clinic) -> None:
    clinic.outside.key = "another"


@spoiled("webhook", Level.FAIL, "answers 404 instead of 204", "up to five minutes")
async def a_token_that_the_webhook_does_not_know(clinic: Clinic) -> None:
    clinic.outside.tokens = set()


@spoiled("forged webhook", Level.FAIL, "answers 204 instead of 404", "anyone can call it")
async def a_webhook_that_takes_any_token(clinic: Clinic) -> None:
    clinic.outside.forged_status = 204


@spoiled("rotation", Level.WARN, "is being replaced", "bulkhead webhook-url --rotate --stack bulkhead")
async def a_rotation_under_way(clinic: Clinic) -> None:
    clinic.deployed.put_secret("WebhookTokensSecretArn", json.dumps({"current": TOKEN, "next": "next-token"}))
    clinic.outside.tokens.add("next-token")


@spoiled("next webhook", Level.FAIL, "answers 404 instead of 204", "up to five minutes")
async def a_next_token_that_is_not_known_yet(clinic: Clinic) -> None:
    clinic.deployed.put_secret("WebhookTokensSecretArn", json.dumps({"current": TOKEN, "next": "next-token"}))


@spoiled("sweep", Level.WARN, "a file that arrived 5 h ago is not in the ledger", "--name RegisterFunction")
async def a_file_stays_missing(clinic: Clinic) -> None:
    await clinic.swept(ago=timedelta(hours=1), missing_for=timedelta(hours=4))


@spoiled("sweep", Level.WARN, "ago, but should be every hour", "--name ListPrefixFunction")
async def no_sweep_comes_to_its_end(clinic: Clinic) -> None:
    await clinic.swept(ago=timedelta(days=2))


@spoiled("reconcile", Level.FAIL, "completed 16 min ago", "--name ReconcileFunction")
async def a_reconcile_that_is_late(clinic: Clinic) -> None:
    await clinic.reconciled(ago=timedelta(minutes=16))


@spoiled("quota", Level.WARN, "0 of 20 create slots are free", "while a load runs")
async def a_quota_that_is_used_up(clinic: Clinic) -> None:
    for _ in range(20):
        await (await clinic.pacer(KEY_CANARY)).permit()


@spoiled("configuration", Level.FAIL, "no schema is configured", "s3://bulkhead-configbucket")
async def no_configuration_and_no_schema(clinic: Clinic) -> None:
    clinic.schema_id = None


@spoiled("configuration", Level.FAIL, "the last valid one stays active", "")
async def a_broken_configuration(clinic: Clinic) -> None:
    await clinic.ledger.keep_config(CONFIG.decode())
    put_config(clinic, b"routes = 7")


@spoiled("configuration", Level.WARN, "not active yet", "--name ConfigureFunction")
async def a_configuration_that_nobody_took_over(clinic: Clinic) -> None:
    put_config(clinic, CONFIG)


@spoiled("configuration", Level.OK, "is active: 1 route", "")
async def a_configuration_in_force(clinic: Clinic) -> None:
    await clinic.ledger.keep_config(CONFIG.decode())
    put_config(clinic, CONFIG)


@spoiled("configuration", Level.WARN, "is missing", "upload it again")
async def a_configuration_that_is_gone(clinic: Clinic) -> None:
    await clinic.ledger.keep_config(CONFIG.decode())


@spoiled(
    "configuration",
    Level.FAIL,
    "AllowHooks=true; the last valid one stays active",
    'AllowHooks = "true" into parameters.toml',
)
async def a_configuration_with_hooks(clinic: Clinic) -> None:
    await clinic.ledger.keep_config(CONFIG.decode())
    put_config(clinic, HOOKS)


@spoiled("configuration", Level.FAIL, "so files wait, and none is sent", 'AllowHooks = "true" into parameters.toml')
async def hooks_that_the_stack_has_ceased_to_accept(clinic: Clinic) -> None:
    await clinic.ledger.keep_config(HOOKS.decode())
    put_config(clinic, HOOKS)


@spoiled("configuration", Level.WARN, "is about to move to s3://bulkhead-configbucket", "--name ConfigureFunction")
async def an_upgrade_a_moment_ago(clinic: Clinic) -> None:
    await keep_as_0_1_0(clinic.ledger, CONFIG.decode())


INLINE = b'[[routes]]\nname = "inline"\nmatch = "**"\nfields = [{ key = "a", type = "string", label = "A" }]\n'


@spoiled("webhooks of route inline", Level.WARN, "an inline schema needs an importIdentifier", "in the dashboard")
async def a_route_that_no_managed_webhook_reports(clinic: Clinic) -> None:
    await clinic.ledger.keep_config(INLINE.decode())
    put_config(clinic, INLINE)


@spoiled("webhooks of route inline", Level.WARN, "backendSyncMode is DISABLED", "FULL_DATA")
async def a_route_that_silences_the_webhook_of_its_imports(clinic: Clinic) -> None:
    silent = INLINE + b'settings = { backendSyncMode = "DISABLED" }\n'
    await with_webhook_per_import(clinic)
    await clinic.ledger.keep_config(silent.decode())
    put_config(clinic, silent)


async def with_webhook_per_import(clinic: Clinic) -> None:
    clinic.deployed = deploy(
        clinic.deployed.aws,
        name="per-import",
        table=TABLE,
        webhook_base=f"{clinic.outside.url}/wh/v1/",
        ApiUrl=clinic.api_url,
        WebhookPerImport="true",
    )
    clinic.deployed.put_secret("LicenseKeySecretArn", KEY_CANARY)


async def test_routes_of_a_stack_whose_imports_name_their_webhook_need_no_identifier(clinic: Clinic) -> None:
    await with_webhook_per_import(clinic)
    await clinic.ledger.keep_config(INLINE.decode())
    put_config(clinic, INLINE)
    found = await clinic.findings()
    assert found["configuration"].level is Level.OK
    assert "webhooks of route inline" not in found


@spoiled("old configuration", Level.WARN, "is no longer read", "aws s3 rm s3://bulkhead-inboxbucket")
async def a_file_in_the_place_of_version_0_1_0(clinic: Clinic) -> None:
    put_config(clinic, CONFIG, bucket="InboxBucketName")


@spoiled("license key", Level.FAIL, "it must begin with https", 'ApiUrl = "https://')
async def an_api_that_is_reached_without_encryption(clinic: Clinic) -> None:
    clinic.outside.url = "http://vendor.example"


def put_config(clinic: Clinic, text: bytes, *, bucket: str = "ConfigBucketName") -> None:
    bucket = clinic.deployed.outputs[bucket]
    clinic.deployed.client("s3").put_object(Bucket=bucket, Key=CONFIG_KEY, Body=text)


@pytest.mark.parametrize(("spoil", "name", "level", "said", "hinted"), CASES)
async def test_each_trouble_is_found_with_what_to_do(
    clinic: Clinic, spoil: Spoil, name: str, level: Level, said: str, hinted: str
) -> None:
    await spoil(clinic)
    finding = (await clinic.findings())[name]
    assert finding.level is level, finding
    assert said in finding.detail
    assert hinted in (finding.hint or "")


async def test_a_stack_without_a_key_asks_the_vendor_nothing(aws: LocalAws) -> None:
    async with running(Outside()) as outside, services_of(aws) as services:
        deployed = deploy(aws, webhook_base=f"{outside.url}/wh/v1/", without=("TableName",))
        clinic = Clinic(deployed, services, MemoryLedger(now=lambda: NOW), outside)
        found = await clinic.findings()
        assert found["license key"].level is Level.FAIL
        assert "no value yet" in found["license key"].detail
        assert found["stack"].detail.endswith("missing outputs: TableName")
        assert found["table"].level is Level.FAIL
        assert found["reconcile"].level is Level.WARN
        assert not {"vendor", "quota"} & found.keys()


async def test_what_these_credentials_may_not_look_at_is_said_and_not_judged(clinic: Clinic) -> None:
    from runner.errors import AwsRefused

    call = clinic.services.call

    async def refusing(service: str, operation: str, **arguments: object) -> dict[str, object]:
        if operation == "get_secret_value":
            raise AwsRefused("AWS does not allow it", code="AccessDeniedException", hint="ask for the permission")
        return await call(service, operation, **arguments)

    clinic.services.call = refusing  # type: ignore[method-assign]
    found = await clinic.findings()
    assert {found[name].level for name in ("license key", "webhook")} == {Level.WARN}
    assert found["license key"].hint == "ask for the permission"


async def test_a_webhook_that_does_not_answer_is_one_finding_without_its_url(clinic: Clinic) -> None:
    clinic.deployed = deploy(
        clinic.deployed.aws, name="dark", table=TABLE, webhook_base=f"http://127.0.0.1:{free_port()}/wh/v1/"
    )
    found = await clinic.findings()
    assert found["webhook"].level is Level.FAIL
    assert "does not answer" in found["webhook"].detail
    assert "forged webhook" not in found

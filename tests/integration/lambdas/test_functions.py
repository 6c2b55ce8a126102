"""The functions as Lambda calls them, from a file that arrives to its manifest, against the sandbox and ministack."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from lambdas import bootstrap, collect, configure, finish, list_prefix, reconcile, register, submit, upload, webhook
from runner.cloud.messages import StartLoad, encode
from tests.acceptance.vendors import SandboxVendor
from tests.support.command import CANARY_KEY
from tests.support.functions import TOKEN, Context, Stack, arrived, managed, posted, taken
from tests.support.sandbox import CUSTOMERS

HANDLERS: dict[str, Any] = {
    "list": list_prefix.lambda_handler,
    "register": register.lambda_handler,
    "submit": submit.lambda_handler,
    "load": submit.lambda_handler,
    "upload": upload.lambda_handler,
    "collect": collect.lambda_handler,
    "finish": finish.lambda_handler,
}
CELL = "canary-cell"


def csv(number: int) -> bytes:
    return f"Full Name,Email,Credit Limit\n{CELL} {number},{number}@example.test,{number}\n".encode()


class Deployed:
    """The stack with its functions: what Lambda does for them is done when it is asked for."""

    def __init__(self, stack: Stack, vendor: SandboxVendor, topic: str) -> None:
        self.stack = stack
        self.vendor = vendor
        self.topic = topic
        self.s3 = stack.client("s3")
        for bucket in ("bulkhead-inbox", "bulkhead-results", "bulkhead-config"):
            self.s3.create_bucket(Bucket=bucket)

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket="bulkhead-inbox", Key=key, Body=content)

    def configure(self, content: bytes) -> dict[str, list[str]]:
        """Write the configuration, and let its function read it."""
        self.s3.put_object(Bucket="bulkhead-config", Key=CONFIG_KEY, Body=content)
        return configure.lambda_handler({}, Context())

    def kept(self) -> dict[str, Any]:
        """Return the configuration in the table."""
        return self.stack.table.get_item(TableName="bulkhead", Key=CONFIG_ROW, ConsistentRead=True)["Item"]

    def land(self, key: str, content: bytes) -> None:
        """Put a file, and tell of it as EventBridge does."""
        self.put(key, content)
        etag = self.s3.head_object(Bucket="bulkhead-inbox", Key=key)["ETag"].strip('"')
        detail = {
            "bucket": {"name": "bulkhead-inbox"},
            "object": {"key": key, "size": len(content), "etag": etag, "sequencer": "00"},
        }
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = {"detail-type": "Object Created", "source": "aws.s3", "time": now, "detail": detail}
        self.stack.send("register", json.dumps(event))

    def work(self) -> None:
        """Let the functions take what is in their queues, until nothing is."""
        while sum(self._take(queue) for queue in HANDLERS):
            pass

    def tell_ends(self) -> list[str]:
        """Send the webhook of every import once it has ended; returns their ids."""
        ids = sorted({one for many in self.vendor.received().values() for one in many})
        for import_id in ids:
            until(lambda one=import_id: self.status(one) not in ("PENDING", "RUNNING"))
            assert webhook.lambda_handler(posted(managed(import_id)), Context())["statusCode"] == 204
        return ids

    def status(self, import_id: str) -> str:
        page = self.vendor.ask("GET", "/api/v1/headless/imports/?limit=1000", X_Dromo_License_Key=CANARY_KEY)
        return str(next(found["status"] for found in page["results"] if found["id"] == import_id))

    def result(self, key: str) -> Any:
        return json.loads(self.s3.get_object(Bucket="bulkhead-results", Key=key)["Body"].read())

    def manifest(self, batch_id: str) -> dict[str, Any]:
        key = f"batches/{batch_id}/manifest.jsonl"
        text = self.s3.get_object(Bucket="bulkhead-results", Key=key)["Body"].read()
        return {line["source"]: line for line in map(json.loads, text.splitlines())}

    def _take(self, queue: str) -> bool:
        event = taken(self.stack, queue)
        if event["Records"]:
            self.stack.acknowledge(queue, event, HANDLERS[queue](event, Context()))
        return bool(event["Records"])


def until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxVendor]:
    directory = tmp_path_factory.mktemp("schemas")
    (directory / "customers.json").write_text(json.dumps(CUSTOMERS))
    with SandboxVendor(schemas=directory) as running:
        yield running
    bootstrap.container.close()


@pytest.fixture
def deployed(stack: Stack, vendor: SandboxVendor, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    vendor.reset()
    stack.put_secret("license", CANARY_KEY)
    topic = stack.client("sns").create_topic(Name="ended")["TopicArn"]
    variables = {
        "BULKHEAD_API_URL": vendor.api_url,
        "BULKHEAD_SCHEMA_ID": "customers",
        "BULKHEAD_QUOTA": "1000/60s",
        "BULKHEAD_TOPIC_ARN": topic,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bootstrap.container.reload_license_key()
    webhook._secrets.cache_clear()
    webhook._import_hints.cache_clear()
    return Deployed(stack, vendor, topic)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(bootstrap.container.telemetry.logger.registered_handler, "stream", stream)
    monkeypatch.setattr(webhook.logger.registered_handler, "stream", stream)
    return stream


def today(folder: str) -> str:
    return f"landed-{time.strftime('%Y%m%d', time.gmtime())}-{folder}"


def test_a_file_that_landed_is_imported_once_and_is_in_the_manifest_of_its_day(
    deployed: Deployed, log: io.StringIO
) -> None:
    deployed.land("orders/a.csv", csv(1))
    deployed.work()
    deployed.tell_ends()
    deployed.work()
    line = deployed.manifest(today("orders"))["orders/a.csv"]
    assert line["state"] == "collected"
    assert deployed.vendor.received() == {hashlib.sha256(csv(1)).hexdigest(): [line["import_id"]]}
    [row] = deployed.result(f"batches/{today('orders')}/{line['result']}")
    assert row["email"] == "1@example.test"
    assert "left behind" not in log.getvalue()


def test_all_files_under_a_prefix_are_loaded_by_one_message_and_the_end_is_told(deployed: Deployed) -> None:
    deployed.stack.add_queue("ended")
    deployed.stack.listen_to_bus("ended", source="bulkhead")
    contents = [csv(number) for number in range(12)]
    for number, content in enumerate(contents):
        deployed.put(f"nightly/{number}.csv", content)
    deployed.stack.send("list", encode(StartLoad(uri="s3://bulkhead-inbox/nightly/", name="nightly")))
    deployed.work()
    deployed.tell_ends()
    deployed.work()
    received = deployed.vendor.received()
    assert sorted(received) == sorted(hashlib.sha256(content).hexdigest() for content in contents)
    assert all(len(ids) == 1 for ids in received.values())
    [ended] = deployed.stack.waiting("ended")
    assert ended["detail"]["state"] == "complete"
    assert ended["detail"]["by_state"]["collected"] == 12
    manifest = deployed.manifest(ended["detail"]["batch_id"])
    assert {line["state"] for line in manifest.values()} == {"collected"}


def test_with_all_webhooks_lost_reconcile_brings_the_same_end(deployed: Deployed) -> None:
    deployed.land("orders/a.csv", csv(1))
    deployed.work()
    [[import_id]] = deployed.vendor.received().values()
    until(lambda: deployed.status(import_id) == "SUCCESSFUL")

    def is_collected() -> bool:
        assert reconcile.lambda_handler({}, Context(left_ms=300_000)) is None
        deployed.work()
        return deployed.manifest(today("orders"))["orders/a.csv"]["state"] == "collected"

    until(is_collected)


class Gateway(BaseHTTPRequestHandler):
    """An HTTP API: gives each request to the webhook, as payload format 2.0 does."""

    statuses: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        event = posted(body, token=self.path.rsplit("/", 1)[1], encoded=True)
        status = webhook.lambda_handler(event, Context())["statusCode"]
        self.send_response(status)
        self.end_headers()
        self.statuses.append(status)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_imports_that_name_their_own_webhook_come_to_their_end_by_it(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        monkeypatch.setenv("BULKHEAD_WEBHOOK_BASE", f"http://127.0.0.1:{server.server_port}/wh/v1/")
        deployed.land("orders/a.csv", csv(1))
        deployed.work()
        server.timeout = 20
        server.handle_request()
    assert Gateway.statuses == [204]
    deployed.work()
    assert deployed.manifest(today("orders"))["orders/a.csv"]["state"] == "collected"


def test_a_license_key_the_vendor_refuses_leaves_every_message_for_later(deployed: Deployed, log: io.StringIO) -> None:
    deployed.stack.put_secret("license", "canary-wrong-key")
    event = arrived(json.dumps({"kind": "item_ref", "batch_id": "b", "source": "s"}))
    assert submit.lambda_handler(event, Context()) == {"batchItemFailures": []}
    deployed.land("orders/a.csv", csv(1))
    deployed.work()
    assert "license key refused" in log.getvalue()
    assert "canary-wrong-key" not in log.getvalue()
    assert deployed.stack.delayed_count("submit") == 1
    assert deployed.vendor.received() == {}


CONFIG_KEY = "config/bulkhead.toml"
CONFIG_ROW = {"pk": {"S": "CONFIG"}, "sk": {"B": b"-"}}
GOOD = """
[[routes]]
match = "orders/*"
schema_id = "customers"
"""


def figures(printed: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, printed.splitlines()) if "_aws" in line]


def test_a_good_configuration_is_in_force(deployed: Deployed) -> None:
    assert deployed.configure(GOOD.encode()) == {"problems": []}
    deployed.land("orders/a.csv", csv(1))
    deployed.land("elsewhere/a.csv", csv(2))
    deployed.work()
    assert list(deployed.vendor.received()) == [hashlib.sha256(csv(1)).hexdigest()]


def test_a_configuration_in_the_inbox_is_neither_read_nor_imported(deployed: Deployed) -> None:
    deployed.configure(GOOD.encode())
    deployed.land(CONFIG_KEY, GOOD.replace("customers", "of-an-attacker").encode())
    assert configure.lambda_handler({}, Context()) == {"problems": []}
    deployed.land("orders/a.csv", csv(1))
    deployed.work()
    assert deployed.kept()["config"]["S"] == GOOD
    assert list(deployed.vendor.received()) == [hashlib.sha256(csv(1)).hexdigest()]


def test_after_an_upgrade_the_configuration_in_force_is_copied_to_its_new_place_and_announced_once(
    deployed: Deployed,
) -> None:
    deployed.stack.table.put_item(TableName="bulkhead", Item={**CONFIG_ROW, "config": {"S": GOOD}})
    deployed.put(CONFIG_KEY, GOOD.replace("customers", "of-an-attacker").encode())
    deployed.stack.add_queue("notices")
    deployed.stack.listen_to_topic(deployed.topic, "notices")
    for _ in range(3):
        assert configure.lambda_handler({}, Context()) == {"problems": []}
    copied = deployed.s3.get_object(Bucket="bulkhead-config", Key=CONFIG_KEY)["Body"].read()
    assert copied.decode() == GOOD == deployed.kept()["config"]["S"]
    [notice] = deployed.stack.waiting("notices")
    told = json.loads(notice["Message"])
    assert (told["event"], told["place"]) == ("config_changed", f"s3://bulkhead-config/{CONFIG_KEY}")
    assert "no longer read" in told["sentence"]


def test_a_configuration_that_a_person_deletes_after_the_upgrade_is_not_copied_again(deployed: Deployed) -> None:
    deployed.configure(GOOD.encode())
    deployed.s3.delete_object(Bucket="bulkhead-config", Key=CONFIG_KEY)
    assert configure.lambda_handler({}, Context()) == {"problems": []}
    assert deployed.s3.list_objects_v2(Bucket="bulkhead-config")["KeyCount"] == 0
    assert deployed.kept()["config"]["S"] == GOOD


def test_files_wait_while_the_configuration_in_force_has_hooks_that_are_not_allowed(
    deployed: Deployed, log: io.StringIO
) -> None:
    with_hooks = f'{GOOD}hooks = {{ rowHooks = ["row => row"] }}\n'
    deployed.stack.table.put_item(TableName="bulkhead", Item={**CONFIG_ROW, "config": {"S": with_hooks}})
    deployed.land("orders/a.csv", csv(1))
    deployed.work()
    assert "AllowHooks=true" in log.getvalue()
    assert deployed.stack.delayed_count("register") == 1
    assert deployed.vendor.received() == {}


def test_no_function_works_if_the_license_key_would_travel_unencrypted(
    deployed: Deployed, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKHEAD_API_URL", "http://vendor.example/api/v1")
    bootstrap.container.reload_license_key()
    deployed.land("orders/a.csv", csv(1))
    deployed.work()
    assert "it must begin with https" in log.getvalue()
    assert deployed.stack.delayed_count("register") == 1
    with pytest.raises(RuntimeError, match="it must begin with https"):
        reconcile.lambda_handler({}, Context())
    bootstrap.container.reload_license_key()


@pytest.mark.parametrize(
    "content",
    [
        *(b"[[routes]", b"schema_id = 7", b"unknown = 1", b"license_key = 'x'", b"\xff", b"# " + b"x" * 300_000),
        b"[[routes]]\nmatch = '**'\nschema_id = 'a'\nhooks = { rowHooks = ['x'] }",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_a_broken_configuration_is_counted_and_the_last_good_one_stays(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], log: io.StringIO, content: bytes
) -> None:
    deployed.configure(GOOD.encode())
    capsys.readouterr()
    answer = deployed.configure(content)
    assert len(answer["problems"]) == 1
    assert answer["problems"][0] in [json.loads(line).get("problems", [""])[0] for line in log.getvalue().splitlines()]
    [figure] = figures(capsys.readouterr().out)
    assert figure["ConfigInvalid"] == [1.0]
    deployed.land("orders/a.csv", csv(1))
    deployed.work()
    assert len(deployed.vendor.received()) == 1


def test_without_a_configuration_there_is_nothing_to_do(deployed: Deployed) -> None:
    assert configure.lambda_handler({}, Context()) == {"problems": []}


def test_configure_and_finish_need_no_license_key(deployed: Deployed) -> None:
    deployed.stack.secrets.delete_secret(SecretId="bulkhead/license", ForceDeleteWithoutRecovery=True)
    assert deployed.configure(GOOD.encode()) == {"problems": []}
    event = arrived(json.dumps({"kind": "batch_ref", "batch_id": "b"}))
    assert finish.lambda_handler(event, Context()) == {"batchItemFailures": []}


def test_a_reconcile_that_cannot_work_is_an_error_of_the_function(deployed: Deployed) -> None:
    deployed.stack.secrets.delete_secret(SecretId="bulkhead/license", ForceDeleteWithoutRecovery=True)
    with pytest.raises(RuntimeError, match="the secret bulkhead/license has no value yet"):
        reconcile.lambda_handler({}, Context())


def test_a_reconcile_whose_license_key_is_refused_reads_it_again(deployed: Deployed) -> None:
    deployed.stack.put_secret("license", "canary-wrong-key")
    with pytest.raises(RuntimeError, match="license key"):
        reconcile.lambda_handler({}, Context(left_ms=300_000))
    deployed.stack.put_secret("license", CANARY_KEY)
    reconcile.lambda_handler({}, Context(left_ms=300_000))


def test_reconcile_tells_the_figures_of_the_dashboard(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.land("orders/a.csv", csv(1))
    deployed.work()
    capsys.readouterr()
    reconcile.lambda_handler({}, Context(left_ms=300_000))
    [figure] = figures(capsys.readouterr().out)
    named = {
        "ReviewsWaiting",
        "OldestReviewAgeSeconds",
        "ItemsQueued",
        "ItemsToSend",
        "ItemsOpen",
        "OldestOpenAgeSeconds",
    }
    assert named <= set(figure)


def test_no_secret_and_no_row_is_in_any_log_at_debug(
    deployed: Deployed, log: io.StringIO, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("", "runner", "lambdas", "aws_lambda_powertools"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    bootstrap.container.telemetry.logger.setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        deployed.land("orders/a.csv", csv(1))
        deployed.work()
        deployed.tell_ends()
        deployed.work()
        reconcile.lambda_handler({}, Context(left_ms=300_000))
        deployed.vendor.faults({"operation": "upload", "kind": "error", "times": 1})
        deployed.land("orders/b.csv", csv(2))
        deployed.work()
    printed = capfd.readouterr()
    logged = log.getvalue() + printed.out + printed.err + caplog.text
    assert "import created" in logged or "webhook accepted" in logged
    assert [secret for secret in (CANARY_KEY, TOKEN, CELL, "Signature=") if secret in logged] == []

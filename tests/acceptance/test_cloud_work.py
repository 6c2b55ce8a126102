"""`bulkhead cloud work` as a process: it sends what waits in the queues of a stack, and stops safely."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from runner.clock import system_now
from runner.cloud.leases import worker_is_there
from runner.cloud.messages import ItemRef, encode
from runner.config.routes import Routes
from runner.config.run_spec import RunSpec
from runner.ledger.dynamodb.keys import TABLE
from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import Item
from runner.sources import ObjectVersion, SourceSpec
from tests.acceptance.inbox import assert_each_once, rows, sha256
from tests.acceptance.vendors import SandboxVendor
from tests.support.aws import LocalAws
from tests.support.batches import batch_of
from tests.support.cloud.stack import until
from tests.support.command import CANARY_KEY, Command
from tests.support.deployed import Deployed, deploy

BATCH = "load-1"


@pytest.fixture
def deployed(aws: LocalAws, sandbox: SandboxVendor) -> Deployed:
    return deploy(aws, table=TABLE, ApiUrl=sandbox.api_url, Quota="20/60s", LandedShare="25", SubmitBy="container")


@pytest.fixture
def bulkhead(deployed: Deployed, tmp_path: Path) -> Command:
    return Command(tmp_path, api_url="http://127.0.0.1:9", key="", **deployed.aws.variables)


def waiting(deployed: Deployed, contents: dict[str, bytes]) -> None:
    """Put files into the inbox, their items into the ledger, and their messages into the queue of loads."""
    inbox, s3 = deployed.outputs["InboxBucketName"], deployed.client("s3")
    items = []
    for name, content in contents.items():
        etag = s3.put_object(Bucket=inbox, Key=f"nightly/{name}", Body=content)["ETag"].strip('"')
        version = str(ObjectVersion(etag=etag, size_bytes=len(content)))
        items.append(Item(batch_id=BATCH, source=name, version=version, size_bytes=len(content)))
    source = SourceSpec(kind="s3", path=f"s3://{inbox}/nightly")
    spec = RunSpec(source=source, routes=Routes.single(schema_id="customers"), driver="stack")
    out = f"s3://{deployed.outputs['ResultsBucketName']}/batches/{BATCH}"

    async def go() -> None:
        async with DynamoTable.open(deployed.outputs["TableName"], **deployed.aws.client_arguments) as table:
            ledger = DynamoLedger(table, now=system_now)
            await ledger.start_batch(batch_of(BATCH, config=spec.to_json(), listed=True, out=out))
            await ledger.add(items)

    asyncio.run(go())
    for name in contents:
        body = encode(ItemRef(batch_id=BATCH, source=name))
        deployed.client("sqs").send_message(QueueUrl=deployed.outputs["LoadQueueUrl"], MessageBody=body)


def depth(deployed: Deployed, output: str) -> int:
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "Delayed", "NotVisible")]
    found = deployed.client("sqs").get_queue_attributes(QueueUrl=deployed.outputs[output], AttributeNames=names)
    return sum(int(found["Attributes"][name]) for name in names)


def creates_in_cloudwatch(deployed: Deployed) -> float:
    now = system_now()
    answer = deployed.client("cloudwatch").get_metric_statistics(
        Namespace="Bulkhead", MetricName="CreatesAnswered",
        Dimensions=[{"Name": "service", "Value": "bulkhead-submit"}],
        StartTime=now - timedelta(hours=1), EndTime=now + timedelta(hours=1), Period=7200, Statistics=["Sum"],
    )  # fmt: skip
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


def is_seen(deployed: Deployed) -> bool:
    async def go() -> bool:
        async with DynamoTable.open(deployed.outputs["TableName"], **deployed.aws.client_arguments) as table:
            return await worker_is_there(DynamoLeases(table, now=system_now))

    return asyncio.run(go())


def test_a_worker_sends_each_file_once_with_the_key_of_the_stack_and_gives_back_the_rest_on_sigterm(
    deployed: Deployed, bulkhead: Command, sandbox: SandboxVendor
) -> None:
    deployed.put_secret("LicenseKeySecretArn", CANARY_KEY)
    contents = {f"{number:02}.csv": rows(number) for number in range(4000, 4025)}
    waiting(deployed, contents)
    with bulkhead.start("cloud", "work", "--json", "--log-file", "work.log") as worker:
        until(lambda: sum(b'"create_answered"' in line for line in worker.lines) == 20)
        assert is_seen(deployed)
        worker.send(signal.SIGTERM)
        ended = worker.wait(timeout_s=25).expect(143)
    assert {event["event"] for event in ended.events} >= {"create_answered", "item_moved", "worker_stands"}
    assert (ended.events[-1]["event"], ended.events[-1]["created"], ended.events[-1]["in_work"]) == (
        "worker_stands", 20, 0,
    )  # fmt: skip
    assert depth(deployed, "LoadQueueUrl") == 5, "the five that have no permit yet"
    assert creates_in_cloudwatch(deployed) == 20
    assert len(sandbox.received()) == 20
    sent = {name: content for name, content in contents.items() if sha256(content) in sandbox.received()}
    assert_each_once(sandbox.received(), sent)
    assert CANARY_KEY not in ended.text + (bulkhead.home / "work.log").read_text()
    assert "stopped: " in (bulkhead.home / "work.log").read_text()


@pytest.mark.parametrize(
    ("stored", "own", "code", "said"),
    [
        (None, "", 2, "the stack's secret has no license key yet"),
        ("another-key", CANARY_KEY, 2, "DROMO_LICENSE_KEY is another key than the one in the stack's secret"),
        ("wrong-key", "", 7, "store the right key: aws secretsmanager put-secret-value"),
        (None, "wrong-key", 7, "set DROMO_LICENSE_KEY to a backend key"),
    ],
)
def test_a_worker_that_cannot_work_ends_at_once_with_the_reason(
    deployed: Deployed, bulkhead: Command, stored: str | None, own: str, code: int, said: str
) -> None:
    if stored is not None:
        deployed.put_secret("LicenseKeySecretArn", stored)
    ended = bulkhead("cloud", "work", variables={"DROMO_LICENSE_KEY": own}).expect(code)
    assert said in ended.text
    assert "another-key" not in ended.text

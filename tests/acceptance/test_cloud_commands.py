"""`bulkhead cloud` and `bulkhead webhook-url` as processes, against a stack on the local AWS in which nothing works."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from runner.clock import system_now
from runner.cloud.dead_letters import DEAD_LETTER
from runner.cloud.messages import BatchRef, ImportHint, ItemRef, StartLoad, decode, encode
from runner.ledger.dynamodb.keys import TABLE
from runner.ledger.dynamodb.ledger import DynamoLedger
from runner.ledger.dynamodb.table import DynamoTable
from runner.models import BatchState, ItemState
from tests.support.aws import LocalAws, free_port, running_ministack
from tests.support.batches import batch_of, leave
from tests.support.command import Command
from tests.support.deployed import KEY_CANARY, TOKEN, Deployed, deploy

S = ItemState
T = TypeVar("T")


@pytest.fixture
def deployed(aws: LocalAws) -> Deployed:
    return deploy(aws, table=TABLE)


@pytest.fixture
def bulkhead(deployed: Deployed, tmp_path: Path) -> Command:
    return Command(tmp_path, api_url="http://127.0.0.1:9", **deployed.aws.variables)


def in_ledger(deployed: Deployed, work: Callable[[DynamoLedger], Awaitable[T]]) -> T:
    async def go() -> T:
        arguments = deployed.aws.client_arguments
        async with DynamoTable.open(deployed.outputs["TableName"], **arguments) as table:
            return await work(DynamoLedger(table, now=system_now))

    return asyncio.run(go())


def leave_batch(deployed: Deployed, batch_id: str, states: dict[str, ItemState], **fields: Any) -> None:
    out = f"s3://{deployed.outputs['ResultsBucketName']}/batches/{batch_id}"
    settled = {"state": BatchState.SETTLED, "listed": True, "out": out}
    in_ledger(deployed, lambda ledger: leave(ledger, batch_of(batch_id, **settled), states, **fields))


def received(deployed: Deployed, output: str) -> list[Any]:
    queue, found = deployed.client("sqs"), []
    while messages := queue.receive_message(QueueUrl=deployed.outputs[output], MaxNumberOfMessages=10).get("Messages"):
        found += [decode(message["Body"]) for message in messages]
    return found


def test_a_load_is_asked_for_under_the_id_that_is_told(deployed: Deployed, bulkhead: Command) -> None:
    inbox = deployed.outputs["InboxBucketName"]
    ended = bulkhead("cloud", "start", f"s3://{inbox}/nightly/", "--name", "Year End", "--json").expect(0)
    (message,) = received(deployed, "ListQueueUrl")
    assert isinstance(message, StartLoad)
    assert (message.uri, message.name) == (f"s3://{inbox}/nightly/", "Year End")
    assert ended.document["batch_id"].startswith("year-end-20")


@pytest.mark.slow
def test_after_a_start_the_next_command_can_be_copied(deployed: Deployed, bulkhead: Command) -> None:
    inbox = deployed.outputs["InboxBucketName"]
    ended = bulkhead("cloud", "start", f"s3://{inbox}/nightly/", "--region", "us-east-1").expect(0)
    command = next(line for line in ended.text.splitlines() if "bulkhead cloud status load-" in line)
    assert command.endswith(" --region us-east-1")


def test_a_load_from_a_bucket_that_the_stack_may_not_read_is_refused(deployed: Deployed, bulkhead: Command) -> None:
    text = bulkhead("cloud", "start", "s3://elsewhere/files/").expect(2).text
    assert f"s3://{deployed.outputs['InboxBucketName']}/" in text
    assert f"bulkhead run s3://elsewhere/files/ --ledger dynamodb://{deployed.outputs['TableName']}" in text
    assert received(deployed, "ListQueueUrl") == []


@pytest.mark.slow
def test_batches_are_listed_with_what_became_of_their_items(deployed: Deployed, bulkhead: Command) -> None:
    leave_batch(
        deployed, "b1", {"a.csv": S.COLLECTED, "b.csv": S.FAILED, "c.csv": S.NEEDS_REVIEW, "d.csv": S.PROCESSING}
    )
    lines = [line.split() for line in bulkhead("cloud", "status").expect(0).text.splitlines()[:2]]
    assert lines == [
        ["STATE", "ITEMS", "DONE", "OPEN", "REVIEW", "FAILED", "BATCH", "SOURCE"],
        ["settled", "4", "1", "1", "1", "1", "b1", "s3://inbox/nightly/"],
    ]
    (document,) = bulkhead("cloud", "status", "--json").expect(0).document
    assert document["by_state"] == {"collected": 1, "failed": 1, "needs_review": 1, "processing": 1}


def test_one_batch_is_shown_with_what_to_do_about_it(deployed: Deployed, bulkhead: Command) -> None:
    leave_batch(deployed, "b1", {"a.csv": S.FAILED, "c.csv": S.NEEDS_REVIEW})
    text = bulkhead("cloud", "status", "b1").expect(0).text
    for said in ("Batch b1\n", "settled", "bulkhead cloud reviews b1", "bulkhead cloud redrive b1 --state failed"):
        assert said in text
    document = bulkhead("cloud", "status", "b1", "--json").expect(0).document
    assert (document["driver"], document["manifest"]) == ("stack", None)


def test_the_current_manifest_goes_to_stdout_and_the_place_of_the_stack_s_to_stderr(
    deployed: Deployed, bulkhead: Command
) -> None:
    leave_batch(deployed, "b1", {"a.csv": S.COLLECTED, "b.csv": S.FAILED})
    in_ledger(deployed, lambda ledger: ledger.record_manifest("b1", moves=1))
    ended = bulkhead("cloud", "manifest", "b1").expect(0)
    assert [json.loads(line)["source"] for line in ended.stdout.splitlines()] == ["a.csv", "b.csv"]
    assert f"s3://{deployed.outputs['ResultsBucketName']}/batches/b1/manifest.jsonl".encode() in ended.stderr


@pytest.mark.slow
def test_the_manifest_can_be_a_file(deployed: Deployed, bulkhead: Command) -> None:
    leave_batch(deployed, "b1", {"a.csv": S.COLLECTED})
    ended = bulkhead("cloud", "manifest", "b1", "--format", "csv", "--to", "all.csv").expect(0)
    assert ended.stdout == b""
    with (bulkhead.home / "all.csv").open(newline="", encoding="utf-8-sig") as file:
        assert [row["source"] for row in csv.DictReader(file)] == ["a.csv"]
    assert [path.name for path in bulkhead.home.iterdir() if path.is_file()] == ["all.csv"]


def test_redriven_items_are_queued_and_enqueued(deployed: Deployed, bulkhead: Command) -> None:
    leave_batch(deployed, "b1", {"in/a.csv": S.FAILED, "b.csv": S.FAILED, "c.csv": S.COLLECTED})
    ended = bulkhead("cloud", "redrive", "b1", "--match", "in/*/*", "--json").expect(0)
    assert ended.document == {"redriven": 0, "items": 0, "dead_letters": {}}
    assert b"no item in these states matches in/*/*" in ended.stderr
    ended = bulkhead("cloud", "redrive", "b1", "--match", "in/*", "--json").expect(0)
    assert ended.document == {"redriven": 1, "items": 1, "dead_letters": {}}
    assert received(deployed, "LoadQueueUrl") == [ItemRef(batch_id="b1", source="in/a.csv")]
    (document,) = bulkhead("cloud", "status", "--json").expect(0).document
    assert (document["state"], document["by_state"]) == ("running", {"queued": 1, "failed": 1, "collected": 1})


def test_without_a_name_the_newest_batch_that_has_items_for_it_is_redriven(
    deployed: Deployed, bulkhead: Command
) -> None:
    assert "has no batches yet" in bulkhead("cloud", "redrive").expect(2).text
    leave_batch(deployed, "b1", {"a.csv": S.FAILED})
    leave_batch(deployed, "b2", {"b.csv": S.FAILED})
    leave_batch(deployed, "b3", {"c.csv": S.COLLECTED})
    text = bulkhead("cloud", "redrive").expect(0).text
    assert "bulkhead cloud status b2" in text
    assert received(deployed, "LoadQueueUrl") == [ItemRef(batch_id="b2", source="b.csv")]


def test_results_that_are_gone_from_the_bucket_are_enqueued_to_be_fetched(
    deployed: Deployed, bulkhead: Command
) -> None:
    leave_batch(deployed, "b1", {"a.csv": S.COLLECTED, "b.csv": S.FAILED}, result="results/a.csv.json")
    assert bulkhead("cloud", "redrive", "b1", "--results", "--json").expect(0).document["items"] == 1
    assert received(deployed, "CollectQueueUrl") == [ImportHint(import_id="import-of-b1-a.csv")]
    for others in (["--dead-letters"], ["b1", "--import-again"]):
        assert "exclude each other" in bulkhead("cloud", "redrive", "--results", *others).expect(2).text


@pytest.mark.slow
def test_dead_letters_go_back_with_their_items(deployed: Deployed, bulkhead: Command) -> None:
    leave_batch(deployed, "b1", {"a.csv": S.REJECTED}, error_code=DEAD_LETTER)
    letter = ItemRef(batch_id="b1", source="a.csv")
    deployed.client("sqs").send_message(
        QueueUrl=deployed.outputs["SubmitDeadLetterQueueUrl"], MessageBody=encode(letter)
    )
    ended = bulkhead("cloud", "redrive", "--dead-letters").expect(0)
    assert "1 dead letter returned to the queue submit" in ended.text
    assert received(deployed, "SubmitQueueUrl") == [letter]
    item = in_ledger(deployed, lambda ledger: ledger.item("b1", "a.csv"))
    assert item is not None
    assert item.state is S.QUEUED
    assert "there are no dead letters" in bulkhead("cloud", "redrive", "--dead-letters").expect(0).text


@pytest.mark.slow
def test_reviews_tell_who_waits_since_when_and_where(deployed: Deployed, bulkhead: Command) -> None:
    leave_batch(deployed, "b1", {"a.csv": S.NEEDS_REVIEW, "b.csv": S.NEEDS_REVIEW, "c.csv": S.COLLECTED})
    text = bulkhead("cloud", "reviews").expect(0).text
    assert "2 open reviews" in text
    assert "https://vendor.example.com/review/a.csv" in text
    assert "bulkhead cloud dismiss BATCH" in text
    assert "… and 1 more: --limit 2" in bulkhead("cloud", "reviews", "b1", "--limit", "1").expect(0).text
    found = bulkhead("cloud", "reviews", "--json").expect(0).document
    assert [(one["batch_id"], one["source"]) for one in found] == [("b1", "a.csv"), ("b1", "b.csv")]
    assert all(one["since"] == one["opened_at"] for one in found)
    assert [one["source"] for one in bulkhead("cloud", "reviews", "b1", "--json").expect(0).document] == [
        "a.csv",
        "b.csv",
    ]


def test_dismissed_items_are_in_the_table_and_finish_is_enqueued(deployed: Deployed, bulkhead: Command) -> None:
    leave_batch(deployed, "b1", {"in/a.csv": S.NEEDS_REVIEW, "b.csv": S.FAILED, "c.csv": S.COLLECTED})
    ended = bulkhead("cloud", "dismiss", "--match", "in/*", "--reason", "the customer left", "--json").expect(0)
    assert ended.document == {"batch_id": "b1", "dismissed": ["in/a.csv"]}
    assert received(deployed, "FinishQueueUrl") == [BatchRef(batch_id="b1")]
    assert "--reason" in bulkhead("cloud", "dismiss", "b1").expect(2).text
    (document,) = bulkhead("cloud", "status", "--json").expect(0).document
    assert document["by_state"] == {"collected": 1, "failed": 2}


@pytest.mark.slow
def test_no_reviews_are_an_empty_list(deployed: Deployed, bulkhead: Command) -> None:
    assert bulkhead("cloud", "reviews", "--json").expect(0).document == []
    assert "there are no open reviews" in bulkhead("cloud", "reviews").expect(0).text


def test_the_doctor_names_each_trouble_and_shows_no_secret(deployed: Deployed, bulkhead: Command) -> None:
    deployed.put_secret("LicenseKeySecretArn", KEY_CANARY)
    ended = bulkhead("cloud", "doctor", variables={"BULKHEAD_STACK": "bulkhead"}).expect(7)
    assert "  ok    table" in ended.text
    assert "  FAIL  webhook" in ended.text
    assert " failures, " in ended.text
    found = {one["name"]: one for one in bulkhead("cloud", "doctor", "--json").expect(7).document}
    assert found["stack"]["level"] == "ok"
    assert found["vendor"]["level"] == "fail"
    for finished in bulkhead.outputs:
        assert KEY_CANARY not in finished.text
        assert TOKEN not in finished.text


@pytest.mark.slow
def test_the_webhook_s_url_is_shown_replaced_and_rotated(deployed: Deployed, bulkhead: Command) -> None:
    base = "https://hooks.example.com/wh/v1/"
    assert bulkhead("webhook-url").expect(0).text.splitlines()[0] == base + TOKEN
    assert b"webhook-url --next" in bulkhead("webhook-url", "--rotate").expect(2).stderr
    made = bulkhead("webhook-url", "--next", "--json").expect(0).document
    assert made["url"].startswith(base)
    assert bulkhead("webhook-url", "--rotate", "--json").expect(0).document == {"url": made["url"], "which": "rotated"}
    assert bulkhead("webhook-url").expect(0).text.splitlines()[0] == made["url"]


NOBODY = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        (["status"], NOBODY, 2, ("there are no usable AWS credentials", "AWS_PROFILE")),
        (["status"], {"AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": ""}, 2, ("no AWS region is set", "--region")),
        (["status"], {"AWS_PROFILE": "absent"}, 2, ("absent", "AWS_PROFILE")),
        (["status", "--stack", "other"], {}, 2, ("there is no stack other here (account", "--stack", "AWS_PROFILE")),
        (["status", "--endpoint-url", f"http://127.0.0.1:{free_port()}"], {}, 5, ("AWS cannot be reached",)),
        (["status", "absent"], {}, 2, ("has no batch absent", "bulkhead cloud status")),
        (["manifest", "absent"], {}, 2, ("has no batch absent",)),
        (["reviews", "absent"], {}, 2, ("has no batch absent",)),
        (["redrive", "absent"], {}, 2, ("has no batch absent",)),
        (["redrive"], {}, 2, ("has no batches yet", "bulkhead cloud status")),
        (["start", "nightly/"], {}, 2, ("s3://",)),
    ],
)
def test_whatever_is_wrong_is_said_in_a_sentence_with_what_to_type(
    bulkhead: Command, arguments: list[str], variables: dict[str, str], code: int, said: tuple[str, ...]
) -> None:
    ended = bulkhead("cloud", *arguments, variables=variables).expect(code)
    for words in said:
        assert words in ended.text
    assert "Traceback" not in ended.text
    assert ended.stdout == b""


def test_a_runner_s_batch_is_left_to_its_runner(deployed: Deployed, bulkhead: Command) -> None:
    in_ledger(deployed, lambda ledger: leave(ledger, batch_of("b1", driver="runner"), {"a.csv": S.FAILED}))
    text = bulkhead("cloud", "redrive", "b1").expect(2).text
    assert f"bulkhead redrive b1 --ledger dynamodb://{deployed.outputs['TableName']}" in text


READING = ("cloudformation:DescribeStacks", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query")


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """A command with credentials that may do nothing but what is named, on an AWS that looks at policies."""
    with running_ministack(tmp_path / "aws", AUTH="true") as aws:
        deployed = deploy(aws, table=TABLE)
        leave_batch(deployed, "b1", {"a.csv": S.FAILED, "b.csv": S.NEEDS_REVIEW})
        yield lambda *actions: Command(
            tmp_path, api_url="http://127.0.0.1:9", **{**aws.variables, **credentials(deployed, actions)}
        )


def credentials(deployed: Deployed, actions: tuple[str, ...]) -> dict[str, str]:
    iam = deployed.client("iam")
    iam.create_user(UserName="support")
    if actions:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="support", PolicyName="support", PolicyDocument=policy)
    key = iam.create_access_key(UserName="support")["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


@pytest.mark.slow
def test_support_people_need_to_read_the_stack_and_the_table_alone(strict: Callable[..., Command]) -> None:
    support = strict(*READING)
    assert "1  b1" in support("cloud", "status").expect(0).text
    assert "Failed: 1 item" in support("cloud", "status", "b1").expect(0).text
    assert len(support("cloud", "manifest", "b1").expect(0).stdout.splitlines()) == 2
    assert "open for" in support("cloud", "reviews").expect(0).text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("actions", "arguments", "missing"),
    [
        ((), ["status"], "cloudformation:DescribeStacks"),
        (READING[:1], ["status"], "dynamodb:"),
        (READING, ["redrive", "b1"], "dynamodb:"),
        (READING, ["redrive", "--dead-letters"], "sqs:GetQueueAttributes"),
    ],
)
def test_a_permission_that_is_missing_is_named(
    strict: Callable[..., Command], actions: tuple[str, ...], arguments: list[str], missing: str
) -> None:
    text = strict(*actions)("cloud", *arguments).expect(7).text
    assert f"does not allow these credentials {missing}" in text
    assert "hint: ask for the permission" in text


@pytest.mark.slow
def test_what_the_doctor_may_not_look_at_it_says_and_goes_on(strict: Callable[..., Command]) -> None:
    found = strict(*READING[:1])("cloud", "doctor", "--json").expect(0).document
    denied = {one["name"] for one in found if one["level"] == "warn" and "not checked" in one["detail"]}
    assert denied == {
        *("table", "inbox", "queues", "triggers", "oldest messages", "configuration", "old configuration"),
        *("license key", "webhook", "webhook arrivals", "reconcile"),
    }

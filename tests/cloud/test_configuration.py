"""The configuration of the deployed stack: who may change it, and how it moves when a stack of 0.1.0 is updated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cloud.conftest import CONFIG
from tests.support.cloud.running import CONFIG_KEY, Cloud
from tests.support.cloud.stack import until

ROW = {"pk": {"S": "CONFIG"}, "sk": {"B": b"-"}}
REFUSED = '[[routes]]\nmatch = "**"\nschema_id = "strict"\nhooks = { rowHooks = ["row => row"] }\n'


def test_a_change_is_announced_hooks_are_refused_and_the_inbox_is_not_read(cloud: Cloud) -> None:
    with _listening(cloud) as notices:
        cloud.configure(f"# changed\n{CONFIG}")
        (notice,) = until(lambda: _received(cloud, notices))
    assert json.loads(notice["Message"])["event"] == "config_changed"
    before = _kept(cloud)
    cloud.stack.land(CONFIG_KEY, b'schema_id = "of-an-attacker"')
    cloud.stack.client("s3").put_object(Bucket=cloud.stack.config, Key=CONFIG_KEY, Body=REFUSED.encode())
    (problem,) = cloud.stack.invoke("Configure")["problems"]
    assert "AllowHooks=true" in problem
    assert _kept(cloud) == before
    cloud.configure(CONFIG)


def test_an_update_from_0_1_0_copies_the_configuration_that_is_in_force(cloud: Cloud) -> None:
    s3, stack = cloud.stack.client("s3"), cloud.stack
    stack.client("dynamodb").put_item(TableName=stack.table, Item={**ROW, "config": {"S": CONFIG}})
    s3.delete_object(Bucket=stack.config, Key=CONFIG_KEY)
    assert stack.invoke("Configure") == {"problems": []}
    assert s3.get_object(Bucket=stack.config, Key=CONFIG_KEY)["Body"].read().decode() == CONFIG
    assert _kept(cloud) == {**ROW, "config": {"S": CONFIG}, "from_inbox": {"BOOL": False}}


def _kept(cloud: Cloud) -> dict[str, object]:
    found = cloud.stack.client("dynamodb").get_item(TableName=cloud.stack.table, Key=ROW, ConsistentRead=True)
    return dict(found["Item"])


@contextmanager
def _listening(cloud: Cloud) -> Iterator[str]:
    """Subscribe a new queue to the topic, and yield its url."""
    sqs, sns = cloud.stack.client("sqs"), cloud.stack.client("sns")
    url: str = sqs.create_queue(QueueName="notices-of-the-configuration")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**allowed, "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    made = sns.subscribe(TopicArn=cloud.stack.outputs["EndedTopicArn"], Protocol="sqs", Endpoint=arn)
    try:
        yield url
    finally:
        sns.unsubscribe(SubscriptionArn=made["SubscriptionArn"])
        sqs.delete_queue(QueueUrl=url)


def _received(cloud: Cloud, url: str) -> list[dict[str, str]]:
    messages = cloud.stack.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(one["Body"]) for one in messages]

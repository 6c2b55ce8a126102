"""What CloudFormation says of a stack, and what is said where it is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from runner.aws.services import Aws
from runner.cloud.ops.stack import OUTPUTS, read_stack
from runner.errors import ConfigError
from tests.support.aws import LocalAws
from tests.support.deployed import deploy, services_of

TEMPLATE = Path(__file__).parents[3] / "template.yaml"


@pytest.fixture
async def services(aws: LocalAws) -> AsyncIterator[Aws]:
    async with services_of(aws) as services:
        yield services


async def test_a_stack_is_its_outputs_and_its_parameters(aws: LocalAws, services: Aws) -> None:
    deployed = deploy(aws, name="orders", SchemaId="customers")
    stack = await read_stack(services, "orders")
    assert (stack.name, stack.region, stack.account) == ("orders", "us-east-1", "000000000000")
    assert stack.is_stable
    assert stack.missing == ()
    assert stack.parameters["SchemaId"] == "customers"
    assert stack.queue_url("submit") == deployed.outputs["SubmitQueueUrl"]
    assert stack.dead_letter_url("finish") == deployed.outputs["FinishDeadLetterQueueUrl"]


async def test_a_stack_that_is_not_there_is_told_with_where_it_was_looked_for(services: Aws) -> None:
    with pytest.raises(ConfigError, match=r"no stack orders here .account 000000000000, region us-east-1") as caught:
        await read_stack(services, "orders")
    assert "--stack" in (caught.value.hint or "")
    assert "AWS_PROFILE" in (caught.value.hint or "")


async def test_an_output_of_another_version_is_missed_by_its_name(aws: LocalAws, services: Aws) -> None:
    deploy(aws, without=("ListQueueUrl",))
    stack = await read_stack(services, "bulkhead")
    assert stack.missing == ("ListQueueUrl",)
    with pytest.raises(ConfigError, match="ListQueueUrl"):
        stack.queue_url("list")


def test_the_template_gives_out_all_that_is_asked_for() -> None:
    class Loader(yaml.SafeLoader):
        """Reads CloudFormation's short functions as nothing."""

    Loader.add_multi_constructor("!", lambda *_: None)
    outputs = yaml.load(TEMPLATE.read_text(), Loader)["Outputs"]
    assert set(OUTPUTS) <= outputs.keys()


class Answering:
    """An AWS whose stack has this status."""

    def __init__(self, status: str) -> None:
        self._status = status

    async def call(self, service: str, operation: str, **_: object) -> dict[str, object]:
        assert (service, operation) == ("cloudformation", "describe_stacks")
        arn = "arn:aws:cloudformation:us-east-1:000000000000:stack/orders/1"
        return {"Stacks": [{"StackName": "orders", "StackId": arn, "StackStatus": self._status}]}


@pytest.mark.parametrize(
    ("status", "said", "way_out"),
    [
        ("ROLLBACK_COMPLETE", "first deployment of the stack orders has failed", "sam delete --stack-name orders"),
        ("CREATE_FAILED", "first deployment of the stack orders has failed", "describe-stack-events"),
        ("REVIEW_IN_PROGRESS", "its deployment never confirmed", "sam deploy"),
        ("CREATE_IN_PROGRESS", "is not complete", "wait stack-create-complete"),
        ("ROLLBACK_IN_PROGRESS", "is not complete", "wait"),
        ("DELETE_FAILED", "is being deleted, or its deletion has failed", "describe-stack-events"),
    ],
)
async def test_a_stack_that_was_never_there_is_named_as_such_with_the_way_out(
    status: str, said: str, way_out: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        await read_stack(Answering(status), "orders")  # type: ignore[arg-type]
    assert status in str(caught.value)
    assert way_out in (caught.value.hint or "")


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_COMPLETE"])
async def test_a_stack_whose_update_failed_can_still_be_asked(status: str) -> None:
    assert (await read_stack(Answering(status), "orders")).status == status  # type: ignore[arg-type]

"""Dead letters go back to the queue that they came from, none is lost and none goes round for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runner.aws.services import Aws
from runner.cloud.ops.stack import Stack, read_stack
from runner.cloud.protocols import Queue
from runner.cloud.sqs import depth_of, return_dead_letters
from tests.support.aws import LocalAws
from tests.support.deployed import Deployed, deploy, services_of


@pytest.fixture
def deployed(aws: LocalAws) -> Deployed:
    return deploy(aws)


@pytest.fixture
async def services(deployed: Deployed) -> AsyncIterator[Aws]:
    async with services_of(deployed.aws) as services:
        yield services


@pytest.fixture
async def stack(services: Aws, deployed: Deployed) -> Stack:
    return await read_stack(services, deployed.name)


def mark_dead_lettered(deployed: Deployed, bodies: list[str]) -> None:
    for body in bodies:
        deployed.client("sqs").send_message(QueueUrl=deployed.outputs["SubmitDeadLetterQueueUrl"], MessageBody=body)


def received(deployed: Deployed, output: str) -> list[str]:
    queue, found = deployed.client("sqs"), []
    while messages := queue.receive_message(QueueUrl=deployed.outputs[output], MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in messages]
    return found


async def test_every_dead_letter_goes_back_as_it_is(deployed: Deployed, services: Aws, stack: Stack) -> None:
    bodies = [f"letter {number}" for number in range(23)]
    mark_dead_lettered(deployed, bodies)
    assert (await depth_of(services, stack, Queue.SUBMIT)).dead == 23
    assert await return_dead_letters(services, stack, Queue.SUBMIT) == 23
    depth = await depth_of(services, stack, Queue.SUBMIT)
    assert (depth.dead, depth.messages.waiting) == (0, 23)
    assert sorted(received(deployed, "SubmitQueueUrl")) == sorted(bodies)


async def test_what_is_seen_of_a_letter_is_seen_before_it_goes_back(
    deployed: Deployed, services: Aws, stack: Stack
) -> None:
    mark_dead_lettered(deployed, ["letter"])
    seen: list[tuple[str, int]] = []

    async def tell(body: str) -> None:
        seen.append((body, (await depth_of(services, stack, Queue.SUBMIT)).messages.waiting))

    await return_dead_letters(services, stack, Queue.SUBMIT, before=tell)
    assert seen == [("letter", 0)]


async def test_what_fails_again_meanwhile_stays_a_dead_letter(deployed: Deployed, services: Aws, stack: Stack) -> None:
    mark_dead_lettered(deployed, ["letter"])

    async def fail_again(_: str) -> None:
        mark_dead_lettered(deployed, ["again"])

    assert await return_dead_letters(services, stack, Queue.SUBMIT, before=fail_again) == 1
    assert (await depth_of(services, stack, Queue.SUBMIT)).dead == 1


async def test_a_letter_that_could_not_be_looked_at_is_still_there(
    deployed: Deployed, services: Aws, stack: Stack
) -> None:
    mark_dead_lettered(deployed, ["letter"])

    async def refuse(_: str) -> None:
        raise ValueError("it cannot be looked at")

    with pytest.raises(ValueError, match="cannot be looked at"):
        await return_dead_letters(services, stack, Queue.SUBMIT, before=refuse)
    depth = await depth_of(services, stack, Queue.SUBMIT)
    assert (depth.dead, depth.messages.waiting) == (1, 0)


async def test_an_empty_dead_letter_queue_gives_nothing_back(services: Aws, stack: Stack) -> None:
    assert await return_dead_letters(services, stack, Queue.COLLECT) == 0

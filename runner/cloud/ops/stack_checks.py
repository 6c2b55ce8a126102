"""Examination: is the deployment as it should be, and where it is not, what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.aws.errors import DENIED
from runner.cloud.ops.stack import DEPLOY, INBOX, TABLE
from runner.cloud.protocols import Queue
from runner.cloud.sqs import depth_of
from runner.errors import AwsRefused, BulkheadError
from runner.findings import Finding, fail, ok, warn
from runner.ledger.dynamodb.keys import BY_STATE, BY_VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.aws.services import Aws
    from runner.cloud.ops.stack import Stack
    from runner.cloud.sqs import QueueDepth

INDEXES = frozenset({BY_STATE, BY_VERSION})


async def checked(name: str, check: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """Return what a check found; an error of it is a finding too."""
    try:
        return await check()
    except BulkheadError as error:
        return [_of_error(name, error)]


class Examination:
    """Looks at the parts of the stack that only AWS knows; changes nothing. `options` end the commands in hints."""

    def __init__(self, stack: Stack, aws: Aws, *, options: str = "") -> None:
        self._stack = stack
        self._aws = aws
        self._options = options

    async def findings(self) -> list[Finding]:
        """Look at stack, table, inbox and queues."""
        return [
            *self.stack(),
            *await checked("table", self.table),
            *await checked("inbox", self.inbox),
            *await checked("queues", self.queues),
        ]

    def stack(self) -> list[Finding]:
        stack = self._stack
        where = f"{stack.name} in account {stack.account}, {stack.region}: {stack.status}"
        if stack.missing:
            missing = ", ".join(stack.missing)
            return [fail("stack", f"{where}; it lacks the outputs {missing}", DEPLOY)]
        if stack.status.endswith("_IN_PROGRESS"):
            return [warn("stack", where, "a deployment is under way: ask again when it has ended")]
        if not stack.at_rest:
            hint = f"aws cloudformation describe-stack-events --stack-name {stack.name}"
            return [fail("stack", where, hint)]
        return [ok("stack", where)]

    async def table(self) -> list[Finding]:
        name = self._stack.output(TABLE)
        found = (await self._aws.call("dynamodb", "describe_table", TableName=name))["Table"]
        ready = {one["IndexName"] for one in found.get("GlobalSecondaryIndexes", ()) if _is_ready(one)}
        if found["TableStatus"] != "ACTIVE":
            return [fail("table", f"{name} is {found['TableStatus']}", "wait until it is ACTIVE, then ask again")]
        if not ready >= INDEXES:
            missing = ", ".join(sorted(INDEXES - ready))
            return [fail("table", f"{name} has no index {missing} that is ready", DEPLOY)]
        return [ok("table", f"{name} is ACTIVE, with its indexes")]

    async def inbox(self) -> list[Finding]:
        bucket = self._stack.output(INBOX)
        found = await self._aws.call("s3", "get_bucket_notification_configuration", Bucket=bucket)
        if "EventBridgeConfiguration" not in found:
            hint = f"files that land there start nothing; {DEPLOY}"
            return [fail("inbox", f"s3://{bucket} does not tell EventBridge what lands in it", hint)]
        return [ok("inbox", f"s3://{bucket} tells EventBridge what lands in it")]

    async def queues(self) -> list[Finding]:
        depths = [await depth_of(self._aws, self._stack, queue) for queue in Queue]
        return [ok("queues", ", ".join(map(_depth, depths))), self._dead_letters(depths)]

    def _dead_letters(self, depths: list[QueueDepth]) -> Finding:
        held = [f"{depth.queue} {depth.dead:,}" for depth in depths if depth.dead]
        if not held:
            return ok("dead letters", "none")
        hint = f"mend the cause, then: bulkhead cloud redrive --dead-letters{self._options}"
        return fail("dead letters", ", ".join(held), hint)


def _depth(depth: QueueDepth) -> str:
    messages = depth.messages
    later = f" (+{messages.delayed:,} later)" if messages.delayed else ""
    in_work = f" (+{messages.in_work:,} in work)" if messages.in_work else ""
    return f"{depth.queue} {messages.waiting:,}{later}{in_work}"


def _is_ready(index: dict[str, Any]) -> bool:
    """Tell whether an index can be asked; a stand-in for AWS may leave its status out."""
    return bool(index.get("IndexStatus", "ACTIVE") == "ACTIVE")


def _of_error(name: str, error: BulkheadError) -> Finding:
    """Return what an error says about a check: what these credentials may not look at may be well all the same."""
    if isinstance(error, AwsRefused) and error.code in DENIED:
        return warn(name, f"not looked at: {error}", error.hint)
    return fail(name, str(error), error.hint)

"""Checks of the stack's parts in AWS: stack, table, inbox, queues; each finding hints at the next command."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.aws.errors import DENIED
from runner.cloud.context import Landing
from runner.cloud.ops.stack import CONNECT_INBOX, DEPLOY, INBOX, PARAMETERS, TABLE
from runner.cloud.protocols import Queue
from runner.cloud.sqs import depth_of
from runner.errors import AwsRefused, BulkheadError
from runner.findings import Finding, fail, ok, warn
from runner.formatting import shown
from runner.ledger.dynamodb.keys import BY_STATE, BY_VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runner.aws.services import Aws
    from runner.cloud.ops.stack import Stack
    from runner.cloud.sqs import QueueDepth

INDEXES = frozenset({BY_STATE, BY_VERSION})


async def run_check(name: str, check: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """Return the findings of a check; an error that it raises becomes a finding."""
    try:
        return await check()
    except BulkheadError as error:
        return [_of_error(name, error)]


class StackChecks:
    """Checks that only read from AWS. `options` is appended to the commands in hints."""

    def __init__(self, stack: Stack, aws: Aws, *, options: str = "") -> None:
        self._stack = stack
        self._aws = aws
        self._options = options

    async def findings(self) -> list[Finding]:
        """Check stack, table, inbox, and queues."""
        return [
            *self.stack(),
            *self.parameters(Path(PARAMETERS)),
            *await run_check("table", self.table),
            *await run_check("inbox", self.inbox),
            *self.prefixes(),
            *await run_check("queues", self.queues),
        ]

    def stack(self) -> list[Finding]:
        stack = self._stack
        where = f"{stack.name} in account {stack.account}, {stack.region}: {stack.status}"
        if stack.missing:
            missing = ", ".join(stack.missing)
            return [fail("stack", f"{where}; missing outputs: {missing}", DEPLOY)]
        if stack.status.endswith("_IN_PROGRESS"):
            return [warn("stack", where, "a deployment is in progress: try again when it has ended")]
        if not stack.is_stable:
            hint = f"aws cloudformation describe-stack-events --stack-name {stack.name}"
            return [fail("stack", where, hint)]
        return [ok("stack", where)]

    def parameters(self, file: Path) -> list[Finding]:
        """Compare the file that the next `sam deploy` reads with the stack; nothing if there is no file."""
        try:
            given = tomllib.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            return [fail("parameters", f"{file} cannot be read: {shown(str(error))}", "correct the file")]
        wanted = {name: str(value) for name, value in given.items()}
        unknown = sorted(wanted.keys() - self._stack.parameters.keys())
        if unknown:
            hint = f"correct the names, or {DEPLOY}"
            return [fail("parameters", f"{file} has {shown(', '.join(unknown))}, which the stack does not know", hint)]
        differing = [
            f"{name} is {shown(repr(self._stack.parameters[name]))} in the stack and {shown(repr(value))} in the file"
            for name, value in wanted.items()
            if self._stack.parameters[name] != value
        ]
        if differing:
            hint = f"the next sam deploy takes the file: correct {file}, or deploy it"
            return [warn("parameters", "; ".join(differing), hint)]
        return [ok("parameters", f"{file} has the values of the stack")]

    async def table(self) -> list[Finding]:
        name = self._stack.output(TABLE)
        found = (await self._aws.call("dynamodb", "describe_table", TableName=name))["Table"]
        ready = {one["IndexName"] for one in found.get("GlobalSecondaryIndexes", ()) if _is_ready(one)}
        if found["TableStatus"] != "ACTIVE":
            return [fail("table", f"{name} is {found['TableStatus']}", "wait until it is ACTIVE, then try again")]
        if not ready >= INDEXES:
            missing = ", ".join(sorted(INDEXES - ready))
            return [fail("table", f"{name}: index not ready or missing: {missing}", DEPLOY)]
        return [ok("table", f"{name} is ACTIVE, with its indexes")]

    async def inbox(self) -> list[Finding]:
        bucket = self._stack.output(INBOX)
        found = await self._aws.call("s3", "get_bucket_notification_configuration", Bucket=bucket)
        if "EventBridgeConfiguration" not in found:
            command = self._stack.outputs.get(CONNECT_INBOX) if self._stack.has_existing_inbox else None
            hint = f"files that arrive there are not imported; {command or DEPLOY}"
            return [fail("inbox", f"s3://{bucket} does not notify EventBridge of new files", hint)]
        return [ok("inbox", f"s3://{bucket} notifies EventBridge of new files")]

    def prefixes(self) -> list[Finding]:
        """Say that no file is imported when it arrives, if one prefix excludes the other; no rule of a template can."""
        arriving, nightly = self._stack.inbox_prefix, self._stack.nightly_prefix
        landing = Landing(root=f"s3://{self._stack.outputs.get(INBOX)}/{arriving}", nightly=nightly)
        if landing.takes(f"{arriving}file"):
            return []
        inside = nightly if arriving.startswith(nightly) else landing.config
        detail = f"InboxPrefix = {arriving} is inside {inside}, so no file is imported when it arrives"
        return [fail("prefixes", detail, f"change InboxPrefix or NightlyPrefix in {PARAMETERS}, then: sam deploy")]

    async def queues(self) -> list[Finding]:
        depths = [await depth_of(self._aws, self._stack, queue) for queue in Queue]
        return [ok("queues", ", ".join(map(_depth, depths))), self._dead_letters(depths)]

    def _dead_letters(self, depths: list[QueueDepth]) -> Finding:
        held = [f"{depth.queue} {depth.dead:,}" for depth in depths if depth.dead]
        if not held:
            return ok("dead letters", "none")
        hint = f"fix the cause, then: bulkhead cloud redrive --dead-letters{self._options}"
        return fail("dead letters", ", ".join(held), hint)


def _depth(depth: QueueDepth) -> str:
    messages = depth.messages
    delayed = f" (+{messages.delayed:,} delayed)" if messages.delayed else ""
    in_work = f" (+{messages.in_work:,} in work)" if messages.in_work else ""
    return f"{depth.queue} {messages.waiting:,}{delayed}{in_work}"


def _is_ready(index: dict[str, Any]) -> bool:
    """Return whether an index can be queried; an emulator of AWS may omit its status."""
    return bool(index.get("IndexStatus", "ACTIVE") == "ACTIVE")


def _of_error(name: str, error: BulkheadError) -> Finding:
    """Return the finding for an error; what these credentials must not read may still be ok, so it is a warning."""
    if isinstance(error, AwsRefused) and error.code in DENIED:
        return warn(name, f"not checked: {error}", error.hint)
    return fail(name, str(error), error.hint)

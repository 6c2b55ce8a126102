"""Checks of what keeps a stack working: mappings, rules, schedules, executions, waiting messages, and webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from runner.cloud.leases import WORKER_SEEN_S, worker_is_there
from runner.cloud.lifecycle import SUBMIT_QUEUES
from runner.cloud.protocols import Queue
from runner.cloud.sqs import message_counts
from runner.findings import Finding, fail, ok, warn
from runner.formatting import counted, lasting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from runner.aws.services import Aws
    from runner.cloud.ops.stack import Stack
    from runner.ledger.leases import Leases

OTHER_EXECUTIONS = 3
"""Functions that no queue starts: the webhook, reconcile, and configure."""

WAITS_FOR_QUOTA = frozenset({"submit", "load", "upload"})
"""Queues whose messages may wait for days in a long load."""

OF_SUBMIT = ("SubmitFunctionQueue", "SubmitFunctionLoads")
"""The mappings that are switched off while a worker sends the files."""

START_WORKER = "start one: bulkhead cloud work (docs/container.md), or deploy with SubmitBy=functions"

LONG_WAIT = timedelta(hours=1)
WEBHOOKS_WITHIN = timedelta(days=14)
_DAY_S = 86_400
_LOOK_BACK = timedelta(minutes=15)
_MAPPING, _RULE, _SCHEDULE = "AWS::Lambda::EventSourceMapping", "AWS::Events::Rule", "AWS::Scheduler::Schedule"
_ENABLED = frozenset({"Enabled", "Enabling", "Updating", "Creating", "ENABLED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StackResource:
    """A resource of the stack: its name in the template, its type, and its name or id in AWS."""

    logical_id: str
    kind: str
    physical_id: str


class ActivityChecks:
    """Checks that only read from AWS. `now` is the current instant."""

    def __init__(self, stack: Stack, aws: Aws, *, now: Callable[[], datetime]) -> None:
        self._stack = stack
        self._aws = aws
        self._now = now

    async def triggers(self) -> list[Finding]:
        """Say which mappings, rules, and schedules do not start anything, and whether the account has room for all."""
        findings: list[Finding] = []
        executions = OTHER_EXECUTIONS
        async for resource in self._resources():
            if resource.kind == _MAPPING:
                mapping = await self._aws.call("lambda", "get_event_source_mapping", UUID=resource.physical_id)
                if mapping["State"] in _ENABLED:
                    executions += int((mapping.get("ScalingConfig") or {}).get("MaximumConcurrency", 0))
                findings += self._mapping(resource, str(mapping["State"]))
            elif resource.kind == _RULE:
                found = await self._aws.call("events", "describe_rule", Name=resource.physical_id)
                hint = f"aws events enable-rule --name {resource.physical_id}"
                findings += _stopped(resource, str(found["State"]), "its events reach nobody", hint)
            elif resource.kind == _SCHEDULE:
                found = await self._aws.call("scheduler", "get_schedule", Name=resource.physical_id)
                hint = f"enable {resource.physical_id} in the console: Amazon EventBridge, Schedules"
                findings += _stopped(resource, str(found["State"]), "it starts nothing", hint)
        enabled = ok("triggers", "mappings, rules, and schedules are enabled")
        return [*(findings or [enabled]), *await self._room(executions)]

    def _mapping(self, resource: StackResource, state: str) -> list[Finding]:
        update = f"aws lambda update-event-source-mapping --uuid {resource.physical_id}"
        if self._stack.submit_by != "container" or resource.logical_id not in OF_SUBMIT:
            return _stopped(resource, state, "nothing reads its queue", f"{update} --enabled")
        if state not in _ENABLED:
            return []
        detail = "is enabled, so the functions send files beside the worker: this is safe, and costs their waiting"
        return [warn(f"trigger {resource.logical_id}", detail, f"{update} --no-enabled")]

    async def worker(self, leases: Leases, *, window_s: float) -> list[Finding]:
        """Say whether a worker sends the files, if no function does; `window_s` is the window of the quota."""
        if self._stack.submit_by != "container":
            return []
        counts = [await message_counts(self._aws, self._stack.queue_url(queue)) for queue in SUBMIT_QUEUES]
        waiting = counted(sum(one.total for one in counts), "message")
        minutes = lasting(WORKER_SEEN_S)
        if not await worker_is_there(leases):
            detail, hint = f"no worker has polled the queues for {minutes}; {waiting} of files to send", START_WORKER
            return (
                [fail("worker", detail, hint)] if any(one.total for one in counts) else [warn("worker", detail, hint)]
            )
        if any(one.total for one in counts) and not await self._has_created(within_s=max(900.0, 2 * window_s)):
            within = lasting(max(900.0, 2 * window_s))
            detail = f"a worker polls the queues, {waiting} of files to send, and no import was created for {within}"
            return [warn("worker", detail, "see its log: does the vendor answer, and is a create slot free?")]
        return [ok("worker", f"a worker polls the queues; {waiting} of files to send")]

    async def _has_created(self, *, within_s: float) -> bool:
        dimension = {"Name": "service", "Value": f"{self._stack.name}-submit"}
        metric = {"Namespace": "Bulkhead", "MetricName": "CreatesAnswered", "Period": 300}
        back = timedelta(seconds=within_s)
        return sum(await self._statistics("Sum", back=back, Dimensions=[dimension], **metric)) > 0

    async def _room(self, executions: int) -> list[Finding]:
        limit = (await self._aws.call("lambda", "get_account_settings"))["AccountLimit"]
        free = int(limit.get("UnreservedConcurrentExecutions", limit["ConcurrentExecutions"]))
        detail = f"the account may run {free:,} functions at once, and the stack up to {executions:,}"
        if free < executions:
            hint = "ask AWS for more: Service Quotas, AWS Lambda, Concurrent executions; new accounts begin with 10"
            return [warn("concurrency", detail, hint)]
        return [ok("concurrency", detail)]

    async def ages(self) -> list[Finding]:
        """Say how long the oldest message of each queue has waited, and warn of those that no quota keeps waiting."""
        ages = {queue: age for queue in Queue if (age := await self._age_s(queue)) is not None}
        if not ages:
            return []
        detail = ", ".join(f"{queue} {lasting(age)}" for queue, age in ages.items())
        longest_s = LONG_WAIT.total_seconds()
        late = [queue for queue, age in ages.items() if queue not in WAITS_FOR_QUOTA and age > longest_s]
        if late:
            hint = f"see the log of its function: sam logs --stack-name {self._stack.name}"
            return [warn("oldest messages", f"{detail}; {', '.join(late)} should not wait", hint)]
        return [ok("oldest messages", detail)]

    async def webhooks(self) -> list[Finding]:
        """Warn if results were collected and none of them because of a webhook."""
        service = f"{self._stack.name}-collect"
        collected = await self._total("ItemsCollected", service, "Sum")
        if not collected or await self._total("WebhookToCollectedMilliseconds", service, "SampleCount"):
            return []
        within = lasting(WEBHOOKS_WITHIN.total_seconds())
        detail = f"no webhook has led to any of the {counted(int(collected), 'result')} of the last {within}"
        return [warn("webhook arrivals", detail, self._why_no_webhook())]

    def _why_no_webhook(self) -> str:
        if self._stack.parameters.get("WebhookPerImport") == "true":
            return (
                "results come by reconcile, some minutes late. The vendor calls a webhook that an import names only "
                "with backendSyncMode FULL_DATA: see the lines about routes"
            )
        return (
            "results come by reconcile, some minutes late. In the vendor's dashboard, create a managed webhook with "
            "the URL of bulkhead webhook-url, and choose the import identifiers and schemas of all routes; for routes "
            "in development mode, choose development imports"
        )

    async def _resources(self) -> AsyncIterator[StackResource]:
        token: dict[str, str] = {}
        while True:
            page = await self._aws.call("cloudformation", "list_stack_resources", StackName=self._stack.name, **token)
            for one in page["StackResourceSummaries"]:
                yield StackResource(
                    logical_id=str(one["LogicalResourceId"]),
                    kind=str(one["ResourceType"]),
                    physical_id=_name(str(one.get("PhysicalResourceId", ""))),
                )
            if not page.get("NextToken"):
                return
            token = {"NextToken": str(page["NextToken"])}

    async def _age_s(self, queue: Queue) -> float | None:
        name = self._stack.queue_url(queue).rpartition("/")[2]
        age = {"Namespace": "AWS/SQS", "MetricName": "ApproximateAgeOfOldestMessage", "Period": 300}
        dimension = {"Name": "QueueName", "Value": name}
        points = await self._statistics("Maximum", back=_LOOK_BACK, Dimensions=[dimension], **age)
        return max(points, default=None)

    async def _total(self, metric: str, service: str, statistic: str) -> float:
        total = {"Namespace": "Bulkhead", "MetricName": metric, "Period": _DAY_S}
        dimension = {"Name": "service", "Value": service}
        return sum(await self._statistics(statistic, back=WEBHOOKS_WITHIN, Dimensions=[dimension], **total))

    async def _statistics(self, statistic: str, *, back: timedelta, **metric: Any) -> list[float]:
        now = self._now()
        answer = await self._aws.call(
            "cloudwatch",
            "get_metric_statistics",
            StartTime=now - back,
            EndTime=now,
            Statistics=[statistic],
            **metric,
        )
        return [float(point[statistic]) for point in answer.get("Datapoints", ())]


def _stopped(resource: StackResource, state: str, consequence: str, hint: str) -> list[Finding]:
    if state in _ENABLED:
        return []
    return [fail(f"trigger {resource.logical_id}", f"is {state.lower()}: {consequence}", hint)]


def _name(physical_id: str) -> str:
    """Return the name of a rule or schedule from an id that may be `bus|rule` or an ARN that ends in `/name`."""
    return physical_id.rpartition("|")[2].rpartition("/")[2]

"""The doctor sees what starts nothing any more, and webhooks that never came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.cloud.leases import WORKER_SEEN_S, note_worker
from runner.cloud.ops.activity_checks import ActivityChecks
from runner.cloud.ops.stack import Stack
from runner.cloud.protocols import Queue
from runner.findings import Finding, Level
from runner.ledger.leases import MemoryLeases

NOW = datetime(2026, 7, 23, 10, 0, tzinfo=UTC)
RESOURCES = [
    ("SubmitFunctionQueue", "AWS::Lambda::EventSourceMapping", "uuid-of-submit"),
    ("CollectFunctionQueue", "AWS::Lambda::EventSourceMapping", "uuid-of-collect"),
    ("LandedRule", "AWS::Events::Rule", "bulkhead-LandedRule-1"),
    ("ReconcileSchedule", "AWS::Scheduler::Schedule", "bulkhead-ReconcileSchedule-1"),
    ("Table", "AWS::DynamoDB::Table", "bulkhead-Table-1"),
]


class FakeAws:
    """A deployment in order: `states` by physical id, `points` by metric and the value of its dimension."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.points: dict[tuple[str, str], float] = {}
        self.concurrency = 1000
        self.waiting = 0

    async def call(self, service: str, operation: str, **given: Any) -> dict[str, Any]:
        match operation:
            case "list_stack_resources":
                half = 2 if "NextToken" not in given else None
                page = RESOURCES[:2] if half else RESOURCES[2:]
                summaries = [
                    {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": physical}
                    for name, kind, physical in page
                ]
                return {"StackResourceSummaries": summaries} | ({"NextToken": "2"} if half else {})
            case "get_event_source_mapping":
                state = self.states.get(given["UUID"], "Enabled")
                return {"State": state, "ScalingConfig": {"MaximumConcurrency": 5}}
            case "describe_rule" | "get_schedule":
                return {"State": self.states.get(given["Name"], "ENABLED")}
            case "get_account_settings":
                return {
                    "AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": self.concurrency}
                }
            case "get_queue_attributes":
                waiting = self.waiting if given["QueueUrl"].endswith("-load") else 0
                return {"Attributes": {"ApproximateNumberOfMessages": str(waiting)}}
            case "get_metric_statistics":
                (dimension,), (statistic,) = given["Dimensions"], given["Statistics"]
                value = self.points.get((given["MetricName"], dimension["Value"]))
                return {"Datapoints": [] if value is None else [{statistic: value}]}
        raise AssertionError(operation)


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


def checks(aws: FakeAws, **parameters: str) -> ActivityChecks:
    urls = {f"{queue.capitalize()}QueueUrl": f"https://sqs.example/1/bulkhead-{queue}" for queue in Queue}
    stack = Stack(
        name="bulkhead",
        region="eu-central-1",
        account="1",
        status="UPDATE_COMPLETE",
        outputs=urls,
        parameters=parameters,
    )
    return ActivityChecks(stack, aws, now=lambda: NOW)  # type: ignore[arg-type]


def only(findings: list[Finding], level: Level) -> Finding:
    (found,) = [finding for finding in findings if finding.level is level]
    return found


async def test_a_deployment_in_order_has_all_triggers_and_room_for_its_functions(aws: FakeAws) -> None:
    triggers, concurrency = await checks(aws).triggers()
    assert (triggers.name, triggers.level) == ("triggers", Level.OK)
    assert (concurrency.level, "up to 13" in concurrency.detail) == (Level.OK, True)


@pytest.mark.parametrize(
    ("physical_id", "state", "name", "hint"),
    [
        ("uuid-of-submit", "Disabled", "trigger SubmitFunctionQueue", "--uuid uuid-of-submit --enabled"),
        ("uuid-of-collect", "Disabling", "trigger CollectFunctionQueue", "--uuid uuid-of-collect --enabled"),
        ("bulkhead-LandedRule-1", "DISABLED", "trigger LandedRule", "enable-rule --name bulkhead-LandedRule-1"),
        ("bulkhead-ReconcileSchedule-1", "DISABLED", "trigger ReconcileSchedule", "EventBridge, Schedules"),
    ],
)
async def test_what_is_switched_off_is_a_failure_with_how_to_switch_it_on(
    aws: FakeAws, physical_id: str, state: str, name: str, hint: str
) -> None:
    aws.states[physical_id] = state
    found = only(await checks(aws).triggers(), Level.FAIL)
    assert (found.name, hint in (found.hint or "")) == (name, True)


@pytest.mark.parametrize(("state", "count"), [("Disabled", 0), ("Enabled", 1)])
async def test_while_a_worker_sends_the_files_the_mappings_of_submit_are_off_and_that_is_right(
    aws: FakeAws, state: str, count: int
) -> None:
    aws.states["uuid-of-submit"] = state
    found = await checks(aws, SubmitBy="container").triggers()
    warned = [finding for finding in found if finding.level is Level.WARN]
    assert len(warned) == count
    assert all("the functions send files beside the worker" in one.detail for one in warned)
    assert all("--uuid uuid-of-submit --no-enabled" in (one.hint or "") for one in warned)
    assert not [finding for finding in found if finding.level is Level.FAIL]


class At:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


async def test_a_stack_whose_files_wait_for_a_worker_that_is_not_there_is_a_failure_with_the_way_out(
    aws: FakeAws,
) -> None:
    clock = At()
    leases, ours = MemoryLeases(now=clock.now), checks(aws, SubmitBy="container")
    assert await checks(aws).worker(leases, window_s=60) == [], "functions send the files"
    (idle,) = await ours.worker(leases, window_s=60)
    assert (idle.level, "no worker has polled" in idle.detail) == (Level.WARN, True)
    aws.waiting = 1204
    (found,) = await ours.worker(leases, window_s=60)
    assert (found.level, "1,204 messages of files to send" in found.detail) == (Level.FAIL, True)
    assert "bulkhead cloud work" in (found.hint or "")
    await note_worker(leases)
    aws.points["CreatesAnswered", "bulkhead-submit"] = 20.0
    assert [one.level for one in await ours.worker(leases, window_s=60)] == [Level.OK]
    clock.at += timedelta(seconds=WORKER_SEEN_S + 1)
    assert [one.level for one in await ours.worker(leases, window_s=60)] == [Level.FAIL]


async def test_a_worker_that_polls_and_creates_nothing_is_a_warning(aws: FakeAws) -> None:
    leases, ours = MemoryLeases(now=lambda: NOW), checks(aws, SubmitBy="container")
    await note_worker(leases)
    aws.waiting = 3
    (found,) = await ours.worker(leases, window_s=60)
    assert (found.level, "no import was created for 15 min" in found.detail) == (Level.WARN, True)
    aws.waiting = 0
    assert [one.level for one in await ours.worker(leases, window_s=60)] == [Level.OK]


async def test_a_new_account_without_room_for_the_functions_is_a_warning(aws: FakeAws) -> None:
    aws.concurrency = 10
    found = only(await checks(aws).triggers(), Level.WARN)
    assert "may run 10 functions at once, and the stack up to 13" in found.detail
    assert "Service Quotas" in (found.hint or "")


async def test_items_may_wait_for_days_for_the_quota_and_nothing_else_for_an_hour(aws: FakeAws) -> None:
    assert await checks(aws).ages() == []
    aws.points["ApproximateAgeOfOldestMessage", "bulkhead-submit"] = 3 * 86_400.0
    aws.points["ApproximateAgeOfOldestMessage", "bulkhead-collect"] = 30.0
    (fine,) = await checks(aws).ages()
    assert (fine.level, "collect 30 s" in fine.detail) == (Level.OK, True)
    aws.points["ApproximateAgeOfOldestMessage", "bulkhead-collect"] = 7200.0
    (late,) = await checks(aws).ages()
    assert (late.level, "collect should not wait" in late.detail) == (Level.WARN, True)


@pytest.mark.parametrize(
    ("per_import", "cause"),
    [("false", "choose the import identifiers and schemas"), ("true", "backendSyncMode FULL_DATA")],
)
async def test_webhooks_that_never_came_are_a_warning_with_the_likely_cause(
    aws: FakeAws, per_import: str, cause: str
) -> None:
    ours = checks(aws, WebhookPerImport=per_import)
    assert await ours.webhooks() == [], "nothing was collected, so nothing is known"
    aws.points["ItemsCollected", "bulkhead-collect"] = 120.0
    (found,) = await ours.webhooks()
    assert (found.level, "120 results" in found.detail, cause in (found.hint or "")) == (Level.WARN, True, True)
    aws.points["WebhookToCollectedMilliseconds", "bulkhead-collect"] = 1.0
    assert await ours.webhooks() == []

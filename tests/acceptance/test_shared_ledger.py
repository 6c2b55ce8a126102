"""Runs whose ledger is a table that they share, on this machine's AWS."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable

import pytest

from runner.clock import system_now
from runner.ledger.dynamodb.leases import DynamoLeases
from runner.ledger.dynamodb.table import DynamoTable
from runner.ledger.leases import WHOLE_BATCH
from tests.acceptance.inbox import Workspace, assert_each_once
from tests.acceptance.vendors import DrfVendor, SandboxVendor
from tests.support.aws import LocalAws

Work = Callable[..., Workspace]
LEDGER = "dynamodb://bulk"
SHARED = ("--ledger", LEDGER)


@pytest.fixture
def shared(work: Work, aws: LocalAws) -> Work:
    """Make workspaces that reach the table `bulk`."""

    def make(vendor: DrfVendor | SandboxVendor, *, name: str = "home") -> Workspace:
        return work(vendor, name=name, **aws.variables)

    return make


def created(mine: Workspace) -> Workspace:
    mine.command("ledger", "create-table", "bulk").expect(0)
    return mine


@pytest.mark.slow
def test_a_run_with_a_table_collects_every_file_and_answers_questions(shared: Work, sandbox: SandboxVendor) -> None:
    mine = created(shared(sandbox))
    files = mine.fill(9)
    mine.command(*mine.arguments(*SHARED)).expect(0)
    mine.assert_collected(files)
    assert_each_once(sandbox.received(), files)
    status = mine.command("status", *SHARED, "--json").expect(0).document
    assert status["by_state"] == {"collected": 9}
    lines = mine.command("manifest", *SHARED).expect(0).stdout
    assert lines == (mine.out / "manifest.jsonl").read_bytes()
    assert not (mine.home / ".bulkhead").exists()
    mine.command(*mine.arguments(*SHARED)).expect(0)
    assert_each_once(sandbox.received(), files)


def test_a_batch_is_resumed_at_once_after_its_run_was_killed_and_each_file_is_imported_once(
    shared: Work, slow_sandbox: SandboxVendor
) -> None:
    mine = created(shared(slow_sandbox))
    files = mine.fill(12)
    for wanted in ({"new": "creating"}, {"event": "batch_started"}, {"event": "batch_started"}):
        with mine.command.start(*mine.arguments(*SHARED, "--json")) as running:
            assert running.until_event(lambda event, wanted=wanted: wanted.items() <= event.items())
            running.kill()
    slow_sandbox.finish_all()
    mine.command("resume", *SHARED).expect(0)
    mine.assert_collected(files)
    assert_each_once(slow_sandbox.received(), files)


@pytest.mark.slow
def test_a_resume_on_another_host_says_until_when_the_lease_runs_and_waits_for_it_on_request(
    shared: Work, slow_sandbox: SandboxVendor, aws: LocalAws
) -> None:
    mine = created(shared(slow_sandbox))
    files = mine.fill(2)
    with mine.command.start(*mine.arguments(*SHARED, "--json")) as first:
        assert first.until_event(lambda event: event.get("new") == "processing")
        first.send(signal.SIGTERM)
        first.wait().expect(143)
    slow_sandbox.finish_all()
    batch_id = mine.command("status", *SHARED, "--json").expect(0).document["batch_id"]
    asyncio.run(lease_elsewhere(aws, batch_id, for_s=3600.0))
    refused = mine.command("resume", *SHARED).expect(11)
    assert re.search(rb"pid 7 on elsewhere.* its lease ends at \d\d:\d\d:\d\d\s+\(in\s+(1 h|59 min)", refused.stderr)
    assert b"resume --wait" in refused.stderr
    with mine.command.start("resume", *SHARED, "--wait", "--json") as waiting:
        assert waiting.until_event(lambda event: event.get("code") == "waiting_for_other_run")
        asyncio.run(lease_elsewhere(aws, batch_id, for_s=0.0))
        waiting.wait().expect(0)
    mine.assert_collected(files)


async def lease_elsewhere(aws: LocalAws, batch_id: str, *, for_s: float) -> None:
    """Take a batch's lease as a run on another host, for that long from now."""
    async with DynamoTable.open("bulk", **aws.client_arguments) as table:
        leases = DynamoLeases(table, now=system_now)
        assert await leases.take(batch_id, WHOLE_BATCH, holder="pid 7 on elsewhere, since x", for_s=for_s) is None


@pytest.mark.slow
def test_one_run_at_a_time_works_on_a_batch(shared: Work, slow_sandbox: SandboxVendor) -> None:
    mine = created(shared(slow_sandbox))
    files = mine.fill(3)
    with mine.command.start(*mine.arguments(*SHARED, "--json")) as first:
        assert first.until_event(lambda event: event.get("new") == "processing")
        refused = mine.command(*mine.arguments(*SHARED)).expect(11)
        assert b"another run (pid " in refused.stderr
        assert b"its lease ends at " in refused.stderr
        assert mine.command("status", *SHARED, "--json").expect(0).document["state"] == "running"
        first.send(signal.SIGTERM)
        first.wait().expect(143)
    slow_sandbox.finish_all()
    mine.command("resume", *SHARED).expect(0)
    assert_each_once(slow_sandbox.received(), files)


@pytest.mark.slow
def test_a_run_that_was_killed_is_shown_as_interrupted(shared: Work, slow_sandbox: SandboxVendor) -> None:
    mine = created(shared(slow_sandbox))
    mine.fill(1)
    with mine.command.start(*mine.arguments(*SHARED, "--json")) as first:
        assert first.until_event(lambda event: event.get("new") == "processing")
        first.kill()
    assert mine.command("status", *SHARED, "--json").expect(0).document["state"] == "interrupted"


@pytest.mark.slow
def test_two_runs_of_two_directories_share_one_quota(shared: Work, start_drf: Callable[..., DrfVendor]) -> None:
    quota = "24/3s"
    vendor = start_drf(rate=quota)
    homes = [created(shared(vendor, name="one")), shared(vendor, name="two")]
    halves = [home.fill(30, first=30 * number) for number, home in enumerate(homes)]
    runs = [home.command.start(*home.arguments(*SHARED, "--create-quota", quota)) for home in homes]
    for run in runs:
        with run:
            run.wait().expect(0)
    seen = vendor.oracle()
    assert seen["refused"] == []
    assert len(seen["accepted"]) == 60
    assert_each_once(seen["received"], halves[0] | halves[1])


@pytest.mark.slow
def test_a_table_that_is_missing_is_made_by_the_command_that_the_error_names(
    shared: Work, sandbox: SandboxVendor
) -> None:
    mine = shared(sandbox)
    mine.fill(1)
    refused = mine.command(*mine.arguments(*SHARED)).expect(7)
    assert b"there is no table bulk" in refused.stderr
    assert b"bulkhead ledger create-table bulk" in refused.stderr
    made = mine.command("ledger", "create-table", "bulk", "--json").expect(0)
    assert made.document == {"table": "bulk", "made": True}
    assert mine.command("ledger", "create-table", "bulk", "--json").expect(0).document["made"] is False
    mine.command(*mine.arguments(*SHARED)).expect(0)


def test_without_credentials_or_region_the_error_says_what_to_set(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox, AWS_EC2_METADATA_DISABLED="true")
    mine.fill(1)
    nowhere = mine.command(*mine.arguments(*SHARED)).expect(2)
    assert b"AWS_DEFAULT_REGION" in nowhere.stderr
    keyless = work(sandbox, name="keyless", AWS_EC2_METADATA_DISABLED="true", AWS_DEFAULT_REGION="us-east-1")
    keyless.fill(1)
    refused = keyless.command(*keyless.arguments(*SHARED)).expect(2)
    assert b"no usable AWS credentials" in refused.stderr


@pytest.mark.parametrize("back", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_batch_is_copied_to_another_store_and_resumed_there(
    shared: Work, slow_sandbox: SandboxVendor, back: bool
) -> None:
    mine = created(shared(slow_sandbox))
    files = mine.fill(5)
    places = [LEDGER, "ledger.db"] if back else ["ledger.db", LEDGER]
    with mine.command.start(*mine.arguments("--ledger", places[0], "--json")) as first:
        assert first.until_event(lambda event: event.get("new") == "processing")
        first.send(signal.SIGTERM)
        first.wait().expect(143)
    copied = mine.command("ledger", "copy", *places, "--json").expect(0).document
    assert [(one["items"], one["new"]) for one in copied] == [(5, 5)]
    mine.command("ledger", "copy", *places).expect(7)
    slow_sandbox.finish_all()
    mine.command("resume", "--ledger", places[1]).expect(0)
    mine.assert_collected(files)
    assert_each_once(slow_sandbox.received(), files)
    assert mine.summary()["by_state"]["collected"] == 5

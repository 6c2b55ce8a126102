"""JSON rows travel inside the create: an answer that is lost is settled by looking, never by sending again blindly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from tests.acceptance.inbox import ROW_CANARY, Workspace
from tests.acceptance.vendors import SandboxVendor

PACE = ("--create-quota", "1000/2s")
SOON = {"BULKHEAD_QUIET_PERIOD_S": "1"}

Work = Callable[..., Workspace]


def document(number: int) -> bytes:
    return json.dumps([{"name": f"{ROW_CANARY} {number}", "email": f"row{number}@example.com"}]).encode()


def fill(mine: Workspace, count: int) -> set[str]:
    for number in range(count):
        mine.add(f"{number}.json", document(number))
    return {f"{number}.json" for number in range(count)}


def assert_each_import_ran_once(vendor: SandboxVendor, count: int) -> None:
    ran = vendor.counters()["ran"]
    assert len(ran) == count
    assert {len(ids) for ids in ran.values()} == {1}


def test_json_files_and_lines_of_json_are_imported(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    fill(mine, 2)
    mine.add("lines.ndjson", b'{"name": "A"}\n{"name": "B"}\n')
    mine.command(*mine.arguments(*PACE)).expect(0)

    assert {source: line["row_count"] for source, line in mine.manifest().items()} == {
        "0.json": 1,
        "1.json": 1,
        "lines.ndjson": 2,
    }
    assert_each_import_ran_once(sandbox, 3)


@pytest.mark.slow
def test_a_create_whose_answer_was_lost_is_adopted_after_the_quiet_period(work: Work, sandbox: SandboxVendor) -> None:
    sandbox.faults({"operation": "create", "kind": "lost_reply", "times": 1})
    mine = work(sandbox, **SOON)
    names = fill(mine, 3)
    mine.command(*mine.arguments(*PACE, "-v")).expect(0)

    assert mine.states() == dict.fromkeys(names, "collected")
    assert_each_import_ran_once(sandbox, 3)


@pytest.mark.slow
def test_a_vendor_whose_clock_is_a_minute_ahead_changes_nothing_about_that(
    work: Work, slow_sandbox: SandboxVendor
) -> None:
    slow_sandbox.settings(running_s=0.1)
    slow_sandbox.ask("POST", "/_sandbox/clock", {"advance_s": 60})
    slow_sandbox.faults({"operation": "create", "kind": "lost_reply", "times": 1})
    mine = work(slow_sandbox, **SOON)
    names = fill(mine, 2)
    mine.command(*mine.arguments(*PACE)).expect(0)

    assert mine.states() == dict.fromkeys(names, "collected")
    assert_each_import_ran_once(slow_sandbox, 2)


@pytest.mark.slow
def test_a_create_that_made_nothing_is_sent_again_after_the_quiet_period(work: Work, sandbox: SandboxVendor) -> None:
    sandbox.faults({"operation": "create", "kind": "drop_before", "skip": 1, "times": 1})
    mine = work(sandbox, **SOON)
    names = fill(mine, 2)
    mine.command(*mine.arguments(*PACE)).expect(0)

    assert mine.states() == dict.fromkeys(names, "collected")
    assert_each_import_ran_once(sandbox, 2)


def test_a_create_in_doubt_is_settled_by_the_next_run_after_a_kill(work: Work, sandbox: SandboxVendor) -> None:
    sandbox.faults({"operation": "create", "kind": "lost_reply", "times": 1})
    mine = work(sandbox, **SOON)
    names = fill(mine, 2)
    with mine.command.start(*mine.arguments(*PACE, "--json")) as running:
        assert running.until_event(lambda event: event.get("code") == "create_in_doubt")
        running.kill()
    mine.command("resume", *PACE).expect(0)

    assert mine.states() == dict.fromkeys(names, "collected")
    assert_each_import_ran_once(sandbox, 2)


def test_a_create_that_could_have_made_either_of_two_imports_is_uncertain_and_not_repeated(
    work: Work, sandbox: SandboxVendor
) -> None:
    sandbox.faults({"operation": "create", "kind": "lost_reply", "times": 1})
    mine = work(sandbox, **SOON)
    fill(mine, 1)
    with mine.command.start(*mine.arguments(*PACE, "--json")) as running:
        assert running.until_event(lambda event: event.get("code") == "create_in_doubt")
        stranger = sandbox.create(schema_id="customers", initial_data=[{"name": "A stranger's"}])
        running.wait().expect(4)

    line = mine.manifest()["0.json"]
    assert (line["state"], line["error_code"], line["import_id"]) == ("uncertain", "create_in_doubt", None)
    assert stranger["id"] in line["error_message"]
    assert_each_import_ran_once(sandbox, 2)


def test_after_a_lost_ledger_json_waits_for_the_word_that_it_is_new_and_files_go_on(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    names = fill(mine, 3)
    mine.command(*mine.arguments(*PACE)).expect(0)
    shutil.rmtree(mine.home / ".bulkhead")
    shutil.rmtree(mine.out)
    files = mine.fill(2)

    stopped = mine.command(*mine.arguments(*PACE)).expect(7)
    assert "3 imports" in stopped.text
    assert "--json-is-new" in stopped.text
    assert mine.states() == dict.fromkeys(names, "queued") | dict.fromkeys(files, "collected")
    assert_each_import_ran_once(sandbox, 5)
    mine.command("resume", *PACE).expect(7)

    mine.add("3.json", document(3))
    mine.command("resume", "--json-is-new", *PACE).expect(0)
    assert set(mine.states().values()) == {"collected"}
    mine.command(*mine.arguments(*PACE)).expect(0)
    assert mine.states()["3.json"] == "collected"

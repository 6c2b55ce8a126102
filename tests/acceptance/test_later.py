"""What comes after a run: reviews that people finish, items put back to work, and running the same source again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once, rows, sha256
from tests.acceptance.vendors import SandboxVendor

PACE = ("--create-quota", "1000/2s")
DAMAGED = b"PK\x03\x04 the rest of this workbook was lost"

Work = Callable[..., Workspace]


def test_track_collects_a_review_that_a_person_has_finished(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(1)
    mine.add("invalid.csv", b"Full Name,Email\n,no-address\n")
    mine.command(*mine.arguments(*PACE, schema="strict")).expect(6)
    waiting = mine.manifest()["invalid.csv"]
    batch = waiting["batch_id"]

    mine.command("track", batch).expect(6)
    assert mine.manifest()["invalid.csv"] == waiting

    sandbox.finish_review(waiting["import_id"])
    mine.command("track", batch).expect(0)
    line = mine.manifest()["invalid.csv"]
    assert (line["state"], line["status"], line["review_url"]) == ("collected", "SUCCESSFUL", None)
    assert (mine.out / line["result"]).is_file()
    assert (mine.summary()["state"], mine.summary()["exit_code"]) == ("complete", 0)


def test_a_run_that_continues_a_batch_says_so_and_does_not_send_what_its_filters_leave_out(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    mine.command(*mine.arguments("--max-duration", "1s", "--create-quota", "1/60s", "--uploads", "1")).expect(10)
    fresh = {"XDG_STATE_HOME": str(mine.home / "fresh")}
    finished = mine.command(*mine.arguments(*PACE, "--exclude", "c/**"), variables=fresh).expect(0)

    assert re.search(r"continuing batch \S+ of \d\d:\d\d, 2 items queued", finished.text)
    assert mine.states() == {"a/000.csv": "collected", "b/001.csv": "collected", "c/002.csv": "skipped"}
    assert mine.manifest()["c/002.csv"]["error_code"] == "filtered_out"
    later = mine.command(*mine.arguments(*PACE, "--json"), variables=fresh).expect(0)
    assert not [event for event in later.events if event.get("code") == "continuing_batch"]
    assert_each_once(sandbox.received(), files)


def test_a_review_finished_after_a_newer_version_is_collected_keeps_its_result_beside(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    mine.add("a.csv", b"Full Name,Email\n,no-address\n")
    mine.command(*mine.arguments(*PACE, schema="strict")).expect(6)
    waiting = mine.manifest()["a.csv"]
    mine.add("a.csv", rows(1))
    mine.command(*mine.arguments(*PACE, schema="strict"))
    newer = mine.manifest()["a.csv"]
    assert (newer["state"], newer["result"]) == ("collected", "results/a.csv.json")

    sandbox.finish_review(waiting["import_id"])
    mine.command("track", waiting["batch_id"]).expect(0)
    late = mine.manifest()["a.csv"]
    assert (late["state"], late["result"]) == ("collected", f"results/a.csv.~{waiting['import_id']}.json")
    for line in (newer, late):
        assert sha256((mine.out / line["result"]).read_bytes()) == line["result_sha256"]


def test_failed_items_are_put_back_to_work_once_their_cause_is_gone(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(2)
    mine.add("repaired.xlsx", DAMAGED)
    mine.add("other.xlsx", DAMAGED + b"!")
    mine.command(*mine.arguments(*PACE)).expect(4)

    files["repaired.xlsx"] = rows(9)
    mine.add("repaired.xlsx", files["repaired.xlsx"])
    printed = mine.command("redrive", "--state", "failed", "--match", "rep*", "--json").expect(0).document
    assert printed["redriven"] == 1
    mine.command("resume", *PACE).expect(4)

    assert mine.states() == {**dict.fromkeys(files, "collected"), "other.xlsx": "failed"}
    assert {len(ids) for ids in sandbox.received().values()} == {1}


@pytest.mark.slow
def test_a_refused_item_is_put_back_once_the_vendor_takes_it(work: Work, sandbox: SandboxVendor) -> None:
    sandbox.faults({"operation": "create", "kind": "error", "status": 400, "times": 1})
    mine = work(sandbox)
    files = mine.fill(3)
    mine.command(*mine.arguments(*PACE)).expect(4)
    assert b"no item in these states matches x/*.csv" in mine.command("redrive", "--match", "x/*.csv").expect(0).stderr
    mine.command("redrive").expect(0)
    mine.command("resume", *PACE).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


def test_unchanged_files_are_skipped_changed_and_new_ones_are_not(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    mine.command(*mine.arguments(*PACE)).expect(0)

    changed, *unchanged = sorted(files)
    mine.add(changed, rows(50))
    mine.add("new.csv", rows(51))
    mine.command(*mine.arguments(*PACE)).expect(0)
    assert mine.states() == {**dict.fromkeys(unchanged, "skipped"), changed: "collected", "new.csv": "collected"}
    assert len(sandbox.counters()["created_ids"]) == 5

    mine.command(*mine.arguments(*PACE, "--again")).expect(0)
    assert set(mine.states().values()) == {"collected"}
    assert len(sandbox.counters()["created_ids"]) == 9


@pytest.mark.slow
def test_another_schema_binding_makes_the_affected_files_eligible_and_no_others(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    files = mine.fill(6)
    routes = (
        '[[routes]]\nmatch = "a/**"\nschema_id = "customers"\n{}\n[[routes]]\nmatch = "**"\nschema_id = "customers"\n'
    )
    config = mine.home / "bulkhead.toml"
    run = ("run", "inbox", "--out", "out", *PACE)
    config.write_text(routes.format(""))
    mine.command(*run).expect(0)

    config.write_text(routes.format('settings = { invalidDataBehavior = "INCLUDE_INVALID_ROWS" }\n'))
    plan = mine.command("plan", "inbox", "--json").expect(0).document
    assert plan["skipped"] == 4
    mine.command(*run).expect(0)
    assert mine.states() == {name: "collected" if name.startswith("a/") else "skipped" for name in files}


def test_a_run_that_was_killed_is_not_said_to_be_running(work: Work, slow_sandbox: SandboxVendor) -> None:
    mine = work(slow_sandbox)
    mine.fill(1)
    with mine.command.start(*mine.arguments(*PACE, "--json")) as running:
        assert running.until_event(lambda event: event.get("new") == "processing")
        assert mine.command("status", "--json").expect(0).document["state"] == "running"
        running.kill()
    assert mine.command("status", "--json").expect(0).document["state"] == "interrupted"


@pytest.mark.slow
def test_status_batches_and_manifest_say_the_same_as_the_files(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(2)
    mine.add("empty.csv", b"")
    mine.command(*mine.arguments(*PACE)).expect(4)
    batch = mine.summary()["batch_id"]

    shown = mine.command("manifest", batch, "--format", "jsonl").expect(0).stdout
    assert [json.loads(line) for line in shown.splitlines()] == list(mine.manifest().values())
    assert (
        mine.command("manifest", batch, "--format", "csv").expect(0).stdout == (mine.out / "manifest.csv").read_bytes()
    )
    status = mine.command("status", batch, "--json").expect(0).document
    assert {state: count for state, count in status["by_state"].items() if count} == {"collected": 2, "rejected": 1}
    assert batch in mine.command("batches").expect(0).text


@pytest.mark.slow
def test_track_without_a_batch_takes_what_waits_for_a_person(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.add("invalid.csv", b"Full Name,Email\n,no-address\n")
    mine.command(*mine.arguments(*PACE, schema="strict")).expect(6)
    waiting = mine.manifest()["invalid.csv"]
    mine.command("run", "inbox", "--schema-id", "strict", "--out", "again", *PACE).expect(6)

    sandbox.finish_review(waiting["import_id"])
    mine.command("track").expect(0)
    assert mine.states() == {"invalid.csv": "collected"}


def test_runs_in_a_sandbox_and_the_command_that_they_print_share_one_place_for_results(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    mine.fill(1)
    (mine.home / "fields.json").write_text(json.dumps([{"key": "name", "label": "Full Name"}]))
    again = ("run", "inbox", "--fields", "fields.json", "--out", "out")
    for _ in range(2):
        printed = mine.command(*again, "--sandbox").expect(0).text
        assert "Then run the batch against it:" in printed
    mine.command(*again).expect(0)
    results = [path.name for path in (mine.out / "results").rglob("*") if path.is_file()]
    assert len(results) == 1

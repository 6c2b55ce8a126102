"""The vendor, the network, the key or the disk fail: what is done stays done, the rest goes on later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once, rows
from tests.acceptance.vendors import SandboxVendor

PACE = ("--create-quota", "1000/2s")

Work = Callable[..., Workspace]


@pytest.mark.slow
@pytest.mark.parametrize("retry_after", ["1", None], ids=["with Retry-After", "without Retry-After"])
def test_a_storm_of_429_changes_neither_outcome_nor_attempts(
    work: Work, sandbox: SandboxVendor, retry_after: str | None
) -> None:
    sandbox.faults({"operation": "create", "kind": "throttle", "retry_after": retry_after, "skip": 3, "times": 4})
    mine = work(sandbox)
    files = mine.fill(10)
    mine.command(*mine.arguments(*PACE, "-v")).expect(0)

    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)
    assert {line["attempts"] for line in mine.manifest().values()} == {1}
    assert mine.summary()["throttled"] == 4


def test_lost_answers_to_creates_leave_no_second_import(work: Work, sandbox: SandboxVendor) -> None:
    sandbox.faults({"operation": "create", "kind": "lost_reply", "skip": 2, "times": 5})
    mine = work(sandbox)
    files = mine.fill(12)
    mine.command(*mine.arguments(*PACE, "-v")).expect(0)

    assert_each_once(sandbox.received(), files)
    assert len(sandbox.counters()["created_ids"]) == len(files)
    mine.assert_collected(files)


@pytest.mark.parametrize(
    ("kind", "if_none_match"),
    [
        ("lost_reply", "accept"),
        pytest.param("lost_reply", "not_implemented", marks=pytest.mark.slow),
        ("lost_reply", "not_signed"),
        pytest.param("drop_before", "accept", marks=pytest.mark.slow),
        pytest.param("error_after", "not_implemented", marks=pytest.mark.slow),
    ],
)
def test_uploads_in_doubt_bring_the_data_once(
    work: Work, sandbox: SandboxVendor, kind: str, if_none_match: str
) -> None:
    sandbox.settings(if_none_match=if_none_match)
    sandbox.faults({"operation": "upload", "kind": kind, "skip": 1, "times": 3})
    mine = work(sandbox, BULKHEAD_SETTLE_S="0.5")
    files = mine.fill(6)
    mine.command(*mine.arguments(*PACE)).expect(0)

    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


def test_an_expired_upload_url_is_renewed(work: Work, sandbox: SandboxVendor) -> None:
    sandbox.faults({"operation": "upload", "kind": "expire_url", "times": 3})
    mine = work(sandbox)
    files = mine.fill(4)
    mine.command(*mine.arguments(*PACE)).expect(0)

    assert_each_once(sandbox.received(), files)
    assert len(sandbox.counters()["created_ids"]) == len(files)
    mine.assert_collected(files)


def test_a_bad_key_stops_at_once_and_leaves_a_state_that_resumes(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(5)
    finished = mine.command(*mine.arguments(*PACE), variables={"DROMO_LICENSE_KEY": "another"}).expect(7)

    assert "key" in finished.text
    assert set(mine.states().values()) <= {"queued"}, "what the refusal left of the listing"
    assert (mine.summary()["state"], mine.summary()["exit_code"]) == ("paused", 7)
    assert sandbox.counters()["created_ids"] == []

    mine.command("resume", *PACE).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


def test_a_missing_schema_stops_its_route_alone(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(9)
    config = mine.home / "bulkhead.toml"
    config.write_text(
        '[[routes]]\nmatch = "a/**"\nschema_id = "gone"\n\n[[routes]]\nmatch = "**"\nschema_id = "customers"\n'
    )
    finished = mine.command("run", "inbox", "--out", "out", *PACE).expect(7)

    assert "schema" in finished.text
    assert mine.states() == {name: "queued" if name.startswith("a/") else "collected" for name in files}
    assert len(sandbox.counters()["created_ids"]) == 6

    config.write_text('[[routes]]\nmatch = "**"\nschema_id = "customers"\n')
    mine.command("run", "inbox", "--out", "out", *PACE).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


def test_a_refused_create_fails_its_item_with_the_vendors_own_words(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(4)
    (mine.home / "settings.json").write_text('{"invalidDataBehavior": "SHRUG"}')
    mine.command(*mine.arguments("--settings", "settings.json", *PACE)).expect(4)

    lines = mine.manifest().values()
    assert [(line["state"], line["error_code"], line["attempts"]) for line in lines] == [
        ("failed", "create_refused", 1)
    ] * len(files)
    assert all("SHRUG" in line["error_message"] for line in lines)


@pytest.mark.slow
def test_results_that_find_no_space_are_fetched_by_the_next_run(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = {"small.csv": rows(1), "large.csv": rows(2, count=40_000)}
    for name, content in files.items():
        mine.add(name, content)
    finished = mine.command(*mine.arguments(*PACE), largest_file_bytes=1_000_000).expect(5)

    assert "space" in finished.text
    assert mine.manifest()["large.csv"]["state"] == "succeeded"
    assert not list(mine.out.rglob("*.partial"))

    mine.command("resume", *PACE).expect(0)
    assert_each_once(sandbox.received(), files)
    assert set(mine.states().values()) == {"collected"}


def test_a_ledger_that_finds_no_space_sends_nothing_it_cannot_record(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(60)
    finished = mine.command(*mine.arguments(*PACE), largest_file_bytes=200_000).expect(5)

    assert "space" in finished.text
    mine.command(*mine.arguments(*PACE)).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


@pytest.mark.slow
def test_an_unreachable_vendor_leaves_everything_for_a_later_run(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    sandbox.faults({"operation": "create", "kind": "error", "status": 503})
    with mine.command.start(*mine.arguments(*PACE, "--max-duration", "3s", "--json")) as running:
        ended: dict[str, Any] = running.wait().events[-1]
    assert (ended["event"], ended["exit_code"]) == ("batch_finished", 10)
    assert mine.states() == dict.fromkeys(files, "queued")

    sandbox.faults()
    mine.command("resume", *PACE).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)

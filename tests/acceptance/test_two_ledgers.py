"""Two ledgers for one source: whatever people do to them, no content is imported twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once, sha256
from tests.acceptance.vendors import SandboxVendor
from tests.support.command import Command, Running

Work = Callable[..., Workspace]

FILES = 24
PACE = ("--create-quota", "4/1s", "--uploads", "4")


def elsewhere(mine: Workspace) -> Command:
    """Return the command as the same user calls it in another working directory."""
    other = mine.home / "elsewhere"
    other.mkdir()
    return Command(
        other,
        api_url=mine.command.environment["BULKHEAD_API_URL"],
        HOME=str(mine.home),
        XDG_STATE_HOME=mine.command.environment["XDG_STATE_HOME"],
    )


def run_of(source: Path | str, *more: str) -> list[str]:
    return ["run", str(source), "--schema-id", "customers", *PACE, *more]


def until_collecting(run: Running) -> None:
    assert run.until_event(lambda event: event.get("new") == "collected")


def test_a_run_in_another_directory_imports_nothing_of_a_source_that_a_run_is_importing(
    work: Work, slow_sandbox: SandboxVendor
) -> None:
    mine = work(slow_sandbox)
    files = mine.fill(3)
    other = elsewhere(mine)
    with mine.command.start(*run_of(mine.inbox, "--json")) as first:
        assert first.until_event(lambda event: event.get("new") == "processing")
        refused = other(*run_of(mine.inbox))
        below = other(*run_of(mine.inbox / "a"))
        slow_sandbox.finish_all()
        first.wait().expect(0)
    assert_each_once(slow_sandbox.received(), files)

    ledger = str(mine.home / ".bulkhead" / "ledger.db")
    for finished in (refused.expect(11), below.expect(11)):
        assert str(first.pid) in finished.text
        assert ledger in finished.text
        assert str(mine.inbox) in finished.text
        assert f"bulkhead status --ledger {ledger}" in finished.text

    told = other(*run_of(mine.inbox)).expect(0)
    assert f"the last run of {mine.inbox} used another ledger: {ledger}" in told.text
    assert_each_once(slow_sandbox.received(), files)


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param((".bulkhead",), id="ledger"),
        pytest.param((".bulkhead", ".state"), id="ledger and locks", marks=pytest.mark.slow),
    ],
)
def test_a_ledger_that_is_deleted_during_its_run_leads_to_no_second_import(
    work: Work, sandbox: SandboxVendor, lost: tuple[str, ...]
) -> None:
    mine = work(sandbox)
    files = mine.fill(FILES)
    with mine.command.start(*run_of("inbox", "--out", "out", "--json")) as first:
        until_collecting(first)
        for name in lost:
            shutil.rmtree(mine.home / name)
        second = mine.command(*run_of("inbox", "--out", "out-2"))
        ended = first.wait()
    last = mine.command(*run_of("inbox", "--out", "out-2")).expect(0)
    assert_each_once(sandbox.received(), files)

    ended.expect(7)
    assert "ledger" in ended.events[-1]["reason"]
    assert second.code in (0, 11)
    assert "Traceback" not in last.text


@pytest.mark.slow
def test_two_machines_that_import_one_source_notice_each_other_in_the_vendors_list(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine, theirs = work(sandbox), work(sandbox, name="another machine")
    files = mine.fill(60)
    runs = [home.command.start(*run_of(mine.inbox, "--json")) for home in (mine, theirs)]
    with runs[0], runs[1]:
        ended = [run.wait() for run in runs]
    assert {finished.code for finished in ended} <= {0, 7}
    stopped = [finished.events[-1]["reason"] for finished in ended if finished.code == 7]
    assert stopped
    assert all("a run with another ledger is importing the same files now: " in reason for reason in stopped)

    mine.command(*run_of(mine.inbox)).expect(0)
    received = sandbox.received()
    assert received.keys() == {sha256(content) for content in files.values()}
    assert sum(len(imports) > 1 for imports in received.values()) <= 12, "twice"

"""Several commands at once: one ledger takes one run, one account has one quota."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once
from tests.acceptance.vendors import DrfVendor, SandboxVendor

Work = Callable[..., Workspace]


def test_a_ledger_that_a_run_holds_refuses_another_run_and_answers_questions(
    work: Work, slow_sandbox: SandboxVendor
) -> None:
    mine = work(slow_sandbox)
    files = mine.fill(3)
    with mine.command.start(*mine.arguments("--json")) as first:
        assert first.until_event(lambda event: event.get("new") == "processing")
        refused = mine.command(*mine.arguments()).expect(11)
        assert b"Traceback" not in refused.stderr
        mine.command("resume").expect(11)
        status = mine.command("status", "--json").expect(0).document
        assert sum(status["by_state"].values()) == len(files)
        first.send(signal.SIGTERM)
        first.wait().expect(143)
    slow_sandbox.finish_all()
    mine.command("resume").expect(0)
    assert_each_once(slow_sandbox.received(), files)


def test_a_ledger_is_free_again_after_its_run_was_killed(work: Work, slow_sandbox: SandboxVendor) -> None:
    mine = work(slow_sandbox)
    files = mine.fill(3)
    with mine.command.start(*mine.arguments("--json")) as first:
        assert first.until_event(lambda event: event.get("new") == "processing")
        first.kill()
    slow_sandbox.finish_all()
    mine.command("resume").expect(0)
    assert_each_once(slow_sandbox.received(), files)


@pytest.mark.slow
def test_two_ledgers_of_one_account_share_its_quota(work: Work, start_drf: Callable[..., DrfVendor]) -> None:
    quota = "24/3s"
    vendor = start_drf(rate=quota)
    mine = work(vendor)
    files = mine.fill(60)
    halves = [
        mine.command.start(
            "run", *half, "--schema-id", "customers", "--create-quota", quota,
            "--ledger", f"{half[0][-1]}.db", "--out", f"out-{half[0][-1]}",
        )
        for half in (("inbox", "--exclude", "c/**"), ("inbox/c",))
    ]  # fmt: skip
    for half in halves:
        with half:
            half.wait().expect(0)

    seen = vendor.oracle()
    assert seen["refused"] == []
    assert len(seen["accepted"]) == len(files)
    assert_each_once(seen["received"], files)

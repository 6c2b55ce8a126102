"""Rows that the vendor drops from results: what the command says of them, and its exit codes."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance.inbox import Workspace, rows
from tests.acceptance.vendors import SandboxVendor

PACE = ("--create-quota", "1000/2s")

Work = Callable[..., Workspace]


def lossy(number: int) -> bytes:
    """A file of four rows, of which one has no address."""
    return rows(number) + b"Nobody,not an address\n"


def test_a_run_says_how_many_rows_were_left_out_and_why(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(2)
    mine.add("lossy.csv", lossy(7))
    finished = mine.command(*mine.arguments(*PACE)).expect(0)

    assert "3 files, 9 rows in results; 1 row left out in 1 file" in finished.text
    assert "lossy.csv" in finished.text.partition("Rows left out")[2]
    line = mine.manifest()["lossy.csv"]
    assert (line["rows_in"], line["row_count"], line["rows_left_out"]) == (4, 3, 1)
    assert [(one["rule"], one["count"]) for one in line["left_out_reasons"]] == [("email", 1)]
    assert "not an address" not in (mine.out / "manifest.jsonl").read_text("utf-8")
    summary = mine.summary()
    assert (summary["rows_in"], summary["rows_left_out"], summary["files_with_rows_left_out"]) == (10, 1, 1)
    assert summary["files_with_unknown_rows"] == 0
    assert "1 row left out in 1 file" in summary["reason"]
    status = mine.command("status", "--json").expect(0).document
    assert (status["row_count"], status["rows_left_out"]) == (9, 1)
    assert "1 row left out in 1 file" in mine.command("status").expect(0).text


def test_4_when_rows_are_left_out_and_that_is_a_failure(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.add("lossy.csv", lossy(8))
    finished = mine.command(*mine.arguments(*PACE, "--fail-on-lost-rows")).expect(4)
    assert (mine.states(), mine.summary()["exit_code"]) == ({"lossy.csv": "collected"}, 4)
    assert "1 row left out" in finished.text


def test_8_when_too_many_rows_are_left_out_and_the_rest_waits(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    for number in range(30):
        mine.add(f"{number:02}.csv", lossy(100 + number))
    slowly = ("--uploads", "1", "--create-quota", "4/2s")
    finished = mine.command(*mine.arguments("--max-rows-lost", "2", *slowly)).expect(8)
    assert (mine.summary()["state"], mine.summary()["exit_code"]) == ("paused", 8)
    assert list(mine.states().values()).count("queued") > 0
    assert "bulkhead resume" in finished.text

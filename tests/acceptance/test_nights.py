"""Nights of one inbox, each with an output of its own: a review, a failure, an outage, and what each night says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.inbox import Workspace, rows
from tests.acceptance.vendors import SandboxVendor
from tests.support.command import Finished

DAMAGED = b"PK\x03\x04 the rest of this workbook was lost"
NO_ADDRESS = b"Full Name,Email\n,no-address\n"


class Night:
    """One run over the inbox, and what it left behind."""

    def __init__(self, mine: Workspace, number: int, *options: str) -> None:
        self._mine = mine
        self.out = mine.home / f"night-{number}"
        pace = ("--create-quota", "1000/2s", "--give-up-after", "2s")
        self.finished: Finished = mine.command(
            "run", "inbox", "--schema-id", "strict", "--out", str(self.out), *pace, *options
        )

    @property
    def lines(self) -> dict[str, dict[str, Any]]:
        return self._mine.manifest(self.out)

    @property
    def states(self) -> dict[str, str]:
        return {source: line["state"] for source, line in self.lines.items()}

    @property
    def summary(self) -> dict[str, Any]:
        return self._mine.summary(self.out)

    @property
    def report(self) -> str:
        return (self.out / "report.html").read_text("utf-8")


def test_each_night_says_what_is_left_of_it_and_of_the_nights_before(
    work: Callable[..., Workspace], sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    mine.add("good.csv", rows(1))
    mine.add("east.csv", NO_ADDRESS)
    mine.add("broken.xlsx", DAMAGED)
    first = Night(mine, 1)
    first.finished.expect(4)
    assert first.states == {"broken.xlsx": "failed", "east.csv": "needs_review", "good.csv": "collected"}
    review = first.lines["east.csv"]
    assert review["review_url"] in first.report

    mine.add("new.csv", rows(2))
    sandbox.faults(*({"operation": one, "kind": "error", "status": 503} for one in ("list", "create", "retrieve")))
    second = Night(mine, 2)
    second.finished.expect(5)
    assert second.states["new.csv"] == "queued"
    assert second.summary["exit_code"] == 5
    assert "not finished" in second.report
    assert "1 open review of earlier batches" in second.finished.text

    listed = mine.command("reviews", "--json").expect(0).document
    assert [(one["source"], one["batch_id"], one["superseded"]) for one in listed] == [
        ("east.csv", review["batch_id"], False)
    ]
    sandbox.faults()
    sandbox.finish_review(review["import_id"])
    mine.add("good.csv", rows(3))
    third = Night(mine, 2)
    third.finished.expect(4)
    assert "collected 1 finished review of batch" in third.finished.text
    assert (third.lines["new.csv"]["state"], third.lines["broken.xlsx"]["error_code"]) == ("collected", "failed_before")
    assert first.lines["east.csv"]["state"] == "collected"
    assert json.loads((first.out / "results" / "east.csv.json").read_bytes()) is not None
    assert "broken.xlsx" in third.report

    mine.command("dismiss", "--match", "broken*", "--reason", "the sender no longer exists").expect(0)
    fourth = Night(mine, 4)
    fourth.finished.expect(0)
    assert fourth.states == {
        "broken.xlsx": "skipped", "east.csv": "skipped", "good.csv": "collected", "new.csv": "skipped",
    }  # fmt: skip
    assert fourth.lines["east.csv"]["result"] == str(first.out / "results" / "east.csv.json")
    assert Path(fourth.lines["new.csv"]["result"]).parent.parent == third.out

    fifth = Night(mine, 5)
    fifth.finished.expect(0)
    assert set(fifth.states.values()) == {"skipped"}
    nothing = mine.command("track").expect(0).text
    assert ": nothing new; " in nothing
    assert "no review is open" in nothing

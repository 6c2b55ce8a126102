"""Each exit code, and that `--json` writes nothing but events to stdout."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.inbox import Workspace, assert_each_once, rows
from tests.acceptance.vendors import SandboxVendor

PACE = ("--create-quota", "1000/2s")
HEADERLESS = b"one,two\nthree,four\n"
DAMAGED = b"PK\x03\x04 the rest of this workbook was lost "

Work = Callable[..., Workspace]


def test_0_when_every_file_was_imported_and_when_none_has_changed(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    events = mine.command(*mine.arguments(*PACE, "--json")).expect(0).events

    assert events[0]["event"] == "batch_started"
    assert (events[-1]["event"], events[-1]["exit_code"]) == ("batch_finished", 0)
    assert {event["source"] for event in events if event["event"] == "item_moved"} == files.keys()

    mine.command.program = ["-P", "-m", "runner"]  # in a new process, as users run it
    mine.command(*mine.arguments(*PACE)).expect(0)
    assert mine.states() == dict.fromkeys(files, "skipped")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "inbox"],
        ["run", "inbox", "--schema-id", "customers", "--create-quota", "many"],
        ["run", "inbox", "--no-such-option"],
        ["run", "inbox", "--schema-id", "customers", "--config", "absent.toml"],
        ["run"],
        ["resume"],
        ["redrive", "--state", "collected"],
    ],
    ids=" ".join,
)
def test_2_for_a_mistake_in_options_or_settings(work: Work, sandbox: SandboxVendor, arguments: list[str]) -> None:
    mine = work(sandbox)
    mine.fill(1)
    finished = mine.command(*arguments).expect(2)
    assert finished.stderr
    assert b"Traceback" not in finished.stderr
    assert sandbox.counters()["created_ids"] == []


def test_2_without_a_license_key(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(1)
    assert "DROMO_LICENSE_KEY" in mine.command(*mine.arguments(), variables={"DROMO_LICENSE_KEY": ""}).expect(2).text


def test_3_where_there_is_no_such_directory(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    assert "elsewhere" in mine.command("run", "elsewhere", "--schema-id", "customers").expect(3).text


def test_4_when_items_failed_or_were_rejected_and_the_others_are_done(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(2)
    mine.add("empty.csv", b"")
    mine.add("letter.pdf", b"%PDF-1.7")
    mine.add("damaged.xlsx", DAMAGED)
    mine.add("broken.json", b"[{]")
    mine.command(*mine.arguments(*PACE)).expect(4)

    codes = {source: (line["state"], line["error_code"]) for source, line in mine.manifest().items()}
    assert codes == {
        **dict.fromkeys(files, ("collected", None)),
        "empty.csv": ("rejected", "empty"),
        "letter.pdf": ("rejected", "unsupported_type"),
        "damaged.xlsx": ("failed", "import_failed"),
        "broken.json": ("rejected", "invalid_json"),
    }
    assert mine.summary()["exit_code"] == 4


def test_5_when_the_vendor_did_not_answer_for_too_long_and_the_rest_waits(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    sandbox.faults(*({"operation": one, "kind": "error", "status": 503} for one in ("list", "create", "retrieve")))
    finished = mine.command(*mine.arguments(*PACE, "--give-up-after", "3s")).expect(5)

    sentence = re.compile(r"vendor unreachable since \d\d:\d\d: the API answered 503")
    assert sentence.search(finished.text)
    assert sentence.search(mine.command("status").expect(0).text)
    assert sentence.search(mine.summary()["reason"])
    sandbox.faults()
    mine.command(*mine.arguments(*PACE)).expect(0)
    assert_each_once(sandbox.received(), files)
    assert "unreachable" not in mine.command("status").expect(0).text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_watch_of_reviews_with_its_code(
    work: Work, sandbox: SandboxVendor, number: signal.Signals
) -> None:
    mine = work(sandbox)
    mine.add("strange.csv", HEADERLESS)
    mine.command(*mine.arguments(*PACE)).expect(6)
    with mine.command.start("track", "--watch", "--json") as running:
        assert running.until_event(lambda event: event["event"] == "batch_started")
        running.send(number)
        running.wait(20).expect(128 + number)
    assert (mine.summary()["state"], mine.summary()["exit_code"]) == ("settled", 128 + number)


def test_6_when_a_person_must_look_at_an_import(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.fill(2)
    mine.add("strange.csv", HEADERLESS)
    finished = mine.command(*mine.arguments(*PACE)).expect(6)

    line = mine.manifest()["strange.csv"]
    assert (line["state"], line["status"]) == ("needs_review", "NEEDS_REVIEW")
    assert line["review_url"] in finished.text
    assert (mine.summary()["state"], mine.summary()["exit_code"]) == ("settled", 6)


def test_8_when_the_failure_threshold_is_reached_and_the_rest_waits(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    for number in range(30):
        mine.add(f"{number:02}.xlsx", DAMAGED + bytes([number]))
    finished = mine.command(*mine.arguments("--max-failures", "2", "--uploads", "1", "--create-quota", "4/2s")).expect(
        8
    )

    states = list(mine.states().values())
    assert (mine.summary()["state"], mine.summary()["exit_code"]) == ("paused", 8)
    assert states.count("failed") >= 2
    assert states.count("queued") > 0
    assert "bulkhead resume" in finished.text


def test_9_when_there_is_nothing_to_do_and_that_was_to_be_told(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    mine.command(*mine.arguments()).expect(0)
    mine.command(*mine.arguments("--fail-if-empty")).expect(9)


def test_10_when_the_time_is_up_and_the_rest_waits(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(12)
    finished = mine.command(*mine.arguments("--max-duration", "1s", "--create-quota", "4/20s")).expect(10)

    assert (mine.summary()["state"], mine.summary()["exit_code"]) == ("paused", 10)
    assert list(mine.states().values()).count("queued") == 8
    assert "bulkhead resume" in finished.text
    mine.command(*mine.arguments(*PACE), variables={"XDG_STATE_HOME": str(mine.home / "fresh")}).expect(0)
    assert_each_once(sandbox.received(), files)
    mine.assert_collected(files)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_drains_and_leaves_a_state_that_resumes(
    work: Work, slow_sandbox: SandboxVendor, number: signal.Signals, code: int
) -> None:
    mine = work(slow_sandbox)
    files = mine.fill(10)
    with mine.command.start(*mine.arguments("--json", "--create-quota", "6/20s")) as running:
        assert running.until_event(moved_to("processing"))
        running.send(number)
        finished = running.wait().expect(code)

    assert (finished.events[-1]["event"], finished.events[-1]["exit_code"]) == ("batch_finished", code)
    assert mine.summary()["state"] == "interrupted"
    assert set(mine.states().values()) <= {"processing", "queued"}, "what was under way came to a safe point"

    slow_sandbox.finish_all()
    mine.command("resume", *PACE, variables={"XDG_STATE_HOME": str(mine.home / "fresh")}).expect(0)
    assert_each_once(slow_sandbox.received(), files)
    mine.assert_collected(files)


@pytest.mark.slow
def test_a_second_signal_stops_at_once_with_a_state_that_resumes(work: Work, sandbox: SandboxVendor) -> None:
    sandbox.faults({"operation": "upload", "kind": "stall", "delay_s": 600})
    mine = work(sandbox)
    files = {"large.csv": rows(1, count=50_000)}
    mine.add("large.csv", files["large.csv"])
    with mine.command.start(*mine.arguments(*PACE, "--json")) as running:
        assert running.until_event(moved_to("created"))
        running.send(signal.SIGINT)
        assert running.until_stderr(b"press Ctrl-C again")
        running.send(signal.SIGINT)
        running.wait(10).expect(130)

    assert mine.states() == {"large.csv": "created"}
    sandbox.faults()
    mine.command("resume", *PACE).expect(0)
    assert_each_once(sandbox.received(), files)


def moved_to(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "item_moved" and event["new"] == state


def test_2_where_results_cannot_be_written_and_nothing_was_sent(work: Work, sandbox: SandboxVendor) -> None:
    mine = work(sandbox)
    files = mine.fill(2)
    (mine.home / "taken").write_text("a file")
    printed = mine.command("run", "inbox", "--schema-id", "customers", "--out", "taken/out", *PACE).expect(2)
    assert b"taken" in printed.stderr
    assert sandbox.counters()["created_ids"] == []

    mine.command(*mine.arguments(*PACE)).expect(0)
    mine.assert_collected(files)


@pytest.mark.slow
def test_3_where_a_resume_does_not_find_the_directory_and_no_item_pays_for_it(
    work: Work, sandbox: SandboxVendor
) -> None:
    mine = work(sandbox)
    files = mine.fill(3)
    sandbox.faults({"operation": "create", "kind": "error", "status": 400, "times": 3})
    mine.command(*mine.arguments(*PACE)).expect(4)
    mine.command("redrive").expect(0)
    mine.inbox.rename(mine.home / "elsewhere")
    assert b"inbox" in mine.command("resume", *PACE).expect(3).stderr
    assert mine.states() == dict.fromkeys(files, "queued")

    (mine.home / "elsewhere").rename(mine.inbox)
    mine.command("resume", *PACE).expect(0)
    mine.assert_collected(files)

"""Messages say what happened and what to type next, and no more than that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from runner.config.notify_values import Occasion
from runner.events import BatchFinished, BatchStarted, OutageBegan
from runner.masking import Mask
from runner.models import BatchState
from runner.notify.message import Message, ended, not_run, unreachable

STARTED = BatchStarted(
    batch_id="b-1", source_uri="file:///data/in%20box", out="/data/out", resumed=False, by_state={}, slots_free=1
)
DONE = BatchFinished(
    batch_id="b-1",
    state=BatchState.COMPLETE,
    by_state={"collected": 1200, "skipped": 3},
    exit_code=0,
    reason="all items are collected or skipped",
)
REVIEWS = replace(
    DONE,
    state=BatchState.SETTLED,
    exit_code=6,
    by_state={"needs_review": 1, "collected": 2},
    reason="1 item needs review",
)
FAILED = replace(DONE, exit_code=4, by_state={"failed": 2}, reason="2 items failed or were rejected")
STOPPED = replace(
    DONE,
    state=BatchState.INTERRUPTED,
    exit_code=130,
    by_state={"queued": 4, "collected": 1},
    reason="stopped on request",
)
OUTAGE = "vendor unreachable since 02:14: connection refused"
UNREACHED = replace(STOPPED, state=BatchState.PAUSED, exit_code=5, reason=OUTAGE)


def told(event: BatchFinished, *, options: str | None = "", outage_told: bool = False) -> Message:
    return ended(event, STARTED, options=options, outage_told=outage_told)


def test_the_end_of_a_batch_has_counts_exit_code_report_and_id() -> None:
    message = told(DONE)
    assert message.title == "Bulkhead: batch finished with exit code 0"
    assert message.body.splitlines() == [
        "Batch b-1 of /data/in box finished with exit code 0.",
        "1,203 items: 1,200 collected, 3 skipped.",
        "Report: /data/out/report.html",
    ]
    assert message.level == "success"


@pytest.mark.parametrize(
    ("event", "verb", "step", "level"),
    [
        (REVIEWS, "finished", "bulkhead reviews", "warning"),
        (FAILED, "finished", "bulkhead status b-1", "failure"),
        (STOPPED, "was interrupted", "bulkhead resume b-1", "warning"),
        (replace(REVIEWS, exit_code=130), "was interrupted", "bulkhead track b-1", "warning"),
        (UNREACHED, "paused", "bulkhead resume b-1", "failure"),
        (replace(UNREACHED, exit_code=7), "paused", "fix the cause, then bulkhead resume b-1", "failure"),
    ],
)
def test_each_end_names_the_reason_and_the_command_that_continues(
    event: BatchFinished, verb: str, step: str, level: str
) -> None:
    message = told(event, options=" --ledger L")
    assert f"Batch b-1 of /data/in box {verb} with exit code {event.exit_code}." in message.body
    assert event.reason in message.body
    assert message.body.endswith(f"\nNext: {step} --ledger L")
    assert message.level == level


@pytest.mark.parametrize(
    ("uri", "out", "named"),
    [
        ("file:///a%3Fb", "/out/100%25 done?#", ("of /a?b ", "Report: /out/100%25 done?#/report.html")),
        ("s3://in/2026/a%20b/", "s3://out/x/", ("of s3://in/2026/a b/ ", "Report: s3://out/x/report.html")),
        ("list+file:///lists/night.txt?file:///data", "/o", ("of /lists/night.txt ", "Report: /o/report.html")),
    ],
)
def test_places_are_named_as_people_write_them(uri: str, out: str, named: tuple[str, str]) -> None:
    body = ended(DONE, replace(STARTED, source_uri=uri, out=out), outage_told=False).body
    assert all(name in body for name in named), body


def test_no_command_continues_what_an_embedded_sandbox_did() -> None:
    assert "Next" not in told(REVIEWS, options=None).body


@pytest.mark.parametrize(
    ("event", "occasions"),
    [
        (DONE, {Occasion.FINISHED}),
        (REVIEWS, {Occasion.FINISHED, Occasion.NEEDS_REVIEW}),
        (STOPPED, {Occasion.PAUSED}),
        (replace(STOPPED, exit_code=10, state=BatchState.PAUSED), {Occasion.PAUSED}),
        (replace(REVIEWS, exit_code=143), {Occasion.PAUSED, Occasion.NEEDS_REVIEW}),
        (UNREACHED, {Occasion.PAUSED, Occasion.UNREACHABLE}),
    ],
)
def test_an_end_is_about_all_that_it_can_be_chosen_for(event: BatchFinished, occasions: set[Occasion]) -> None:
    assert told(event).occasions == occasions


def test_reviews_of_earlier_batches_count_whatever_else_happened() -> None:
    message = ended(FAILED, STARTED, earlier_reviews=2, outage_told=False)
    assert message.occasions == {Occasion.FINISHED, Occasion.NEEDS_REVIEW}
    assert "\n2 open reviews of earlier batches.\n" in message.body
    assert message.body.endswith("\nNext: bulkhead reviews")


def test_an_outage_that_was_told_of_is_not_told_of_at_the_end_again() -> None:
    assert told(UNREACHED, outage_told=True).occasions == {Occasion.PAUSED}


def test_an_outage_says_since_when_and_that_the_run_goes_on() -> None:
    since = datetime(2026, 7, 1, 2, 14, tzinfo=UTC)
    message = unreachable(OutageBegan(since=since, reason="connection refused", message=OUTAGE), "b-1")
    assert f"since {since.astimezone():%H:%M}: connection refused" in message.body
    assert "Batch b-1 waits, and continues when the vendor answers." in message.body
    assert message.occasions == {Occasion.UNREACHABLE}


def test_an_error_has_its_hint() -> None:
    message = not_run("inbox does not exist", "create it", 3)
    assert message.body == "Bulkhead ended with exit code 3: inbox does not exist\nNext: create it"
    assert message.occasions == {Occasion.PAUSED}


def test_no_message_has_the_key_a_signed_url_or_control_characters() -> None:
    reason = "a\x1b[2J.csv: canary-license-key, https://s3.example/x?X-Amz-Signature=canary2"
    mask = Mask("canary-license-key")
    since = datetime(2026, 7, 1, tzinfo=UTC)
    for message in (
        ended(replace(UNREACHED, reason=reason), STARTED, outage_told=False, mask=mask),
        unreachable(OutageBegan(since=since, reason=reason, message=reason), "b-1", mask=mask),
        not_run(reason, reason, 1, mask=mask),
    ):
        assert "canary" not in message.body
        assert "\x1b" not in message.body


def test_a_message_is_short_whatever_its_parts() -> None:
    started = replace(STARTED, source_uri="file:///" + "x" * 5000, out="/" + "y" * 5000)
    message = ended(replace(UNREACHED, reason="z " * 5000), started, outage_told=False)
    assert len(message.body) < 1500

"""One table shows batches, and one screen the state of a batch, whether a ledger or a deployment holds them."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from runner.cli.cloud_tables import print_cloud_batches, print_cloud_status
from runner.cli.json_output import stack_status_document, status_document
from runner.cli.tables import print_batches, print_findings, print_status
from runner.cli.triage import Triage
from runner.cloud.ops.stack import Sender
from runner.findings import warn
from runner.local.pace import Pace
from runner.models import Batch, BatchState, BatchStatus, ItemState

BATCH = Batch(
    batch_id="20260723-101502-k3f9x2",
    source_uri="file:///in",
    account="acc",
    out="/out",
    config="{}",
    started_at=datetime(2026, 7, 23, 10, 15, 2, tzinfo=UTC),
    state=BatchState.COMPLETE,
)
BY_STATE = {ItemState.COLLECTED: 1200, ItemState.SKIPPED: 1, ItemState.FAILED: 2, ItemState.UNCERTAIN: 1}


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200, markup=False, emoji=False, highlight=False)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_batches_are_a_table_of_counts(console: Console) -> None:
    print_batches(console, [BatchStatus(batch=BATCH, by_state=BY_STATE)])
    assert lines(console) == [
        "STATE     ITEMS   DONE  OPEN  REVIEW  FAILED  BATCH                   SOURCE",
        "complete  1,204  1,201     0       0       3  20260723-101502-k3f9x2  /in",
    ]


def test_an_empty_ledger_has_no_batches(console: Console) -> None:
    print_batches(console, [])
    assert lines(console) == ["the ledger has no batches yet"]


def test_a_batch_is_shown_with_its_state_and_items(console: Console) -> None:
    print_status(console, BatchStatus(batch=BATCH, by_state={ItemState.FAILED: 2}))
    assert lines(console) == [
        "Batch 20260723-101502-k3f9x2",
        "  state    complete",
        "  source   /in",
        "  started  2026-07-23T10:15:02.000Z",
        "  results  /out",
        "",
        "  failed               2",
    ]


def test_a_deployment_adds_its_keys_to_the_document_of_a_batch() -> None:
    batch = replace(BATCH, config='{"driver": "stack"}')
    found = BatchStatus(batch=batch, by_state=BY_STATE, moves=3, manifest_moves=2)
    local = status_document(BatchStatus(batch=BATCH, by_state=BY_STATE))
    document = stack_status_document(found, Sender(by="container", is_there=False))
    added = ["driver", "listed", "manifest", "manifest_is_current", "submit_by", "worker_is_there"]
    assert list(document) == [*local, *added]
    assert (document["submit_by"], document["worker_is_there"]) == ("container", False)
    assert document["manifest"] == "/out/manifest.jsonl"
    assert document["manifest_is_current"] is False


@pytest.mark.parametrize(
    ("sender", "driver", "is_offered"),
    [
        (Sender(by="functions"), "the stack", False),
        (Sender(by="container", is_there=True), "the stack; a worker sends its files", False),
        (Sender(by="container", is_there=False), "the stack, but no worker is there", True),
    ],
)
def test_files_that_wait_for_a_worker_that_is_not_there_are_shown_with_the_command_that_sends_them(
    console: Console, sender: Sender, driver: str, is_offered: bool
) -> None:
    found = BatchStatus(batch=replace(BATCH, config='{"driver": "stack"}'), by_state={ItemState.QUEUED: 3})
    print_cloud_status(console, found, Triage(), sender=sender, options=" --stack b")
    shown = lines(console)
    assert f"  driven by  {driver}" in shown
    assert ("  bulkhead cloud work --stack b" in shown) == is_offered
    print_cloud_batches(console, [found], sender=sender, nightly_prefix_url="s3://inbox/nightly/", options="")
    assert ("  bulkhead cloud work" in lines(console)) == is_offered


def test_a_running_batch_is_shown_with_its_pace(console: Console) -> None:
    now = datetime(2026, 7, 23, 10, 30, tzinfo=UTC)
    pace = Pace(last_move_at=now - timedelta(minutes=3), per_minute=11.96, done_at=now + timedelta(hours=40))
    print_status(console, BatchStatus(batch=BATCH, by_state={}), pace=pace, now=now)
    shown = dict(line.strip().split("  ", 1) for line in lines(console) if line.startswith("  ") and "  " in line[2:])
    assert shown["rate"].strip() == "12 items a minute"
    assert shown["done"].strip() == f"about {(now + timedelta(hours=40)).astimezone():%Y-%m-%d %H:%M}, in 1 d 16 h"
    assert shown["last move"].strip() == f"3 minutes ago, at {(now - timedelta(minutes=3)).astimezone():%H:%M}"


def test_sources_are_shown_as_a_person_writes_them(console: Console) -> None:
    for uri in ("file:///in/a%20b", "s3://bucket/pre%20fix/"):
        print_batches(console, [BatchStatus(batch=replace(BATCH, source_uri=uri), by_state={})])
    sources = [line.rpartition("k3f9x2  ")[2] for line in lines(console) if "k3f9x2" in line]
    assert sources == ["/in/a b", "s3://bucket/pre fix/"]


def test_long_sentences_break_between_words_on_a_terminal_and_stay_in_their_column() -> None:
    sentence = "no managed webhook can report its imports: an inline schema needs an importIdentifier for that"
    to = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, markup=False, highlight=False)
    print_findings(to, [warn("webhooks of route orders", sentence, sentence)])
    print_status(to, BatchStatus(batch=replace(BATCH, reason=sentence), by_state={}))
    shown = lines(to)
    assert all(len(line) <= 80 for line in shown)
    assert " ".join(" ".join(shown).split()).count(sentence) == 3
    assert shown[1].startswith(" " * 34)

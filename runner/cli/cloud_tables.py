"""What the commands about a deployment on AWS show on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from runner.cli.styles import line
from runner.cli.summary import print_commands, print_failures
from runner.cli.tables import print_batch_table, print_status, redriven_sentence
from runner.clock import system_now
from runner.formatting import counted, lasting, shown
from runner.models import OPEN_STATES, ItemState, iso

if TYPE_CHECKING:
    from runner.cli.triage import Triage
    from runner.cloud.ops.redrive import Redriven
    from runner.cloud.ops.stack import Sender
    from runner.models import BatchStatus

Command = tuple[str, str]
"""A command to copy, and its effect."""

_NOT_IMPORTED = (ItemState.FAILED, ItemState.REJECTED, ItemState.UNCERTAIN)

_EVENTS = "import_completed, headless_import_needs_review, headless_import_failed"
_WEBHOOK_STEPS = {
    "current": (
        "In the vendor's dashboard, create a webhook with this URL for the events",
        f"{_EVENTS}.",
        "Anyone who has the URL can call it: keep it secret.",
    ),
    "next": (
        "Within five minutes, it is accepted in addition to the current one. Then:",
        "1. replace the old URL with it in the vendor's dashboard",
        "2. run: bulkhead webhook-url --rotate{options}",
    ),
    "rotated": ("Within five minutes, it is the only one that is accepted; the old one is rejected.",),
}


def print_started(console: Console, batch_id: str, *, options: str) -> None:
    """Write the id of a started batch, and how to watch it."""
    line(console, f"Batch {batch_id} is starting; listing its files first", style="bold")
    print_commands(
        console, [(f"bulkhead cloud status {batch_id}{options}", "shows its state; it appears within seconds")]
    )


def print_cloud_batches(
    console: Console, found: Sequence[BatchStatus], *, sender: Sender, nightly_prefix_url: str, options: str
) -> None:
    """Write one line per batch, oldest first."""
    if not found:
        line(console, "there are no batches yet")
        print_commands(console, [(f"bulkhead cloud start {nightly_prefix_url}{options}", "imports the files there")])
        return
    print_batch_table(console, found)
    commands = [(f"bulkhead cloud work{options}", _SENDS)] if any(_lacks_worker(one, sender) for one in found) else []
    if any(status.by_state.get(ItemState.NEEDS_REVIEW) for status in found):
        commands.append((f"bulkhead cloud reviews{options}", "lists the open reviews and their pages"))
    print_commands(console, commands)


_SENDS = "sends the files that wait: no worker does, and the stack leaves it to one"


def _lacks_worker(status: BatchStatus, sender: Sender) -> bool:
    """Return whether files of a batch wait for a worker that is not there."""
    waits = bool(status.by_state.get(ItemState.QUEUED))
    return waits and status.driver == "stack" and sender.is_there is False


def _sum(by_state: Mapping[ItemState, int], states: Iterable[ItemState]) -> int:
    return sum(by_state.get(state, 0) for state in states)


def print_cloud_status(console: Console, status: BatchStatus, triage: Triage, *, sender: Sender, options: str) -> None:
    """Write the state of one batch, why items were not imported, and the next commands."""
    batch = status.batch
    facts = [
        ("source", shown(batch.source_uri) + ("" if batch.listed else " (more files can come)")),
        ("started", f"{iso(batch.started_at)}, {_ago(batch.started_at)} ago"),
        ("driven by", _driver(status, sender)),
        ("results", shown(batch.out)),
        ("manifest", _manifest(status)),
    ]
    print_status(console, status, facts)
    print_failures(console, "Failed", triage.failed)
    print_failures(console, "Rejected", triage.rejected)
    print_failures(console, "Given up by the functions", triage.given_up)
    print_commands(console, _commands(status, triage, sender, options))


def _driver(status: BatchStatus, sender: Sender) -> str:
    if status.driver == "runner":
        return "a runner, not the stack"
    return {None: "the stack", True: "the stack; a worker sends its files", False: "the stack, but no worker is there"}[
        sender.is_there
    ]


def _commands(status: BatchStatus, triage: Triage, sender: Sender, options: str) -> list[Command]:
    batch_id, by_state = status.batch.batch_id, status.by_state
    commands = [(f"bulkhead cloud work{options}", _SENDS)] if _lacks_worker(status, sender) else []
    if by_state.get(ItemState.NEEDS_REVIEW):
        commands.append((f"bulkhead cloud reviews {batch_id}{options}", "lists the open reviews and their pages"))
    if status.driver == "runner":
        return commands
    commands += [
        (f"bulkhead cloud redrive {batch_id} --state {state}{options}", f"queues the {state} items again")
        for state in _NOT_IMPORTED
        if by_state.get(state)
    ]
    if _sum(by_state, _NOT_IMPORTED) and not (triage.failed or triage.rejected or triage.uncertain_count):
        commands.append(
            (f"bulkhead cloud manifest {batch_id} --to manifest.jsonl{options}", "writes the reason for each item")
        )
    if triage.given_up:
        commands.append((f"bulkhead cloud redrive {batch_id}{options}", "queues the items that were given up again"))
    if _sum(by_state, OPEN_STATES):
        commands.append((f"bulkhead cloud doctor{options}", "finds out why, if these numbers do not change"))
    return commands


def _manifest(status: BatchStatus) -> str:
    if status.driver == "runner":
        return "the runner writes it next to the results"
    if status.manifest is None:
        return "not written until no items are in progress"
    current = "up to date" if status.manifest_is_current else "older than the latest changes"
    return f"{shown(status.manifest)} ({current})"


def print_manifest_place(console: Console, status: BatchStatus, *, to: Path | None) -> None:
    """Write where the manifest was written, and where the stack's own manifest is."""
    if to is not None:
        line(console, f"written to {shown(str(to))}")
    line(console, f"the stack's own manifest: {_manifest(status)}", style="dim")


def print_put_back(
    console: Console, redriven: Redriven, *, batch_id: str | None, results: bool = False, options: str
) -> None:
    """Write what is queued again; `batch_id` is the batch, if it was only one."""
    for queue, count in redriven.dead_letters.items():
        if count:
            line(console, f"{counted(count, 'dead letter')} returned to the queue {queue}")
    if redriven.dead_letters and not any(redriven.dead_letters.values()):
        line(console, "there are no dead letters")
    if batch_id is not None:
        line(console, redriven_sentence(redriven.items, batch_id, results=results))
    elif redriven.items:
        line(console, f"{counted(redriven.items, 'item')} queued again")
    if redriven.items or any(redriven.dead_letters.values()):
        print_commands(
            console, [(f"bulkhead cloud status{f' {batch_id}' if batch_id else ''}{options}", "shows their progress")]
        )


def print_webhook_url(console: Console, url: str, *, which: str, options: str) -> None:
    """Write the URL on its own line, and what to do with it."""
    line(console, shown(url), style="bold")
    line(console)
    for sentence in _WEBHOOK_STEPS[which]:
        line(console, sentence.format(options=options))


def _ago(instant: datetime) -> str:
    return lasting((system_now() - instant).total_seconds())

"""The closing words of a run: what became of the items, what needs a person, and the commands to go on with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from runner.cli.styles import MEANINGS, STYLES, line, present
from runner.cli.triage import LISTED_MOST, Cluster, Triage
from runner.formatting import counted, lasting, near, shown
from runner.local.outcome import BatchOutcome
from runner.models import OPEN_STATES, BatchState, ItemState

MANIFEST = "manifest.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What the closing words are made of.

    `options` are repeated in the commands to copy, such as ` --ledger PATH`. `sandbox` is set where the embedded one
    was used: the commands that start one to stay, and that run the same against it.
    """

    outcome: BatchOutcome
    attention: Triage
    elapsed_s: float
    options: str = ""
    sandbox: tuple[str, str] | None = None


def print_summary(console: Console, closing: Closing) -> None:
    """Write everything, in the order in which a person wants to know it."""
    outcome = closing.outcome
    line(console, "")
    _headline(console, closing)
    _states(console, outcome.by_state, outcome.out)
    _reviews(console, closing.attention, ended=closing.sandbox is not None)
    print_clusters(console, "Failed", closing.attention.failed)
    print_clusters(console, "Rejected", closing.attention.rejected)
    _uncertain(console, closing.attention)
    line(console, "")
    line(console, f"Manifest: {_place(outcome.out, MANIFEST)} (and manifest.jsonl, summary.json)")
    _next_steps(console, closing)


def next_commands(closing: Closing) -> list[tuple[str, str]]:
    """Return (command, what it does); an unfinished batch is finished first, and only then mended."""
    outcome, options = closing.outcome, closing.options
    batch_id = outcome.batch.batch_id
    by_state = outcome.by_state
    if any(by_state.get(state) for state in OPEN_STATES):
        return [(f"bulkhead resume {batch_id}{options}", "goes on where this stopped")]
    commands = []
    if by_state.get(ItemState.NEEDS_REVIEW):
        commands.append((f"bulkhead track {batch_id}{options}", "collects the reviews that people have finished"))
    for state in (ItemState.FAILED, ItemState.REJECTED, ItemState.UNCERTAIN):
        if by_state.get(state):
            command = f"bulkhead redrive {batch_id} --state {state}{options}"
            commands.append((command, f"puts the {state} ones back to work; `bulkhead resume` then sends them"))
    return commands


def _headline(console: Console, closing: Closing) -> None:
    outcome = closing.outcome
    text = Text(f"Batch {outcome.batch.batch_id}", style="bold")
    style = "green" if outcome.state is BatchState.COMPLETE else "yellow"
    text.append(f" is {outcome.state}", style=style)
    text.append(f" after {lasting(closing.elapsed_s)}: {counted(outcome.items, 'item')}", style="not bold")
    line(console, text)
    if outcome.reason:
        line(console, f"{shown(outcome.reason)}")


def _states(console: Console, by_state: Mapping[ItemState, int], out: str) -> None:
    line(console, "")
    for state, count in present(by_state):
        text = Text(f"  {state:<13}", style=STYLES.get(state, ""))
        text.append(f"{count:>9,}", style="bold")
        text.append(f"   {MEANINGS[state].format(out=near(out))}", style="dim not bold")
        line(console, text)


def _reviews(console: Console, attention: Triage, *, ended: bool) -> None:
    if not attention.review_count:
        return
    where = "these pages ended with the sandbox" if ended else "to finish in the browser"
    _heading(console, f"{counted(attention.review_count, 'review')}: {where}")
    for source, url in attention.reviews:
        line(console, f"  {shown(source)}")
        line(console, f"    {shown(url) if url else 'the vendor gave no review url yet'}")
    _more(console, attention.review_count, len(attention.reviews))


def print_clusters(console: Console, title: str, clusters: Mapping[tuple[str, str], Cluster]) -> None:
    """Write how many items ended alike, and why; nothing where none did."""
    if not clusters:
        return
    ordered = sorted(clusters.values(), key=lambda cluster: (-cluster.count, cluster.message))
    items = counted(sum(cluster.count for cluster in ordered), "item")
    _heading(console, f"{title}: {items}" + (f", {len(ordered)} reasons" if len(ordered) > 1 else ""))
    for cluster in ordered[:LISTED_MOST]:
        message = " ".join(shown(line) for line in cluster.message.splitlines())
        line(console, f"  {cluster.count:>6,}x {message}")
        sample = f"{'such as ' if cluster.count > 1 else ''}{shown(cluster.sample)}"
        line(console, f"          {sample}" + (f"  [{cluster.code}]" if cluster.code else ""), style="dim")
    _more(console, len(ordered), len(ordered[:LISTED_MOST]))


def _uncertain(console: Console, attention: Triage) -> None:
    if not attention.uncertain_count:
        return
    _heading(console, f"{counted(attention.uncertain_count, 'item')} in doubt: look in the vendor's dashboard first")
    for source, message in attention.uncertain:
        line(console, f"  {shown(source)}")
        line(console, f"    {shown(message)}", style="dim")
    _more(console, attention.uncertain_count, len(attention.uncertain))


def _next_steps(console: Console, closing: Closing) -> None:
    if closing.sandbox is None:
        _commands(console, next_commands(closing))
        return
    start, run = closing.sandbox
    _heading(console, "This was the embedded sandbox: nothing has left this machine")
    line(console, "  To go on from a batch (review, track, redrive, resume), keep a sandbox in another terminal:")
    line(console, f"  {start}", style="cyan")
    line(console, f"  {run}", style="cyan")


def _commands(console: Console, commands: Iterable[tuple[str, str]]) -> None:
    for number, (command, effect) in enumerate(commands):
        if number == 0:
            _heading(console, "Next")
        line(console, f"  {command}", style="cyan")
        line(console, f"    {effect}", style="dim")


def _more(console: Console, count: int, listed: int) -> None:
    if count > listed:
        line(console, f"  … and {count - listed:,} more: see {MANIFEST}")


def _heading(console: Console, text: str) -> None:
    line(console, "")
    line(console, text, style="bold")


def _place(out: str, name: str) -> str:
    return near(f"{out.rstrip('/')}/{name}")

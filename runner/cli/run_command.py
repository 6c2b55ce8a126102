"""Runs the commands that move items: shows progress, stops on a signal, and ends with a summary and an exit code."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from runner.aws.s3 import is_s3
from runner.bulkhead import Bulkhead
from runner.cli.errors import reported
from runner.cli.ndjson import JsonEvents
from runner.cli.progress import Progress, QuietProgress, showing
from runner.cli.progress_state import ProgressState
from runner.cli.review_tables import print_tracked
from runner.cli.session import prepared, standalone_sandbox
from runner.cli.signals import interrupting
from runner.cli.styles import console, line, logging_to
from runner.cli.summary import RunSummary, print_summary
from runner.cli.triage import NEEDING_A_PERSON, needing_a_person
from runner.clock import SystemClock
from runner.events import ItemMoved, ignore
from runner.formatting import near, shown
from runner.local.outcome import BatchOutcome, ExitCode, worst
from runner.models import ItemState
from runner.sources.spec import local_path

if TYPE_CHECKING:
    from runner.check import Engine
    from runner.cli.options import Arguments
    from runner.config.settings import LoadedSettings
    from runner.events import Event, EventHook

Action = Callable[[Bulkhead, "LoadedSettings"], Awaitable[BatchOutcome]]


def drive(args: Arguments, action: Action) -> None:
    """Perform the action, show the summary, and exit. Raises typer.Exit."""
    _run_to_exit(args, lambda loaded, stream: _drive(args, loaded, action, stream))


def drive_tracking(args: Arguments, batch_id: str | None, *, watch: bool) -> None:
    """Track a batch, without an id all that wait for something, show what is new, and exit. Raises typer.Exit."""
    _run_to_exit(args, lambda loaded, stream: _drive_tracking(args, loaded, stream, batch_id, watch=watch))


def _run_to_exit(
    args: Arguments, driven: Callable[[LoadedSettings, JsonEvents | None], Coroutine[None, None, ExitCode]]
) -> NoReturn:
    stream = JsonEvents(now=SystemClock().now) if args.json else None
    with reported(verbose=args.verbose, on_error=stream.error if stream else None), prepared(args) as loaded:
        code = asyncio.run(driven(loaded, stream))
    raise typer.Exit(code)


async def _drive(args: Arguments, loaded: LoadedSettings, action: Action, stream: JsonEvents | None) -> ExitCode:
    began, screen = time.monotonic(), console(stderr=True)
    async with _open(args, loaded, stream, screen) as bulkhead:
        outcome = await action(bulkhead, loaded)
        summary = await _summary(args, loaded, bulkhead, outcome, elapsed_s=time.monotonic() - began)
    _close(args, summary, screen)
    return outcome.exit_code


async def _drive_tracking(
    args: Arguments, loaded: LoadedSettings, stream: JsonEvents | None, batch_id: str | None, *, watch: bool
) -> ExitCode:
    began, screen = time.monotonic(), console(stderr=True)
    moves = MoveCounts()
    async with _open(args, loaded, stream, screen, also=moves.take) as bulkhead:
        if batch_id is None:
            outcomes = await bulkhead.track_all(watch=watch)
        else:
            outcomes = [await bulkhead.track(batch_id, watch=watch)]
        is_one = len(outcomes) == 1 and moves.count > 0
        elapsed_s = time.monotonic() - began
        summary = await _summary(args, loaded, bulkhead, outcomes[0], elapsed_s=elapsed_s) if is_one else None
    if summary is not None:
        _close(args, summary, screen)
    elif not args.quiet and not args.json:
        print_tracked(console(), outcomes, moves.collected, options=args.repeated())
    return worst([outcome.exit_code for outcome in outcomes])


@asynccontextmanager
async def _open(
    args: Arguments,
    loaded: LoadedSettings,
    stream: JsonEvents | None,
    screen: Console,
    *,
    also: EventHook = ignore,
) -> AsyncIterator[Bulkhead]:
    """Open Bulkhead, with progress on the screen, events on stdout if `stream` wants them, and signals that stop it."""
    state = ProgressState(quota=loaded.settings.create_quota, ticks=time.monotonic)
    with logging_to(screen, verbose=args.verbose):
        async with _progress(args, screen, state) as progress:

            def take(event: Event) -> None:
                progress.take(event)
                also(event)
                if stream:
                    stream.take(event)

            async with Bulkhead(loaded.settings, on_event=take, engine=_engine, in_sandbox=args.sandbox) as bulkhead:
                with interrupting(bulkhead, tell=progress.say):
                    yield bulkhead


async def _summary(
    args: Arguments, loaded: LoadedSettings, bulkhead: Bulkhead, outcome: BatchOutcome, *, elapsed_s: float
) -> RunSummary:
    return RunSummary(
        outcome=outcome,
        triage=await needing_a_person(bulkhead.items(outcome.batch.batch_id, states=NEEDING_A_PERSON)),
        elapsed_s=elapsed_s,
        options=args.repeated() + _kept_ledger(outcome),
        sandbox=standalone_sandbox(args, loaded, sys.argv[1:]) if args.sandbox else None,
        again=_again(args.shown(sys.argv[1:]), outcome.batch.source_uri),
    )


def _again(argv: Sequence[str], source_uri: str) -> str:
    """Return the command that runs a source again: this one if it is a run, else one to complete."""
    if argv[:1] == ["run"]:
        return shlex.join(["bulkhead", *(word for word in argv if word != "--retry-failed")])
    source = source_uri if is_s3(source_uri) else near(local_path(source_uri))
    return f"bulkhead run {shlex.quote(source)} ..."


class MoveCounts:
    """How many items have moved, and how many of them were collected."""

    def __init__(self) -> None:
        self.count = 0
        self.collected = 0

    def take(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, ItemMoved):
            self.count += 1
            self.collected += event.new is ItemState.COLLECTED


def _kept_ledger(outcome: BatchOutcome) -> str:
    """Return the option that names the copy of a replaced ledger; of an option that is given twice, the last counts."""
    return f" --ledger {shlex.quote(outcome.kept_ledger)}" if outcome.kept_ledger else ""


def _engine() -> Engine:
    from runner.check.sandbox_engine import sandbox_engine

    return sandbox_engine()


@asynccontextmanager
async def _progress(args: Arguments, screen: Console, state: ProgressState) -> AsyncIterator[Progress]:
    if args.quiet or args.json:
        yield QuietProgress(screen)
        return
    async with showing(screen, state) as progress:
        yield progress


def _close(args: Arguments, summary: RunSummary, screen: Console) -> None:
    outcome = summary.outcome
    if args.quiet:
        if outcome.exit_code is not ExitCode.OK:
            line(screen, f"{outcome.batch.batch_id}: {shown(outcome.reason)}")
    elif not args.json:
        print_summary(console(), summary)

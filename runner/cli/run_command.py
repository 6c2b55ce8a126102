"""Runs the commands that move items: shows progress, stops on a signal, and ends with a summary and an exit code."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from runner._version import __version__
from runner.aws.s3 import is_s3
from runner.bulkhead import Bulkhead
from runner.cli.errors import reported
from runner.cli.log_file import LogFile, LogFileHandler, logging_progress, opened
from runner.cli.ndjson import JsonEvents
from runner.cli.notifications import notifying
from runner.cli.progress import Progress, QuietProgress, clock_stamp, showing, unstamped
from runner.cli.progress_state import ProgressState
from runner.cli.review_tables import print_tracked
from runner.cli.session import default_engine, prepared, standalone_sandbox
from runner.cli.signals import interrupting
from runner.cli.styles import console, line, logging_to
from runner.cli.summary import RunSummary, counts, print_summary
from runner.cli.triage import NEEDING_A_PERSON, needing_a_person
from runner.clock import system_now
from runner.events import ItemMoved
from runner.formatting import near, shown
from runner.local.outcome import BatchOutcome, ExitCode, worst
from runner.models import ItemState
from runner.sources.spec import local_path

if TYPE_CHECKING:
    from runner.cli.arguments import Stoppable
    from runner.cli.options import Arguments
    from runner.cli.output_options import Lines
    from runner.config.settings import LoadedSettings
    from runner.events import Event, EventHook

Action = Callable[[Bulkhead, "LoadedSettings"], Awaitable[BatchOutcome]]


def drive(args: Stoppable, action: Action) -> None:
    """Perform the action, show the summary, and exit. Raises typer.Exit."""
    run_to_exit(args, lambda outputs, loaded: _drive(args, loaded, action, outputs))


def drive_tracking(args: Stoppable, batch_id: str | None, *, watch: bool) -> None:
    """Track a batch, without an id all that wait for something, show what is new, and exit. Raises typer.Exit."""
    run_to_exit(args, lambda outputs, loaded: _drive_tracking(args, loaded, outputs, batch_id, watch=watch))


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a run is shown: on the screen, as events if `stream` is set, and in a log file if `log` is."""

    screen: Console
    stream: JsonEvents | None
    log: LogFile | None

    def ended(self, outcome: BatchOutcome) -> None:
        """Write to the log how a batch ended."""
        if self.log:
            name = f"batch {outcome.batch.batch_id}"
            self.log.write(f"{name} {outcome.state}: {counts(outcome.by_state)}; {outcome.reason}")
            self.log.write(f"{name} ended with code {int(outcome.exit_code)}; results in {near(outcome.out)}")


def run_to_exit(
    args: Stoppable, driven: Callable[[Outputs, LoadedSettings], Coroutine[None, None, ExitCode]]
) -> NoReturn:
    """Load the settings, open the outputs, and exit with the code that `driven` returns. Raises typer.Exit."""
    stream = JsonEvents(now=system_now) if args.json else None
    screen = console(stderr=True)
    with (
        reported(verbose=args.verbose, on_error=stream.error if stream else None),
        prepared(args) as loaded,
        opened(args.log_file, loaded, now=system_now, on_trouble=lambda text: line(screen, text)) as log,
    ):
        if log:
            log.write(f"bulkhead {__version__}: {shlex.join(['bulkhead', *args.shown(sys.argv[1:])])}")
        code = asyncio.run(driven(Outputs(screen, stream, log), loaded))
    raise typer.Exit(code)


async def _drive(args: Stoppable, loaded: LoadedSettings, action: Action, outputs: Outputs) -> ExitCode:
    began = time.monotonic()
    async with notifying(args, loaded, outputs.screen, log=outputs.log) as notifier:
        async with _open(args, loaded, outputs, also=(notifier.take,)) as bulkhead:
            outcome = await action(bulkhead, loaded)
            summary = await _summary(args, loaded, bulkhead, outcome, elapsed_s=time.monotonic() - began)
        outputs.ended(outcome)
        _close(args, summary, outputs.screen)
    return outcome.exit_code


async def _drive_tracking(
    args: Stoppable, loaded: LoadedSettings, outputs: Outputs, batch_id: str | None, *, watch: bool
) -> ExitCode:
    began = time.monotonic()
    moves = MoveCounts()
    async with notifying(args, loaded, outputs.screen, log=outputs.log, only_news=True) as notifier:
        async with _open(args, loaded, outputs, also=(moves.take, notifier.take)) as bulkhead:
            if batch_id is None:
                outcomes = await bulkhead.track_all(watch=watch)
            else:
                outcomes = [await bulkhead.track(batch_id, watch=watch)]
            is_one = len(outcomes) == 1 and moves.count > 0
            elapsed_s = time.monotonic() - began
            summary = await _summary(args, loaded, bulkhead, outcomes[0], elapsed_s=elapsed_s) if is_one else None
        for outcome in outcomes:
            outputs.ended(outcome)
        if summary is not None:
            _close(args, summary, outputs.screen)
        elif not args.quiet and not args.json:
            print_tracked(console(), outcomes, moves.collected, options=args.repeated())
    return worst([outcome.exit_code for outcome in outcomes])


@asynccontextmanager
async def _open(
    args: Stoppable, loaded: LoadedSettings, outputs: Outputs, *, also: Sequence[EventHook] = ()
) -> AsyncIterator[Bulkhead]:
    """Open Bulkhead, with progress and log on the outputs, and signals that stop it."""
    handler = LogFileHandler(outputs.log) if outputs.log else None
    with logging_to(outputs.screen, verbose=args.verbose, also=handler):
        async with (
            _progress(args, outputs.screen, _state(loaded)) as progress,
            logging_progress(outputs.log, _state(loaded), every_s=args.every_s()) as to_log,
        ):

            def take(event: Event) -> None:
                progress.take(event)
                to_log(event)
                for listener in also:
                    listener(event)
                if outputs.stream:
                    outputs.stream.take(event)

            def tell(message: str) -> None:
                progress.say(message)
                if outputs.log:
                    outputs.log.write(message)

            async with Bulkhead(
                loaded.settings, on_event=take, engine=default_engine, in_sandbox=args.sandbox
            ) as bulkhead:
                with interrupting(bulkhead, tell=tell, within_s=args.stop_within_s()):
                    yield bulkhead


def _state(loaded: LoadedSettings) -> ProgressState:
    return ProgressState(quota=loaded.settings.create_quota, ticks=time.monotonic)


async def _summary(
    args: Arguments, loaded: LoadedSettings, bulkhead: Bulkhead, outcome: BatchOutcome, *, elapsed_s: float
) -> RunSummary:
    argv = args.shown(sys.argv[1:])
    return RunSummary(
        outcome=outcome,
        triage=await needing_a_person(bulkhead.items(outcome.batch.batch_id, states=NEEDING_A_PERSON)),
        elapsed_s=elapsed_s,
        options=args.repeated() + _kept_ledger(outcome),
        sandbox=standalone_sandbox(args, loaded, argv) if args.sandbox else None,
        again=_again(argv, outcome.batch.source_uri),
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


@asynccontextmanager
async def _progress(args: Lines, screen: Console, state: ProgressState) -> AsyncIterator[Progress]:
    every_s = args.every_s()
    if args.quiet or args.json:
        yield QuietProgress(screen)
        return
    async with showing(screen, state, every_s=every_s, stamp=clock_stamp if args.verbose else unstamped) as progress:
        yield progress


def _close(args: Arguments, summary: RunSummary, screen: Console) -> None:
    outcome = summary.outcome
    if args.quiet:
        if outcome.exit_code is not ExitCode.OK:
            line(screen, f"{outcome.batch.batch_id}: {shown(outcome.reason)}")
    elif not args.json:
        print_summary(console(), summary)

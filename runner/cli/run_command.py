"""Runs the commands that move items: shows progress, stops on a signal, and ends with a summary and an exit code."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from runner.bulkhead import Bulkhead
from runner.cli.errors import reported
from runner.cli.ndjson import JsonEvents
from runner.cli.progress import Progress, QuietProgress, showing
from runner.cli.progress_state import ProgressState
from runner.cli.session import prepared, standalone_sandbox
from runner.cli.signals import interrupting
from runner.cli.styles import console, line, logging_to
from runner.cli.summary import RunSummary, print_summary
from runner.cli.triage import NEEDING_A_PERSON, needing_a_person
from runner.clock import SystemClock
from runner.formatting import shown
from runner.local.outcome import BatchOutcome, ExitCode

if TYPE_CHECKING:
    from runner.check import Engine
    from runner.cli.options import Arguments
    from runner.config.settings import LoadedSettings
    from runner.events import Event

Action = Callable[[Bulkhead, "LoadedSettings"], Awaitable[BatchOutcome]]


def drive(args: Arguments, action: Action) -> None:
    """Perform the action, show the summary, and exit. Raises typer.Exit."""
    stream = JsonEvents(now=SystemClock().now) if args.json else None
    with reported(verbose=args.verbose, on_error=stream.error if stream else None), prepared(args) as loaded:
        code = asyncio.run(_drive(args, loaded, action, stream))
    raise typer.Exit(code)


async def _drive(args: Arguments, loaded: LoadedSettings, action: Action, stream: JsonEvents | None) -> ExitCode:
    began = time.monotonic()
    screen = console(stderr=True)
    quota = loaded.settings.create_quota
    state = ProgressState(quota=quota, ticks=time.monotonic)
    with logging_to(screen, verbose=args.verbose):
        async with _progress(args, screen, state) as progress:

            def take(event: Event) -> None:
                progress.take(event)
                if stream:
                    stream.take(event)

            async with Bulkhead(loaded.settings, on_event=take, engine=_engine, in_sandbox=args.sandbox) as bulkhead:
                with interrupting(bulkhead, tell=progress.say):
                    outcome = await action(bulkhead, loaded)
                items = bulkhead.items(outcome.batch.batch_id, states=NEEDING_A_PERSON)
                summary = RunSummary(
                    outcome=outcome,
                    triage=await needing_a_person(items),
                    elapsed_s=time.monotonic() - began,
                    options=args.repeated() + _kept_ledger(outcome),
                    sandbox=standalone_sandbox(args, loaded, sys.argv[1:]) if args.sandbox else None,
                )
    _close(args, summary, screen)
    return outcome.exit_code


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

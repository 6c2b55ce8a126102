"""Runs the worker of a stack: shows how it stands, stops on a signal, and ends with an exit code."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from runner.aws.client import aws_extra
from runner.cli.log_file import LogFileHandler
from runner.cli.progress import Notices, alive, clock_stamp, repeating, unstamped
from runner.cli.run_command import Outputs, run_to_exit
from runner.cli.signals import interrupting
from runner.cli.styles import line, logging_to
from runner.events import CreateAnswered, ItemMoved, WorkerStands
from runner.formatting import counted, lasting, shown
from runner.local.outcome import ExitCode, exit_code_of_stop
from runner.models import ItemState

if TYPE_CHECKING:
    from runner.cli.arguments import CloudWorkArguments
    from runner.config.settings import LoadedSettings
    from runner.events import Event


def drive_worker(args: CloudWorkArguments) -> None:
    """Send the files of a stack until a signal comes. Raises typer.Exit."""
    run_to_exit(args, lambda outputs, loaded: _work(args, loaded, outputs))


class WorkerState:
    """What the line about a worker says."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._created = 0
        self._failed = 0
        self._stands: WorkerStands | None = None

    def take(self, event: Event) -> None:
        """Count an event."""
        match event:
            case CreateAnswered():
                self._created += 1
            case ItemMoved(new=ItemState.FAILED | ItemState.REJECTED):
                self._failed += 1
            case WorkerStands():
                self._stands = event
            case _:
                pass

    def line(self) -> str:
        """Return how the worker stands, in one line."""
        parts = [counted(self._created, "create")]
        if self._failed:
            parts.append(f"{self._failed:,} failed or rejected")
        if self._stands is not None:
            parts += [f"{self._stands.in_work:,} in work", f"about {self._stands.waiting:,} wait"]
            if self._stands.away:
                parts.append(self._stands.away)
        return f"{lasting(time.monotonic() - self._began)}: " + "; ".join(parts)


async def _work(args: CloudWorkArguments, loaded: LoadedSettings, outputs: Outputs) -> ExitCode:
    with aws_extra():
        from runner.cloud.ops.client import Operations

    handler = LogFileHandler(outputs.log) if outputs.log else None
    with logging_to(outputs.screen, verbose=args.verbose, also=handler):
        async with Operations(loaded.settings, options=args.repeated()) as operations:
            state = WorkerState()
            async with _shown(args, outputs, state) as (take, tell):
                worker = operations.worker(at_once=args.concurrency, listen=take)
                with interrupting(worker, tell=tell, within_s=args.stop_within_s()):
                    reason = await worker.run()
                tell(f"stopped: {state.line()}; what is not finished is in its queue again")
    return exit_code_of_stop(reason)


@asynccontextmanager
async def _shown(
    args: CloudWorkArguments, outputs: Outputs, state: WorkerState
) -> AsyncIterator[tuple[Callable[[Event], None], Callable[[str], None]]]:
    """Show a worker while the block runs; yields what takes its events, and what takes sentences."""
    notices, is_shown = Notices(), not (args.quiet or args.json)
    stamp = clock_stamp if args.verbose else unstamped

    def tell(message: str) -> None:
        if is_shown:
            line(outputs.screen, stamp() + shown(message), style="yellow")
        if outputs.log:
            outputs.log.write(message)

    def take(event: Event) -> None:
        state.take(event)
        if (sentence := notices.new_in(event)) is not None:
            tell(sentence)
        if outputs.stream:
            outputs.stream.take(event)

    async with AsyncExitStack() as showing:
        if is_shown:
            await showing.enter_async_context(
                alive(
                    outputs.screen,
                    view=lambda: Group(Text(state.line(), style="dim")),
                    line=lambda: stamp() + state.line(),
                    every_s=args.every_s(),
                )
            )
        if outputs.log:
            log = outputs.log
            await showing.enter_async_context(repeating(lambda: log.write(state.line()), every_s=args.every_s()))
        yield take, tell

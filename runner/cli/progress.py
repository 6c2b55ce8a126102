"""Progress on stderr: a live view on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from runner.cli.progress_state import ProgressState
from runner.cli.styles import STYLES
from runner.events import CreateThrottled, Event, Notice
from runner.formatting import counted, lasting, shown, sized
from runner.models import ItemState

LINE_EVERY_S = 10.0
_REFRESHES_PER_S = 4
_BAR_WIDTH = 40


class Progress(Protocol):
    """Shows how a run goes on."""

    def take(self, event: Event) -> None:
        """Learn of an event."""
        ...

    def say(self, message: str) -> None:
        """Show a sentence at once."""
        ...


class QuietProgress:
    """Shows only what is said to a person who has just pressed a key."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def take(self, event: Event) -> None:
        """Show nothing."""

    def say(self, message: str) -> None:
        self._console.print(Text(message))


class ScreenProgress:
    """Keeps the tally and says what a person should know: notices, and creates held back by the vendor."""

    def __init__(self, console: Console, tally: ProgressState) -> None:
        self._console = console
        self._tally = tally
        self._said: str | None = None

    def take(self, event: Event) -> None:
        self._tally.take(event)
        if isinstance(event, Notice):
            self._say_once(event.message)
        elif isinstance(event, CreateThrottled):
            self.say(f"the vendor refused a create for now (429); all creates wait {lasting(event.wait_s)}")

    def say(self, message: str) -> None:
        self._console.print(Text(shown(message), style="yellow"), soft_wrap=True)

    def _say_once(self, message: str) -> None:
        """Say a notice unless it was the last one said: a vendor that is down says the same again and again."""
        if message != self._said:
            self._said = message
            self.say(message)


@asynccontextmanager
async def showing(console: Console, tally: ProgressState) -> AsyncIterator[ScreenProgress]:
    """Show a run's progress while the block runs."""
    async with alive(console, view=lambda: live_view(tally), line=lambda: plain_line(tally)):
        yield ScreenProgress(console, tally)


@asynccontextmanager
async def alive(console: Console, *, view: Callable[[], Group], line: Callable[[], str]) -> AsyncIterator[None]:
    """Keep `view` up to date on a terminal while the block runs, or write `line` now and then elsewhere."""
    if console.is_terminal:
        with Live(
            get_renderable=view,
            console=console,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield
        return
    lines = asyncio.create_task(_lines(console, line))
    try:
        yield
    finally:
        lines.cancel()


async def _lines(console: Console, line: Callable[[], str]) -> None:
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        console.print(Text(line()), soft_wrap=True)


def plain_line(tally: ProgressState) -> str:
    """Write the whole state of a run in one line."""
    states = ", ".join(f"{state} {tally.by_state[state]}" for state in ItemState if tally.by_state.get(state))
    parts = [f"{tally.finished} of {counted(tally.total, 'item')}", states or "nothing listed yet", *_outlook(tally)]
    return f"{lasting(tally.elapsed_s)}: " + "; ".join(parts)


def live_view(tally: ProgressState) -> Group:
    """Draw the state of a run for a terminal."""
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Spinner("dots"),
        Text(tally.batch_id or "starting", style="bold"),
        ProgressBar(total=max(tally.total, 1), completed=tally.finished, width=_BAR_WIDTH),
        Text(f"{tally.finished:,} of {counted(tally.total, 'item')}{' so far' if tally.listing else ''}"),
        Text(lasting(tally.elapsed_s), style="dim"),
    )
    return Group(head, _states(tally), Text("  " + " · ".join(_outlook(tally)), style="dim"))


def _states(tally: ProgressState) -> Text:
    counts = [(state, tally.by_state[state]) for state in ItemState if tally.by_state.get(state)]
    parts = [Text(f"{state} {count:,}", style=STYLES.get(state, "")) for state, count in counts]
    return Text("  ") + Text(" · ").join(parts)


def _outlook(tally: ProgressState) -> list[str]:
    parts = [f"{sized(tally.bytes_uploaded)} uploaded"]
    if not tally.creates_left:
        return parts
    free = f", {tally.slots_free} free in this window"
    parts.append(f"{counted(tally.creates_left, 'create')} left{free}")
    wait_s = tally.last_create_in_s
    parts.append(f"last one in about {lasting(wait_s)}" if wait_s >= 1 else "last one as soon as the quota lets it")
    return parts

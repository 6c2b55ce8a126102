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
from runner.events import CreateThrottled, Event, Notice, OutageBegan, OutageEnded
from runner.formatting import counted, lasting, shown, sized
from runner.models import ItemState

LINE_EVERY_S = 10.0
_REFRESHES_PER_S = 4
_BAR_WIDTH = 40


class Progress(Protocol):
    """Shows the progress of a run."""

    def take(self, event: Event) -> None:
        """Take an event into account."""
        ...

    def say(self, message: str) -> None:
        """Show a sentence immediately."""
        ...


class QuietProgress:
    """Shows only the reaction to signals, such as Ctrl-C."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def take(self, event: Event) -> None:
        """Show nothing."""

    def say(self, message: str) -> None:
        self._console.print(Text(message))


class ScreenProgress:
    """Counts events, and shows notices and when the vendor limits creates."""

    def __init__(self, console: Console, state: ProgressState) -> None:
        self._console = console
        self._state = state
        self._said: str | None = None

    def take(self, event: Event) -> None:
        self._state.take(event)
        if isinstance(event, Notice | OutageBegan | OutageEnded):
            self._say_once(event.message)
        elif isinstance(event, CreateThrottled):
            self.say(f"the vendor limits creates (429): all creates wait {lasting(event.wait_s)}")

    def say(self, message: str) -> None:
        self._console.print(Text(shown(message), style="yellow"), soft_wrap=True)

    def _say_once(self, message: str) -> None:
        """Show a notice unless it repeats the last one: an unreachable vendor causes the same notice many times."""
        if message != self._said:
            self._said = message
            self.say(message)


@asynccontextmanager
async def showing(console: Console, state: ProgressState) -> AsyncIterator[ScreenProgress]:
    """Show a run's progress while the block runs."""
    async with alive(console, view=lambda: live_view(state), line=lambda: plain_line(state)):
        yield ScreenProgress(console, state)


@asynccontextmanager
async def alive(console: Console, *, view: Callable[[], Group], line: Callable[[], str]) -> AsyncIterator[None]:
    """Keep `view` up to date on a terminal while the block runs; elsewhere, write `line` every LINE_EVERY_S."""
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


def plain_line(state: ProgressState) -> str:
    """Return the state of a run in one line."""
    states = ", ".join(f"{one} {state.by_state[one]}" for one in ItemState if state.by_state.get(one))
    parts = [f"{state.finished} of {counted(state.total, 'item')}", states or "nothing listed yet", *_forecast(state)]
    outage = [shown(state.outage)] if state.outage else []
    return f"{lasting(state.elapsed_s)}: " + "; ".join([*parts, *outage])


def live_view(state: ProgressState) -> Group:
    """Return the state of a run for a terminal."""
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Spinner("dots"),
        Text(state.batch_id or "starting", style="bold"),
        ProgressBar(total=max(state.total, 1), completed=state.finished, width=_BAR_WIDTH),
        Text(f"{state.finished:,} of {counted(state.total, 'item')}{' so far' if state.listing else ''}"),
        Text(lasting(state.elapsed_s), style="dim"),
    )
    outage = [Text(f"  {shown(state.outage)}", style="yellow")] if state.outage else []
    return Group(head, _states(state), Text("  " + " · ".join(_forecast(state)), style="dim"), *outage)


def _states(state: ProgressState) -> Text:
    counts = [(one, state.by_state[one]) for one in ItemState if state.by_state.get(one)]
    parts = [Text(f"{one} {count:,}", style=STYLES.get(one, "")) for one, count in counts]
    return Text("  ") + Text(" · ").join(parts)


def _forecast(state: ProgressState) -> list[str]:
    parts = [f"{sized(state.bytes_uploaded)} uploaded"]
    if not state.creates_left:
        return parts
    free = f", {state.slots_free} free now"
    parts.append(f"{counted(state.creates_left, 'create')} left{free}")
    wait_s = state.last_create_in_s
    parts.append(f"last one in about {lasting(wait_s)}" if wait_s >= 1 else "last one immediately")
    return parts

"""Progress on stderr: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from runner.cli.progress_state import ProgressState
from runner.cli.styles import STYLES
from runner.clock import system_now
from runner.events import CreateAnswered, CreateThrottled, Event, Notice, OutageBegan, OutageEnded
from runner.formatting import at_clock, counted, lasting, shown, sized
from runner.models import ItemState

LINE_EVERY_S = 10.0
_REFRESHES_PER_S = 4
_BAR_WIDTH = 40
_NARROWEST_BAR = 4


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

    def __init__(self, console: Console, state: ProgressState, *, stamp: Stamp) -> None:
        self._console = console
        self._state = state
        self._stamp = stamp
        self._notices = Notices()

    def take(self, event: Event) -> None:
        self._state.take(event)
        if (sentence := self._notices.new_in(event)) is not None:
            self.say(sentence)

    def say(self, message: str) -> None:
        self._console.print(Text(self._stamp() + shown(message), style="yellow"), soft_wrap=True)


class Notices:
    """The sentences of events, but none that repeats the last one: an unreachable vendor causes the same many times.

    All creates that were on their way are refused at the same time, so that is said once until one is answered again.
    """

    def __init__(self) -> None:
        self._last: str | None = None
        self._throttling_told = False

    def new_in(self, event: Event) -> str | None:
        """Return the sentence of an event, None if it has none or repeats the last one."""
        if isinstance(event, CreateAnswered):
            self._throttling_told = False
        if isinstance(event, CreateThrottled):
            was_told, self._throttling_told = self._throttling_told, True
            return None if was_told else f"the vendor limits creates (429): all creates wait {lasting(event.wait_s)}"
        if not isinstance(event, Notice | OutageBegan | OutageEnded) or event.message == self._last:
            return None
        self._last = event.message
        return event.message


Stamp = Callable[[], str]
"""Returns what begins a line: the time, or nothing."""


def unstamped() -> str:
    return ""


def clock_stamp() -> str:
    """Return the local time to begin a line with."""
    return f"{system_now().astimezone():%H:%M:%S} "


@asynccontextmanager
async def showing(
    console: Console, state: ProgressState, *, every_s: float = LINE_EVERY_S, stamp: Stamp = unstamped
) -> AsyncIterator[ScreenProgress]:
    """Show a run's progress while the block runs."""
    async with alive(console, view=lambda: live_view(state), line=lambda: stamp() + plain_line(state), every_s=every_s):
        yield ScreenProgress(console, state, stamp=stamp)


@asynccontextmanager
async def alive(
    console: Console, *, view: Callable[[], Group], line: Callable[[], str], every_s: float = LINE_EVERY_S
) -> AsyncIterator[None]:
    """Keep `view` up to date on a terminal while the block runs; elsewhere, write `line` every `every_s`, if not 0."""
    if console.is_terminal and not console.is_dumb_terminal:
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
    async with repeating(lambda: console.print(Text(line()), soft_wrap=True), every_s=every_s):
        yield


@asynccontextmanager
async def repeating(action: Callable[[], None], *, every_s: float) -> AsyncIterator[None]:
    """Call `action` every `every_s` seconds while the block runs; never if that is 0."""
    repeated = asyncio.create_task(_repeat(action, every_s=every_s))
    try:
        yield
    finally:
        repeated.cancel()


async def _repeat(action: Callable[[], None], *, every_s: float) -> None:
    while every_s:
        await asyncio.sleep(every_s)
        action()


def plain_line(state: ProgressState) -> str:
    """Return the state of a run in one line."""
    states = ", ".join(f"{one} {state.by_state[one]:,}" for one in ItemState if state.by_state.get(one))
    parts = [f"{state.finished:,} of {counted(state.total, 'item')}", states or "nothing listed yet", *_forecast(state)]
    outage = [shown(state.outage)] if state.outage else []
    return f"{lasting(state.elapsed_s)}: " + "; ".join([*parts, *outage])


def live_view(state: ProgressState) -> Group:
    """Return the state of a run for a terminal."""
    head = ProgressHead(
        title=state.batch_id or "starting",
        done=state.finished,
        total=state.total,
        count=f"{state.finished:,} of {counted(state.total, 'item')}{' so far' if state.listing else ''}",
        elapsed_s=state.elapsed_s,
    )
    lines = [_states(state), Text(" · ".join(_forecast(state)), style="dim")]
    if state.outage:
        lines.append(Text(shown(state.outage), style="yellow"))
    return Group(head, *map(indented, lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressHead:
    """The first line of a live view: its bar takes the room that the texts leave, or is left out."""

    title: str
    done: int
    total: int
    count: str
    elapsed_s: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        elapsed = lasting(self.elapsed_s)
        texts = [Text(self.title, style="bold"), Text(self.count), Text(elapsed, style="dim")]
        room = options.max_width - 2 - sum(text.cell_len + 1 for text in texts)
        head = Table.grid(padding=(0, 1))
        bar = [ProgressBar(total=max(self.total, 1), completed=self.done, width=min(room, _BAR_WIDTH))]
        head.add_row(Spinner("dots"), texts[0], *(bar if room >= _NARROWEST_BAR else ()), *texts[1:])
        yield head


def indented(text: Text) -> Padding:
    """Return a line of a live view below its head, also where it is wrapped."""
    return Padding(text, (0, 0, 0, 2), expand=False)


def _states(state: ProgressState) -> Text:
    counts = [(one, state.by_state[one]) for one in ItemState if state.by_state.get(one)]
    parts = [Text(f"{one} {count:,}", style=STYLES.get(one, "")) for one, count in counts]
    return Text(" · ").join(parts)


def _forecast(state: ProgressState) -> list[str]:
    parts = [f"{sized(state.bytes_uploaded)} uploaded"]
    if state.packs:
        ended, total = state.packs
        parts.append(f"{ended:,} of {counted(total, 'pack')}")
    if state.creates_left:
        parts.append(f"{counted(state.creates_left, 'create')} left, {state.slots_free:,} free now")
    return [*parts, *_end(state)]


def _end(state: ProgressState) -> list[str]:
    """Return when the run will be done, if that can be told; while files are still listed, there can be more."""
    end = state.done_at
    if end is None:
        return []
    now = state.now()
    left = lasting((end - now).total_seconds())
    return [f"done {'after' if state.listing else 'about'} {at_clock(end, now)}, in {left}"]
